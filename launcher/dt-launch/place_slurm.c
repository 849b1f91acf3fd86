/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter for Slurm: what srun has written into the environment of a task. Every value is
 * checked, because a half-inherited environment (ssh, a container's, another job's) gives ranks
 * that wait for each other for ever. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "place.h"

#define TASKS_MAX (1LL << 26)

/* The first of two names that is set; the second may be NULL. */
static const char *either(const char **name, const char *other)
{
    const char *value = getenv(*name);
    if (!value && other && (value = getenv(other)))
        *name = other;
    return value;
}

static int read_number(const char *name, const char *other, long long high, long long *value,
                       struct dt_error *err)
{
    const char *text = either(&name, other);
    if (!text)
        return dt_error_set(err,
                            "%s is not set although SLURM_STEP_ID is: this is not the whole "
                            "environment of a Slurm task; start dt-launch by srun",
                            name);
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || *text == '+' || *value > high)
        return dt_error_set(err,
                            "%s is \"%.60s\", not a number from 0 to %lld: the environment is not "
                            "that of a Slurm task; start dt-launch by srun",
                            name, text, high);
    return 0;
}

static int read_int(const char *name, const char *other, int *value, struct dt_error *err)
{
    long long n = 0;
    if (read_number(name, other, TASKS_MAX, &n, err))
        return -1;
    *value = (int)n;
    return 0;
}

struct tasks {
    long long nodes, total, most, here;
};

/* "2(x3),1": three nodes with 2 tasks, one with 1. */
static int read_tasks_per_node(struct tasks *tasks, const char *name, const char *text, int node,
                               struct dt_error *err)
{
    *tasks = (struct tasks){.here = -1};
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long long count = strtoll(at, &end, 10), repeat = 1;
        bool good = end > at && *at != '-' && *at != '+' && !errno;
        if (good && end[0] == '(' && end[1] == 'x') {
            at = end + 2;
            repeat = strtoll(at, &end, 10);
            good = end > at && !errno && *end++ == ')';
        }
        if (!good || count < 1 || count > TASKS_MAX || repeat < 1 || repeat > TASKS_MAX ||
            (*end && *end != ',') || tasks->total + count * repeat > TASKS_MAX)
            return dt_error_set(err,
                                "%s is \"%.80s\", not Slurm's notation (such as 2(x3),1): the "
                                "environment is not that of a Slurm task",
                                name, text);
        if (node >= tasks->nodes && node < tasks->nodes + repeat)
            tasks->here = count;
        tasks->nodes += repeat;
        tasks->total += count * repeat;
        tasks->most = count > tasks->most ? count : tasks->most;
        at = end;
        if (!*at)
            return 0;
    }
}

static int check_counts(const struct dt_place *place, const struct tasks *tasks,
                        struct dt_error *err)
{
    static const char hint[] = "were variables of another job inherited? start dt-launch by srun";
    if (place->rank >= place->world_size)
        return dt_error_set(err, "SLURM_PROCID is %d of %d tasks: %s", place->rank,
                            place->world_size, hint);
    if (place->node_rank >= place->node_count)
        return dt_error_set(err, "SLURM_NODEID is %d of %d nodes: %s", place->node_rank,
                            place->node_count, hint);
    if (tasks->nodes != place->node_count || tasks->total != place->world_size)
        return dt_error_set(err,
                            "SLURM_STEP_TASKS_PER_NODE says %lld tasks on %lld nodes, the other "
                            "SLURM variables %d on %d: %s",
                            tasks->total, tasks->nodes, place->world_size, place->node_count, hint);
    if (place->local_rank >= tasks->here)
        return dt_error_set(err, "SLURM_LOCALID is %d of %lld tasks on this node: %s",
                            place->local_rank, tasks->here, hint);
    return 0;
}

static int read_first_node(struct dt_place *place, struct dt_error *err)
{
    const char *name = "SLURM_STEP_NODELIST";
    const char *text = either(&name, "SLURM_NODELIST");
    if (!text)
        return 0;
    struct dt_hostlist list;
    if (dt_hostlist_parse(&list, text, err))
        return dt_error_prefix(err, "%s", name);
    place->first_node = strdup(list.names[0]);
    size_t count = list.count;
    dt_hostlist_fini(&list);
    if (!place->first_node)
        return dt_error_set(err, "out of memory");
    if (count != (size_t)place->node_count)
        return dt_error_set(err,
                            "%s names %zu nodes and SLURM_STEP_NUM_NODES is %d: were variables of "
                            "another job inherited? start dt-launch by srun",
                            name, count, place->node_count);
    return 0;
}

int dt_place_slurm(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                   struct dt_error *err)
{
    struct tasks tasks;
    const char *name = "SLURM_STEP_TASKS_PER_NODE";
    *everywhere = false; /* a broken environment may be this task's alone */
    if (read_number("SLURM_JOB_ID", "SLURM_JOBID", 1LL << 32, &place->job, err) ||
        read_number("SLURM_STEP_ID", "SLURM_STEPID", 1LL << 32, &place->step, err) ||
        read_int("SLURM_PROCID", NULL, &place->rank, err) ||
        read_int("SLURM_LOCALID", NULL, &place->local_rank, err) ||
        read_int("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", &place->world_size, err) ||
        read_int("SLURM_NODEID", NULL, &place->node_rank, err) ||
        read_int("SLURM_STEP_NUM_NODES", "SLURM_NNODES", &place->node_count, err))
        return -1;
    const char *text = either(&name, "SLURM_TASKS_PER_NODE");
    if (!text)
        return dt_error_set(err, "%s is not set although SLURM_STEP_ID is: start dt-launch by srun",
                            name);
    if (read_tasks_per_node(&tasks, name, text, place->node_rank, err) ||
        check_counts(place, &tasks, err) || read_first_node(place, err))
        return -1;
    if (options->platform == DT_PLATFORM_AUTO && dt_place_check_step(place, err))
        return -1;
    *everywhere = true;
    place->processes = 1;
    place->local_world_size = (int)tasks.here;
    place->shape = options->nproc == DT_NPROC_UNSET ? DT_SHAPE_TASK : DT_SHAPE_FANOUT;
    if (place->shape == DT_SHAPE_FANOUT && tasks.most > 1)
        return dt_error_set(
            err,
            "srun starts %lld tasks on a node (%s=%.60s) and --nproc-per-node would "
            "start processes in each: use srun --ntasks-per-node=1, or drop "
            "--nproc-per-node",
            tasks.most, name, text);
    return 0;
}
