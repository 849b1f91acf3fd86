/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan costs in time, and dt beside mpibind on the same files: bench_bind TABLE [XML...].
 * mpibind is opened where it is installed (libmpibind.so), in a child of its own, since it crashes on
 * some machines; elsewhere its columns are left out, and a line says so. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "bind/bind.h"
#include "topology/topology.h"

#define TRIES 25

/* ---- time ------------------------------------------------------------------------------------- */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int plan_for(const struct dt_topology *topology, size_t ranks, struct dt_bind_plan *plan)
{
    hwloc_const_bitmap_t all = hwloc_topology_get_topology_cpuset(topology->hwloc);
    hwloc_const_bitmap_t *masks = calloc(ranks, sizeof(hwloc_const_bitmap_t));
    struct dt_bind_request request = {.topology = topology, .ranks = ranks, .allowed = masks};
    struct dt_error err = {{0}};
    int rc;

    if (!masks)
        return -1;
    for (size_t r = 0; r < ranks; r++)
        masks[r] = all;
    rc = dt_bind_plan(plan, &request, &err);
    if (rc)
        fprintf(stderr, "bench_bind: no plan: %s\n", err.text);
    free(masks);
    return rc;
}

/* Best of several tries, in processor time: what else the machine does takes no part. */
static double plan_ms(const struct dt_topology *topology, size_t ranks)
{
    double best = -1;

    for (int i = 0; i < TRIES; i++) {
        struct dt_bind_plan plan;
        double start = now_ms(), took;
        if (plan_for(topology, ranks, &plan))
            return -1;
        took = now_ms() - start;
        dt_bind_plan_fini(&plan);
        if (best < 0 || took < best)
            best = took;
    }
    return best;
}

static int report_time(const char *what, const struct dt_topology *topology, size_t ranks,
                       double limit)
{
    double took = plan_ms(topology, ranks);
    bool good = took >= 0 && took <= limit;

    printf("%s  plan of %3zu ranks on %-28s %7.3f ms (limit %.0f ms)\n", good ? "ok" : "NO", ranks,
           what, took, limit);
    return good ? 0 : 1;
}

/* 8 packages of 4 NUMA nodes of 16 cores of 2 threads, a GPU and a NIC on each node. */
static int big_machine(struct dt_topology *topology, struct dt_error *err)
{
    char *gpus[32][2], *nics[32][2];
    char text[64][32];
    struct dt_instance_switch rows[32];
    struct dt_instance type = {.name = "1024 PUs",
                               .vcpus = 1024,
                               .cores = 512,
                               .threads_per_core = 2,
                               .packages = 8,
                               .numa_nodes = 32,
                               .accelerator = DT_ACCELERATOR_NVIDIA,
                               .accelerators = 32,
                               .efas = 32,
                               .topology_measured = true,
                               .switches = rows,
                               .switch_count = 32};

    for (int i = 0; i < 32; i++) {
        snprintf(text[2 * i], sizeof(text[0]), "0000:%02x:1c.0", 0x10 + i);
        snprintf(text[2 * i + 1], sizeof(text[0]), "0000:%02x:1b.0", 0x10 + i);
        gpus[i][0] = text[2 * i];
        nics[i][0] = text[2 * i + 1];
        gpus[i][1] = nics[i][1] = NULL;
        rows[i] = (struct dt_instance_switch){
            .numa = i, .bridge = (char *)"0000:00:01.0", .gpus = gpus[i], .nics = nics[i]};
    }
    return dt_topology_of_instance(topology, &type, err);
}

static int bench_time(const struct dt_instances *table)
{
    const struct dt_instance *p5 = dt_instances_find(table, "p5.48xlarge");
    struct dt_topology topology;
    struct dt_error err = {{0}};
    int failed = 0;

    if (!p5 || dt_topology_of_instance(&topology, p5, &err)) {
        fprintf(stderr, "bench_bind: p5.48xlarge: %s\n", p5 ? err.text : "not in the table");
        return 1;
    }
    failed += report_time("p5.48xlarge", &topology, 8, 1);
    dt_topology_fini(&topology);
    if (big_machine(&topology, &err)) {
        fprintf(stderr, "bench_bind: %s\n", err.text);
        return 1;
    }
    failed += report_time("1024 PUs, 32 GPUs", &topology, 64, 10);
    /* the most that has to be searched through; the plugin waits 2 s for dt-node's plan */
    failed += report_time("1024 PUs, 32 GPUs", &topology, 7, 500);
    dt_topology_fini(&topology);
    return failed;
}

/* ---- what a binding is worth ------------------------------------------------------------------ */

struct worth {
    double distance; /* mean over ranks of their CPUs from their GPUs */
    size_t idle_cores, starved;
    double took_ms;
};

static double rank_distance(const struct dt_topology *topology, const struct dt_bind_rank *rank)
{
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t part = hwloc_bitmap_alloc(), open = hwloc_bitmap_dup(rank->cpus);
    double sum = 0, weight = 0;

    while (part && open &&
           (node = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        struct dt_device place = {.numa = (int)node->logical_index, .group = -1, .root = -1};
        hwloc_bitmap_and(part, open, node->cpuset);
        hwloc_bitmap_andnot(open, open, node->cpuset); /* nodes of memory alone come later */
        for (size_t i = 0; i < rank->accelerator_count; i++) {
            struct dt_bind_near near = dt_bind_device_near(
                topology, &topology->accelerators[rank->accelerators[i]], &place);
            double pus = near.distance < 0 ? 0 : hwloc_bitmap_weight(part);
            sum += pus * (double)near.distance / 1000;
            weight += pus;
        }
    }
    hwloc_bitmap_free(part);
    hwloc_bitmap_free(open);
    return weight > 0 ? sum / weight : 0;
}

static void judge(const struct dt_topology *topology, const struct dt_bind_rank *ranks,
                  size_t count, struct worth *worth)
{
    hwloc_obj_t core = NULL;
    size_t with_gpu = 0;

    for (size_t r = 0; r < count; r++) {
        worth->distance += rank_distance(topology, &ranks[r]);
        with_gpu += ranks[r].accelerator_count > 0;
    }
    worth->distance /= with_gpu ? (double)with_gpu : 1;
    worth->starved = topology->accelerator_count ? count - with_gpu : 0;
    while ((core = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_CORE, core))) {
        bool used = false;
        for (size_t r = 0; r < count && !used; r++)
            used = hwloc_bitmap_intersects(core->cpuset, ranks[r].cpus) != 0;
        worth->idle_cores += !used;
    }
}

/* ---- mpibind ---------------------------------------------------------------------------------- */

struct mpibind { /* of mpibind.h, 0.15 */
    void *library;
    int (*init)(void **);
    int (*set_ntasks)(void *, int);
    int (*set_topology)(void *, hwloc_topology_t);
    int (*run)(void *);
    hwloc_bitmap_t *(*cpus)(void *);
    char **(*gpus)(void *, int, int *);
};

static bool mpibind_open(struct mpibind *m)
{
    static const char *const names[] = {"libmpibind.so.0", "libmpibind.so"};

    for (size_t i = 0; !m->library && i < 2; i++)
        m->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!m->library)
        return false;
    *(void **)&m->init = dlsym(m->library, "mpibind_init");
    *(void **)&m->set_ntasks = dlsym(m->library, "mpibind_set_ntasks");
    *(void **)&m->set_topology = dlsym(m->library, "mpibind_set_topology");
    *(void **)&m->run = dlsym(m->library, "mpibind");
    *(void **)&m->cpus = dlsym(m->library, "mpibind_get_cpus");
    *(void **)&m->gpus = dlsym(m->library, "mpibind_get_gpus_ptask");
    return m->init && m->set_ntasks && m->set_topology && m->run && m->cpus && m->gpus;
}

/* mpibind names GPUs by the number of their library; the order is that of the bus. */
static void take_gpus(const struct dt_topology *topology, struct dt_bind_rank *rank, char **ids,
                      int count)
{
    rank->accelerators = calloc(topology->accelerator_count + 1, sizeof(size_t));
    for (int i = 0; i < count && rank->accelerators; i++) {
        size_t number = strtoul(ids[i], NULL, 10);
        if (number < topology->accelerator_count)
            rank->accelerators[rank->accelerator_count++] = number;
    }
}

/* What mpibind asks hwloc for when it loads a topology itself. */
static int keep_types(hwloc_topology_t hwloc)
{
    return hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_STRUCTURE) ||
                   hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_OS_DEVICE,
                                                  HWLOC_TYPE_FILTER_KEEP_IMPORTANT) ||
                   hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_PCI_DEVICE,
                                                  HWLOC_TYPE_FILTER_KEEP_IMPORTANT)
               ? -1
               : 0;
}

/* In the child: the worth goes to the pipe. */
static void mpibind_child(const struct mpibind *m, const char *path,
                          const struct dt_topology *topology, int count, int out)
{
    struct dt_bind_rank *ranks = calloc((size_t)count, sizeof(*ranks));
    struct worth worth = {0};
    hwloc_topology_t hwloc;
    hwloc_bitmap_t *cpus;
    void *handle;
    double start;

    if (!ranks || hwloc_topology_init(&hwloc) || keep_types(hwloc) ||
        hwloc_topology_set_xml(hwloc, path) || hwloc_topology_load(hwloc) || m->init(&handle) ||
        m->set_ntasks(handle, count) || m->set_topology(handle, hwloc))
        _exit(1);
    start = now_ms();
    if (m->run(handle))
        _exit(1);
    worth.took_ms = now_ms() - start;
    cpus = m->cpus(handle);
    for (int r = 0; r < count; r++) {
        int gpus = 0;
        char **ids = m->gpus(handle, r, &gpus);
        ranks[r].cpus = cpus[r];
        take_gpus(topology, &ranks[r], ids, gpus);
    }
    judge(topology, ranks, (size_t)count, &worth);
    _exit(write(out, &worth, sizeof(worth)) == (ssize_t)sizeof(worth) ? 0 : 1);
}

/* 0; 1: it said no; 2: it crashed. */
static int mpibind_try(const struct mpibind *m, const char *path,
                       const struct dt_topology *topology, int count, struct worth *worth)
{
    int ends[2], status = 0;
    pid_t child;
    bool got;

    fflush(stdout);
    if (pipe(ends))
        return 1;
    child = fork();
    if (child == 0)
        mpibind_child(m, path, topology, count, ends[1]);
    close(ends[1]);
    got = child > 0 && read(ends[0], worth, sizeof(*worth)) == (ssize_t)sizeof(*worth);
    close(ends[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    return got ? 0 : WIFSIGNALED(status) ? 2 : 1;
}

/* ---- side by side ----------------------------------------------------------------------------- */

static int dt_try(const struct dt_topology *topology, size_t count, struct worth *worth)
{
    struct dt_bind_plan plan;
    double start = now_ms();

    if (plan_for(topology, count, &plan))
        return -1;
    worth->took_ms = now_ms() - start;
    judge(topology, plan.ranks, count, worth);
    dt_bind_plan_fini(&plan);
    return 0;
}

static void print_worth(const char *who, const struct worth *worth)
{
    printf("  %-8s %8.1f %6zu %8zu %8.3f", who, worth->distance, worth->idle_cores, worth->starved,
           worth->took_ms);
}

static int bench_file(const struct mpibind *m, const char *path, const struct dt_instances *table)
{
    static const size_t counts[] = {3, 4, 8};
    struct dt_topology topology;
    struct dt_error err = {{0}};
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    int failed = 0;

    if (dt_topology_read(&topology, path, table, NULL, &err)) {
        fprintf(stderr, "bench_bind: %s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct worth own = {0}, other = {0};
        printf("%-34s %2zu", name, counts[i]);
        if (dt_try(&topology, counts[i], &own))
            failed++;
        else
            print_worth("dt", &own);
        if (m && strncmp(topology.source, "hwloc", 5) == 0) {
            int rc = mpibind_try(m, path, &topology, (int)counts[i], &other);
            if (rc == 0)
                print_worth("mpibind", &other);
            else
                printf("  %-8s %s", "mpibind", rc == 2 ? "crashed" : "failed");
        }
        printf("\n");
    }
    dt_topology_fini(&topology);
    return failed;
}

int main(int argc, char **argv)
{
    struct dt_instances table;
    struct mpibind mpibind = {0};
    struct dt_error err = {{0}};
    bool there;
    int failed;

    if (argc < 2 || dt_instances_load(&table, argv[1], &err)) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: bench_bind TABLE [XML...]" : err.text);
        return 1;
    }
    failed = bench_time(&table);
    there = mpibind_open(&mpibind);
    printf("\n%s\n",
           there ? "dt beside mpibind:"
                 : "mpibind is not installed (libmpibind.so), so its columns are left out:");
    printf("%-34s %2s  %-8s %8s %6s %8s %8s\n", "machine", "n", "", "GPU", "idle", "starved", "ms");
    printf("%-34s %2s  %-8s %8s %6s %8s\n", "", "", "", "distance", "cores", "ranks");
    for (int i = 2; i < argc; i++)
        failed += bench_file(there ? &mpibind : NULL, argv[i], &table);
    dt_instances_fini(&table);
    return failed ? 1 : 0;
}
