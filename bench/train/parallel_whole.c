/* SPDX-License-Identifier: Apache-2.0 */
/* The arrays of all ranks as whole ones on rank 0, and back: rank by rank of one copy of the model,
 * in pieces, each put in its place by runs (layout.h); see parallel.h. */
#include <stdlib.h>

#include "parallel.h"

enum { PIECE = 1 << 20 }; /* reals on their way */

int dt_parallel_whole_open(struct dt_parallel *p, struct dt_checkpoint_arrays *whole,
                           struct dt_error *err)
{
    struct dt_layout layout;
    if (dt_layout_init(&layout, &p->model->config, NULL, err) < 0)
        return -1;
    size_t total = layout.total;
    dt_layout_fini(&layout);
    *whole = (struct dt_checkpoint_arrays){.count = total};
    if (p->whole)
        *whole = (struct dt_checkpoint_arrays){p->params, p->first, p->second, total};
    if (p->whole || p->world->rank != 0)
        return 0;
    whole->params = dt_reals(total);
    whole->first = dt_reals(total);
    whole->second = dt_reals(total);
    if (whole->params && whole->first && whole->second)
        return 0;
    return dt_error_set(err, "no memory for a checkpoint: 3 x %zu MiB", total * sizeof(real) >> 20);
}

void dt_parallel_whole_close(struct dt_parallel *p, struct dt_checkpoint_arrays *whole)
{
    if (!p->whole) {
        free(whole->params);
        free(whole->first);
        free(whole->second);
    }
    *whole = (struct dt_checkpoint_arrays){0};
}

/* The arrays that travel, and where the reals of one rank lie in them. */
struct travel {
    struct dt_parallel *p;
    bool collect; /* to rank 0; or from there */
    struct dt_layout all, theirs;
    real *own, *whole; /* this rank's; on rank 0 */
    real *piece;
    size_t begin; /* of the piece in the array of its rank */
};

static void put(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    const struct travel *t = context;
    memcpy(t->whole + t->all.tensors[tensor->index].offset + run->there,
           t->piece + (run->here - t->begin), run->count * sizeof(real));
}

static void get(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    const struct travel *t = context;
    memcpy(t->piece + (run->here - t->begin),
           t->whole + t->all.tensors[tensor->index].offset + run->there, run->count * sizeof(real));
}

static int move_piece(struct travel *t, int rank, size_t count, struct dt_error *err)
{
    struct dt_comm *model = t->p->mesh->model;
    bool mine = model->rank == rank, first = model->rank == 0;
    if (t->collect && mine) {
        memcpy(t->piece, t->own + t->begin, count * sizeof(real));
    } else if (!t->collect && first) {
        memset(t->piece, 0, count * sizeof(real));
        dt_layout_runs(&t->theirs, t->begin, count, get, t);
    }
    if (rank > 0 && model->operations->broadcast(model, t->piece, count * sizeof(real),
                                                 t->collect ? rank : 0, err) < 0)
        return -1;
    if (t->collect && first)
        dt_layout_runs(&t->theirs, t->begin, count, put, t);
    else if (!t->collect && mine)
        memcpy(t->own + t->begin, t->piece, count * sizeof(real));
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
static int move(struct dt_parallel *p, bool collect, real *own, real *whole, struct dt_error *err)
{
    struct travel t = {.p = p, .collect = collect, .own = own, .whole = whole};
    if (p->mesh->at.dp > 0 || p->mesh->at.cp > 0)
        return 0;
    t.piece = dt_reals(PIECE);
    int rc = 0;
    if (!t.piece)
        rc = dt_comm_break(p->world, err, "no memory for a piece of a checkpoint");
    else if (dt_layout_init(&t.all, &p->model->config, NULL, err) < 0)
        rc = dt_comm_break(p->world, err, "no memory for the table of tensors");
    for (int rank = 0; rc == 0 && rank < p->mesh->model->size; rank++)
        rc = move_rank(&t, rank, err);
    dt_layout_fini(&t.all);
    free(t.piece);
    return rc;
}

int dt_parallel_collect(struct dt_parallel *p, const struct dt_checkpoint_arrays *whole,
                        struct dt_error *err)
{
    if (p->whole)
        return 0;
    if (move(p, true, p->params, whole->params, err) < 0 ||
        move(p, true, p->first, whole->first, err) < 0 ||
        move(p, true, p->second, whole->second, err) < 0)
        return -1;
    return 0;
}

static int spread_one(struct dt_parallel *p, real *own, real *whole, struct dt_error *err)
{
    struct dt_comm *same = p->mesh->replicas[DT_BUCKET_EXPERTS];
    if (!p->whole && move(p, false, own, whole, err) < 0)
        return -1;
    return same->operations->broadcast(same, own, p->own.total * sizeof *own, 0, err);
}

int dt_parallel_spread(struct dt_parallel *p, const struct dt_checkpoint_arrays *whole,
                       struct dt_error *err)
{
    if (spread_one(p, p->params, whole->params, err) < 0 ||
        spread_one(p, p->first, whole->first, err) < 0 ||
        spread_one(p, p->second, whole->second, err) < 0)
        return -1;
    return 0;
}
