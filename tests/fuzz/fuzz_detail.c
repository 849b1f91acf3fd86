/* SPDX-License-Identifier: Apache-2.0 */
/* Details of hostile nodes: what is taken is JSON, as jansson reads it, and can go into a document.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/detail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_error err = {{0}};
    char *members;
    if (dt_detail_take(&members, (const char *)data, size, &err) < 0) {
        if (!err.text[0] || members)
            abort();
        return 0;
    }
    size_t len = strlen(members);
    char *object = malloc(len + 3);
    if (!object)
        abort();
    object[0] = '{';
    memcpy(object + 1, members, len);
    memcpy(object + 1 + len, "}", 2);
    json_t *json = json_loads(object, 0, NULL);
    if (!json || !json_is_array(json_object_get(json, "checks")) ||
        !json_is_object(json_object_get(json, "facts")))
        abort();
    for (const char *c = members; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            abort(); /* the terminal must not be driven */
    }
    json_decref(json);
    free(object);
    free(members);
    return 0;
}
