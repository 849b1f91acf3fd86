/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of the allocation: which of them are good, and which the next step runs on. Those that have
 * served stay; a spare comes in only for one that is bad. */
#ifndef DT_LAUNCH_SPARES_H
#define DT_LAUNCH_SPARES_H

#include <stdbool.h>

#include "base/error.h"
#include "base/hostlist.h"

struct dt_spares {
    struct dt_hostlist all;
    bool *bad;
    int wanted;    /* nodes of a step */
    int least;     /* so many will do when no more are good */
    char **chosen; /* borrowed from `all` */
};

/* allocation, only, exclude: node lists; the last two may be NULL. wanted 0: all but `kept_back`. least 0: all that are wanted. */
int dt_spares_begin(struct dt_spares *spares, const char *allocation, const char *only,
                    const char *exclude, int least, int wanted, int kept_back,
                    struct dt_error *err);
void dt_spares_fini(struct dt_spares *spares);

int dt_spares_good(const struct dt_spares *spares);
/* Returns false when it is no good node of ours. */
bool dt_spares_reject(struct dt_spares *spares, const char *node);
/* How many of these it rejected. */
int dt_spares_reject_list(struct dt_spares *spares, const char *list);

/* Fill `chosen` with the first `wanted` good nodes, or with all good ones. Returns their number; -1:
 * fewer than `least` are good. */
int dt_spares_choose(struct dt_spares *spares, bool all);

/* The rejected ones in bracket notation; "" when there are none. Caller frees; NULL: no memory. */
char *dt_spares_bad(const struct dt_spares *spares);

#endif
