/* SPDX-License-Identifier: Apache-2.0 */
/* Private to output*.c. */
#ifndef DT_LAUNCH_OUTPUT_INTERNAL_H
#define DT_LAUNCH_OUTPUT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "output.h"

#define LINE_MAX_BYTES 65536
#define TEXT_BYTES     (1 << 18)
#define PIPE_BYTES     (1 << 18)

struct stream {
    int in, out;
    char *prefix, *more; /* "[3] ", "[3+] "; NULL: bytes go through */
    size_t prefix_len, more_len;
    size_t used;
    bool inside; /* an earlier piece of this line is out already */
    struct dt_tail *tail;
    struct dt_watch *watch;
    bool hidden;
    struct dt_log_file *log; /* owned; NULL: none */
    struct dt_ranks self;    /* with folding: the rank, as a set */
    char line[LINE_MAX_BYTES];
};

struct dt_output {
    struct stream **streams;
    size_t count;
    char *text; /* what the next write will say */
    size_t len;
    pthread_t thread;
    pthread_mutex_t lock; /* of the tails, and of reading into them; and of the fold */
    struct dt_fold *fold; /* NULL: lines are shown as they come */
    struct dt_relay *relay;
    int world;            /* ranks that the fold knows of */
    int wake;             /* eventfd: the fold was fed, or no more will come; -1: no fold */
    atomic_bool status;   /* the last line of the terminal is ours, and to be wiped */
    long long drained_ns; /* when lines last left the fold */
    bool held;            /* lines may wait only because some left just before */
    bool fed;       /* the loop's own: lines have come that the thread has not been woken for */
    bool finishing; /* no more lines will be fed */
    bool started;
    atomic_ulong moved; /* bytes, to see whether the reader still reads */
    bool broken[3];     /* our descriptor 1, 2 takes no more: what comes is thrown away */
    bool unread[3];     /* and its reader is gone */
};

/* Write to our descriptor `out`, as long as it takes and somebody reads. */
void dt_output_deliver(struct dt_output *output, int out, const char *bytes, size_t len);

/* output_fold.c: whole lines of the stream's buffer, and what is left of it at its end, go into the fold;
 * what need not wait any more leaves it (flush: all). */
void dt_output_fold_lines(struct dt_output *output, struct stream *stream);
void dt_output_fold_rest(struct dt_output *output, struct stream *stream);
void dt_output_fold_drain(struct dt_output *output, bool flush);
int dt_output_fold_wait(
    struct dt_output *output); /* ms until the next line leaves; -1: none waits */
void dt_output_wake(struct dt_output *output);

#endif
