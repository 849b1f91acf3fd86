/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of restarts. */
#include "cause/restart.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* The last line of the details that is not empty: of a traceback, the exception. */
static void put_last_line(struct dt_buf *text, const char *details)
{
    size_t end = details ? strlen(details) : 0;
    while (end && (details[end - 1] == '\n' || details[end - 1] == ' '))
        end--;
    size_t begin = end;
    while (begin && details[begin - 1] != '\n')
        begin--;
    if (end > begin) {
        dt_buf_puts(text, ", ");
        dt_buf_append(text, details + begin, end - begin);
    }
}

char *dt_restart_signature(const struct dt_failure *failure)
{
    struct dt_buf text = DT_BUF_INIT;
    if (failure->flags & DT_FAILURE_LOST)
        dt_buf_puts(&text, "a lost node");
    else if (failure->flags & DT_FAILURE_HANG)
        dt_buf_puts(&text, "a hang");
    else if (WIFSIGNALED(failure->status))
        dt_buf_printf(&text, "signal %d", WTERMSIG(failure->status));
    else
        dt_buf_printf(&text, "exit code %d", WEXITSTATUS(failure->status));
    if (failure->said_ns) /* other last words hold times, steps and addresses */
        put_last_line(&text, failure->details);
    return dt_buf_take(&text);
}

/* Did the program itself decide to end with an error? */
static bool is_program(const struct dt_failure *failure)
{
    return !WIFSIGNALED(failure->status) &&
           !(failure->flags & (DT_FAILURE_HANG | DT_FAILURE_VICTIM | DT_FAILURE_LOST));
}

static bool same_as_before(const struct dt_history *history, const struct dt_failure *failure)
{
    char *now = history->before ? dt_restart_signature(failure) : NULL;
    bool same = now && strcmp(now, history->before) == 0;
    free(now);
    return same;
}

static enum dt_follow stop(struct dt_buf *why, const char *reason)
{
    dt_buf_puts(why, reason);
    return DT_FOLLOW_STOP;
}

enum dt_follow dt_restart_decide(const struct dt_history *history, const struct dt_failure *failure,
                                 struct dt_buf *why)
{
    bool replace = failure->flags & (DT_FAILURE_LOST | DT_FAILURE_GPU);
    if (history->max == 0 && !replace)
        return DT_FOLLOW_STOP;
    if (failure->flags & DT_FAILURE_FINAL)
        return stop(why, "another attempt would end in the same way");
    if (failure->flags & DT_FAILURE_OOM)
        return stop(why, "memory would run out again: give the ranks more, or let them use less "
                         "(batch size, activation checkpointing, workers of the data loader)");
    if (is_program(failure) && WEXITSTATUS(failure->status) == DT_EXIT_NO_RESTART)
        return stop(why, "by exit code 93 the program asks for none");
    if (replace)
        return DT_FOLLOW_REPLACE;
    if (history->done >= history->max) {
        dt_buf_printf(why, "all %d of --max-restarts were used", history->max);
        return DT_FOLLOW_STOP;
    }
    if (history->progressed)
        return DT_FOLLOW_RESTART;
    if (is_program(failure) && same_as_before(history, failure))
        return stop(why, "the program failed in the same way twice, and got no further in between: "
                         "it is a fault of the program or its input");
    if (history->done > 0)
        return stop(why, "the last restart got the training no further (see --restart-progress)");
    return DT_FOLLOW_RESTART;
}

double dt_restart_delay(const struct dt_history *history)
{
    double delay = history->in_a_row > 0 ? 1 : 0;
    for (int i = 1; i < history->in_a_row && delay < DT_RESTART_DELAY_MAX; i++)
        delay *= 2;
    return delay < DT_RESTART_DELAY_MAX ? delay : DT_RESTART_DELAY_MAX;
}
