/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of this node do: for the lead, for a file, and of one that can not die. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hang_internal.h"

#define PYTHON_S 0.5 /* Python's answer */
/* A rank that has printed a traceback is idle for so long before it counts as one that can not die. */
#define IDLE_S 5.0

static struct dt_look look_of(const struct dt_hang *hang)
{
    const struct dt_job *job = hang->loop->job;
    return (struct dt_look){.hook = job->hook,
                            .output = hang->loop->output,
                            .node_name = job->place->node_name,
                            .node = job->place->node_rank,
                            .port = dt_session_port(job->session)};
}

void dt_hang_keep(struct dt_hang *hang, struct seen *seen)
{
    struct seen *more = reallocarray(hang->seen, hang->seen_count + 1, sizeof *more);
    if (!more) {
        dt_hang_rank_fini(&seen->rank);
        free(seen->own);
        return;
    }
    hang->seen = more;
    hang->seen[hang->seen_count++] = *seen;
}

void dt_hang_forget(struct dt_hang *hang)
{
    for (size_t i = 0; i < hang->seen_count; i++) {
        dt_hang_rank_fini(&hang->seen[i].rank);
        free(hang->seen[i].own);
    }
    free(hang->seen);
    hang->seen = NULL;
    hang->seen_count = 0;
    dt_wires_fini(&hang->wires);
}

/* ---- answering ----------------------------------------------------------------------------- */

void dt_hang_ask_own(struct dt_hang *hang, long long query, bool dump)
{
    const struct dt_job *job = hang->loop->job;
    bool asked = false;
    hang->query = query;
    hang->dump = dump;
    for (int i = 0; i < job->place->processes; i++) {
        if (job->workers[i].running)
            asked = dt_stacks_ask(job->hook, &job->workers[i]) || asked;
    }
    hang->answer_at = dt_now() + (asked ? PYTHON_S : 0);
    if (!asked)
        dt_hang_answer(hang);
}

static void send_seen(struct dt_hang *hang, const struct seen *seen)
{
    const struct dt_hang_rank *rank = &seen->rank;
    struct dt_link_message message = {
        .type = DT_LINK_SEEN,
        .numbers = {hang->query, rank->rank, rank->pid, rank->kind, (long long)(rank->age_s * 1e3),
                    (long long)(rank->quiet_s * 1e3), rank->connected},
        .texts = {rank->doing, rank->stack, seen->own}};
    dt_session_tell(hang->loop->job->session, &message);
}

static void send_wires(struct dt_hang *hang)
{
    for (size_t i = 0; i < hang->wires.count; i++) {
        struct dt_wire *wire = &hang->wires.list[i];
        struct dt_link_message message = {.type = DT_LINK_WIRE,
                                          .numbers = {hang->query, wire->rank, wire->kind,
                                                      wire->count,
                                                      (long long)(wire->silent_s * 1e3)},
                                          .texts = {wire->peer}};
        dt_session_tell(hang->loop->job->session, &message);
    }
    dt_wires_fini(&hang->wires);
}

/* "dt-hang-JOB-NODE.txt", or by process id outside Slurm, in the working directory. */
static void write_dump(struct dt_hang *hang)
{
    const struct dt_job *job = hang->loop->job;
    const struct dt_look look = look_of(hang);
    struct dt_buf text = DT_BUF_INIT;
    char path[512];
    snprintf(path, sizeof path, "dt-hang-%lld-%.200s.txt",
             job->place->job >= 0 ? job->place->job : (long long)getpid(), job->place->node_name);
    for (int i = 0; i < job->place->processes; i++)
        dt_look_dump(&text, &look, &job->workers[i]);
    int fd = text.failed ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
    dprintf(STDERR_FILENO, "dt-launch: what every thread does is %s %s (node %s)\n",
            good ? "in" : "lost, as it can not be written to", path, job->place->node_name);
    if (fd >= 0)
        close(fd);
    dt_buf_fini(&text);
}

void dt_hang_answer(struct dt_hang *hang)
{
    const struct dt_job *job = hang->loop->job;
    const struct dt_look look = look_of(hang);
    bool leads = dt_session_leads(job->session);
    struct dt_wire_look wires;
    hang->answer_at = 0;
    dt_wire_look_begin(&wires, look.port);
    for (int i = 0; i < job->place->processes; i++) {
        struct seen seen = {0};
        struct dt_buf own = DT_BUF_INIT;
        dt_look_at(&seen.rank, &own, &look, &job->workers[i], &hang->progress[i]);
        dt_wire_look_at(&hang->wires, &own, &wires, job->workers, job->place->processes, i);
        seen.own = dt_buf_take(&own);
        if (!leads)
            send_seen(hang, &seen);
        if (leads && seen.own) {
            dt_hang_keep(hang, &seen);
            continue;
        }
        dt_hang_rank_fini(&seen.rank);
        free(seen.own);
    }
    dt_wire_look_end(&wires);
    if (!leads)
        send_wires(hang);
    if (hang->dump)
        write_dump(hang);
    if (!leads)
        dt_session_tell(job->session,
                        &(struct dt_link_message){.type = DT_LINK_TOLD, .numbers = {hang->query}});
}

/* ---- one that can not die ------------------------------------------------------------------ */

int dt_hang_dying(const struct dt_hang *hang)
{
    const struct dt_job *job = hang->loop->job;
    double idle_s = hang->timeout < IDLE_S ? hang->timeout : IDLE_S;
    for (int i = 0; i < job->place->processes; i++) {
        const struct dt_worker *worker = &job->workers[i];
        if (worker->running && dt_now() - hang->progress[i].stirred >= idle_s &&
            dt_look_has_died(hang->loop->output, worker))
            return worker->rank;
    }
    return -1;
}

void dt_hang_give_up(struct dt_hang *hang, int rank)
{
    struct dt_job *job = hang->loop->job;
    int index = rank - job->place->rank;
    if (index < 0 || index >= job->place->processes || !job->workers[index].running)
        return;
    const struct dt_look look = look_of(hang);
    struct dt_hang_rank seen;
    struct dt_buf own = DT_BUF_INIT, how = DT_BUF_INIT;
    dt_look_at(&seen, &own, &look, &job->workers[index], &hang->progress[index]);
    dt_buf_printf(&how, "%s, silent for %.0f s,", seen.doing ? seen.doing : "hangs", seen.quiet_s);
    dt_loop_give_up(hang->loop, &job->workers[index], how.data);
    dt_hang_rank_fini(&seen);
    dt_buf_fini(&own);
    dt_buf_fini(&how);
}
