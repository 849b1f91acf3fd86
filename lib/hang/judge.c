/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing ranks, and the paragraph about them. */
#include <stdlib.h>
#include <string.h>

#include "hang/hang.h"

#define NAMED 8 /* odd ranks that are named one by one; of the others the number is enough */

/* From here on a kind is no way to wait for a peer. */
#define SUSPECT DT_HANG_READS_PIPE

void dt_hang_rank_fini(struct dt_hang_rank *rank)
{
    free(rank->node_name);
    free(rank->doing);
    free(rank->key);
    free(rank->stack);
    *rank = (struct dt_hang_rank){0};
}

/* ---- groups of ranks that do the same ---------------------------------------------------------- */

static int compare_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

/* How closely ranks are compared. Keys of the store, and places, may hold something of each rank's own. */
enum closeness { BY_KEY, BY_WORDS, BY_KIND, CLOSENESSES };

static int compare_doing(const struct dt_hang_rank *a, const struct dt_hang_rank *b,
                         enum closeness closeness)
{
    int order = (int)a->kind - (int)b->kind;
    if (!order && closeness <= BY_WORDS)
        order = compare_text(a->doing, b->doing);
    if (!order && closeness <= BY_KEY)
        order = compare_text(a->key, b->key);
    return order;
}

/* Then by rank, so that the first of those that do the same is the lowest. */
static int compare(const void *left, const void *right, void *closeness)
{
    const struct dt_hang_rank *a = *(const struct dt_hang_rank *const *)left;
    const struct dt_hang_rank *b = *(const struct dt_hang_rank *const *)right;
    int order = compare_doing(a, b, *(const enum closeness *)closeness);
    return order ? order : a->rank - b->rank;
}

static const struct dt_hang_rank **sorted(const struct dt_hang_rank *ranks, size_t count,
                                          enum closeness closeness)
{
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
    const struct dt_hang_rank **order = reallocarray(NULL, count ? count : 1, sizeof *order);
    for (size_t i = 0; order && i < count; i++)
        order[i] = &ranks[i];
    if (order && count)
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): the same */
        qsort_r(order, count, sizeof *order, compare, &closeness);
    return order;
}

static size_t group_end(const struct dt_hang_rank *const *order, size_t count, size_t begin,
                        enum closeness closeness)
{
    size_t end = begin + 1;
    while (end < count && compare_doing(order[begin], order[end], closeness) == 0)
        end++;
    return end;
}

/* One of the largest group; of equal groups the least suspect, which comes first. */
static const struct dt_hang_rank *most_common(const struct dt_hang_rank *ranks, size_t count,
                                              enum closeness closeness, size_t *size)
{
    const struct dt_hang_rank **order = sorted(ranks, count, closeness), *best = NULL;
    *size = 0;
    for (size_t begin = 0, end; order && begin < count; begin = end) {
        end = group_end(order, count, begin, closeness);
        if (end - begin > *size) {
            *size = end - begin;
            best = order[begin];
        }
    }
    free(order);
    return best;
}

/* As closely as can be, as long as half of all do the same. */
static const struct dt_hang_rank *find_common(const struct dt_hang_rank *ranks, size_t count,
                                              enum closeness *closeness)
{
    const struct dt_hang_rank *common = NULL;
    for (int level = BY_KEY; level < CLOSENESSES; level++) {
        size_t size;
        *closeness = (enum closeness)level;
        common = most_common(ranks, count, *closeness, &size);
        if (size * 2 >= count)
            break;
    }
    return common;
}

/* ---- judging ------------------------------------------------------------------------------- */

static void mark_apart(struct dt_hang_rank *ranks, size_t count)
{
    bool connected = false;
    for (size_t i = 0; i < count; i++)
        connected = connected || ranks[i].connected;
    for (size_t i = 0; connected && i < count; i++) {
        if (!ranks[i].connected && ranks[i].kind < DT_HANG_APART && ranks[i].kind != DT_HANG_ENDED)
            ranks[i].kind = DT_HANG_APART;
    }
}

/* A kind that is no way to wait for a peer makes a rank odd even where half of all, or the only one,
 * do it. */
static bool is_odd(const struct dt_hang_rank *rank, const struct dt_hang_rank *common,
                   enum closeness closeness, size_t count)
{
    return compare_doing(rank, common, closeness) != 0 || count == 1 ||
           (count == 2 && rank->kind >= DT_HANG_DISK);
}

/* Among those that do not do the common thing, only the suspect ones where there are any. */
size_t dt_hang_judge(struct dt_hang_rank *ranks, size_t count)
{
    enum dt_hang_kind worst = DT_HANG_WAITS;
    enum closeness closeness;
    size_t odd = 0;
    mark_apart(ranks, count);
    const struct dt_hang_rank *common = find_common(ranks, count, &closeness);
    for (size_t i = 0; common && i < count; i++) {
        ranks[i].odd = is_odd(&ranks[i], common, closeness, count);
        if (ranks[i].odd && ranks[i].kind > worst)
            worst = ranks[i].kind;
    }
    for (size_t i = 0; i < count; i++) {
        if (ranks[i].odd && worst >= SUSPECT && ranks[i].kind < SUSPECT)
            ranks[i].odd = false;
        odd += ranks[i].odd;
    }
    return odd;
}

/* ---- words --------------------------------------------------------------------------------- */

static void put_doing(struct dt_buf *text, const struct dt_hang_rank *rank)
{
    dt_buf_puts(text, rank->doing ? rank->doing : "is");
    if (rank->key)
        dt_buf_printf(text, ", for the key \"%.80s\" of the store", rank->key);
    if (rank->kind == DT_HANG_APART)
        dt_buf_puts(text, ", and has not connected to the store as others have");
}

static void put_stack(struct dt_buf *text, const char *stack)
{
    for (const char *at = stack; at && *at;) {
        size_t len = strcspn(at, "\n");
        dt_buf_puts(text, "  |     ");
        dt_buf_append(text, at, len);
        dt_buf_puts(text, "\n");
        at += len + (at[len] == '\n');
    }
}

static void put_odd(struct dt_buf *text, const struct dt_hang_rank *rank)
{
    dt_buf_printf(text, "  | rank %d on %s (pid %d, quiet for %.0f s) ", rank->rank,
                  rank->node_name ? rank->node_name : "?", rank->pid, rank->quiet_s);
    put_doing(text, rank);
    dt_buf_puts(text, "\n");
    put_stack(text, rank->stack);
}

/* "0-6,8" of the ranks order[begin..end) that are not odd; they are sorted. */
static void put_ranks(struct dt_buf *text, const struct dt_hang_rank *const *order, size_t begin,
                      size_t end)
{
    for (size_t i = begin, shown = 0; i < end; i++, shown++) {
        size_t last = i;
        while (last + 1 < end && order[last + 1]->rank == order[last]->rank + 1)
            last++;
        if (shown == 16) {
            dt_buf_puts(text, ",...");
            return;
        }
        dt_buf_printf(text, last > i ? "%s%d-%d" : "%s%d", shown ? "," : "", order[i]->rank,
                      order[last]->rank);
        i = last;
    }
}

static void put_others(struct dt_buf *text, const struct dt_hang_rank *ranks, size_t count)
{
    const struct dt_hang_rank **order = sorted(ranks, count, BY_KEY);
    size_t groups = 0;
    for (size_t begin = 0, end; order && begin < count; begin = end) {
        end = group_end(order, count, begin, BY_KEY);
        if (order[begin]->odd)
            continue;
        if (groups++ == NAMED) {
            dt_buf_puts(text, "  | ...\n");
            break;
        }
        dt_buf_printf(text, "  | %s ", end - begin > 1 ? "ranks" : "rank");
        put_ranks(text, order, begin, end);
        dt_buf_printf(text, end - begin > 1 ? " (%zu) each: " : ": ", end - begin);
        put_doing(text, order[begin]);
        dt_buf_puts(text, "\n");
        put_stack(text, order[begin]->stack);
    }
    free(order);
}

static void put_headline(struct dt_buf *text, const struct dt_hang_rank *ranks, size_t count,
                         size_t odd, double quiet_s)
{
    const struct dt_hang_rank *first = NULL;
    for (size_t i = 0; i < count && !first; i++)
        first = ranks[i].odd ? &ranks[i] : NULL;
    dt_buf_printf(text, "nothing has moved for %.0f s in any of %zu ranks", quiet_s, count);
    if (odd == 1 && count > 1)
        dt_buf_printf(text, ": rank %d on %s is the odd one out\n", first->rank, first->node_name);
    else if (odd > 0 && count > 1)
        dt_buf_printf(text, ": %zu do not do what the others do\n", odd);
    else if (count > 1 && ranks[0].kind < SUSPECT)
        dt_buf_puts(text, ": all do the same, so suspect the network between them\n");
    else
        dt_buf_puts(text, count > 1 ? ": all do the same\n" : "\n");
}

void dt_hang_report(struct dt_buf *text, const struct dt_hang_rank *ranks, size_t count,
                    double quiet_s)
{
    size_t odd = 0, named = 0;
    for (size_t i = 0; i < count; i++)
        odd += ranks[i].odd;
    put_headline(text, ranks, count, odd, quiet_s);
    for (size_t i = 0; i < count && named < NAMED; i++) {
        if (!ranks[i].odd)
            continue;
        put_odd(text, &ranks[i]);
        named++;
    }
    if (odd > named)
        dt_buf_printf(text, "  | and %zu more such ranks\n", odd - named);
    put_others(text, ranks, count);
}
