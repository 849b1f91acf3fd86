/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes that fit, places of ranks, and groups by dimension; see mesh.h. */
#include "mesh.h"

#include "base/buf.h"

#include <stdlib.h>

enum { DP = 1, FSDP = 2, EP = 4, PP = 8, CP = 16, TP = 32 };

/* The dimensions, slowest first. */
static const struct {
    const char *name;
    int bit;
    size_t place;
} dimensions[] = {
    {"dp", DP, offsetof(struct dt_mesh_sizes, dp)},
    {"fsdp", FSDP, offsetof(struct dt_mesh_sizes, fsdp)},
    {"ep", EP, offsetof(struct dt_mesh_sizes, ep)},
    {"pp", PP, offsetof(struct dt_mesh_sizes, pp)},
    {"cp", CP, offsetof(struct dt_mesh_sizes, cp)},
    {"tp", TP, offsetof(struct dt_mesh_sizes, tp)},
};
enum { DIMENSIONS = sizeof dimensions / sizeof *dimensions };

static const int group_dimensions[DT_GROUPS] = {
    [DT_GROUP_TENSOR] = TP,
    [DT_GROUP_CONTEXT] = CP,
    [DT_GROUP_PIPE] = PP,
    [DT_GROUP_EXPERTS] = EP,
    [DT_GROUP_SHARDS] = FSDP,
    [DT_GROUP_REPLICAS] = DP | EP | CP,
    [DT_GROUP_EXPERTS_REPLICAS] = DP | CP,
    [DT_GROUP_DATA] = DP | FSDP | EP | CP,
    [DT_GROUP_MODEL] = FSDP | EP | PP | TP,
    [DT_GROUP_ENDS] = PP,
};

static int *size_of(struct dt_mesh_sizes *sizes, int d)
{
    return (int *)(void *)((char *)sizes + dimensions[d].place);
}

static int value_of(const struct dt_mesh_sizes *sizes, int d)
{
    return *(const int *)(const void *)((const char *)sizes + dimensions[d].place);
}

/* "--dp 2 x --fsdp 1", with the other dimensions where they are more than 1. */
static char *describe(const struct dt_mesh_sizes *sizes, const char *between)
{
    struct dt_buf text = DT_BUF_INIT;
    for (int d = 0; d < DIMENSIONS; d++) {
        int size = value_of(sizes, d) > 0 ? value_of(sizes, d) : 1;
        if (d < 2 || size > 1)
            dt_buf_printf(&text, "%s--%s %d", d > 0 ? between : "", dimensions[d].name, size);
    }
    return dt_buf_take(&text);
}

static int refuse(const struct dt_mesh_sizes *given, int ranks, struct dt_error *err)
{
    struct dt_mesh_sizes nearest = *given;
    int left = ranks;
    for (int d = DIMENSIONS; --d > 0;) {
        int *size = size_of(&nearest, d);
        *size = *size < 1 ? 1 : *size < left ? *size : left;
        while (left % *size != 0)
            --*size;
        left /= *size;
    }
    nearest.dp = left;
    char *wrong = describe(given, " x "), *right = describe(&nearest, " ");
    dt_error_set(err, "%s is not the number of ranks, %d; the nearest that fits is %s",
                 wrong ? wrong : "the product of the dimensions", ranks, right ? right : "another");
    free(wrong);
    free(right);
    return -1;
}

int dt_mesh_fit(struct dt_mesh_sizes *sizes, int ranks, struct dt_error *err)
{
    const struct dt_mesh_sizes given = *sizes;
    long product = 1;
    for (int d = 1; d < DIMENSIONS; d++) {
        int *size = size_of(sizes, d);
        *size = *size > 0 ? *size : 1;
        product =
            product > ranks ? product : product * *size; /* of sizes up to 2^20: no overflow */
    }
    if (sizes->dp == 0 && product <= ranks && ranks % product == 0)
        sizes->dp = (int)(ranks / product);
    return sizes->dp * product == ranks ? 0 : refuse(&given, ranks, err);
}

struct dt_mesh_sizes dt_mesh_at(const struct dt_mesh_sizes *sizes, int rank)
{
    struct dt_mesh_sizes at = {0};
    for (int d = DIMENSIONS; d-- > 0;) {
        *size_of(&at, d) = rank % value_of(sizes, d);
        rank /= value_of(sizes, d);
    }
    return at;
}

struct dt_part dt_mesh_part(const struct dt_mesh_sizes *sizes, const struct dt_mesh_sizes *at)
{
    return (struct dt_part){.tp = at->tp,
                            .tp_size = sizes->tp,
                            .stage = at->pp,
                            .stages = sizes->pp,
                            .chunks = sizes->chunks,
                            .ep = at->ep,
                            .ep_size = sizes->ep};
}

int dt_mesh_shares(const struct dt_mesh_sizes *sizes)
{
    return sizes->dp * sizes->fsdp * sizes->ep;
}

int dt_mesh_share(const struct dt_mesh_sizes *sizes, const struct dt_mesh_sizes *at)
{
    return (at->dp * sizes->fsdp + at->fsdp) * sizes->ep + at->ep;
}

/* The number of a group among those along the same dimensions: the place in all others. */
static int color_of(const struct dt_mesh *mesh, int along)
{
    int color = 0;
    for (int d = 0; d < DIMENSIONS; d++)
        if (!(along & dimensions[d].bit))
            color = color * value_of(&mesh->sizes, d) + value_of(&mesh->at, d);
    return color;
}

static int size_along(const struct dt_mesh *mesh, int along)
{
    int size = 1;
    for (int d = 0; d < DIMENSIONS; d++)
        size *= along & dimensions[d].bit ? value_of(&mesh->sizes, d) : 1;
    return size;
}

static int open_group(struct dt_mesh *mesh, enum dt_mesh_group group, struct dt_error *err)
{
    int along = group_dimensions[group], color = color_of(mesh, along);
    struct dt_comm *comm = &mesh->own[group];
    if (size_along(mesh, along) == 1) {
        dt_comm_single_open(comm);
        comm->kernels = mesh->world->kernels;
        return 0;
    }
    /* a stage in between is alone */
    if (group == DT_GROUP_ENDS && mesh->at.pp > 0 && mesh->at.pp + 1 < mesh->sizes.pp)
        color = mesh->world->size + mesh->world->rank;
    return mesh->world->operations->split(mesh->world, color, comm, err);
}

/* A group with the ranks of one that is there; NULL: it needs its own. */
static struct dt_comm *same_ranks(const struct dt_mesh *mesh, enum dt_mesh_group group)
{
    int along = group_dimensions[group];
    bool all = size_along(mesh, along) == mesh->world->size;
    if (all && (group == DT_GROUP_REPLICAS || group == DT_GROUP_DATA))
        return mesh->world;
    if (group == DT_GROUP_EXPERTS_REPLICAS && mesh->sizes.ep == 1)
        return mesh->replicas[DT_BUCKET_DENSE];
    if (group == DT_GROUP_DATA && mesh->sizes.fsdp == 1)
        return mesh->replicas[DT_BUCKET_DENSE];
    if (group == DT_GROUP_DATA && size_along(mesh, along) == mesh->sizes.fsdp)
        return mesh->shards;
    return NULL;
}

int dt_mesh_open(struct dt_mesh *mesh, const struct dt_mesh_sizes *sizes, struct dt_comm *world,
                 struct dt_error *err)
{
    *mesh = (struct dt_mesh){.sizes = *sizes, .at = dt_mesh_at(sizes, world->rank), .world = world};
    struct dt_comm **const views[DT_GROUPS] = {
        [DT_GROUP_TENSOR] = &mesh->tensor,
        [DT_GROUP_CONTEXT] = &mesh->context,
        [DT_GROUP_PIPE] = &mesh->pipe,
        [DT_GROUP_EXPERTS] = &mesh->experts,
        [DT_GROUP_SHARDS] = &mesh->shards,
        [DT_GROUP_REPLICAS] = &mesh->replicas[DT_BUCKET_DENSE],
        [DT_GROUP_EXPERTS_REPLICAS] = &mesh->replicas[DT_BUCKET_EXPERTS],
        [DT_GROUP_DATA] = &mesh->data,
        [DT_GROUP_MODEL] = &mesh->model,
        [DT_GROUP_ENDS] = &mesh->ends,
    };
    for (enum dt_mesh_group g = 0; g < DT_GROUPS; g++) {
        struct dt_comm *same = same_ranks(mesh, g);
        *views[g] = same ? same : &mesh->own[g];
        if (!same && open_group(mesh, g, err) < 0)
            return -1;
    }
    return 0;
}

static double take_spent(struct dt_comm *comm)
{
    double spent = comm->spent_s;
    comm->spent_s = 0;
    return spent;
}

double dt_mesh_spent(struct dt_mesh *mesh)
{
    double spent = take_spent(mesh->world);
    for (enum dt_mesh_group g = 0; g < DT_GROUPS; g++)
        spent += take_spent(&mesh->own[g]);
    return spent;
}

void dt_mesh_close(struct dt_mesh *mesh)
{
    for (enum dt_mesh_group g = 0; g < DT_GROUPS; g++)
        if (mesh->own[g].operations)
            mesh->own[g].operations->close(&mesh->own[g]);
    *mesh = (struct dt_mesh){0};
}
