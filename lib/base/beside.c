/* SPDX-License-Identifier: Apache-2.0 */
/* Looking beside /proc/self/exe. */
#include "base/beside.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *dt_beside(const char *name)
{
    static const char *const places[] = {"%.*s/%s", "%.*s/../libexec/dt/%s"};
    char own[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n <= 0)
        return NULL;
    own[n] = '\0';
    int folder = (int)(strrchr(own, '/') - own);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (asprintf(&path, places[i], folder, own, name) < 0)
            return NULL;
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}
