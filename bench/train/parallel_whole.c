/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of all ranks as a whole model on rank 0: rank by rank of one copy of the model, in
 * pieces, each put in its place by runs (layout.h); see parallel.h. */
#include <stdlib.h>

#include "parallel.h"

enum { PIECE = 1 << 20 }; /* reals on their way */

/* Where the reals of one rank lie in the whole, and which of them are on their way. */
struct travel {
    const struct dt_parallel *p;
    const struct dt_layout *all;
    struct dt_layout theirs;
    real *whole; /* on rank 0 */
    real *piece;
    size_t begin; /* of the piece in the array of its rank */
};

static void put(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    const struct travel *t = context;
    memcpy(t->whole + t->all->tensors[tensor->index].offset + run->there,
           t->piece + (run->here - t->begin), run->count * sizeof(real));
}

static int move_piece(struct travel *t, int rank, size_t count, struct dt_error *err)
{
    struct dt_comm *model = t->p->mesh->model;
    if (model->rank == rank)
        memcpy(t->piece, t->p->params + t->begin, count * sizeof(real));
    if (rank > 0 &&
        model->operations->broadcast(model, t->piece, count * sizeof(real), rank, err) < 0)
        return -1;
    if (model->rank == 0)
        dt_layout_runs(&t->theirs, t->begin, count, put, t);
    return 0;
}

/* What rank `rank` of the copy's ranks holds. */
static int find_layout(struct travel *t, int rank, struct dt_error *err)
{
    struct dt_mesh_sizes sizes = t->p->mesh->sizes;
    struct dt_layout layout;
    sizes.dp = sizes.cp = 1;
    const struct dt_mesh_sizes at = dt_mesh_at(&sizes, rank);
    const struct dt_part part = dt_mesh_part(&sizes, &at);
    if (!t->p->sharded)
        return dt_layout_init(&t->theirs, &t->p->model->config, &part, err);
    if (dt_layout_init(&layout, &t->p->model->config, &part, err) < 0)
        return -1;
    int rc = dt_layout_shard(&t->theirs, &layout, at.fsdp, sizes.fsdp, err);
    dt_layout_fini(&layout);
    return rc;
}

static int move_rank(struct travel *t, int rank, struct dt_error *err)
{
    int rc = find_layout(t, rank, err);
    if (rc < 0)
        t->p->world->broken = true; /* the others go on */
    for (t->begin = 0; rc == 0 && t->begin < t->theirs.total; t->begin += PIECE) {
        size_t left = t->theirs.total - t->begin;
        rc = move_piece(t, rank, left < PIECE ? left : PIECE, err);
    }
    dt_layout_fini(&t->theirs);
    return rc;
}

/* Between the ranks of the first copy. */
int dt_parallel_collect(struct dt_parallel *p, const struct dt_layout *all, real **whole,
                        struct dt_error *err)
{
    struct travel t = {.p = p, .all = all};
    *whole = NULL;
    if (p->mesh->at.dp > 0 || p->mesh->at.cp > 0)
        return 0;
    t.piece = dt_host_reals(PIECE);
    if (p->world->rank == 0)
        t.whole = dt_host_reals(all->total);
    int rc = 0;
    if (!t.piece || (p->world->rank == 0 && !t.whole))
        rc = dt_comm_break(p->world, err, "no memory for the whole model: %zu MiB",
                           all->total * sizeof(real) >> 20);
    for (int rank = 0; rc == 0 && rank < p->mesh->model->size; rank++)
        rc = move_rank(&t, rank, err);
    free(t.piece);
    *whole = t.whole;
    return rc;
}
