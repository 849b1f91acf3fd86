/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ranks, and how people write them: "0,8-15", and, of many, "0-511 except 17". */
#ifndef DT_FOLD_RANKS_H
#define DT_FOLD_RANKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define DT_RANKS_MAX (1 << 26)

#define DT_RANKS_SPAN 56 /* bytes that are enough for dt_ranks_span() */
/* "rank 2", "ranks 2 to 5": what a sentence says of neighbours. Returns `text`. */
const char *dt_ranks_span(char text[DT_RANKS_SPAN], long long first, long long last);

struct dt_ranks {
    uint64_t *bits;
    int size;  /* ranks 0 to size - 1 may be in it */
    int count; /* that are */
};

/* Empty. -1: no memory. */
int dt_ranks_init(struct dt_ranks *ranks, int size);
void dt_ranks_fini(struct dt_ranks *ranks);
bool dt_ranks_has(const struct dt_ranks *ranks, int rank);
void dt_ranks_add(struct dt_ranks *ranks, int rank); /* one that is none of `size` is left out */
void dt_ranks_remove(struct dt_ranks *ranks, int rank);
void dt_ranks_join(struct dt_ranks *ranks, const struct dt_ranks *other);
/* Some rank is in both. */
bool dt_ranks_meet(const struct dt_ranks *a, const struct dt_ranks *b);
/* The first rank of the set that is `from` or above; -1: none. */
int dt_ranks_next(const struct dt_ranks *ranks, int from);
/* Every one of `other` is in `ranks`. */
bool dt_ranks_cover(const struct dt_ranks *ranks, const struct dt_ranks *other);

/* Add what the text names: "all", or numbers and ranges with commas between them. The sentence begins with
 * `name`, the option. Ranks beyond `size` are a mistake. */
int dt_ranks_parse(struct dt_ranks *ranks, const char *name, const char *text,
                   struct dt_error *err);

/* "0-7,9"; exact, to be parsed again. */
void dt_ranks_list(const struct dt_ranks *ranks, struct dt_buf *text);
/* For people: the same, or "0-511 except 17" where that is shorter. */
void dt_ranks_words(const struct dt_ranks *ranks, struct dt_buf *text);

#endif
