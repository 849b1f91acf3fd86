/* SPDX-License-Identifier: Apache-2.0 */
/* When nothing moves: the watch over silence, on each node and by the lead for all. */
#include "hang.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hang_internal.h"

/* How often ranks are looked at: a twentieth of the time-out, within these limits. */
#define LOOK_MIN_S 0.25
#define LOOK_MAX_S 5.0
/* A job that computes may do so for twice the time-out: a spin looks like a long step. */
#define COMPUTES 2.0
/* For the answers of all nodes; Python writes within milliseconds if it can. */
#define ANSWER_S 3.0
/* A traceback, and so long nothing more in the whole job. */
#define DYING_S 10.0

static double least(double a, double b)
{
    return a < b ? a : b;
}

static bool leads(const struct dt_hang *hang)
{
    return dt_session_leads(hang->loop->job->session);
}

/* ---- making -------------------------------------------------------------------------------- */

struct dt_hang *dt_hang_create(struct loop *loop)
{
    const struct dt_place *place = loop->job->place;
    struct dt_hang *hang = calloc(1, sizeof *hang);
    if (!hang)
        return NULL;
    hang->loop = loop;
    hang->timeout = loop->job->options->hang.timeout_s;
    hang->alarm_after = hang->timeout;
    hang->interval = least(LOOK_MAX_S, hang->timeout / 20);
    hang->interval = hang->interval < LOOK_MIN_S ? LOOK_MIN_S : hang->interval;
    hang->next_look = dt_now() + hang->interval;
    hang->query = 1LL << 32; /* arrival.c asks with small numbers */
    hang->given_up = -1;
    hang->progress = calloc((size_t)place->processes, sizeof *hang->progress);
    hang->nodes = calloc((size_t)place->node_count, sizeof *hang->nodes);
    hang->straggler = dt_straggler_create(place->world_size, loop->job->events);
    if (!hang->progress || !hang->nodes || !hang->straggler) {
        dt_hang_destroy(hang);
        return NULL;
    }
    const char *wanted = loop->job->options->checkpoint.line;
    for (int i = 0; i < place->processes; i++)
        dt_progress_init(&hang->progress[i], wanted);
    return hang;
}

void dt_hang_destroy(struct dt_hang *hang)
{
    if (!hang)
        return;
    dt_hang_forget(hang);
    dt_straggler_destroy(hang->straggler);
    dt_family_fini(&hang->family);
    free(hang->progress);
    free(hang->nodes);
    free(hang);
}

struct dt_progress *dt_hang_progress(struct dt_hang *hang, int index)
{
    return hang ? &hang->progress[index] : NULL;
}

/* ---- silence ------------------------------------------------------------------------------- */

static void find_own_pulse(struct dt_hang *hang, struct node_pulse *pulse)
{
    const struct dt_job *job = hang->loop->job;
    *pulse = (struct node_pulse){.dying = dt_hang_dying(hang)};
    for (int i = 0; i < job->place->processes; i++) {
        const struct dt_progress *progress = &hang->progress[i];
        if (!job->workers[i].running)
            continue;
        pulse->heard = true;
        pulse->moved = progress->moved > pulse->moved ? progress->moved : pulse->moved;
        pulse->stirred = progress->stirred > pulse->stirred ? progress->stirred : pulse->stirred;
    }
}

static void send_pulse(struct dt_hang *hang, const struct node_pulse *pulse)
{
    double now = dt_now();
    struct dt_link_message message = {
        .type = DT_LINK_PULSE,
        .numbers = {hang->loop->job->place->node_rank, (long long)((now - pulse->moved) * 1000),
                    (long long)((now - pulse->stirred) * 1000), pulse->dying}};
    if (pulse->heard)
        dt_session_tell(hang->loop->job->session, &message);
}

static void hear_pulse(struct dt_hang *hang, const long long *n)
{
    double now = dt_now();
    if (n[0] < 0 || n[0] >= hang->loop->job->place->node_count)
        return;
    hang->nodes[n[0]] = (struct node_pulse){.heard = true,
                                            .moved = now - (double)n[1] / 1000,
                                            .stirred = now - (double)n[2] / 1000,
                                            .dying = (int)n[3]};
}

static void ask_all(struct dt_hang *hang)
{
    bool dump = hang->loop->job->options->hang.action == DT_ON_HANG_DUMP;
    struct dt_link_message look = {.type = DT_LINK_LOOK, .numbers = {++hang->query, dump}};
    dt_hang_forget(hang);
    hang->told = 0;
    hang->report_by = dt_now() + ANSWER_S;
    dt_session_broadcast(hang->loop->job->session, &look);
    dt_hang_ask_own(hang, hang->query, dump);
}

static void give_up_dying(struct dt_hang *hang, int rank)
{
    struct dt_link_message message = {.type = DT_LINK_GIVE_UP, .numbers = {rank}};
    hang->given_up = rank;
    dt_session_broadcast(hang->loop->job->session, &message);
    dt_hang_give_up(hang, rank);
}

static void on_movement(struct dt_hang *hang, double moved)
{
    if (hang->alarmed > 0 && moved > hang->alarmed) {
        dprintf(STDERR_FILENO, "dt-launch: the job moves again, %.0f s after the report\n",
                moved - hang->alarmed);
        dt_event(hang->loop->job->events, "moving", "after_s:f", moved - hang->alarmed);
        hang->alarmed = 0;
        hang->alarm_after = hang->timeout;
    }
}

/* The lead, for the whole job. */
static void judge_silence(struct dt_hang *hang)
{
    double now = dt_now(), moved = 0, stirred = 0;
    int dying = -1;
    for (int i = 0; i < hang->loop->job->place->node_count; i++) {
        const struct node_pulse *pulse = &hang->nodes[i];
        if (!pulse->heard)
            continue;
        moved = pulse->moved > moved ? pulse->moved : moved;
        stirred = pulse->stirred > stirred ? pulse->stirred : stirred;
        if (dying < 0 && pulse->dying >= 0)
            dying = pulse->dying;
    }
    if (moved <= 0 || hang->report_by > 0)
        return;
    on_movement(hang, moved);
    if (dying >= 0 && dying != hang->given_up && now - moved >= least(DYING_S, hang->timeout)) {
        give_up_dying(hang, dying);
        return;
    }
    double quiet = now - moved, idle = now - stirred;
    if (quiet >= hang->alarm_after &&
        (idle >= hang->timeout || quiet >= COMPUTES * hang->alarm_after))
        ask_all(hang);
}

static double silence(const struct dt_hang *hang)
{
    double moved = 0;
    for (int i = 0; i < hang->loop->job->place->node_count; i++) {
        if (hang->nodes[i].heard && hang->nodes[i].moved > moved)
            moved = hang->nodes[i].moved;
    }
    return dt_now() - moved;
}

/* ---- work ---------------------------------------------------------------------------------- */

static void look(struct dt_hang *hang)
{
    struct dt_job *job = hang->loop->job;
    struct node_pulse pulse;
    hang->next_look = dt_now() + hang->interval;
    dt_progress_look(hang->progress, &hang->family, job->workers, job->place->processes);
    find_own_pulse(hang, &pulse);
    if (leads(hang)) {
        hang->nodes[0] = pulse;
        judge_silence(hang);
    } else {
        send_pulse(hang, &pulse);
    }
    bool due = false;
    for (int i = 0; i < job->place->processes; i++)
        due |= dt_straggler_due(hang->straggler, job->workers[i].rank,
                                dt_progress_steps(&hang->progress[i]));
    for (int i = 0; due && i < job->place->processes; i++)
        dt_straggler_follow(hang->straggler, job->session, job->workers[i].rank,
                            dt_progress_steps(&hang->progress[i]));
}

static void tell(struct dt_hang *hang)
{
    double quiet = silence(hang), asked = hang->report_by - ANSWER_S;
    hang->report_by = 0;
    /* What moved while all were asked does not hang: it was slow, and so were the answers. */
    if (dt_now() - quiet > asked)
        return;
    hang->alarmed = dt_now();
    hang->alarm_after = 2 * quiet; /* said again after twice, four times, ... as long */
    dt_hang_tell(hang, quiet);
}

void dt_hang_work(struct dt_hang *hang)
{
    double now = dt_now();
    if (!hang || hang->timeout <= 0 || hang->loop->ending || hang->loop->stopping)
        return;
    if (hang->answer_at > 0 && now >= hang->answer_at)
        dt_hang_answer(hang);
    if (hang->report_by > 0 && hang->answer_at <= 0 &&
        (now >= hang->report_by || hang->told >= dt_session_busy(hang->loop->job->session)))
        tell(hang);
    if (now >= hang->next_look)
        look(hang);
}

double dt_hang_next(const struct dt_hang *hang)
{
    if (!hang || hang->timeout <= 0 || hang->loop->ending || hang->loop->stopping)
        return 0;
    double next = hang->next_look;
    if (hang->answer_at > 0)
        next = least(next, hang->answer_at);
    return hang->report_by > 0 ? least(next, hang->report_by) : next;
}

/* ---- the session --------------------------------------------------------------------------- */

static void hear_seen(struct dt_hang *hang, const struct dt_link_message *message, const char *node)
{
    const long long *n = message->numbers;
    struct seen seen = {.rank = {.rank = (int)n[1],
                                 .pid = (int)n[2],
                                 .age_s = (double)n[4] / 1e3,
                                 .quiet_s = (double)n[5] / 1e3,
                                 .connected = n[6] != 0}};
    seen.rank.kind = n[3] >= 0 && n[3] < DT_HANG_KINDS ? (enum dt_hang_kind)n[3] : DT_HANG_OTHER;
    seen.rank.node_name = strdup(node);
    seen.rank.doing = strdup(message->texts[0]);
    seen.rank.stack = strdup(message->texts[1]);
    seen.own = strdup(message->texts[2]);
    dt_hang_keep(hang, &seen);
}

static void hear_wire(struct dt_hang *hang, const struct dt_link_message *message)
{
    const long long *n = message->numbers;
    struct dt_wire wire = {
        .rank = (int)n[1], .count = n[3] > 0 ? n[3] : 0, .silent_s = (double)n[4] / 1e3};
    wire.kind = n[2] >= 0 && n[2] < DT_WIRE_KINDS ? (enum dt_wire_kind)n[2] : DT_WIRE_HEARS;
    snprintf(wire.peer, sizeof wire.peer, "%s", message->texts[0]);
    dt_wires_add(&hang->wires, &wire);
}

void dt_hang_hear(struct dt_hang *hang, const struct dt_link_message *message, const char *node)
{
    if (!hang)
        return;
    if (message->type == DT_LINK_PULSE)
        hear_pulse(hang, message->numbers);
    else if (message->type == DT_LINK_PACE)
        dt_straggler_hear(hang->straggler, message, node);
    else if (message->type == DT_LINK_TOLD && message->numbers[0] == hang->query)
        hang->told++;
    else if (message->type == DT_LINK_SEEN && message->numbers[0] == hang->query &&
             hang->report_by > 0)
        hear_seen(hang, message, node);
    else if (message->type == DT_LINK_WIRE && message->numbers[0] == hang->query &&
             hang->report_by > 0)
        hear_wire(hang, message);
}

void dt_hang_told(struct dt_hang *hang, const struct dt_link_message *message)
{
    if (!hang)
        return;
    if (message->type == DT_LINK_LOOK)
        dt_hang_ask_own(hang, message->numbers[0], message->numbers[1] != 0);
    else if (message->type == DT_LINK_GIVE_UP)
        dt_hang_give_up(hang, (int)message->numbers[0]);
}
