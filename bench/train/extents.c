/* SPDX-License-Identifier: Apache-2.0 */
/* Runs joined to extents; see extents.h. */
#include "extents.h"

#include <stdlib.h>

void dt_extents_push(struct dt_extents *e, struct dt_extent extent)
{
    if (e->count == e->room && !e->failed) {
        size_t room = e->room > 0 ? 2 * e->room : 16;
        struct dt_extent *grown = realloc(e->items, room * sizeof *grown);
        e->failed = !grown;
        if (grown) {
            e->items = grown;
            e->room = room;
        }
    }
    if (!e->failed && e->items)
        e->items[e->count++] = extent;
}

void dt_extents_add(struct dt_extents *e, uint64_t tensor, uint64_t offset, uint64_t length)
{
    struct dt_extent *last = e->count > 0 ? &e->items[e->count - 1] : NULL;
    if (last && last->tensor == tensor && last->times == 1 &&
        offset == last->offset + last->length) {
        last->length += length;
        last->stride = last->length;
        return;
    }
    if (last && last->tensor == tensor && last->length == length && last->times == 1 &&
        offset > last->offset + length)
        last->stride = offset - last->offset; /* two alike: where the third is wanted */
    if (last && last->tensor == tensor && last->length == length && last->stride > length &&
        offset == last->offset + last->times * last->stride) {
        last->times++;
        return;
    }
    dt_extents_push(e, (struct dt_extent){tensor, offset, length, length, 1});
}

static void add_run(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    dt_extents_add(context, tensor->index, run->there, run->count);
}

void dt_extents_add_tensor(struct dt_extents *e, const struct dt_tensor *tensor, size_t from,
                           size_t count)
{
    dt_tensor_runs(tensor, from, count, add_run, e);
}

void dt_extents_fini(struct dt_extents *e)
{
    free(e->items);
    *e = (struct dt_extents){0};
}
