/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline schedules of many sizes: every action once and in an order that its data allow, no deadlock
 * with the few buffers that pipe.c has, as many slots as claimed, and the bubble of the formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipe.h"
#include "schedule.h"

enum { STAGES = 8, CHUNKS = 4, MICROS = 24 };
enum { FORWARD_TIME = 1, BACKWARD_TIME = 2 };

/* What one stage sends in one direction, in order. */
struct line {
    struct dt_action sent[MICROS * CHUNKS];
    long at[MICROS * CHUNKS], got[MICROS * CHUNKS]; /* when it was sent, and read */
    int count, taken;
};

struct pipeline {
    struct dt_schedule_sizes sizes;
    struct dt_schedule schedules[STAGES];
    size_t next[STAGES]; /* action */
    long clock[STAGES];
    int in_flight[STAGES], most[STAGES];
    struct line lines[2]
                     [STAGES]; /* forward: from stage s to the next; backward: to the one before */
};

/* Where what an action needs comes from, and where its result goes: lines NULL for the ends. */
static struct line *line_in(struct pipeline *p, int stage, const struct dt_action *a)
{
    int last = p->sizes.stages - 1;
    if (!a->backward)
        return stage == 0 && a->chunk == 0 ? NULL : &p->lines[0][stage == 0 ? last : stage - 1];
    return stage == last && a->chunk == p->sizes.chunks - 1
               ? NULL
               : &p->lines[1][stage == last ? 0 : stage + 1];
}

static struct line *line_out(struct pipeline *p, int stage, const struct dt_action *a)
{
    int last = p->sizes.stages - 1;
    bool end = a->backward ? stage == 0 && a->chunk == 0
                           : stage == last && a->chunk == p->sizes.chunks - 1;
    return end ? NULL : &p->lines[a->backward][stage];
}

/* The chunk at the other end of a line. */
static int chunk_before(const struct pipeline *p, int stage, const struct dt_action *a)
{
    if (a->backward)
        return a->chunk + (stage == p->sizes.stages - 1);
    return a->chunk - (stage == 0);
}

static void wait_until(struct pipeline *p, int stage, long time)
{
    p->clock[stage] = time > p->clock[stage] ? time : p->clock[stage];
}

/* One action of one stage, if its data are there and a buffer for its result is free. */
static bool act(struct pipeline *p, int stage)
{
    const struct dt_schedule *schedule = &p->schedules[stage];
    if (p->next[stage] == schedule->count)
        return false;
    const struct dt_action *a = &schedule->actions[p->next[stage]];
    struct line *in = line_in(p, stage, a), *out = line_out(p, stage, a);
    /* a message leaves its sender's buffer when the receiver has a buffer free for it */
    const int room = 2 * DT_PIPE_BUFFERS;
    if ((in && in->taken == in->count) || (out && out->count - out->taken >= room))
        return false;
    if (in) {
        const struct dt_action *got = &in->sent[in->taken];
        assert_int_equal(got->micro, a->micro);
        assert_int_equal(got->chunk, chunk_before(p, stage, a));
        wait_until(p, stage, in->at[in->taken]);
        in->got[in->taken++] = p->clock[stage];
    }
    p->clock[stage] += a->backward ? BACKWARD_TIME : FORWARD_TIME;
    p->in_flight[stage] += a->backward ? -1 : 1;
    if (p->in_flight[stage] > p->most[stage])
        p->most[stage] = p->in_flight[stage];
    if (out) {
        if (out->count >= room)
            wait_until(p, stage, out->got[out->count - room]);
        out->sent[out->count] = *a;
        out->at[out->count++] = p->clock[stage];
    }
    p->next[stage]++;
    return true;
}

static void check_actions(const struct pipeline *p, int stage)
{
    const struct dt_schedule *schedule = &p->schedules[stage];
    bool done[2][CHUNKS][MICROS] = {0};
    assert_int_equal(schedule->count, 2 * p->sizes.chunks * p->sizes.micros);
    for (size_t i = 0; i < schedule->count; i++) {
        const struct dt_action *a = &schedule->actions[i];
        assert_in_range(a->chunk, 0, p->sizes.chunks - 1);
        assert_in_range(a->micro, 0, p->sizes.micros - 1);
        assert_false(done[a->backward][a->chunk][a->micro]);
        assert_true(!a->backward || done[0][a->chunk][a->micro]);
        /* gradients of a chunk are begun by micro-batch 0 and whole after the last */
        assert_true(a->micro == 0 || done[a->backward][a->chunk][a->micro - 1]);
        done[a->backward][a->chunk][a->micro] = true;
    }
}

static void check_sizes(const struct dt_schedule_sizes *sizes)
{
    static struct pipeline p;
    struct dt_error err;
    memset(&p, 0, sizeof p);
    p.sizes = *sizes;
    long end = 0;
    for (int s = 0; s < sizes->stages; s++) {
        p.sizes.stage = s;
        assert_int_equal(dt_schedule_make(&p.schedules[s], &p.sizes, &err), 0);
        check_actions(&p, s);
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (int s = 0; s < sizes->stages; s++)
            while (act(&p, s))
                moved = true;
    }
    for (int s = 0; s < sizes->stages; s++) {
        p.sizes.stage = s;
        if (p.next[s] < p.schedules[s].count)
            fail_msg("stage %d of %d, %d chunks, %d micro-batches: stuck at action %zu", s,
                     sizes->stages, sizes->chunks, sizes->micros, p.next[s]);
        assert_int_equal(p.most[s], dt_schedule_slots(&p.sizes));
        end = p.clock[s] > end ? p.clock[s] : end;
        dt_schedule_fini(&p.schedules[s]);
    }
    /* in units of a chunk: (m chunks + stages - 1) (f + b) */
    long formula =
        (sizes->micros * sizes->chunks + sizes->stages - 1) * (FORWARD_TIME + BACKWARD_TIME);
    if (end != formula)
        fail_msg("%d stages, %d chunks, %d micro-batches: %ld units of time, not %ld",
                 sizes->stages, sizes->chunks, sizes->micros, end, formula);
}

static void test_sizes(void **state)
{
    (void)state;
    int checked = 0;
    for (int stages = 1; stages <= STAGES; stages++) {
        for (int chunks = 1; chunks <= (stages > 1 ? CHUNKS : 1); chunks++) {
            for (int micros = 1; micros <= MICROS; micros++) {
                const struct dt_schedule_sizes sizes = {0, stages, chunks, micros};
                if (!dt_schedule_fits(&sizes))
                    continue;
                check_sizes(&sizes);
                checked++;
            }
        }
    }
    assert_true(checked > 300);
}

/* The classic picture: 4 stages, 8 micro-batches. */
static void test_slots(void **state)
{
    (void)state;
    for (int stage = 0; stage < 4; stage++) {
        assert_int_equal(dt_schedule_slots(&(struct dt_schedule_sizes){stage, 4, 1, 8}), 4 - stage);
        assert_int_equal(dt_schedule_slots(&(struct dt_schedule_sizes){stage, 4, 1, 2}),
                         stage == 3 ? 1 : 2);
        assert_int_equal(dt_schedule_slots(&(struct dt_schedule_sizes){stage, 4, 2, 8}),
                         2 * (3 - stage) + 4 + 1);
    }
    assert_int_equal(dt_schedule_slots(&(struct dt_schedule_sizes){0, 1, 1, 8}), 1);
    assert_false(dt_schedule_fits(&(struct dt_schedule_sizes){0, 4, 2, 6}));
    assert_true(dt_schedule_fits(&(struct dt_schedule_sizes){0, 4, 1, 6}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
