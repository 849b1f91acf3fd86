/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over /proc. */
#include "processes.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "hang/hang.h"
#include "procfs.h"

static int by_pid(const void *a, const void *b)
{
    return ((const struct dt_process *)a)->pid - ((const struct dt_process *)b)->pid;
}

struct dt_process *dt_processes_list(size_t *count)
{
    struct dt_process *list = NULL;
    size_t capacity = 0;
    DIR *proc = opendir("/proc");
    *count = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        struct dt_proc_stat stat;
        char text[1024];
        int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid <= 0 || !dt_procfs_read(text, sizeof text, pid, "stat") ||
            !dt_proc_stat_parse(&stat, text))
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            struct dt_process *more = reallocarray(list, capacity, sizeof *list);
            if (!more)
                break;
            list = more;
        }
        list[(*count)++] = (struct dt_process){pid, stat.parent, stat.ticks};
    }
    if (proc)
        closedir(proc);
    if (list)
        qsort(list, *count, sizeof *list, by_pid);
    return list;
}

static const struct dt_process *find(const struct dt_process *list, size_t count, int pid)
{
    const struct dt_process key = {.pid = pid};
    return count ? bsearch(&key, list, count, sizeof *list, by_pid) : NULL;
}

int dt_processes_owner(const struct dt_process *list, size_t count,
                       const struct dt_process *process, const struct dt_worker *workers,
                       int worker_count)
{
    for (int depth = 0; process && depth < 64; depth++) {
        for (int i = 0; i < worker_count; i++) {
            if (workers[i].running && workers[i].pid == process->pid)
                return i;
        }
        if (process->parent <= 1 || process->parent == getpid())
            return -1;
        process = find(list, count, process->parent);
    }
    return -1;
}

bool dt_processes_descends(const struct dt_process *list, size_t count,
                           const struct dt_process *process)
{
    for (int depth = 0; process && depth < 64; depth++) {
        if (process->parent == getpid())
            return true;
        process = find(list, count, process->parent);
    }
    return false;
}
