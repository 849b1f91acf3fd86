/* SPDX-License-Identifier: Apache-2.0 */
/* One sentence about what went wrong, in a buffer that the caller owns.
 *
 * Functions of dt return 0 on success and -1 on failure, and then leave one sentence here that names
 * the thing, the value and what to do. Text that came from outside (a peer, a file, a user) is made
 * printable: control characters become '?', so that an error can always be shown on a terminal.
 */
#ifndef DT_BASE_ERROR_H
#define DT_BASE_ERROR_H

#include <stdarg.h>

struct dt_error {
    char text[512]; /* always NUL-terminated; a longer sentence ends in "..." */
};

/* Set the sentence. Returns -1 always, so that `return dt_error_set(err, ...)` reads in one line.
 * err may be NULL: then nothing is kept. */
int dt_error_set(struct dt_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int dt_error_vset(struct dt_error *err, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Put "WHAT: " in front of the sentence that is there, for a caller that knows more of the place. */
int dt_error_prefix(struct dt_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
