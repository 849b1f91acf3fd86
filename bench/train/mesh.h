/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks as a grid of dimensions: which of them shard the model together, and which hold copies of
 * the same shard. Neighbours shard together, so that their traffic stays inside a node. */
#ifndef DT_TRAIN_MESH_H
#define DT_TRAIN_MESH_H

#include "comm.h"

struct dt_mesh_sizes {
    int dp, fsdp; /* 0: not given */
};

struct dt_mesh {
    struct dt_mesh_sizes sizes;
    struct dt_comm shards;   /* `fsdp` ranks: together one copy of the model */
    struct dt_comm replicas; /* `dp` ranks: all with the same part of it */
};

/* Fills in what is not given; a product other than `ranks` is refused with the sizes that fit. */
int dt_mesh_fit(struct dt_mesh_sizes *sizes, int ranks, struct dt_error *err);

/* Every rank calls it, with sizes that fit. */
int dt_mesh_open(struct dt_mesh *mesh, const struct dt_mesh_sizes *sizes, struct dt_comm *world,
                 struct dt_error *err);
void dt_mesh_close(struct dt_mesh *mesh);

#endif
