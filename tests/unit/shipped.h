/* SPDX-License-Identifier: Apache-2.0 */
/* The files of configs/ for tests: dt refuses data that others may write, and the files of a checkout
 * made under umask 002 are such. So tests read copies with the mode that is demanded. */
#ifndef TESTS_SHIPPED_H
#define TESTS_SHIPPED_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of the source tree, wherever the test is run from. Caller frees. */
static inline char *source_path(const char *path)
{
    int root = (int)(strstr(__FILE__, "tests/unit/") - __FILE__);
    char *text = NULL;
    if (asprintf(&text, "%.*s%s", access(path, R_OK) ? root : 0, __FILE__, path) < 0)
        fail_msg("out of memory");
    return text;
}

/* A copy of a file of the source tree, mode 0600. Ends with shipped_drop. */
static inline char *shipped_copy(const char *path)
{
    char *source = source_path(path);
    char *copy = strdup("/tmp/dt-shipped.XXXXXX");
    int fd = copy ? mkstemp(copy) : -1;
    FILE *in = fopen(source, "re"), *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!in || !out)
        fail_msg("%s can not be copied", source);
    free(source);
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(in);
    if (fclose(out) != 0)
        fail_msg("%s can not be copied to %s", path, copy);
    return copy;
}

static inline void shipped_drop(char *copy)
{
    if (copy)
        remove(copy);
    free(copy);
}

#endif
