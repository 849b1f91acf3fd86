/* SPDX-License-Identifier: Apache-2.0 */
/* 1F1B and interleaved schedules; see schedule.h. */
#include "schedule.h"

#include <stdlib.h>

bool dt_schedule_fits(const struct dt_schedule_sizes *s)
{
    return s->chunks == 1 || s->micros % s->stages == 0;
}

/* Forward actions before the first backward. */
static int warm_up(const struct dt_schedule_sizes *s)
{
    int after = s->stages - s->stage - 1, all = s->micros * s->chunks;
    int wanted = s->chunks == 1 ? after : 2 * after + (s->chunks - 1) * s->stages;
    return wanted < all ? wanted : all;
}

int dt_schedule_slots(const struct dt_schedule_sizes *s)
{
    int all = s->micros * s->chunks;
    return warm_up(s) < all ? warm_up(s) + 1 : all;
}

/* The turn'th forward or backward: as many micro-batches as there are stages go through each chunk
 * before the next so many begin with the first. */
static struct dt_action action_at(const struct dt_schedule_sizes *s, bool backward, int turn)
{
    if (s->chunks == 1)
        return (struct dt_action){backward, turn, 0};
    int round = s->stages * s->chunks, chunk = turn % round / s->stages;
    return (struct dt_action){.backward = backward,
                              .micro = turn / round * s->stages + turn % s->stages,
                              .chunk = backward ? s->chunks - 1 - chunk : chunk};
}

int dt_schedule_make(struct dt_schedule *schedule, const struct dt_schedule_sizes *s,
                     struct dt_error *err)
{
    int all = s->micros * s->chunks, ahead = warm_up(s);
    *schedule = (struct dt_schedule){.actions = calloc(2 * (size_t)all, sizeof(struct dt_action))};
    if (!schedule->actions)
        return dt_error_set(err, "no memory for a schedule of %d micro-batches", s->micros);
    for (int turn = 0; turn < all + ahead; turn++) {
        if (turn < all)
            schedule->actions[schedule->count++] = action_at(s, false, turn);
        if (turn >= ahead)
            schedule->actions[schedule->count++] = action_at(s, true, turn - ahead);
    }
    return 0;
}

void dt_schedule_fini(struct dt_schedule *schedule)
{
    free(schedule->actions);
    *schedule = (struct dt_schedule){0};
}
