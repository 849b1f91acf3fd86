/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at what ranks do: one walk over /proc for all of a node's ranks, as rarely as will do. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hang/hang.h"
#include "processes.h"
#include "procfs.h"

/* More than so much a look is work; less may be a thread that wakes up now and then. */
#define WORK_BYTES (256u << 10)
/* More than so much of a core is more than waiting takes. */
#define STIR_CORES 0.05

void dt_progress_init(struct dt_progress *progress, const char *wanted)
{
    *progress = (struct dt_progress){.moved = dt_now(), .stirred = dt_now()};
    dt_watch_init(&progress->out, wanted);
    dt_watch_init(&progress->err, wanted);
    dt_watch_init(&progress->told, wanted);
}

const struct dt_watch *dt_progress_steps(const struct dt_progress *progress)
{
    const struct dt_watch *const watches[] = {&progress->told, &progress->out, &progress->err};
    for (int i = 0; i < 3; i++) {
        if (atomic_load(&watches[i]->step) >= 0)
            return watches[i];
    }
    return NULL;
}

/* ---- the walk ------------------------------------------------------------------------------ */

struct sum {
    unsigned long long ticks, bytes, written;
    bool wants_core;
};

static void add(struct sum *sum, const struct dt_process *process)
{
    char text[512];
    unsigned long long bytes_read, written;
    sum->ticks += process->ticks;
    sum->wants_core = sum->wants_core || process->state == 'R';
    if (dt_procfs_read_short(text, sizeof text, process->pid, "io") &&
        dt_proc_io_parse(&bytes_read, &written, text)) {
        sum->bytes += bytes_read + written;
        sum->written += written;
    }
}

/* ---- judging what was seen ----------------------------------------------------------------- */

static double later(double a, double b)
{
    return a > b ? a : b;
}

static double said(const struct dt_progress *progress)
{
    double out = (double)atomic_load(&progress->out.said_ns) / 1e9;
    double err = (double)atomic_load(&progress->err.said_ns) / 1e9;
    double told = (double)atomic_load(&progress->told.said_ns) / 1e9;
    return later(out, later(err, told));
}

static void update(struct dt_progress *progress, const struct sum *sum, double now)
{
    double since = now - progress->looked;
    /* A child that has ended takes its counters along. */
    unsigned long long ticks = sum->ticks > progress->ticks ? sum->ticks - progress->ticks : 0;
    unsigned long long bytes = sum->bytes > progress->bytes ? sum->bytes - progress->bytes : 0;
    bool wrote = sum->written > progress->written;
    progress->moved = later(progress->moved, said(progress));
    if (progress->looked > 0 && since > 0) {
        progress->cores = (double)ticks / (double)sysconf(_SC_CLK_TCK) / since;
        if (bytes > WORK_BYTES || (wrote && !progress->heard))
            progress->moved = now;
        /* On a machine that is too busy it may get next to nothing of the core that it wants. */
        if (bytes > 0 || sum->wants_core || progress->cores > STIR_CORES)
            progress->stirred = now;
    }
    progress->stirred = later(progress->stirred, progress->moved);
    progress->looked = now;
    progress->ticks = sum->ticks;
    progress->bytes = sum->bytes;
    progress->written = sum->written;
}

void dt_progress_look(struct dt_progress *progress, struct dt_family *family,
                      const struct dt_worker *workers, int count)
{
    size_t processes;
    struct dt_process *list = dt_family_list(family, &processes);
    struct sum *sums = calloc((size_t)count, sizeof *sums);
    for (size_t i = 0; sums && list && i < processes; i++) {
        int index = dt_processes_owner(list, processes, &list[i], workers, count);
        if (index >= 0)
            add(&sums[index], &list[i]);
    }
    double now = dt_now();
    for (int i = 0; sums && i < count; i++) {
        if (workers[i].running)
            update(&progress[i], &sums[i], now);
    }
    free(sums);
    free(list);
}

/* ---- who does the work --------------------------------------------------------------------- */

static int only_child(int pid)
{
    size_t count;
    int child = 0;
    struct dt_process *list = dt_processes_list(&count);
    for (size_t i = 0; i < count; i++) {
        if (list[i].parent != pid)
            continue;
        child = child ? -1 : list[i].pid;
    }
    free(list);
    return child > 0 ? child : 0;
}

pid_t dt_progress_acting(pid_t pid)
{
    for (int depth = 0; depth < 8; depth++) {
        char text[64];
        if (!dt_procfs_read(text, sizeof text, pid, "wchan") || strcmp(text, "do_wait") != 0)
            return pid;
        int child = only_child(pid);
        if (!child)
            return pid;
        pid = child;
    }
    return pid;
}
