/* SPDX-License-Identifier: Apache-2.0 */
/* Rank lists of users, and lines of ranks with numbers apart: a folded line must fold with itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fold/numbers.h"
#include "fold/ranks.h"

static void try_list(const char *text)
{
    struct dt_ranks ranks, again;
    struct dt_error err;
    if (dt_ranks_init(&ranks, 1000) || dt_ranks_init(&again, 1000))
        abort();
    if (dt_ranks_parse(&ranks, "--ranks", text, &err) == 0 && ranks.count > 0) {
        struct dt_buf list = DT_BUF_INIT;
        dt_ranks_list(&ranks, &list);
        if (dt_ranks_parse(&again, "--ranks", list.data, &err) || again.count != ranks.count ||
            !dt_ranks_cover(&again, &ranks))
            abort();
        dt_buf_fini(&list);
    }
    dt_ranks_fini(&ranks);
    dt_ranks_fini(&again);
}

static void try_line(const char *text, size_t size)
{
    struct dt_numbers numbers, shown, again;
    if (dt_numbers_init(&numbers, text, size, 1, true) ||
        dt_numbers_init(&shown, text, size, 1, true))
        abort();
    char *told = dt_numbers_take(&shown);
    if (!told || dt_numbers_init(&again, told, strlen(told), 1, true))
        abort();
    if (!memchr(text, '\0', size) &&
        (strcmp(told, text) != 0 || !dt_numbers_alike(&numbers, &again)))
        abort();
    free(told);
    if (dt_numbers_alike(&numbers, &again))
        dt_numbers_widen(&numbers, &again);
    dt_numbers_fini(&numbers);
    dt_numbers_fini(&shown);
    dt_numbers_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_list(text);
    try_line(text, size);
    free(text);
    return 0;
}
