/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many failures was the first. */
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "cause/cause.h"

/* A traceback that is over long before the end was of an error that the program got over. */
#define SAID_COUNTS_NS 60000000000LL

static bool said_counts(const struct dt_failure *failure)
{
    return failure->said_ns && failure->said_ns <= failure->died_ns &&
           failure->died_ns - failure->said_ns <= SAID_COUNTS_NS;
}

static long long began(const struct dt_failure *failure)
{
    return said_counts(failure) ? failure->said_ns : failure->died_ns;
}

static long long first_death(const struct dt_failure *failures, size_t count)
{
    long long first = LLONG_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!(failures[i].flags & DT_FAILURE_STOPPED) && began(&failures[i]) < first)
            first = began(&failures[i]);
    }
    return first;
}

/* Higher is worse: what ended by our own doing, a victim, the rest. */
static int rank_of(const struct dt_failure *failure, long long first)
{
    if ((failure->flags & DT_FAILURE_STOPPED) &&
        !(said_counts(failure) && failure->said_ns <= first))
        return 0;
    return failure->flags & DT_FAILURE_VICTIM ? 1 : 2;
}

/* Of two in the same moment a crash is the cause of an error exit sooner than the other way round. */
static bool before(const struct dt_failure *a, const struct dt_failure *b)
{
    if (began(a) != began(b))
        return began(a) < began(b);
    return WIFSIGNALED(a->status) && !WIFSIGNALED(b->status);
}

int dt_cause_first(const struct dt_failure *failures, size_t count)
{
    long long first = first_death(failures, count);
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        int rank = rank_of(&failures[i], first);
        int best_rank = best < 0 ? -1 : rank_of(&failures[best], first);
        if (rank > best_rank || (rank == best_rank && before(&failures[i], &failures[best])))
            best = (int)i;
    }
    return best;
}

void dt_failure_fini(struct dt_failure *failure)
{
    free(failure->sentence);
    free(failure->details);
    *failure = (struct dt_failure){0};
}
