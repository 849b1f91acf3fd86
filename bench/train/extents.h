/* SPDX-License-Identifier: Apache-2.0 */
/* Which reals of the whole model's tensors an array holds, in few words: runs of consecutive reals,
 * and such runs repeated at equal distances (a range of columns). */
#ifndef DT_TRAIN_EXTENTS_H
#define DT_TRAIN_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* `times` runs of `length` reals, `stride` apart, the first at `offset` of whole tensor `tensor`.
 * In the array they follow each other. */
struct dt_extent {
    uint64_t tensor, offset, length, stride, times;
};

struct dt_extents {
    struct dt_extent *items;
    size_t count, room;
    bool failed; /* no memory */
};

static inline uint64_t dt_extent_reals(const struct dt_extent *extent)
{
    return extent->length * extent->times;
}

/* One more extent as it is; one more run, joined to the last extent where it goes on with it. */
void dt_extents_push(struct dt_extents *extents, struct dt_extent extent);
void dt_extents_add(struct dt_extents *extents, uint64_t tensor, uint64_t offset, uint64_t length);

/* The reals `from` to `from + count` of a tensor as this rank has it. */
void dt_extents_add_tensor(struct dt_extents *extents, const struct dt_tensor *tensor, size_t from,
                           size_t count);
void dt_extents_fini(struct dt_extents *extents);

#endif
