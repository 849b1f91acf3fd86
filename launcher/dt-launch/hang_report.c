/* SPDX-License-Identifier: Apache-2.0 */
/* The lead's report of a hang, and what --on-hang asks for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "hang_internal.h"

/* ---- whose an end is --------------------------------------------------------------------- */

struct end {
    const char *own; /* "ADDRESS:PORT", up to a blank */
    size_t rank;     /* index in `seen` */
};

static int compare_ends(const void *a, const void *b)
{
    const char *left = ((const struct end *)a)->own, *right = ((const struct end *)b)->own;
    size_t left_len = strcspn(left, " "), right_len = strcspn(right, " ");
    int order = strncmp(left, right, left_len < right_len ? left_len : right_len);
    return order ? order : (int)left_len - (int)right_len;
}

static struct end *list_ends(const struct dt_hang *hang, size_t *count)
{
    struct end *ends = NULL;
    *count = 0;
    for (size_t i = 0; i < hang->seen_count; i++) {
        for (const char *at = hang->seen[i].own; at && *at;) {
            struct end *more = reallocarray(ends, *count + 1, sizeof *ends);
            if (!more)
                return ends;
            ends = more;
            ends[(*count)++] = (struct end){at, i};
            at += strcspn(at, " ");
            at += *at == ' ';
        }
    }
    if (ends)
        qsort(ends, *count, sizeof *ends, compare_ends);
    return ends;
}

struct ends {
    struct end *list;
    size_t count;
    const struct dt_hang *hang;
};

static struct dt_hang_rank *find_owner(const char *address, const struct ends *ends)
{
    const struct end wanted = {.own = address};
    const struct end *found =
        ends->count ? bsearch(&wanted, ends->list, ends->count, sizeof *ends->list, compare_ends)
                    : NULL;
    return found ? &ends->hang->seen[found->rank].rank : NULL;
}

static const struct dt_hang_rank *owner_of(const char *address, const void *ends)
{
    return find_owner(address, ends);
}

/* Which rank waits for which key. */
static void find_keys(struct dt_hang *hang, const struct ends *ends)
{
    struct dt_server *server = dt_session_server(hang->loop->job->session);
    struct dt_server_view view;
    if (!server || dt_server_look(server, &view))
        return;
    for (size_t i = 0; i < view.count; i++) {
        struct dt_hang_rank *rank =
            view.clients[i].key ? find_owner(view.clients[i].peer, ends) : NULL;
        if (rank && !rank->key)
            rank->key = strdup(view.clients[i].key);
    }
    dt_server_view_fini(&view);
}

/* ---- acting -------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    return ((const struct dt_hang_rank *)a)->rank - ((const struct dt_hang_rank *)b)->rank;
}

/* The failure that a hang is: of the odd rank, where there is one. */
static void stop_job(struct dt_hang *hang, const struct dt_hang_rank *ranks, size_t count,
                     double quiet_s)
{
    bool stays = hang->loop->job->options->hang.action == DT_ON_HANG_STOP;
    struct dt_failure failure = {.rank = -1,
                                 .node = 0,
                                 .status = W_EXITCODE(DT_EXIT_HUNG, 0),
                                 .died_ns = dt_now_ns(),
                                 .flags = DT_FAILURE_HANG | (stays ? DT_FAILURE_FINAL : 0)};
    const struct dt_hang_rank *odd = NULL;
    size_t odds = 0;
    for (size_t i = 0; i < count; i++) {
        odds += ranks[i].odd;
        odd = ranks[i].odd && !odd ? &ranks[i] : odd;
    }
    if (odd) {
        failure.rank = odd->rank;
        failure.node = odd->node;
        failure.pid = odd->pid;
    }
    int length =
        odds == 1 ? asprintf(&failure.sentence,
                             "the job hung for %.0f s and is ended: rank %d on %s (pid "
                             "%d) %s",
                             quiet_s, odd->rank, odd->node_name, odd->pid, odd->doing)
                  : asprintf(&failure.sentence,
                             "the job hung for %.0f s and is ended: see the report above", quiet_s);
    if (length < 0)
        failure.sentence = NULL;
    dt_loop_blame(hang->loop, &failure);
}

/* A dt-launch of one rank of many knows nothing of the others: it speaks when its rank does what is no
 * way to wait for peers, and leaves it at that. */
static bool knows_only_itself(const struct dt_hang *hang)
{
    const struct dt_place *place = hang->loop->job->place;
    return place->world_size > 1 && !dt_session_server(hang->loop->job->session) &&
           (place->processes < place->world_size);
}

static bool is_worth_telling(const struct dt_hang_rank *rank)
{
    return rank->kind != DT_HANG_WAITS && rank->kind != DT_HANG_OTHER && rank->kind != DT_HANG_RUNS;
}

void dt_hang_tell(struct dt_hang *hang, double quiet_s)
{
    enum dt_on_hang action = hang->loop->job->options->hang.action;
    if (knows_only_itself(hang)) {
        action = DT_ON_HANG_REPORT;
        if (hang->seen_count == 1 && !is_worth_telling(&hang->seen[0].rank))
            return;
    }
    struct dt_buf text = DT_BUF_INIT;
    struct ends ends = {.hang = hang};
    ends.list = list_ends(hang, &ends.count);
    find_keys(hang, &ends);
    size_t count = hang->seen_count;
    struct dt_hang_rank *ranks = reallocarray(NULL, count ? count : 1, sizeof *ranks);
    for (size_t i = 0; ranks && i < count; i++)
        ranks[i] = hang->seen[i].rank; /* still owned there */
    if (ranks && count) {
        qsort(ranks, count, sizeof *ranks, by_rank);
        size_t odd = dt_hang_judge(ranks, count);
        dt_buf_puts(&text, "dt-launch: hang: ");
        dt_hang_report(&text, ranks, count, quiet_s);
        dt_wires_report(&text, &hang->wires, odd == 0, owner_of, ranks, count, &ends);
        dt_event(hang->loop->job->events, "hang", "quiet_s:f report:s", quiet_s, text.data);
    }
    if (text.data && !text.failed && write(STDERR_FILENO, text.data, text.len) < 0)
        errno = 0; /* nobody reads us */
    if (ranks && count && (action == DT_ON_HANG_STOP || action == DT_ON_HANG_RESTART))
        stop_job(hang, ranks, count, quiet_s);
    dt_buf_fini(&text);
    free(ends.list);
    free(ranks);
    dt_hang_forget(hang);
}
