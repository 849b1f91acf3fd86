/* SPDX-License-Identifier: Apache-2.0 */
/* Putting together what there is to know about how a rank ended. */
#include "ending.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

#define WORDS_MAX      4096
#define ERROR_FILE_MAX (256u << 10)

/* Caller frees; NULL: there is none. */
static char *read_file(const char *path)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    char *text = fd < 0 ? NULL : malloc(ERROR_FILE_MAX + 1);
    size_t len = 0;
    ssize_t n = 0;
    while (text && len < ERROR_FILE_MAX && (n = read(fd, text + len, ERROR_FILE_MAX - len)) > 0)
        len += (size_t)n;
    if (text)
        text[len] = '\0';
    if (fd >= 0)
        close(fd);
    if (len)
        return text;
    free(text);
    return NULL;
}

static void add_error_file(const struct dt_worker *worker, struct dt_buf *exception,
                           struct dt_buf *details)
{
    char *json = read_file(worker->error_file);
    struct dt_buf callstack = DT_BUF_INIT, message = DT_BUF_INIT;
    if (json && dt_cause_error_file(json, &message, &callstack)) {
        if (!exception->len && message.data)
            dt_buf_append(exception, message.data, strcspn(message.data, "\n"));
        if (!details->len && callstack.data)
            dt_buf_append(details, callstack.data,
                          callstack.len < WORDS_MAX ? callstack.len : WORDS_MAX);
    }
    dt_buf_fini(&callstack);
    dt_buf_fini(&message);
    free(json);
}

static void add_words(struct dt_failure *failure, const struct dt_worker *worker,
                      struct dt_output *output, struct dt_buf *exception, struct dt_buf *details)
{
    struct dt_tail *tail = output && worker->has_tail ? malloc(sizeof *tail) : NULL;
    if (!tail)
        return;
    dt_output_tail(output, worker->tail_id, tail);
    failure->said_ns = tail->traceback_ns;
    dt_tail_exception(tail, exception);
    dt_tail_words(tail, WORDS_MAX, details);
    free(tail);
}

/* Killed itself, or ended by itself because a process of its own was: DataLoader's workers. */
static bool is_oom(const struct dt_worker *worker, long long before, const char *words)
{
    bool killed = WIFSIGNALED(worker->status) && WTERMSIG(worker->status) == SIGKILL;
    bool tells = WIFEXITED(worker->status) && words && strstr(words, "Killed");
    return (killed || tells) && before >= 0 && dt_oom_kills() > before;
}

static void clean(struct dt_buf *text)
{
    for (char *at = text->data; at && *at; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            *at = '?';
    }
}

void dt_ending_describe(struct dt_failure *failure, const struct dt_worker *worker,
                        const struct dt_ending_context *context)
{
    struct dt_buf sentence = DT_BUF_INIT, details = DT_BUF_INIT, exception = DT_BUF_INIT;
    failure->rank = worker->rank;
    failure->local_rank = worker->local_rank;
    failure->node = context->place->node_rank;
    failure->pid = (int)worker->pid;
    failure->status = worker->status;
    add_words(failure, worker, context->output, &exception, &details);
    add_error_file(worker, &exception, &details);
    clean(&exception);
    clean(&details);
    if (is_oom(worker, context->oom_kills, details.data))
        failure->flags |= DT_FAILURE_OOM;
    else if (details.data && dt_cause_is_victim(exception.len ? exception.data : details.data))
        failure->flags |= DT_FAILURE_VICTIM;
    const char *how = context->how;
    if (failure->flags & DT_FAILURE_STOPPED && exception.len) {
        failure->status = W_EXITCODE(1, 0); /* as it would have been */
        how = "raised an exception, and was still ending when it was stopped";
    }
    dt_worker_describe(&sentence, worker, context->place->node_name, how, context->argv);
    if (failure->flags & DT_FAILURE_OOM)
        dt_buf_puts(&sentence, ": out of memory, the kernel has killed a process of this cgroup");
    if (exception.len && !exception.failed)
        dt_buf_printf(&sentence, ": %s", exception.data);
    if (!(failure->flags & DT_FAILURE_STOPPED)) {
        bool gpu;
        dt_core_put(&sentence, worker, context->extras);
        dt_kernel_log_put(context->kernel_log, &sentence, &gpu);
        failure->flags |= gpu ? DT_FAILURE_GPU : 0;
    }
    failure->sentence = dt_buf_take(&sentence);
    failure->details = dt_buf_take(&details);
    dt_buf_fini(&exception);
}
