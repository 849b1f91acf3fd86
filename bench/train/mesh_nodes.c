/* SPDX-License-Identifier: Apache-2.0 */
/* Do ranks that share products live on one node? See mesh.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mesh.h"

struct host {
    char name[64];
};

/* Of `count` neighbours from rank `first` on, the first that is on another node than they begin; 0:
 * none. */
static int stranger(const struct host *hosts, int first, int count)
{
    for (int i = 1; i < count; i++)
        if (strcmp(hosts[first].name, hosts[first + i].name) != 0)
            return first + i;
    return 0;
}

/* Groups of `tp` neighbours that span nodes. *first: the first rank of the first of them. */
static int spanning(const struct host *hosts, int ranks, int tp, int *first)
{
    int count = 0;
    for (int rank = ranks - tp; rank >= 0; rank -= tp) {
        if (!stranger(hosts, rank, tp))
            continue;
        *first = rank;
        count++;
    }
    return count;
}

static void judge(const struct dt_mesh *mesh, const struct host *hosts, struct dt_error *said)
{
    int tp = mesh->sizes.tp, ranks = mesh->world->size, first = 0, unused;
    int groups = spanning(hosts, ranks, tp, &first), fits = tp;
    if (groups == 0)
        return;
    while (fits > 1 && (tp % fits != 0 || spanning(hosts, ranks, fits, &unused) > 0))
        fits--;
    dt_error_set(
        said,
        "--tp %d: %d of %d groups span nodes (the first is ranks %d to %d, from %s to %s), "
        "so that products wait for the network; --tp %d stays inside nodes as the ranks "
        "are placed",
        tp, groups, ranks / tp, first, first + tp - 1, hosts[first].name,
        hosts[stranger(hosts, first, tp)].name, fits);
}

int dt_mesh_nodes(const struct dt_mesh *mesh, struct dt_error *said, struct dt_error *err)
{
    struct dt_comm *world = mesh->world;
    struct host mine = {""}, *all;
    said->text[0] = '\0';
    if (mesh->sizes.tp == 1)
        return 0;
    all = calloc((size_t)world->size, sizeof *all);
    if (!all)
        return dt_comm_break(world, err, "no memory for the nodes of %d ranks", world->size);
    gethostname(mine.name, sizeof mine.name - 1);
    int rc = world->operations->allgather(world, &mine, all, sizeof mine, err);
    if (rc == 0)
        judge(mesh, all, said);
    free(all);
    return rc;
}
