/* SPDX-License-Identifier: Apache-2.0 */
/* Two version texts: comparing them must be safe, and must give opposite answers both ways round.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "env/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 2);
    size_t half;
    int there, back;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';
    half =
        strlen(text) < size ? strlen(text) + 1 : size + 1; /* the second text starts after a NUL */
    there = dt_version_compare(text, text + half);
    back = dt_version_compare(text + half, text);
    if ((there > 0) != (back < 0) || (there < 0) != (back > 0) ||
        dt_version_compare(text, text) != 0)
        abort();
    free(text);
    return 0;
}
