/* SPDX-License-Identifier: Apache-2.0 */
/* Asking who has not connected to the store, and saying it in one paragraph. */
#include "arrival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

#define ANSWER_S 2.0
#define NAMED    8 /* ranks; of the others the number is enough */

void dt_arrival_begin(struct dt_arrival *arrival, double after_s)
{
    *arrival = (struct dt_arrival){.began = dt_now(), .next = dt_now() + after_s};
}

void dt_arrival_fini(struct dt_arrival *arrival)
{
    dt_buf_fini(&arrival->text);
}

/* ---- one rank ------------------------------------------------------------------------------ */

static void describe(struct dt_link_message *message, struct dt_probe *probe, long long query,
                     const struct dt_worker *worker, int port)
{
    dt_probe_rank(probe, worker->pid, port);
    long long age_ms = (long long)((dt_now() - worker->started) * 1000);
    *message = (struct dt_link_message){
        .type = DT_LINK_RANK,
        .numbers = {query, worker->rank, worker->pid, age_ms, probe->state, probe->cpu_ms,
                    probe->connected},
        .texts = {probe->where},
    };
}

void dt_arrival_answer(struct dt_session *session, long long query, const struct dt_worker *workers,
                       int count)
{
    struct dt_link_message message;
    struct dt_probe probe;
    for (int i = 0; i < count; i++) {
        if (!workers[i].running)
            continue;
        describe(&message, &probe, query, &workers[i], dt_session_port(session));
        dt_session_tell(session, &message);
    }
    message = (struct dt_link_message){.type = DT_LINK_TOLD, .numbers = {query}};
    dt_session_tell(session, &message);
}

static void hear_rank(struct dt_arrival *arrival, const long long *n, const char *where,
                      const char *node)
{
    if (n[6] || arrival->missing++ >= NAMED)
        return;
    char state = n[4] > 0x20 && n[4] < 0x7f ? (char)n[4] : '?';
    dt_buf_printf(
        &arrival->text,
        "  | rank %lld on %s (pid %lld) has run for %.0f s, used %.1f s of CPU, and opened no "
        "connection; state %c%s%.40s\n",
        n[1], node, n[2], (double)n[3] / 1e3, (double)n[5] / 1e3, state, *where ? " in " : "",
        where);
}

void dt_arrival_hear(struct dt_arrival *arrival, const struct dt_link_message *message,
                     const char *node)
{
    if (arrival->answer_by <= 0 || message->numbers[0] != arrival->query)
        return;
    if (message->type == DT_LINK_TOLD)
        arrival->told++;
    else if (message->type == DT_LINK_RANK)
        hear_rank(arrival, message->numbers, message->texts[0], node);
}

/* ---- the lead ------------------------------------------------------------------------------ */

/* How many connections wait for a key, and the first such key (caller frees). */
static int count_waiting(struct dt_session *session, char **key)
{
    struct dt_server_view view;
    int waiting = 0;
    *key = NULL;
    if (dt_server_look(dt_session_server(session), &view))
        return 0;
    for (size_t i = 0; i < view.count; i++) {
        if (!view.clients[i].key)
            continue;
        waiting++;
        if (!*key)
            *key = strdup(view.clients[i].key);
    }
    dt_server_view_fini(&view);
    return waiting;
}

static void ask(struct dt_arrival *arrival, struct dt_session *session,
                const struct dt_worker *workers, int count)
{
    struct dt_link_message message;
    struct dt_probe probe;
    dt_buf_clear(&arrival->text);
    arrival->query++;
    arrival->told = arrival->missing = 0;
    arrival->answer_by = dt_now() + ANSWER_S;
    dt_session_ask(session, arrival->query);
    for (int i = 0; i < count; i++) {
        if (!workers[i].running)
            continue;
        describe(&message, &probe, arrival->query, &workers[i], dt_session_port(session));
        hear_rank(arrival, message.numbers, probe.where, dt_session_place(session)->node_name);
    }
}

static void say(struct dt_arrival *arrival, struct dt_session *session)
{
    char *key;
    int waiting = count_waiting(session, &key), nodes = dt_session_missing(session);
    if ((arrival->missing || nodes) && waiting && !arrival->text.failed) {
        dprintf(STDERR_FILENO,
                "dt-launch: after %.0f s %d connection(s) wait in the store (for the key "
                "\"%.80s\"), %d "
                "rank(s) have not connected, %d node(s) have not joined\n%s%s",
                dt_now() - arrival->began, waiting, key ? key : "?", arrival->missing, nodes,
                arrival->text.data ? arrival->text.data : "",
                arrival->missing > NAMED ? "  | ...\n" : "");
    }
    free(key);
}

void dt_arrival_work(struct dt_arrival *arrival, struct dt_session *session,
                     const struct dt_worker *workers, int count)
{
    double now = dt_now();
    if (!dt_session_server(session))
        return;
    if (arrival->answer_by > 0 &&
        (now >= arrival->answer_by || arrival->told >= dt_session_busy(session))) {
        say(arrival, session);
        arrival->answer_by = 0;
    }
    if (now < arrival->next)
        return;
    arrival->next = now + (now - arrival->began); /* 10, 20, 40 ... */
    char *key;
    if (count_waiting(session, &key))
        ask(arrival, session, workers, count);
    free(key);
}
