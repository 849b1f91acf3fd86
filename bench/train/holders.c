/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of pieces gathered and sorted, checksums compared among equal keys; see holders.h. */
#include "holders.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "extents.h"
#include "hash.h"
#include "rng.h"

/* A share that is smaller is not worth a place of its own in a checkpoint: 256 KiB of fp32. */
#define LEAST_SHARE ((size_t)65536)

/* Equal for equal pieces, and for different ones not but by a chance of 2^-63. 0: no memory. The
 * words of an extent are few and small, and differ in few bits: dt_hash, made for long arrays, gives
 * two of them one sum soon, so each word is mixed in by itself. */
static uint64_t key_of(const struct dt_tensor *tensor)
{
    struct dt_extents extents = {0};
    dt_extents_add_tensor(&extents, tensor, 0, tensor->count);
    uint64_t key = 0;
    for (size_t i = 0; i < extents.count && !extents.failed; i++) {
        const struct dt_extent *e = &extents.items[i];
        const uint64_t words[] = {e->tensor, e->offset, e->length, e->stride, e->times};
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            key = dt_rng_bits(key, w, words[w]);
    }
    key = extents.failed ? 0 : key | 1;
    dt_extents_fini(&extents);
    return key;
}

static int by_key(const void *a, const void *b)
{
    const struct dt_holder *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* keys: `most` of each rank, those that it has not are 0. */
static void sort_keys(struct dt_holders *h, const uint64_t *keys)
{
    for (size_t i = 0; i < h->most * (size_t)h->comm->size; i++)
        if (keys[i] != 0)
            h->all[h->count++] = (struct dt_holder){
                .key = keys[i], .rank = (uint32_t)(i / h->most), .tensor = (uint32_t)(i % h->most)};
    qsort(h->all, h->count, sizeof *h->all, by_key);
}

/* The number of tensors of the rank that has most. */
static int find_most(struct dt_holders *h, struct dt_error *err)
{
    size_t ranks = (size_t)h->comm->size;
    uint64_t mine = h->own->tensor_count, *counts = calloc(ranks, sizeof *counts);
    if (!counts)
        return dt_comm_break(h->comm, err, "no memory for the tables of %zu ranks", ranks);
    int rc = h->comm->operations->allgather(h->comm, &mine, counts, sizeof mine, err);
    for (size_t r = 0; r < ranks; r++)
        h->most = counts[r] > h->most ? (size_t)counts[r] : h->most;
    free(counts);
    return rc;
}

int dt_holders_open(struct dt_holders *h, struct dt_comm *comm, const struct dt_layout *own,
                    struct dt_error *err)
{
    size_t ranks = (size_t)comm->size;
    *h = (struct dt_holders){.comm = comm, .own = own};
    if (find_most(h, err) < 0)
        return -1;
    uint64_t *keys = calloc((ranks + 1) * h->most, sizeof *keys);
    h->all = calloc(ranks * h->most, sizeof *h->all);
    bool failed = !keys || !h->all;
    for (size_t t = 0; t < own->tensor_count && !failed; t++) {
        keys[ranks * h->most + t] = key_of(&own->tensors[t]);
        failed = keys[ranks * h->most + t] == 0;
    }
    if (failed) {
        free(keys);
        return dt_comm_break(comm, err, "no memory for the tables of %zu ranks", ranks);
    }
    int rc = comm->operations->allgather(comm, keys + ranks * h->most, keys, h->most * sizeof *keys,
                                         err);
    if (rc == 0)
        sort_keys(h, keys);
    free(keys);
    return rc;
}

void dt_holders_close(struct dt_holders *h)
{
    free(h->all);
    *h = (struct dt_holders){0};
}

/* Entries from `first` on that have its key. */
static size_t same_key(const struct dt_holders *h, size_t first)
{
    size_t end = first + 1;
    while (end < h->count && h->all[end].key == h->all[first].key)
        end++;
    return end - first;
}

void dt_holders_share(const struct dt_holders *h, size_t tensor, size_t *from, size_t *to)
{
    size_t count = h->own->tensors[tensor].count, at = 0;
    const struct dt_holder want = {.key = key_of(&h->own->tensors[tensor])};
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_key(&h->all[middle], &want) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t holders = low < h->count && want.key ? same_key(h, low) : 0;
    while (at < holders && h->all[low + at].rank != (uint32_t)h->comm->rank)
        at++;
    *from = 0;
    *to = count;
    if (at == holders)
        return; /* not in the table: no memory for its key; it is written twice rather than not */
    /* who begins differs from piece to piece, so that small ones are spread, too */
    size_t parts = count / LEAST_SHARE;
    parts = parts < 1 ? 1 : parts > holders ? holders : parts;
    size_t part = (at + holders - (size_t)(want.key >> 1) % holders) % holders;
    *from = part < parts ? count / parts * part : 0;
    *to = part + 1 < parts ? count / parts * (part + 1) : part < parts ? count : 0;
}

/* The checksum that most of the entries have, and how many do; where no two agree the first's. */
static uint64_t most_common(const struct dt_holder *entries, const uint64_t *sums, size_t most,
                            size_t count, size_t *supporters)
{
    uint64_t best = 0;
    *supporters = 0;
    for (size_t i = 0; i < count && *supporters <= count / 2; i++) {
        uint64_t sum = sums[entries[i].rank * most + entries[i].tensor];
        size_t same = 0;
        for (size_t j = 0; j < count; j++)
            same += sums[entries[j].rank * most + entries[j].tensor] == sum;
        if (same > *supporters) {
            *supporters = same;
            best = sum;
        }
    }
    return best;
}

/* A piece of which not all holders have the same, and who is odd. */
struct finding {
    const struct dt_holder *piece, *odd; /* odd: one of the holders */
    size_t holders, supporters;
};

/* Of all such pieces that with the most holders, since more voices name the culprit more surely,
 * and of these the first in the model. */
static struct finding find_odd(const struct dt_holders *h, const uint64_t *sums)
{
    struct finding found = {0};
    for (size_t i = 0, count; i < h->count; i += count) {
        const struct dt_holder *piece = &h->all[i];
        size_t supporters, odd = 0;
        count = same_key(h, i);
        uint64_t sum = most_common(piece, sums, h->most, count, &supporters);
        if (supporters == count || count < found.holders ||
            (found.piece && count == found.holders && piece->tensor >= found.piece->tensor))
            continue;
        while (sums[piece[odd].rank * h->most + piece[odd].tensor] == sum)
            odd++;
        found = (struct finding){piece, &piece[odd], count, supporters};
    }
    return found;
}

struct place {
    char host[64], tensor[64];
};

/* Nodes and names are asked for only now that they are needed; all ranks come here together. */
static int tell(const struct dt_holders *h, const struct finding *found, struct dt_error *err)
{
    struct place mine = {0}, *all = calloc((size_t)h->comm->size, sizeof *all);
    if (!all)
        return dt_comm_break(h->comm, err, "no memory for the names of %d nodes", h->comm->size);
    gethostname(mine.host, sizeof mine.host - 1);
    for (size_t i = 0; i < found->holders; i++)
        if (found->piece[i].rank == (uint32_t)h->comm->rank) {
            const struct dt_tensor *t = &h->own->tensors[found->piece[i].tensor];
            if (t->layer >= 0)
                snprintf(mine.tensor, sizeof mine.tensor, "%s of layer %d", t->name, t->layer);
            else
                snprintf(mine.tensor, sizeof mine.tensor, "%s", t->name);
        }
    if (h->comm->operations->allgather(h->comm, &mine, all, sizeof mine, err) == 0) {
        uint32_t first = found->piece[0].rank, odd = found->odd->rank;
        if (found->holders == 2)
            dt_error_set(err,
                         "parameters of rank %u on %s and of rank %u on %s differ (first in %s): "
                         "memory, CPU or network of one of them is at fault; check both, and go on "
                         "from the checkpoint before",
                         first, all[first].host, odd, all[odd].host, all[odd].tensor);
        else
            dt_error_set(
                err,
                "parameters of rank %u on %s differ from what %zu of %zu ranks have (first "
                "in %s): memory, CPU or network of that node is at fault; take it out, and "
                "go on from the checkpoint before",
                odd, all[odd].host, found->supporters, found->holders, all[odd].tensor);
    }
    free(all);
    return -1;
}

int dt_holders_check(const struct dt_holders *h, const real *params, struct dt_error *err)
{
    size_t ranks = (size_t)h->comm->size;
    uint64_t *sums = calloc((ranks + 1) * h->most, sizeof *sums);
    if (!sums)
        return dt_comm_break(h->comm, err, "no memory for the checksums of %zu ranks", ranks);
    uint64_t *mine = sums + ranks * h->most;
    for (size_t t = 0; t < h->own->tensor_count; t++) {
        const struct dt_tensor *tensor = &h->own->tensors[t];
        mine[t] = dt_hash(params + tensor->offset, tensor->count * sizeof *params, 0);
    }
    int rc = h->comm->operations->allgather(h->comm, mine, sums, h->most * sizeof *sums, err);
    if (rc == 0) {
        struct finding found = find_odd(h, sums);
        if (found.holders > 0)
            rc = tell(h, &found, err);
    }
    free(sums);
    return rc;
}
