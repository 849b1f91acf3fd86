/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /proc/PID. */
#include "procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool dt_procfs_read(char *text, size_t size, pid_t pid, const char *name)
{
    char path[64];
    size_t len = 0;
    ssize_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && len + 1 < size && (n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    text[len] = '\0';
    return len > 0;
}

bool dt_procfs_read_path(char *text, size_t size, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool dt_procfs_read_short(char *text, size_t size, pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return dt_procfs_read_path(text, size, path);
}

bool dt_procfs_fd(char *text, size_t size, pid_t pid, unsigned long long fd)
{
    char name[32];
    text[0] = '\0';
    if (fd > 1u << 20)
        return false;
    snprintf(name, sizeof name, "fd/%llu", fd);
    return dt_procfs_link(text, size, pid, name);
}

bool dt_procfs_link(char *text, size_t size, pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t n = readlink(path, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}
