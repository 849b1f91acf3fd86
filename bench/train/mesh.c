/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of ranks by dimension; see mesh.h. */
#include "mesh.h"

int dt_mesh_fit(struct dt_mesh_sizes *sizes, int ranks, struct dt_error *err)
{
    struct dt_mesh_sizes given = *sizes;
    if (sizes->fsdp == 0)
        sizes->fsdp = 1;
    if (sizes->dp == 0 && ranks % sizes->fsdp == 0)
        sizes->dp = ranks / sizes->fsdp;
    if ((long)sizes->dp * sizes->fsdp == ranks)
        return 0;
    int fsdp = sizes->fsdp < ranks ? sizes->fsdp : ranks;
    while (ranks % fsdp != 0)
        fsdp--;
    return dt_error_set(err,
                        "--dp %d x --fsdp %d is not the number of ranks, %d; the nearest that fits "
                        "is --dp %d --fsdp %d",
                        given.dp > 0 ? given.dp : 1, given.fsdp > 0 ? given.fsdp : 1, ranks,
                        ranks / fsdp, fsdp);
}

int dt_mesh_open(struct dt_mesh *mesh, const struct dt_mesh_sizes *sizes, struct dt_comm *world,
                 struct dt_error *err)
{
    *mesh = (struct dt_mesh){.sizes = *sizes};
    if (world->operations->split(world, world->rank / sizes->fsdp, &mesh->shards, err) < 0 ||
        world->operations->split(world, world->rank % sizes->fsdp, &mesh->replicas, err) < 0)
        return -1;
    return 0;
}

void dt_mesh_close(struct dt_mesh *mesh)
{
    if (mesh->shards.operations)
        mesh->shards.operations->close(&mesh->shards);
    if (mesh->replicas.operations)
        mesh->replicas.operations->close(&mesh->replicas);
    *mesh = (struct dt_mesh){0};
}
