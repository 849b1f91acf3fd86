/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the ranks' streams as the options want them; and folded lines between nodes. */
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_FD   100 /* and up: out of the way of numbers that scripts use */
#define DEFAULT_LOGS  "dt-logs"
#define MEMBER_WINDOW 100000000LL /* ns that a line waits for its like of this node */
#define LEAD_WINDOW   300000000LL /* and of other nodes */

/* ---- what the options say ------------------------------------------------------------------ */

static int find_shown(struct dt_ranks *shown, const struct dt_log_options *log,
                      const struct dt_place *place, struct dt_error *err)
{
    struct dt_ranks local;
    if (dt_ranks_init(shown, place->world_size))
        return dt_error_set(err, "out of memory");
    if (dt_ranks_parse(shown, "--ranks", log->ranks ? log->ranks : "all", err))
        return -1;
    if (!log->local_ranks)
        return 0;
    if (dt_ranks_init(&local, place->local_world_size))
        return dt_error_set(err, "out of memory");
    int result = dt_ranks_parse(&local, "--local-ranks-filter", log->local_ranks, err);
    for (int rank = 0; result == 0 && rank < place->world_size; rank++) {
        if (!dt_ranks_has(&local, rank % place->local_world_size))
            dt_ranks_remove(shown, rank);
    }
    dt_ranks_fini(&local);
    return result;
}

int dt_streams_check(const struct dt_options *options, const struct dt_place *place,
                     struct dt_error *err)
{
    struct dt_ranks shown = {0};
    int result = find_shown(&shown, &options->log, place, err);
    dt_ranks_fini(&shown);
    if (result == 0 && options->log.fold != DT_FOLD_OFF && place->shape == DT_SHAPE_TASK &&
        place->world_size > 1)
        return dt_error_set(err,
                            "--fold needs --nproc-per-node and one task of srun a node: with a "
                            "dt-launch for each rank nobody sees the lines of all");
    return result;
}

int dt_streams_prepare(struct loop *loop, struct dt_error *err)
{
    const struct dt_log_options *log = &loop->job->options->log;
    bool member = !dt_session_leads(loop->job->session);
    if (find_shown(&loop->shown, log, loop->job->place, err))
        return -1;
    if (log->directory || log->redirects || log->tee)
        loop->log_directory = log->directory ? log->directory : DEFAULT_LOGS;
    if (loop->log_directory && dt_log_directory(loop->log_directory, err))
        return -1;
    if (log->fold != DT_FOLD_OFF && member) {
        loop->relay = dt_relay_create(log->directory && !log->redirects && !log->tee, err);
        return loop->relay ? 0 : -1;
    }
    return 0;
}

void dt_streams_fini(struct loop *loop)
{
    dt_relay_destroy(loop->relay);
    dt_ranks_fini(&loop->shown);
}

/* Does torchrun's "3", or "0:3,1:1", name the stream (1, 2) of this local rank? */
static bool names(const char *streams, int local_rank, int stream)
{
    if (!streams || !strchr(streams, ':'))
        return streams && atoi(streams) & stream;
    for (const char *at = streams; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (atoi(at) == local_rank)
            return atoi(strchr(at, ':') + 1) & stream;
    }
    return false;
}

/* The file that keeps a stream, if one does: *hidden says that it is not shown besides. */
static int open_log(const struct loop *loop, const struct dt_worker *worker, int stream,
                    struct dt_log_file **file, bool *hidden, struct dt_error *err)
{
    const struct dt_log_options *log = &loop->job->options->log;
    bool redirected = names(log->redirects, worker->local_rank, stream);
    bool tee = log->redirects || log->tee ? names(log->tee, worker->local_rank, stream) : true;
    *file = NULL;
    *hidden = (redirected && !names(log->tee, worker->local_rank, stream)) ||
              !dt_ranks_has(&loop->shown, worker->rank);
    if (!loop->log_directory || !(redirected || tee))
        return 0;
    *file = malloc(sizeof **file);
    if (!*file)
        return dt_error_set(err, "out of memory");
    if (dt_log_file_open(*file, loop->log_directory, worker->rank,
                         stream == STDOUT_FILENO ? "out" : "err", log->limit, err) == 0)
        return 0;
    dt_log_file_close(*file);
    free(*file);
    *file = NULL;
    return -1;
}

/* ---- pipes --------------------------------------------------------------------------------- */

/* The pipe by which a rank may tell that it gets on; and its name. */
static int open_progress(struct loop *loop, struct dt_worker *worker, struct dt_progress *progress,
                         struct dt_error *err)
{
    struct dt_output_stream told = {
        .rank = worker->rank, .out = DT_OUTPUT_DROP, .watch = &progress->told};
    size_t unused;
    int fd = dt_output_add(loop->output, &told, &unused, err);
    if (fd < 0)
        return -1;
    worker->progress = fcntl(fd, F_DUPFD_CLOEXEC, PROGRESS_FD);
    close(fd);
    if (worker->progress < 0)
        return dt_error_set(err, "a pipe can not be kept: %s", strerror(errno));
    dt_environ_set(&worker->env, "DT_PROGRESS_FD", "%d", worker->progress);
    return worker->env.failed ? dt_error_set(err, "out of memory") : 0;
}

/* Standard error goes through us, for a rank's last words, and standard output, to see that it gets
 * on; a terminal is left to the ranks unless their output is wanted in some other way. */
static bool goes_through(const struct loop *loop, const struct dt_output_stream *stream)
{
    const struct dt_options *options = loop->job->options;
    if (options->progress_s > 0 && isatty(STDERR_FILENO)) /* it must not be written over */
        return true;
    if (stream->prefix || stream->log || stream->hidden || options->log.fold != DT_FOLD_OFF)
        return true;
    if (isatty(stream->out))
        return stream->out == STDOUT_FILENO && options->checkpoint.line;
    return stream->out == STDERR_FILENO || options->hang.timeout_s > 0 || options->checkpoint.line;
}

static int open_stream(struct loop *loop, struct dt_worker *worker, struct dt_output_stream *stream,
                       int *fd, struct dt_error *err)
{
    if (open_log(loop, worker, stream->out, &stream->log, &stream->hidden, err))
        return -1;
    if (!goes_through(loop, stream))
        return 0;
    *fd = dt_output_add(loop->output, stream, &worker->tail_id, err);
    return *fd < 0 ? -1 : 0;
}

static int open_worker(struct loop *loop, int index, const char *prefix, struct dt_error *err)
{
    struct dt_worker *worker = &loop->job->workers[index];
    struct dt_progress *progress = dt_hang_progress(loop->hang, index);
    struct dt_output_stream out = {
        .rank = worker->rank, .prefix = prefix, .out = STDOUT_FILENO, .watch = &progress->out};
    struct dt_output_stream errors = {.rank = worker->rank,
                                      .prefix = prefix,
                                      .out = STDERR_FILENO,
                                      .keep_tail = true,
                                      .watch = &progress->err};
    if (loop->job->options->hang.timeout_s > 0 && open_progress(loop, worker, progress, err))
        return -1;
    if (open_stream(loop, worker, &out, &worker->out, err) ||
        open_stream(loop, worker, &errors, &worker->err, err))
        return -1;
    worker->has_tail = worker->err >= 0;
    progress->heard = worker->has_tail && worker->out >= 0;
    return 0;
}

static int open_fold(struct loop *loop, struct dt_error *err)
{
    enum dt_fold_mode mode = loop->job->options->log.fold;
    const struct dt_place *place = loop->job->place;
    struct dt_ranks ours;
    if (mode == DT_FOLD_OFF)
        return 0;
    if (!loop->relay)
        return dt_output_fold(loop->output, &loop->shown, mode == DT_FOLD_NUMBERS,
                              place->node_count > 1 ? LEAD_WINDOW : MEMBER_WINDOW, NULL, err);
    if (dt_ranks_init(&ours, place->world_size))
        return dt_error_set(err, "out of memory");
    for (int rank = place->rank; rank < place->rank + place->processes; rank++) {
        if (dt_ranks_has(&loop->shown, rank))
            dt_ranks_add(&ours, rank);
    }
    int result = dt_output_fold(loop->output, &ours, mode == DT_FOLD_NUMBERS, MEMBER_WINDOW,
                                loop->relay, err);
    dt_ranks_fini(&ours);
    return result;
}

int dt_streams_open(struct loop *loop, struct dt_error *err)
{
    const struct dt_place *place = loop->job->place;
    enum dt_prefix kind = loop->job->options->prefix;
    loop->hang = dt_hang_create(loop);
    if (!loop->hang)
        return dt_error_set(err, "out of memory");
    loop->output = dt_output_create(err);
    int result = loop->output ? open_fold(loop, err) : -1;
    for (int i = 0; result == 0 && i < place->processes; i++) {
        struct dt_worker *worker = &loop->job->workers[i];
        struct dt_buf prefix = DT_BUF_INIT;
        if (kind == DT_PREFIX_NODE)
            dt_buf_printf(&prefix, "%s:", place->node_name);
        if (worker->role)
            dt_buf_puts(&prefix, worker->role);
        else
            dt_buf_printf(&prefix, "%d", worker->rank);
        char *text = dt_buf_take(&prefix);
        result = text ? open_worker(loop, i, kind == DT_PREFIX_NONE ? NULL : text, err)
                      : dt_error_set(err, "out of memory");
        free(text);
    }
    return result;
}

/* ---- folded lines between nodes ------------------------------------------------------------ */

void dt_streams_relay(struct loop *loop)
{
    struct dt_folded line;
    bool some = false;
    while (loop->relay && dt_relay_take(loop->relay, &line)) {
        struct dt_buf ranks = DT_BUF_INIT;
        dt_ranks_list(&line.ranks, &ranks);
        struct dt_link_message message = {
            .type = DT_LINK_LINE, .numbers = {line.stream}, .texts = {ranks.data, line.text}};
        dt_session_tell_lines(loop->job->session, &message);
        dt_buf_fini(&ranks);
        dt_folded_fini(&line);
        some = true;
    }
    if (some)
        dt_session_tell_lines(loop->job->session, NULL);
}

void dt_streams_take(struct loop *loop, const struct dt_link_message *message)
{
    struct dt_ranks ranks;
    struct dt_error err;
    int stream = message->numbers[0] == STDERR_FILENO ? STDERR_FILENO : STDOUT_FILENO;
    if (!loop->output || dt_ranks_init(&ranks, loop->job->place->world_size))
        return;
    if (dt_ranks_parse(&ranks, "ranks of a line", message->texts[0], &err) == 0)
        dt_output_feed(loop->output, stream, &ranks, message->texts[1]);
    dt_ranks_fini(&ranks);
}

bool dt_streams_told(const struct loop *loop)
{
    return !loop->relay || !loop->output ||
           (dt_output_quiet(loop->output) && dt_relay_empty(loop->relay));
}
