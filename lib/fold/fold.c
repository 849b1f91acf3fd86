/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that wait, oldest first, and found by what they say; see fold.h. */
#include "fold/fold.h"

#include <stdlib.h>
#include <string.h>

#include "fold/numbers.h"

#define BUCKETS 4096 /* a line in each, about, of those that wait */

struct line {
    struct line *next, **before; /* younger; who points at us */
    struct line *same, **from;   /* of the same bucket, youngest first; who points at us */
    unsigned long long number;
    long long due_ns;
    int stream;
    unsigned long long hash;
    struct dt_ranks ranks;
    struct dt_numbers numbers; /* the text, its numbers apart */
};

struct dt_fold {
    struct dt_ranks all;
    bool apart; /* numbers are kept apart */
    long long window_ns;
    struct line *oldest, **youngest;
    struct line *buckets[BUCKETS];
    size_t pending;
    unsigned long long made;
    /* By rank and stream: number of the last line that it has joined. What a rank writes to two streams has no
     * order. */
    unsigned long long (*joined)[2];
};

struct dt_fold *dt_fold_create(const struct dt_ranks *all, bool numbers, long long window_ns)
{
    struct dt_fold *fold = calloc(1, sizeof *fold);
    if (!fold)
        return NULL;
    fold->apart = numbers;
    fold->window_ns = window_ns;
    fold->youngest = &fold->oldest;
    fold->joined = calloc((size_t)all->size, sizeof *fold->joined);
    if (!fold->joined || dt_ranks_init(&fold->all, all->size)) {
        dt_fold_destroy(fold);
        return NULL;
    }
    dt_ranks_join(&fold->all, all);
    return fold;
}

static void free_line(struct line *line)
{
    dt_ranks_fini(&line->ranks);
    dt_numbers_fini(&line->numbers);
    free(line);
}

/* Out of the order, and out of its bucket. */
static void unlink_line(struct dt_fold *fold, struct line *line)
{
    *line->before = line->next;
    if (line->next)
        line->next->before = line->before;
    else
        fold->youngest = line->before;
    *line->from = line->same;
    if (line->same)
        line->same->from = line->from;
}

/* To the end of the order, and to the front of its bucket. */
static void link_youngest(struct dt_fold *fold, struct line *line)
{
    struct line **bucket = &fold->buckets[line->hash % BUCKETS];
    line->number = ++fold->made;
    line->same = *bucket;
    line->from = bucket;
    if (line->same)
        line->same->from = &line->same;
    *bucket = line;
    line->next = NULL;
    line->before = fold->youngest;
    *fold->youngest = line;
    fold->youngest = &line->next;
}

static struct line *take_oldest(struct dt_fold *fold)
{
    struct line *line = fold->oldest;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a line that was freed is not in the list any more */
    unlink_line(fold, line);
    fold->pending--;
    return line;
}

void dt_fold_destroy(struct dt_fold *fold)
{
    if (!fold)
        return;
    while (fold->oldest)
        free_line(take_oldest(fold));
    dt_ranks_fini(&fold->all);
    free(fold->joined);
    free(fold);
}

/* ---- lines come ---------------------------------------------------------------------------- */

/* The newest line that any of the ranks has joined. */
static unsigned long long last_joined(const struct dt_fold *fold, int stream,
                                      const struct dt_ranks *ranks)
{
    unsigned long long last = 0;
    for (int rank = dt_ranks_next(ranks, 0); rank >= 0; rank = dt_ranks_next(ranks, rank + 1)) {
        if (fold->joined[rank][stream == 2] > last)
            last = fold->joined[rank][stream == 2];
    }
    return last;
}

static void join(struct dt_fold *fold, struct line *line, const struct dt_ranks *ranks)
{
    dt_ranks_join(&line->ranks, ranks);
    for (int rank = dt_ranks_next(ranks, 0); rank >= 0; rank = dt_ranks_next(ranks, rank + 1))
        fold->joined[rank][line->stream == 2] = line->number;
}

/* Has none of its ranks written anything since? Then it may stand later in the order. */
static bool may_move(const struct dt_fold *fold, const struct line *line)
{
    const struct dt_ranks *ranks = &line->ranks;
    for (int rank = dt_ranks_next(ranks, 0); rank >= 0; rank = dt_ranks_next(ranks, rank + 1)) {
        if (fold->joined[rank][line->stream == 2] != line->number)
            return false;
    }
    return true;
}

/* The like of it that these ranks, whose last line was number `last`, may join: the oldest that began after that,
 * else one that can be moved behind it. */
static struct line *find_like(struct dt_fold *fold, int stream, unsigned long long hash,
                              const struct dt_numbers *numbers, const struct dt_ranks *ranks)
{
    unsigned long long last = last_joined(fold, stream, ranks);
    struct line *found = NULL, *earlier = NULL;
    for (struct line *at = fold->buckets[hash % BUCKETS]; at && !earlier; at = at->same) {
        if (at->hash != hash || at->stream != stream || !dt_numbers_alike(&at->numbers, numbers))
            continue;
        if (at->number > last)
            found = at;
        else
            earlier = at;
    }
    if (found || !earlier || dt_ranks_meet(&earlier->ranks, ranks) || !may_move(fold, earlier))
        return found;
    unlink_line(fold, earlier);
    link_youngest(fold, earlier);
    join(fold, earlier, &earlier->ranks);
    return earlier;
}

static struct line *append(struct dt_fold *fold, int stream, unsigned long long hash,
                           struct dt_numbers *numbers, long long now_ns)
{
    struct line *line = calloc(1, sizeof *line);
    if (!line || dt_ranks_init(&line->ranks, fold->all.size)) {
        free(line);
        return NULL;
    }
    line->due_ns = now_ns + fold->window_ns;
    line->stream = stream;
    line->hash = hash;
    line->numbers = *numbers;
    *numbers = (struct dt_numbers){0};
    link_youngest(fold, line);
    fold->pending++;
    return line;
}

int dt_fold_add(struct dt_fold *fold, int stream, const struct dt_ranks *ranks, const char *text,
                size_t length, long long now_ns)
{
    struct dt_numbers numbers;
    if (ranks->size > fold->all.size)
        return -1;
    if (dt_numbers_init(&numbers, text, length, ranks->count, fold->apart))
        return -1;
    unsigned long long hash = dt_numbers_hash(&numbers) + (unsigned)stream;
    struct line *line = find_like(fold, stream, hash, &numbers, ranks);
    if (line)
        dt_numbers_widen(&line->numbers, &numbers);
    else
        line = append(fold, stream, hash, &numbers, now_ns);
    if (line)
        join(fold, line, ranks);
    dt_numbers_fini(&numbers);
    return line ? 0 : -1;
}

void dt_fold_leave(struct dt_fold *fold, int rank)
{
    dt_ranks_remove(&fold->all, rank);
}

/* ---- lines leave --------------------------------------------------------------------------- */

bool dt_fold_next(struct dt_fold *fold, long long now_ns, bool flush, struct dt_folded *folded)
{
    struct line *line = fold->oldest;
    if (!line || !(flush || line->due_ns <= now_ns || fold->pending > DT_FOLD_PENDING_MAX ||
                   dt_ranks_cover(&line->ranks, &fold->all)))
        return false;
    line = take_oldest(fold);
    *folded = (struct dt_folded){.stream = line->stream, .ranks = line->ranks};
    folded->text = dt_numbers_take(&line->numbers);
    line->ranks = (struct dt_ranks){0};
    free_line(line);
    if (!folded->text)
        folded->text = strdup(""); /* without memory the ranks are told at least */
    return true;
}

void dt_folded_fini(struct dt_folded *line)
{
    dt_ranks_fini(&line->ranks);
    free(line->text);
    line->text = NULL;
}

size_t dt_fold_pending(const struct dt_fold *fold)
{
    return fold->pending;
}

long long dt_fold_due(const struct dt_fold *fold)
{
    return fold->oldest ? fold->oldest->due_ns : 0;
}
