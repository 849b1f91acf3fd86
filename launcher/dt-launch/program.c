/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the program before anything is started, so that a wrong name is one sentence and not one
 * per rank. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "prepare.h"

/* 0: a file that can be run; else errno (EISDIR for a directory). */
static int try(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    return access(path, X_OK) ? errno : 0;
}

static int not_runnable(const char *name, int why, int *code, struct dt_error *err)
{
    if (why == ENOENT || why == ENOTDIR) {
        *code = DT_EXIT_NOT_FOUND;
        return dt_error_set(err, "program not found: %s", name);
    }
    *code = DT_EXIT_NOT_EXECUTABLE;
    if (why == EISDIR)
        return dt_error_set(err, "program is a directory: %s", name);
    return dt_error_set(err, "program can not be executed: %s: %s", name, strerror(why));
}

static int search(const char *name, const char *list, char **path, int *code, struct dt_error *err)
{
    int worst = ENOENT;
    const char *at = list;
    for (;;) {
        struct dt_buf candidate = DT_BUF_INIT;
        size_t length = strcspn(at, ":");
        dt_buf_append(&candidate, at, length);
        dt_buf_printf(&candidate, "%s%s", length ? "/" : "./", name);
        char *text = dt_buf_take(&candidate);
        if (!text) {
            *code = DT_EXIT_HELPER;
            return dt_error_set(err, "out of memory");
        }
        int why = try(text);
        if (why == 0) {
            *path = text;
            return 0;
        }
        free(text);
        if (why == EACCES)
            worst = EACCES;
        if (!at[length])
            break;
        at += length + 1;
    }
    if (worst == ENOENT) {
        *code = DT_EXIT_NOT_FOUND;
        return dt_error_set(err, "program not found: %s is in no directory of PATH (%.200s)", name,
                            list);
    }
    return not_runnable(name, worst, code, err);
}

int dt_program_find(const char *name, char **path, int *code, struct dt_error *err)
{
    *path = NULL;
    if (!strchr(name, '/')) {
        const char *list = getenv("PATH");
        return search(name, list ? list : "/bin:/usr/bin", path, code, err);
    }
    int why = try(name);
    if (why)
        return not_runnable(name, why, code, err);
    *path = strdup(name);
    if (!*path) {
        *code = DT_EXIT_HELPER;
        return dt_error_set(err, "out of memory");
    }
    return 0;
}
