/* SPDX-License-Identifier: Apache-2.0 */
/* Do ranks that share products live near each other: on one node, and there on one NUMA node? See
 * mesh.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cpulist.h"
#include "mesh.h"

enum { NUMA_MOST = 64 };

static bool other_node(const struct dt_mesh_place *a, const struct dt_mesh_place *b)
{
    return strcmp(a->host, b->host) != 0;
}

/* Of one node. What is not known is not apart. */
static bool other_numa(const struct dt_mesh_place *a, const struct dt_mesh_place *b)
{
    return other_node(a, b) || (a->numa && b->numa && a->numa != b->numa);
}

typedef bool apart_function(const struct dt_mesh_place *a, const struct dt_mesh_place *b);

/* Of `count` neighbours from rank `first` on, the first that is apart from where they begin; 0: none. */
static int stranger(const struct dt_mesh_place *places, int first, int count, apart_function *apart)
{
    for (int i = 1; i < count; i++)
        if (apart(&places[first], &places[first + i]))
            return first + i;
    return 0;
}

/* Groups of `tp` neighbours that are apart. *first: the first rank of the first of them. */
static int spanning(const struct dt_mesh_place *places, int ranks, int tp, apart_function *apart,
                    int *first)
{
    int count = 0;
    for (int rank = ranks - tp; rank >= 0; rank -= tp) {
        if (!stranger(places, rank, tp, apart))
            continue;
        *first = rank;
        count++;
    }
    return count;
}

/* The largest part of tp of which no group is apart. */
static int fitting(const struct dt_mesh_place *places, int ranks, int tp, apart_function *apart)
{
    int fits = tp, unused;
    while (fits > 1 && (tp % fits != 0 || spanning(places, ranks, fits, apart, &unused) > 0))
        fits--;
    return fits;
}

static bool judge_nodes(const struct dt_mesh_place *places, int ranks, int tp,
                        struct dt_error *said)
{
    int first = 0, groups = spanning(places, ranks, tp, other_node, &first);
    if (groups == 0)
        return false;
    dt_error_set(
        said,
        "--tp %d: %d of %d groups span nodes (the first is ranks %d to %d, from %s to %s), "
        "so that products wait for the network; --tp %d stays inside nodes as the ranks "
        "are placed",
        tp, groups, ranks / tp, first, first + tp - 1, places[first].host,
        places[stranger(places, first, tp, other_node)].host,
        fitting(places, ranks, tp, other_node));
    return true;
}

static bool is_one(uint64_t numa)
{
    return (numa & (numa - 1)) == 0;
}

/* "0 and 1", "0, 2 and 5": the NUMA nodes of a mask. */
static void name_numa(char *text, size_t size, uint64_t numa)
{
    int length = 0;
    text[0] = '\0';
    for (int n = 0; n < NUMA_MOST && length < (int)size - 16; n++) {
        bool last = numa >> n == 1;
        if (numa >> n & 1)
            length += snprintf(text + length, size - (size_t)length, "%s%d",
                               length == 0 ? ""
                               : last      ? " and "
                                           : ", ",
                               n);
        if (last)
            break;
    }
}

/* A rank that may run on several NUMA nodes has its memory on any of them. */
static bool judge_bound(const struct dt_mesh_place *places, int ranks, int tp,
                        struct dt_error *said)
{
    char where[256];
    for (int rank = 0; rank < ranks; rank++) {
        if (is_one(places[rank].numa))
            continue;
        name_numa(where, sizeof where, places[rank].numa);
        dt_error_set(said,
                     "--tp %d: rank %d on %s is bound to no NUMA node (it may run on %s), so that "
                     "ranks that share products may be apart; bind them with srun --dt-bind "
                     "(mpirun --map-by core --bind-to core)",
                     tp, rank, places[rank].host, where);
        return true;
    }
    return false;
}

static void judge_numa(const struct dt_mesh_place *places, int ranks, int tp, struct dt_error *said)
{
    int first = 0, groups = spanning(places, ranks, tp, other_numa, &first);
    char where[256];
    uint64_t all = 0;
    if (groups == 0)
        return;
    for (int i = 0; i < tp; i++)
        all |= places[first + i].numa;
    name_numa(where, sizeof where, all);
    dt_error_set(
        said,
        "--tp %d: %d of %d groups span NUMA nodes (the first is ranks %d to %d on %s, on %s), "
        "so that products wait for the link between these; place neighbours together with "
        "srun --dt-bind or --distribution=block:block (mpirun --map-by core), or --tp %d "
        "stays inside NUMA nodes as the ranks are placed",
        tp, groups, ranks / tp, first, first + tp - 1, places[first].host, where,
        fitting(places, ranks, tp, other_numa));
}

void dt_mesh_judge(const struct dt_mesh_place *places, int ranks, int tp, struct dt_error *said)
{
    said->text[0] = '\0';
    if (tp > 1 && !judge_nodes(places, ranks, tp, said) && !judge_bound(places, ranks, tp, said))
        judge_numa(places, ranks, tp, said);
}

uint64_t dt_mesh_numa(const struct dt_root *root, const cpu_set_t *cpus)
{
    uint64_t numa = 0;
    for (int node = 0; node < NUMA_MOST; node++) {
        cpu_set_t both;
        char path[64];
        snprintf(path, sizeof path, "sys/devices/system/node/node%d/cpulist", node);
        if (!dt_cpus_read(root, &both, path))
            continue;
        CPU_AND(&both, &both, cpus);
        if (CPU_COUNT(&both) > 0)
            numa |= (uint64_t)1 << node;
    }
    return numa;
}

static struct dt_mesh_place place_here(void)
{
    struct dt_mesh_place here = {.host = ""};
    struct dt_root root;
    struct dt_error quiet;
    cpu_set_t cpus;
    gethostname(here.host, sizeof here.host - 1);
    if (dt_root_init(&root, NULL, &quiet) == 0) {
        if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
            here.numa = dt_mesh_numa(&root, &cpus);
        dt_root_fini(&root);
    }
    return here;
}

int dt_mesh_nodes(const struct dt_mesh *mesh, struct dt_error *said, struct dt_error *err)
{
    struct dt_comm *world = mesh->world;
    said->text[0] = '\0';
    if (mesh->sizes.tp == 1)
        return 0;
    struct dt_mesh_place mine = place_here();
    if (world->kernels)
        mine.numa = 0; /* GPUs talk past the CPUs and their memory */
    struct dt_mesh_place *all = calloc((size_t)world->size, sizeof *all);
    if (!all)
        return dt_comm_break(world, err, "no memory for the places of %d ranks", world->size);
    int rc = world->operations->allgather(world, &mine, all, sizeof mine, err);
    if (rc == 0)
        dt_mesh_judge(all, world->size, mesh->sizes.tp, said);
    free(all);
    return rc;
}
