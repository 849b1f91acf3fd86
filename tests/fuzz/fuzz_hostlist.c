/* SPDX-License-Identifier: Apache-2.0 */
/* Node lists come from the environment of a job: any text must give names or one sentence, and
 * compressing the names and expanding them again must not fail. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_hostlist list, again;
    struct dt_error err = {""};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dt_hostlist_parse(&list, text, &err)) {
        if (!err.text[0])
            abort();
    } else {
        char *compressed = dt_hostlist_compress(list.names, list.count);
        if (!compressed)
            abort();
        if (strlen(compressed) <= 1u << 20) { /* the parser's own limit */
            if (dt_hostlist_parse(&again, compressed, &err) || again.count > list.count)
                abort();
            dt_hostlist_fini(&again);
        }
        free(compressed);
        dt_hostlist_fini(&list);
    }
    free(text);
    return 0;
}
