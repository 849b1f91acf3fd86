/* SPDX-License-Identifier: Apache-2.0 */
/* accelerate's configuration files, whatever is in them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "accelerate/accelerate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_accelerate config;
    struct dt_error err = {""};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dt_accelerate_parse(&config, text, "fuzz", &err) == 0)
        dt_accelerate_fini(&config);
    else if (!err.text[0])
        abort();
    free(text);
    return 0;
}
