/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ranks as bits; see ranks.h. */
#include "fold/ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD 64

int dt_ranks_init(struct dt_ranks *ranks, int size)
{
    *ranks = (struct dt_ranks){.size = size};
    ranks->bits = calloc((size_t)size / WORD + 1, sizeof *ranks->bits);
    return ranks->bits ? 0 : -1;
}

void dt_ranks_fini(struct dt_ranks *ranks)
{
    free(ranks->bits);
    *ranks = (struct dt_ranks){0};
}

bool dt_ranks_has(const struct dt_ranks *ranks, int rank)
{
    return rank >= 0 && rank < ranks->size && (ranks->bits[rank / WORD] >> (rank % WORD) & 1);
}

void dt_ranks_add(struct dt_ranks *ranks, int rank)
{
    if (rank < 0 || rank >= ranks->size || dt_ranks_has(ranks, rank))
        return;
    ranks->bits[rank / WORD] |= UINT64_C(1) << (rank % WORD);
    ranks->count++;
}

void dt_ranks_remove(struct dt_ranks *ranks, int rank)
{
    if (!dt_ranks_has(ranks, rank))
        return;
    ranks->bits[rank / WORD] &= ~(UINT64_C(1) << (rank % WORD));
    ranks->count--;
}

void dt_ranks_join(struct dt_ranks *ranks, const struct dt_ranks *other)
{
    int size = ranks->size < other->size ? ranks->size : other->size;
    for (int i = 0; i * WORD < size; i++) {
        uint64_t more = other->bits[i] & ~ranks->bits[i];
        ranks->bits[i] |= more;
        ranks->count += __builtin_popcountll(more);
    }
}

int dt_ranks_next(const struct dt_ranks *ranks, int from)
{
    for (int word = from / WORD; from < ranks->size; from = ++word * WORD) {
        uint64_t left = ranks->bits[word] >> (from % WORD);
        if (left)
            return from + __builtin_ctzll(left);
    }
    return -1;
}

bool dt_ranks_meet(const struct dt_ranks *a, const struct dt_ranks *b)
{
    int size = a->size < b->size ? a->size : b->size;
    for (int i = 0; i * WORD < size; i++) {
        if (a->bits[i] & b->bits[i])
            return true;
    }
    return false;
}

bool dt_ranks_cover(const struct dt_ranks *ranks, const struct dt_ranks *other)
{
    if (other->count > ranks->count)
        return false;
    for (int i = 0; i * WORD < other->size; i++) {
        if (other->bits[i] & ~(i * WORD < ranks->size ? ranks->bits[i] : 0))
            return false;
    }
    return true;
}

/* ---- text ---------------------------------------------------------------------------------- */

const char *dt_ranks_span(char text[DT_RANKS_SPAN], long long first, long long last)
{
    if (first == last)
        snprintf(text, DT_RANKS_SPAN, "rank %lld", first);
    else
        snprintf(text, DT_RANKS_SPAN, "ranks %lld to %lld", first, last);
    return text;
}

/* A number at *at; -1: there is none, or it is too large. */
static long number(const char **at)
{
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9')
        return -1;
    long n = strtol(*at, &end, 10);
    *at = end;
    return errno || n > DT_RANKS_MAX ? -1 : n;
}

int dt_ranks_parse(struct dt_ranks *ranks, const char *name, const char *text, struct dt_error *err)
{
    bool all = strcmp(text, "all") == 0;
    char span[DT_RANKS_SPAN];
    for (int rank = 0; all && rank < ranks->size; rank++)
        dt_ranks_add(ranks, rank);
    for (const char *at = text; !all;) {
        long first = number(&at), last = first;
        if (first >= 0 && *at == '-') {
            at++;
            last = number(&at);
        }
        if (first < 0 || last < first || (*at && *at != ','))
            return dt_error_set(
                err, "%s is \"%.80s\": ranks are needed, such as 0,8-15, or \"all\"", name, text);
        if (last >= ranks->size)
            return dt_error_set(err, "%s is \"%.80s\", but there %s only %s", name, text,
                                ranks->size == 1 ? "is" : "are",
                                dt_ranks_span(span, 0, ranks->size - 1));
        for (long rank = first; rank <= last; rank++)
            dt_ranks_add(ranks, (int)rank);
        if (!*at++)
            break;
    }
    return 0;
}

/* Ranges of ranks that are (wanted) or are not in the set, below `size`. */
static void put_ranges(const struct dt_ranks *ranks, bool wanted, int size, struct dt_buf *text)
{
    const char *comma = "";
    for (int rank = 0; rank < size; rank++) {
        if (dt_ranks_has(ranks, rank) != wanted)
            continue;
        int last = rank;
        while (last + 1 < size && dt_ranks_has(ranks, last + 1) == wanted)
            last++;
        dt_buf_puts(text, comma);
        dt_buf_number(text, rank);
        if (last > rank) {
            dt_buf_puts(text, "-");
            dt_buf_number(text, last);
        }
        comma = ",";
        rank = last;
    }
}

void dt_ranks_list(const struct dt_ranks *ranks, struct dt_buf *text)
{
    put_ranges(ranks, true, ranks->size, text);
}

void dt_ranks_words(const struct dt_ranks *ranks, struct dt_buf *text)
{
    int first = 0, end = ranks->size;
    while (end > 0 && !dt_ranks_has(ranks, end - 1))
        end--;
    while (first < end && !dt_ranks_has(ranks, first))
        first++;
    int missing = end - first - ranks->count;
    if (missing < 1 || first > 0 || missing * 4 > ranks->count) {
        dt_ranks_list(ranks, text);
        return;
    }
    dt_buf_printf(text, "0-%d except ", end - 1);
    put_ranges(ranks, false, end, text);
}
