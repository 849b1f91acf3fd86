/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks' output on its way to ours. A thread reads the pipes of all ranks, so that a reader of ours
 * who has stopped reading never stops us from seeing a rank die. It writes what comes as it is, or as
 * whole lines behind a prefix, and keeps the last words of each rank. */
#ifndef DT_LAUNCH_OUTPUT_H
#define DT_LAUNCH_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cause/cause.h"
#include "fold/fold.h"
#include "log_file.h"
#include "relay.h"
#include "watch.h"

struct dt_output;

struct dt_output *dt_output_create(struct dt_error *err);

#define DT_OUTPUT_DROP 0

/* Before any stream is added: lines that many ranks write are shown once. all: the ranks whose output is
 * shown (a copy is made). relay: folded lines go there first (borrowed, NULL: none); what it does not
 * take is written here. */
int dt_output_fold(struct dt_output *output, const struct dt_ranks *all, bool numbers,
                   long long window_ns, struct dt_relay *relay, struct dt_error *err);

struct dt_output_stream {
    int rank;
    bool hidden; /* not shown; with `log`, kept only */
    struct dt_log_file
        *log; /* from malloc, taken over in any case: what comes is kept there; NULL: none */
    const char *prefix;     /* without its brackets; NULL: bytes go through as they are */
    int out;                /* our own descriptor 1 or 2; DT_OUTPUT_DROP: what comes goes nowhere */
    bool keep_tail;         /* for dt_output_tail */
    struct dt_watch *watch; /* sees what comes; borrowed; NULL: none */
};

/* A pipe for one stream of one rank: returns the end that the rank writes to (close-on-exec), or
 * -1; *id is its number. Only before dt_output_start. */
int dt_output_add(struct dt_output *output, const struct dt_output_stream *stream, size_t *id,
                  struct dt_error *err);

int dt_output_start(struct dt_output *output, struct dt_error *err);

/* Show a line about the job on standard error: on a terminal it is wiped before the next output. */
void dt_output_status(struct dt_output *output, const char *text);

/* A line of ranks of another node, to be folded with ours. Its like may be waited for. */
void dt_output_feed(struct dt_output *output, int stream, const struct dt_ranks *ranks,
                    const char *text);
void dt_output_fed(struct dt_output *output); /* after the last of several */
/* With folding: more lines wait than should; and: all streams have ended and no line waits any more. */
bool dt_output_full(struct dt_output *output);
bool dt_output_quiet(struct dt_output *output);

/* What the stream ended with so far. Waits, 100 ms at most, until all that lies in its pipe was
 * taken. */
void dt_output_tail(struct dt_output *output, size_t id, struct dt_tail *tail);

/* Wait until every rank's end is closed and all is written, and free. Gives up when nothing moves
 * for 2 s: then returns false, and the process must end, since the thread still runs. */
bool dt_output_finish(struct dt_output *output);

#endif
