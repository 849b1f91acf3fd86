/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank may write to standard error: its last words and its traceback, in pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cause/cause.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "Traceback (most recent call last):\n";
    struct dt_tail *tail = calloc(1, sizeof *tail);
    struct dt_buf text = DT_BUF_INIT;
    for (size_t at = 0; tail && at < size;) {
        size_t len = data[at] % 64;
        if (data[at] > 250)
            dt_tail_add(tail, header, sizeof header - 1, (long long)at);
        at++;
        len = len < size - at ? len : size - at;
        dt_tail_add(tail, (const char *)data + at, len, (long long)at);
        at += len;
    }
    if (tail) {
        dt_tail_words(tail, 64, &text);
        if (text.len > 64)
            abort();
        dt_tail_exception(tail, &text);
        if (text.data)
            dt_cause_is_victim(text.data);
    }
    char *json = strndup((const char *)data, size);
    struct dt_buf callstack = DT_BUF_INIT;
    if (json)
        dt_cause_error_file(json, &text, &callstack);
    free(json);
    dt_buf_fini(&callstack);
    dt_buf_fini(&text);
    free(tail);
    return 0;
}
