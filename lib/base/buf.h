/* SPDX-License-Identifier: Apache-2.0 */
/* A growable string. A failed allocation is remembered in `failed` and later calls do nothing, so a
 * writer checks once, at the end. */
#ifndef DT_BASE_BUF_H
#define DT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct dt_buf {
    char *data; /* NUL-terminated whenever not NULL; owned by the buffer */
    size_t len; /* bytes before the NUL */
    size_t cap;
    bool failed;
};

#define DT_BUF_INIT ((struct dt_buf){0})

void dt_buf_fini(struct dt_buf *buf); /* frees; the buffer may be used again */
void dt_buf_clear(struct dt_buf *buf);
void dt_buf_append(struct dt_buf *buf, const void *bytes, size_t len);
void dt_buf_puts(struct dt_buf *buf, const char *text);
void dt_buf_printf(struct dt_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dt_buf_number(struct dt_buf *buf, long long number); /* "%lld", where it is written often */
/* The text as a JSON string, with its quotes. */
void dt_buf_json(struct dt_buf *buf, const char *text);

/* Hand the string over to the caller, who frees it. NULL if any earlier call failed. Never NULL for
 * an empty buffer that did not fail: that is "". */
char *dt_buf_take(struct dt_buf *buf);

#endif
