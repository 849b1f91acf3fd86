/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's pace is what a step took it on the average of the last 10; where it tells how much of that
 * was its own work (DT_PROGRESS_FD), that counts instead, since ranks that wait for each other all go at
 * the pace of the slowest. Compared with the median of all, and with how far ranks are from it anyhow: on a
 * machine that others use, healthy ranks differ, too. */
#include "straggler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS   10
#define WINDOWS 2    /* of so many steps, in a row: a single one may be odd */
#define SLOWER  1.10 /* of the median */
#define SPREADS 4    /* median distances from the median: further off than these is not chance */
#define AGAIN   1.25 /* of what was said last: then it is said once more */

struct rank {
    /* of our own ranks */
    long long from_step, from_ns;
    /* the lead, of all */
    double us;     /* what a step takes; 0: not known */
    double before; /* the same of the window before */
    int slow;      /* windows in which it was slower, in a row */
    double said;   /* how many times the median, when it was said last; 0: never */
    char *node;
};

struct dt_straggler {
    int world_size, known;
    struct dt_events *events;
    struct rank *ranks;
};

struct dt_straggler *dt_straggler_create(int world_size, struct dt_events *events)
{
    struct dt_straggler *straggler = calloc(1, sizeof *straggler);
    struct rank *ranks = calloc((size_t)world_size, sizeof *ranks);
    if (!straggler || !ranks) {
        free(straggler);
        free(ranks);
        return NULL;
    }
    straggler->ranks = ranks;
    straggler->world_size = world_size;
    straggler->events = events;
    return straggler;
}

void dt_straggler_destroy(struct dt_straggler *straggler)
{
    if (!straggler)
        return;
    for (int i = 0; i < straggler->world_size; i++)
        free(straggler->ranks[i].node);
    free(straggler->ranks);
    free(straggler);
}

/* ---- our own ranks ------------------------------------------------------------------------- */

bool dt_straggler_due(struct dt_straggler *straggler, int rank, const struct dt_watch *steps)
{
    if (!steps || rank < 0 || rank >= straggler->world_size)
        return false;
    struct rank *own = &straggler->ranks[rank];
    long long step = atomic_load(&steps->step);
    if (own->from_ns == 0 || step < own->from_step) {
        own->from_step = step;
        own->from_ns = atomic_load(&steps->step_ns);
    }
    return step - own->from_step >= STEPS;
}

void dt_straggler_follow(struct dt_straggler *straggler, struct dt_session *session, int rank,
                         const struct dt_watch *steps)
{
    if (!steps || rank < 0 || rank >= straggler->world_size)
        return;
    struct rank *own = &straggler->ranks[rank];
    long long step = atomic_load(&steps->step), when_ns = atomic_load(&steps->step_ns);
    if (own->from_ns == 0 || step - own->from_step < STEPS / 2)
        return;
    struct dt_link_message pace = {
        .type = DT_LINK_PACE,
        .numbers = {rank, step, (when_ns - own->from_ns) / 1000 / (step - own->from_step),
                    atomic_load(&steps->work_us), own->from_step}};
    own->from_step = step;
    own->from_ns = when_ns;
    if (dt_session_leads(session))
        dt_straggler_hear(straggler, &pace, dt_session_place(session)->node_name);
    else
        dt_session_tell(session, &pace);
}

/* ---- the lead ------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[(count - 1) / 2];
}

/* The pace of the rank in the middle, and that from which on a rank is slow. False: no memory. Nodes look
 * at different moments: of two windows the slower counts, as what slows all down reaches some first. */
static bool usual_pace(const struct dt_straggler *straggler, double *usual, double *limit)
{
    double *values = calloc((size_t)straggler->world_size, sizeof *values);
    int count = 0;
    for (int i = 0; values && i < straggler->world_size; i++) {
        const struct rank *rank = &straggler->ranks[i];
        if (rank->us > 0)
            values[count++] = rank->us > rank->before ? rank->us : rank->before;
    }
    if (count) {
        *usual = median(values, count);
        for (int i = 0; i < count; i++)
            values[i] = values[i] < *usual ? *usual - values[i] : values[i] - *usual;
        double far = *usual + SPREADS * median(values, count);
        *limit = far > *usual * SLOWER ? far : *usual * SLOWER;
    }
    free(values);
    return count > 0;
}

/* Is every known rank of the node slow? Then it is the node rather than the rank. */
static bool node_is_slow(const struct dt_straggler *straggler, const char *node, double limit)
{
    int slow = 0;
    for (int i = 0; i < straggler->world_size; i++) {
        const struct rank *rank = &straggler->ranks[i];
        if (!rank->node || rank->us <= 0 || strcmp(rank->node, node) != 0)
            continue;
        if (rank->us < limit)
            return false;
        slow++;
    }
    return slow > 1;
}

static void judge(struct dt_straggler *straggler, int number)
{
    struct rank *rank = &straggler->ranks[number];
    double usual, limit;
    if (straggler->known * 2 < straggler->world_size || straggler->known < 3 ||
        !usual_pace(straggler, &usual, &limit))
        return;
    double times = rank->us / usual;
    rank->slow = rank->us < limit ? 0 : rank->slow + 1;
    if (rank->slow == 0)
        rank->said = 0;
    if (rank->slow < WINDOWS || (rank->said > 0 && times < rank->said * AGAIN))
        return;
    rank->said = times;
    bool node = node_is_slow(straggler, rank->node, limit);
    dprintf(STDERR_FILENO,
            "dt-launch: rank %d on %s is %.0f %% slower than the others for %d steps (%.3g s a "
            "step, median %.3g s)%s%s%s\n",
            number, rank->node, (times - 1) * 100, STEPS * WINDOWS, rank->us / 1e6, usual / 1e6,
            node ? "; all ranks of " : "", node ? rank->node : "",
            node ? " share it: suspect the node" : "");
    dt_event(straggler->events, "straggler", "rank:d node:s slower:f node_shares:b",
             (long long)number, rank->node, times - 1, node);
}

void dt_straggler_hear(struct dt_straggler *straggler, const struct dt_link_message *message,
                       const char *node)
{
    const long long *n = message->numbers;
    if (n[0] < 0 || n[0] >= straggler->world_size || n[2] < 0 || n[3] < 0)
        return;
    struct rank *rank = &straggler->ranks[n[0]];
    straggler->known += rank->us <= 0;
    rank->before = rank->us;
    rank->us = (double)(n[3] > 0 ? n[3] : n[2]);
    if (rank->us <= 0)
        rank->us = 1;
    if (!rank->node)
        rank->node = strdup(node);
    if (rank->node)
        judge(straggler, (int)n[0]);
}
