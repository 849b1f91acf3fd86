/* SPDX-License-Identifier: Apache-2.0 */
/* Did the kernel kill for memory? Both versions of cgroups count it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "ending.h"

/* The number behind a word at the beginning of a line; -1: none. */
static long long read_count(const char *path, const char *word)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0, len = strlen(word);
    long long count = -1;
    while (file && count < 0 && getline(&line, &size, file) >= 0) {
        if (strncmp(line, word, len) == 0 && line[len] == ' ')
            count = atoll(line + len + 1);
    }
    free(line);
    if (file)
        fclose(file);
    return count;
}

/* "0::/path" of version 2, "5:cpu,memory:/path" of version 1. */
static long long count_of(char *line)
{
    char *rest = line;
    line[strcspn(line, "\n")] = '\0';
    strsep(&rest, ":");
    const char *controllers = strsep(&rest, ":");
    if (!controllers || !rest)
        return -1;
    struct dt_buf path = DT_BUF_INIT;
    if (!*controllers)
        dt_buf_printf(&path, "/sys/fs/cgroup%s/memory.events", rest);
    else if (strstr(controllers, "memory"))
        dt_buf_printf(&path, "/sys/fs/cgroup/memory%s/memory.oom_control", rest);
    char *text = dt_buf_take(&path);
    long long count = text && *text ? read_count(text, "oom_kill") : -1;
    free(text);
    return count;
}

long long dt_oom_kills(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t size = 0;
    long long count = -1;
    while (file && count < 0 && getline(&line, &size, file) >= 0)
        count = count_of(line);
    free(line);
    if (file)
        fclose(file);
    return count;
}
