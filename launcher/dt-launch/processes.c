/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over /proc. */
#include "processes.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "hang/hang.h"
#include "procfs.h"

#define FORGET_WALKS 64 /* then all processes are looked at again */

static int by_pid(const void *a, const void *b)
{
    return ((const struct dt_process *)a)->pid - ((const struct dt_process *)b)->pid;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static bool is_stranger(const struct dt_family *family, int pid)
{
    return family && family->stranger_count &&
           bsearch(&pid, family->strangers, family->stranger_count, sizeof pid, by_number);
}

struct walk {
    struct dt_process *list;
    size_t count, capacity;
    int *strangers; /* those that were passed over, as they were known */
    size_t stranger_count, stranger_capacity;
};

static void *grown(void *list, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? *capacity * 2 : 256;
    return reallocarray(list, *capacity, size);
}

static void keep_stranger(struct walk *walk, int pid)
{
    int *more =
        grown(walk->strangers, walk->stranger_count, &walk->stranger_capacity, sizeof *more);
    if (!more)
        return;
    walk->strangers = more;
    more[walk->stranger_count++] = pid;
}

static void look_at(struct walk *walk, int pid)
{
    struct dt_proc_stat stat;
    char text[1024];
    if (!dt_procfs_read_short(text, sizeof text, pid, "stat") || !dt_proc_stat_parse(&stat, text))
        return;
    struct dt_process *more = grown(walk->list, walk->count, &walk->capacity, sizeof *more);
    if (!more)
        return;
    walk->list = more;
    more[walk->count++] = (struct dt_process){pid, stat.parent, stat.state, stat.ticks};
}

static void walk_all(struct walk *walk, const struct dt_family *family)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid > 0 && is_stranger(family, pid))
            keep_stranger(walk, pid);
        else if (pid > 0)
            look_at(walk, pid);
    }
    if (proc)
        closedir(proc);
    if (walk->list)
        qsort(walk->list, walk->count, sizeof *walk->list, by_pid);
}

struct dt_process *dt_processes_list(size_t *count)
{
    struct walk walk = {0};
    walk_all(&walk, NULL);
    *count = walk.count;
    return walk.list;
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
    const int own = getpid();
    for (int depth = 0; process && depth < 64; depth++) {
        for (int i = 0; i < worker_count; i++) {
            if (workers[i].running && workers[i].pid == process->pid)
                return i;
        }
        if (process->parent <= 1 || process->parent == own)
            return -1;
        process = find(list, count, process->parent);
    }
    return -1;
}

bool dt_processes_descends(const struct dt_process *list, size_t count,
                           const struct dt_process *process)
{
    const int own = getpid();
    for (int depth = 0; process && depth < 64; depth++) {
        if (process->parent == own)
            return true;
        process = find(list, count, process->parent);
    }
    return false;
}

struct dt_process *dt_family_list(struct dt_family *family, size_t *count)
{
    struct walk walk = {0};
    size_t ours = 0;
    if (family->walks++ % FORGET_WALKS == 0)
        family->stranger_count = 0;
    walk_all(&walk, family);
    size_t before = walk.stranger_count;
    for (size_t i = 0; i < walk.count; i++) {
        if (!dt_processes_descends(walk.list, walk.count, &walk.list[i]))
            keep_stranger(&walk, walk.list[i].pid);
    }
    for (size_t i = 0; i < walk.count; i++) {
        if (before < walk.stranger_count && walk.strangers[before] == walk.list[i].pid)
            before++; /* in the same order */
        else
            walk.list[ours++] = walk.list[i];
    }
    if (walk.strangers)
        qsort(walk.strangers, walk.stranger_count, sizeof *walk.strangers, by_number);
    free(family->strangers);
    family->strangers = walk.strangers;
    family->stranger_count = walk.stranger_count;
    *count = ours;
    return walk.list;
}

void dt_family_fini(struct dt_family *family)
{
    free(family->strangers);
    *family = (struct dt_family){0};
}
