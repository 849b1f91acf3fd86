/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /proc: state, time used, where in the kernel, and the connections to a port. */
#include "probe.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs.h"

#define SOCKETS_MAX 4096

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
    if (!dt_procfs_read_path(text, sizeof text, path))
        return false;
    const char *after = strrchr(text, ')');
    if (!after || sscanf(after, ") %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                         &status->state, &status->group, &user, &kernel) != 4)
        return false;
    status->ticks = user + kernel;
    return true;
}

struct one_socket {
    unsigned long inode;
    char own[60]; /* "ADDRESS:PORT" */
};

struct sockets {
    struct one_socket list[SOCKETS_MAX];
    size_t count;
};

/* The kernel prints an address as words of 32 bits, in the byte order of the machine. */
static void name_own(char *name, size_t size, const char *hex, unsigned port)
{
    uint32_t words[4];
    char text[INET6_ADDRSTRLEN] = "?";
    size_t count = strlen(hex) / 8;
    for (size_t i = 0; i < 4 && i < count; i++) {
        if (sscanf(hex + i * 8, "%8x", &words[i]) != 1)
            count = 0;
    }
    struct in6_addr v6;
    memcpy(&v6, words, sizeof v6);
    if (count == 1)
        inet_ntop(AF_INET, words, text, sizeof text);
    else if (count == 4 && IN6_IS_ADDR_V4MAPPED(&v6))
        inet_ntop(AF_INET, words + 3, text, sizeof text);
    else if (count == 4)
        inet_ntop(AF_INET6, words, text, sizeof text);
    snprintf(name, size, "%.38s:%u", text, port);
}

/* Established connections of this network namespace whose other end has the port. */
static void find_sockets(struct sockets *sockets, const char *path, int port)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) >= 0 && sockets->count < SOCKETS_MAX) {
        char address[40];
        unsigned own, remote, state;
        struct one_socket *next = &sockets->list[sockets->count];
        if (sscanf(line, " %*d: %39[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%x %x %*s %*s %*s %*s %*s %lu",
                   address, &own, &remote, &state, &next->inode) != 5 ||
            (int)remote != port || state != 1)
            continue;
        name_own(next->own, sizeof next->own, address, own);
        sockets->count++;
    }
    free(line);
    if (file)
        fclose(file);
}

static void add_own(char *list, size_t size, const char *own)
{
    size_t len = strlen(list);
    if (!strstr(list, own) && len + strlen(own) + 2 < size)
        snprintf(list + len, size - len, "%s%s", len ? " " : "", own);
}

static bool has_socket(const char *pid, const struct sockets *sockets, struct dt_probe *probe)
{
    char path[sizeof "/proc//fd" + NAME_MAX];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    for (struct dirent *entry; fds && (entry = readdir(fds));) {
        char target[64];
        unsigned long inode;
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        for (size_t i = 0; i < sockets->count; i++) {
            if (sockets->list[i].inode != inode)
                continue;
            found = true;
            add_own(probe->own, sizeof probe->own, sockets->list[i].own);
        }
    }
    if (fds)
        closedir(fds);
    return found;
}

/* A rank that is a script has its connection in a child; all are of the rank's process group. */
static bool group_has_socket(pid_t group, const struct sockets *sockets, struct dt_probe *probe)
{
    DIR *proc = sockets->count ? opendir("/proc") : NULL;
    bool found = false;
    for (struct dirent *entry; proc && !found && (entry = readdir(proc));) {
        struct status status;
        found = isdigit((unsigned char)entry->d_name[0]) && read_status(entry->d_name, &status) &&
                (status.group == group || atoi(entry->d_name) == group) &&
                has_socket(entry->d_name, sockets, probe);
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
    if (!dt_procfs_read_path(probe->where, sizeof probe->where, path) ||
        strcmp(probe->where, "0") == 0)
        probe->where[0] = '\0';
    if (!sockets)
        return;
    find_sockets(sockets, "/proc/self/net/tcp", port);
    find_sockets(sockets, "/proc/self/net/tcp6", port);
    probe->connected = group_has_socket(pid, sockets, probe);
    free(sockets);
}
