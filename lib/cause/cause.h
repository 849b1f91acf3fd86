/* SPDX-License-Identifier: Apache-2.0 */
/* Why a job failed: the last words of each rank, and which of many failures was the first.
 *
 * When one rank fails the others soon fail too, with "connection reset by peer". The one that exits
 * first need not be the cause: a Python program that has printed its traceback may take seconds to
 * end, and its peers, who see the connection close, end sooner. So a failure counts from when its
 * traceback began, and one that speaks of a lost peer only counts when no other is there.
 */
#ifndef DT_CAUSE_CAUSE_H
#define DT_CAUSE_CAUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* ---- last words ------------------------------------------------------------------------------ */

#define DT_TAIL_BYTES 32768

/* The end of what a rank wrote to standard error, and when its last traceback began. */
struct dt_tail {
    char bytes[DT_TAIL_BYTES]; /* a ring */
    unsigned long long total;  /* ever */
    long long traceback_ns;    /* 0: none */
    long long header_ns;       /* of the newest header of that traceback, which may be chained */
    size_t matched;            /* bytes of the header that the text ends with */
};
void dt_tail_add(struct dt_tail *tail, const char *bytes, size_t len, long long now_ns);

/* The last traceback with what it is chained to, else the last lines, at most `max` bytes, control
 * characters but newlines made '?'. Empty: nothing was said. */
void dt_tail_words(const struct dt_tail *tail, size_t max, struct dt_buf *text);

/* The last line of the traceback: "ValueError: boom". Empty: none. */
void dt_tail_exception(const struct dt_tail *tail, struct dt_buf *text);

/* Does the text tell of a peer that went away? */
bool dt_cause_is_victim(const char *text);

/* What torch.distributed.elastic's error file says; false: it is no such file. */
bool dt_cause_error_file(const char *json, struct dt_buf *message, struct dt_buf *callstack);

/* ---- which was the first --------------------------------------------------------------------- */

enum {
    DT_FAILURE_STOPPED = 1, /* after dt-launch had begun to end the ranks */
    DT_FAILURE_VICTIM = 2,  /* its words tell of a lost peer */
    DT_FAILURE_OOM = 4,     /* the kernel killed it for memory */
    DT_FAILURE_LOST = 8,    /* not a rank but a whole node went away */
    DT_FAILURE_HANG = 16,   /* nothing moved any more */
    DT_FAILURE_GPU = 32,    /* an accelerator of its node is at fault */
    DT_FAILURE_FINAL = 64,  /* another attempt would end the same way, or is not wanted */
};

struct dt_failure {
    int rank, local_rank, node;
    int pid, status;
    unsigned flags;
    long long died_ns; /* one clock for all */
    long long said_ns; /* when its traceback began; 0: none */
    char *sentence;    /* owned: how it ended */
    char *details;     /* owned: its last words; may be NULL */
};

/* Index of the cause; -1 when there is none. */
int dt_cause_first(const struct dt_failure *failures, size_t count);
void dt_failure_fini(struct dt_failure *failure);

#endif
