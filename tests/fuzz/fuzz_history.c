/* SPDX-License-Identifier: Apache-2.0 */
/* A node's history, as a file of bytes and, with the right checksum put behind it, as text: what is
 * taken is written again as the same text. And the limits of counters. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"
#include "history/history.h"
#include "history/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEAL = sizeof "end 0123456789abcdef\n" - 1 };

static void parse(const char *from, size_t len)
{
    struct dt_history history;
    struct dt_error err;
    char *text = malloc(len + 1);
    if (!text)
        return;
    memcpy(text, from, len);
    text[len] = '\0';
    if (dt_history_parse(&history, text, len, &err) == 0) {
        char *again = dt_history_format(&history);
        dt_history_fini(&history);
        if (again && dt_history_parse(&history, again, strlen(again), &err) < 0)
            abort();
        free(again);
    }
    dt_history_fini(&history);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_growth_limits limits;
    struct dt_error err;
    char *text = malloc(size + SEAL + 1);
    if (!text)
        return 0;
    parse((const char *)data, size);
    memcpy(text, data, size);
    snprintf(text + size, SEAL + 1, "end %016" PRIx64 "\n", dt_fnv(DT_FNV_START, data, size));
    parse(text, size + SEAL);
    text[size] = '\0';
    if (dt_growth_limits_parse(&limits, "fuzz", text, &err) == 0) {
        if (limits.count == 0)
            abort();
        dt_growth_limits_fini(&limits);
    }
    free(text);
    return 0;
}
