/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks as a grid of dimensions, and the groups of ranks along them.
 *
 *   dp    copies of the model                  pp  stages of layers, one after the other
 *   fsdp  shards of a copy (ZeRO)              cp  shares of a sample's positions
 *   ep    shares of the experts of a layer     tp  shares of each product of a layer
 *
 * rank = ((((dp * FSDP + fsdp) * EP + ep) * PP + pp) * CP + cp) * TP + tp: neighbours share what
 * costs most to send, so that tp stays inside a NUMA node or NVLink domain, and copies may be far
 * apart. */
#ifndef DT_TRAIN_MESH_H
#define DT_TRAIN_MESH_H

#include <sched.h>
#include <stdint.h>

#include "base/root.h"
#include "comm.h"
#include "config.h"
#include "part.h"

/* Of each dimension: its size, or the place of one rank in it. Size 0: not given. */
struct dt_mesh_sizes {
    int dp, fsdp, ep, pp, cp, tp;
    /* These are no factors of the number of ranks, and 0 in a place. */
    int chunks; /* runs of layers a stage; 0: 1 */
    bool sp;    /* the ranks of tp share the rows between their products, too */
};

/* Groups that a rank belongs to, and who is in them with it. */
enum dt_mesh_group {
    DT_GROUP_TENSOR,           /* tp */
    DT_GROUP_CONTEXT,          /* cp */
    DT_GROUP_PIPE,             /* pp: the rank in the group is the stage */
    DT_GROUP_EXPERTS,          /* ep */
    DT_GROUP_SHARDS,           /* fsdp */
    DT_GROUP_REPLICAS,         /* dp x ep x cp: who has the same dense tensors */
    DT_GROUP_EXPERTS_REPLICAS, /* dp x cp: who has the same of everything */
    DT_GROUP_DATA,  /* dp x fsdp x ep x cp: who has other samples, or positions of them */
    DT_GROUP_MODEL, /* fsdp x ep x pp x tp: who has one copy together */
    DT_GROUP_ENDS,  /* pp, first and last stage: who has a tied table twice */
    DT_GROUPS
};

struct dt_mesh {
    struct dt_mesh_sizes sizes, at;
    struct dt_comm *world;
    /* Views. A group of one is a loopback (comm_single.c), so that nobody asks whether it is on. */
    struct dt_comm *tensor, *context, *pipe, *experts, *shards, *data, *model, *ends;
    struct dt_comm *replicas[DT_BUCKET_KINDS]; /* over which a bucket of a kind is summed */
    struct dt_comm own[DT_GROUPS];
};

/* Fills in what is not given; a product other than `ranks` is refused with the sizes that fit. */
int dt_mesh_fit(struct dt_mesh_sizes *sizes, int ranks, struct dt_error *err);

/* Where a rank is; sizes that fit. */
struct dt_mesh_sizes dt_mesh_at(const struct dt_mesh_sizes *sizes, int rank);

/* Which part of the model a rank at this place holds. */
struct dt_part dt_mesh_part(const struct dt_mesh_sizes *sizes, const struct dt_mesh_sizes *at);

/* A step's samples are dealt out in so many shares; the number of a place's own. The ranks of a tp,
 * pp or cp group take the same samples. */
int dt_mesh_shares(const struct dt_mesh_sizes *sizes);
int dt_mesh_share(const struct dt_mesh_sizes *sizes, const struct dt_mesh_sizes *at);

/* Every rank calls it, with sizes that fit. */
int dt_mesh_open(struct dt_mesh *mesh, const struct dt_mesh_sizes *sizes, struct dt_comm *world,
                 struct dt_error *err);
void dt_mesh_close(struct dt_mesh *mesh);

/* Seconds that this rank gave to communication in all groups since the last call, instead of computing:
 * what it waited, and what it moved and summed itself, in a window and under MPI. */
double dt_mesh_spent(struct dt_mesh *mesh);

/* A tp group that spans nodes, or NUMA nodes of one, works, slowly: `said` gets a sentence about it with
 * the way out, "" where none does (mesh_nodes.c). Every rank calls it. */
int dt_mesh_nodes(const struct dt_mesh *mesh, struct dt_error *said, struct dt_error *err);

/* What it is made of. Where a rank may run: bit n is NUMA node n; 0: not known. */
struct dt_mesh_place {
    char host[64];
    uint64_t numa;
};
uint64_t dt_mesh_numa(const struct dt_root *root, const cpu_set_t *cpus);
void dt_mesh_judge(const struct dt_mesh_place *places, int ranks, int tp, struct dt_error *said);

#endif
