/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that many ranks write, told once: "[0-511 except 17] loading the data".
 *
 * A line waits for its like from other ranks until all ranks have written it or its window is over. A rank's own
 * lines never change places: it joins a line that began after the last one it joined, or one that can be
 * moved behind that because none of its ranks has written anything since. With `numbers`, lines that differ in
 * numbers only are one, each number given as least..mean..greatest. */
#ifndef DT_FOLD_FOLD_H
#define DT_FOLD_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "fold/ranks.h"

#define DT_FOLD_LINE_MAX    32768 /* bytes; the rest of a longer line is a line of its own */
#define DT_FOLD_PENDING_MAX 4096  /* lines that wait; beyond it the oldest leaves before its time */

struct dt_fold;

/* all: the ranks that a line waits for. NULL: no memory. */
struct dt_fold *dt_fold_create(const struct dt_ranks *all, bool numbers, long long window_ns);
void dt_fold_destroy(struct dt_fold *fold);

/* ranks wrote this line to `stream` (1, 2) at `now_ns`. -1: no memory, or a set of more ranks than the fold
 * was made for; the line is lost. */
int dt_fold_add(struct dt_fold *fold, int stream, const struct dt_ranks *ranks, const char *text,
                size_t length, long long now_ns);
/* The rank has ended: nobody waits for it any more. */
void dt_fold_leave(struct dt_fold *fold, int rank);

struct dt_folded {
    int stream;
    struct dt_ranks ranks;
    char *text; /* no newline */
};
/* Take the next line that need not wait any more; `flush`: none need. false: there is none. */
bool dt_fold_next(struct dt_fold *fold, long long now_ns, bool flush, struct dt_folded *line);
void dt_folded_fini(struct dt_folded *line);

size_t dt_fold_pending(const struct dt_fold *fold); /* lines that wait */

/* When dt_fold_next may next have something without another line coming; 0: never. */
long long dt_fold_due(const struct dt_fold *fold);

#endif
