/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /proc: state, time used, where in the kernel, and whether there is a connection to a port. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_MAX 4096

static bool read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

struct status {
    char state;
    int group;
    unsigned long long ticks;
};

/* "PID (any text) STATE PPID PGRP ... utime stime ..." */
static bool read_status(const char *pid, struct status *status)
{
    char path[sizeof "/proc//stat" + NAME_MAX], text[1024];
    unsigned long long user, kernel;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    if (!read_small(path, text, sizeof text))
        return false;
    const char *after = strrchr(text, ')');
    if (!after || sscanf(after, ") %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                         &status->state, &status->group, &user, &kernel) != 4)
        return false;
    status->ticks = user + kernel;
    return true;
}

struct sockets {
    unsigned long inodes[SOCKETS_MAX];
    size_t count;
};

/* Established connections of this network namespace whose other end has the port. */
static void find_sockets(struct sockets *sockets, const char *path, int port)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) >= 0 && sockets->count < SOCKETS_MAX) {
        unsigned remote, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%*x %*[0-9A-Fa-f]:%x %x %*s %*s %*s %*s %*s %lu",
                   &remote, &state, &inode) == 3 &&
            (int)remote == port && state == 1)
            sockets->inodes[sockets->count++] = inode;
    }
    free(line);
    if (file)
        fclose(file);
}

static bool has_socket(const char *pid, const struct sockets *sockets)
{
    char path[sizeof "/proc//fd" + NAME_MAX];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    for (struct dirent *entry; fds && !found && (entry = readdir(fds));) {
        char target[64];
        unsigned long inode;
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        for (size_t i = 0; i < sockets->count && !found; i++)
            found = sockets->inodes[i] == inode;
    }
    if (fds)
        closedir(fds);
    return found;
}

/* A rank that is a script has its connection in a child; all are of the rank's process group. */
static bool group_has_socket(pid_t group, const struct sockets *sockets)
{
    DIR *proc = sockets->count ? opendir("/proc") : NULL;
    bool found = false;
    for (struct dirent *entry; proc && !found && (entry = readdir(proc));) {
        struct status status;
        found = isdigit((unsigned char)entry->d_name[0]) && read_status(entry->d_name, &status) &&
                (status.group == group || atoi(entry->d_name) == group) &&
                has_socket(entry->d_name, sockets);
    }
    if (proc)
        closedir(proc);
    return found;
}

void dt_probe_rank(struct dt_probe *probe, pid_t pid, int port)
{
    char text[32], path[64];
    struct status status;
    struct sockets *sockets = calloc(1, sizeof *sockets);
    *probe = (struct dt_probe){.state = '?'};
    snprintf(text, sizeof text, "%d", (int)pid);
    if (read_status(text, &status)) {
        probe->state = status.state;
        probe->cpu_ms = (long long)(status.ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
    }
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)pid);
    if (!read_small(path, probe->where, sizeof probe->where) || strcmp(probe->where, "0") == 0)
        probe->where[0] = '\0';
    if (!sockets)
        return;
    find_sockets(sockets, "/proc/self/net/tcp", port);
    find_sockets(sockets, "/proc/self/net/tcp6", port);
    probe->connected = group_has_socket(pid, sockets);
    free(sockets);
}
