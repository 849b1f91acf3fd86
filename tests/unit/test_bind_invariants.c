/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of bind.h as invariants over generated machines, and over every hwloc XML in
 * $DT_CORPUS/hwloc; that shares are the cheapest there are; what a plan costs. */
#include <dirent.h>
#include <time.h>

#include "bind/internal.h"
#include "bind_machines.h"

/* ---- invariants ------------------------------------------------------------------------------ */

static size_t cores_in(hwloc_topology_t hwloc, hwloc_const_bitmap_t cpus)
{
    hwloc_obj_t previous = NULL, pu = NULL;
    size_t count = 0;

    while ((pu = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_PU, pu))) {
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, pu);
        if (!hwloc_bitmap_isset(cpus, pu->os_index))
            continue;
        count += !core || core != previous;
        previous = core;
    }
    return count;
}

static void check_siblings(hwloc_topology_t hwloc, hwloc_const_bitmap_t allowed,
                           hwloc_const_bitmap_t cpus)
{
    hwloc_bitmap_t part = hwloc_bitmap_alloc();
    hwloc_obj_t core = NULL;

    while ((core = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_CORE, core))) {
        if (!hwloc_bitmap_intersects(core->cpuset, cpus))
            continue;
        hwloc_bitmap_and(part, core->cpuset, allowed);
        assert_true(hwloc_bitmap_isincluded(part, cpus));
    }
    hwloc_bitmap_free(part);
}

static void check_nic_groups(const struct dt_topology *topology, const struct dt_bind_rank *rank)
{
    for (size_t i = 0; i < rank->nic_count; i++) {
        int group = topology->nics[rank->nics[i]].group;
        size_t members = 0, given = 0;
        for (size_t n = 0; group >= 0 && n < topology->nic_count; n++)
            members += topology->nics[n].group == group;
        for (size_t k = 0; group >= 0 && k < rank->nic_count; k++)
            given += topology->nics[rank->nics[k]].group == group;
        assert_int_equal(given, members);
    }
}

static void check_accelerators(const struct dt_topology *topology, const struct dt_bind_plan *plan)
{
    size_t *users = calloc(topology->accelerator_count + 1, sizeof(size_t));
    size_t min = SIZE_MAX, max = 0;

    for (size_t r = 0; r < plan->rank_count; r++) {
        const struct dt_bind_rank *rank = &plan->ranks[r];
        if (topology->accelerator_count > 0)
            assert_true(rank->accelerator_count >= 1);
        min = rank->accelerator_count < min ? rank->accelerator_count : min;
        max = rank->accelerator_count > max ? rank->accelerator_count : max;
        for (size_t i = 0; i < rank->accelerator_count; i++)
            users[rank->accelerators[i]]++;
        if (plan->rank_count == topology->accelerator_count)
            assert_int_equal(rank->accelerators[0], r);
        if (topology->nic_count > 0)
            assert_true(rank->nic_count >= 1);
    }
    assert_true(max - min <= 1);
    min = SIZE_MAX, max = 0;
    for (size_t a = 0; a < topology->accelerator_count; a++) {
        min = users[a] < min ? users[a] : min;
        max = users[a] > max ? users[a] : max;
    }
    if (topology->accelerator_count > 0)
        assert_true(min >= 1 && max - min <= 1);
    if (plan->rank_count <= topology->accelerator_count)
        assert_int_equal(max, 1);
    free(users);
}

static void check_cpus(const struct dt_topology *topology, const struct dt_bind_plan *plan,
                       hwloc_const_bitmap_t allowed)
{
    hwloc_bitmap_t seen = hwloc_bitmap_alloc(), usable = hwloc_bitmap_alloc();
    size_t min = SIZE_MAX, max = 0, cores;

    hwloc_bitmap_and(usable, allowed, hwloc_topology_get_topology_cpuset(topology->hwloc));
    cores = cores_in(topology->hwloc, usable);
    for (size_t r = 0; r < plan->rank_count; r++) {
        hwloc_const_bitmap_t cpus = plan->ranks[r].cpus;
        size_t share = cores_in(topology->hwloc, cpus);
        assert_false(hwloc_bitmap_iszero(cpus));
        assert_true(hwloc_bitmap_isincluded(cpus, usable));
        if (plan->rank_count <= cores)
            assert_false(hwloc_bitmap_intersects(cpus, seen));
        hwloc_bitmap_or(seen, seen, cpus);
        check_siblings(topology->hwloc, usable, cpus);
        min = share < min ? share : min;
        max = share > max ? share : max;
    }
    assert_true(hwloc_bitmap_isequal(seen, usable));
    assert_true(max - min <= 1);
    hwloc_bitmap_free(seen);
    hwloc_bitmap_free(usable);
}

static void check_same(const struct dt_bind_plan *a, const struct dt_bind_plan *b)
{
    assert_string_equal(a->summary, b->summary);
    for (size_t r = 0; r < a->rank_count; r++) {
        assert_true(hwloc_bitmap_isequal(a->ranks[r].cpus, b->ranks[r].cpus));
        assert_true(hwloc_bitmap_isequal(a->ranks[r].numa, b->ranks[r].numa));
        assert_int_equal(a->ranks[r].nic_count, b->ranks[r].nic_count);
    }
}

static void check_plan(const struct dt_topology *topology, size_t ranks,
                       hwloc_const_bitmap_t allowed)
{
    struct dt_bind_plan plan, again;
    struct dt_error err = {0};
    char *text;

    if (plan_same(&plan, topology, ranks, allowed, NULL, &err))
        fail_msg("%s", err.text);
    check_cpus(topology, &plan, allowed);
    check_accelerators(topology, &plan);
    for (size_t r = 0; r < ranks; r++)
        check_nic_groups(topology, &plan.ranks[r]);
    assert_int_equal(plan_same(&again, topology, ranks, allowed, NULL, &err), 0);
    check_same(&plan, &again);
    text = dt_bind_explain(&plan, topology);
    assert_non_null(text);
    free(text);
    dt_bind_plan_fini(&plan);
    dt_bind_plan_fini(&again);
}

static hwloc_bitmap_t make_allowed(hwloc_topology_t hwloc, int kind)
{
    hwloc_bitmap_t all = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(hwloc));
    hwloc_obj_t package = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, 0);
    hwloc_bitmap_t out = hwloc_bitmap_alloc();
    int half = hwloc_bitmap_weight(package ? package->cpuset : all) / 2, pu;

    hwloc_bitmap_foreach_begin(
        pu, all) if (kind == 0 || (kind == 1 && half-- > 0) || (kind == 2 && pu % 2) ||
                     (kind == 3 && hwloc_bitmap_iszero(out))) hwloc_bitmap_set(out, (unsigned)pu);
    hwloc_bitmap_foreach_end();
    if (hwloc_bitmap_iszero(out))
        hwloc_bitmap_set(out, (unsigned)hwloc_bitmap_first(all));
    hwloc_bitmap_free(all);
    return out;
}

/* ranks x allowed x accelerators */
static void sweep(struct dt_topology *topology)
{
    static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 0};
    size_t all = topology->accelerator_count;
    size_t devices[] = {all, all / 2, 1};
    int pus = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_PU);

    for (int kind = 0; kind < 4; kind++) {
        hwloc_bitmap_t allowed = make_allowed(topology->hwloc, kind);
        for (size_t d = 0; d < 3; d++) {
            if (d > 0 && (devices[d] == 0 || devices[d] >= devices[d - 1]))
                continue;
            topology->accelerator_count = devices[d];
            for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                if (counts[i] == 0 && (kind > 0 || d > 0 || pus > 256))
                    continue; /* a rank for every PU is the slow one: once, on smaller machines */
                check_plan(topology, counts[i] ? counts[i] : (size_t)pus, allowed);
            }
            topology->accelerator_count = all;
        }
        hwloc_bitmap_free(allowed);
    }
}

static void test_invariants_on_ec2_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < EC2_COUNT; i++) {
        struct dt_topology topology;
        machine_init(&topology, &ec2[i]);
        sweep(&topology);
        dt_topology_fini(&topology);
    }
}

static void test_invariants_on_odd_machines(void **state)
{
    static const struct machine odd[] = {
        {"one PU", 1, 1, 1, 1, DT_ACCELERATOR_NVIDIA, 1, 1, 0, 0},
        {"8 NUMA nodes", 2, 4, 8, 2, DT_ACCELERATOR_NVIDIA, 6, 6, 3, -1},
        {"1024 PUs", 4, 2, 64, 2, DT_ACCELERATOR_NVIDIA, 16, 16, 8, -1},
        {"3 packages", 3, 1, 5, 4, DT_ACCELERATOR_NVIDIA, 7, 2, 0, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct dt_topology topology;
        machine_init(&topology, &odd[i]);
        sweep(&topology);
        if (!strcmp(odd[i].name, "1024 PUs"))
            check_plan(&topology, 1024, hwloc_topology_get_topology_cpuset(topology.hwloc));
        for (size_t a = 0; a < topology.accelerator_count; a++)
            topology.accelerators[a].numa = a % 3 ? 0 : -1; /* crowded, partly unknown */
        sweep(&topology);
        dt_topology_fini(&topology);
    }
}

static void test_offline_pus(void **state)
{
    struct dt_topology topology;
    hwloc_bitmap_t online = cpus_of("1-46,49-94,97-142,150-191");

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(hwloc_topology_restrict(topology.hwloc, online, 0), 0);
    sweep(&topology);
    hwloc_bitmap_free(online);
    dt_topology_fini(&topology);
}

static void check_xml(const char *path)
{
    struct machine m = {"xml", 1, 1, 1, 1, DT_ACCELERATOR_NVIDIA, 4, 4, 2, -1};
    struct dt_topology topology = {0};

    assert_int_equal(hwloc_topology_init(&topology.hwloc), 0);
    hwloc_topology_set_io_types_filter(topology.hwloc, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_set_xml(topology.hwloc, path) || hwloc_topology_load(topology.hwloc))
        fail_msg("%s can not be loaded", path);
    m.packages = (unsigned)hwloc_get_nbobjs_by_type(topology.hwloc, HWLOC_OBJ_NUMANODE);
    topology.kind = m.kind;
    topology.accelerator_count = m.accelerators;
    topology.accelerators = make_devices(&m, m.accelerators, false);
    topology.nic_count = m.nics;
    topology.nics = make_devices(&m, m.nics, true);
    sweep(&topology);
    dt_topology_fini(&topology);
}

static void test_invariants_on_corpus(void **state)
{
    const char *corpus = getenv("DT_CORPUS");
    struct dirent *entry;
    char path[4096];
    DIR *dir;
    int files = 0;

    (void)state;
    if (!corpus)
        skip();
    snprintf(path, sizeof(path), "%s/hwloc", corpus);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".xml"))
            continue;
        snprintf(path, sizeof(path), "%s/hwloc/%s", corpus, entry->d_name);
        check_xml(path);
        files++;
    }
    closedir(dir);
    assert_true(files > 0);
}

/* ---- the shares are the cheapest there are --------------------------------------------------- */

struct search {
    size_t ranks, nodes, base;
    const long long *cost;
    size_t *have;
};

static long long search_rank(struct search *s, size_t rank, size_t extras);

/* Try every way to take `need` more units for the rank from node `node` on. */
static long long search_units(struct search *s, size_t rank, size_t node, size_t need,
                              size_t extras)
{
    long long best = INT64_MAX / 2;

    if (need == 0)
        return search_rank(s, rank + 1, extras);
    for (size_t n = node; n < s->nodes; n++) {
        long long here;
        if (s->have[n] == 0)
            continue;
        s->have[n]--;
        here = s->cost[rank * s->nodes + n] + search_units(s, rank, n, need - 1, extras);
        s->have[n]++;
        best = here < best ? here : best;
    }
    return best;
}

/* The rank takes the base number of units, or one of the extras too; all extras must go. */
static long long search_rank(struct search *s, size_t rank, size_t extras)
{
    long long with = INT64_MAX / 2, without = INT64_MAX / 2;

    if (rank == s->ranks)
        return extras == 0 ? 0 : INT64_MAX / 2;
    if (extras > 0)
        with = search_units(s, rank, 0, s->base + 1, extras - 1);
    if (s->ranks - rank > extras)
        without = search_units(s, rank, 0, s->base, extras);
    return with < without ? with : without;
}

static void test_shares_are_cheapest(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 400; round++) {
        size_t ranks = 1 + (size_t)rand_r(&seed) % 4, nodes = 1 + (size_t)rand_r(&seed) % 3;
        size_t have[3], total = 0, share[12];
        long long cost[12], sum = 0;
        struct search search = {ranks, nodes, 0, cost, have};

        for (size_t n = 0; n < nodes; n++)
            total += have[n] = (size_t)rand_r(&seed) % 4;
        if (total < ranks) {
            total += ranks;
            have[0] += ranks;
        }
        for (size_t i = 0; i < ranks * nodes; i++)
            cost[i] = 10 + rand_r(&seed) % 20;
        search.base = total / ranks;
        for (int even = 0; even < 2; even++, sum = 0) {
            assert_int_equal(dt_bind_assign(ranks, nodes, cost, have, even, share), 0);
            for (size_t i = 0; i < ranks * nodes; i++)
                sum += (long long)share[i] * cost[i];
            assert_int_equal(sum, search_rank(&search, 0, total % ranks));
        }
    }
}

/* ---- speed ----------------------------------------------------------------------------------- */

/* The best of five. */
static double plan_ms(const struct machine *m, size_t ranks)
{
    struct dt_topology topology;
    struct timespec a, b;
    double best = 1e9;

    machine_init(&topology, m);
    for (int i = 0; i < 5; i++) {
        struct dt_bind_plan plan;
        struct dt_error err;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        assert_int_equal(plan_same(&plan, &topology, ranks,
                                   hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                         0);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        dt_bind_plan_fini(&plan);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        best = ms < best ? ms : best;
    }
    dt_topology_fini(&topology);
    return best;
}

/* Processor time, which a busy machine does not lengthen. The promised figures are 1 and 10 ms; ten
 * times that only fails when something is badly wrong. */
static void test_speed(void **state)
{
    static const struct machine big = {"big", 4, 2, 64, 2, DT_ACCELERATOR_NVIDIA, 16, 16, 8, -1};
    double p5 = plan_ms(find_machine("p5.48xlarge"), 8), large = plan_ms(&big, 64);

    (void)state;
    print_message("plan: 8 ranks on p5.48xlarge %.3f ms, 64 ranks on 1024 PUs %.3f ms\n", p5,
                  large);
    assert_true(p5 < 10);
    assert_true(large < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariants_on_ec2_types),
        cmocka_unit_test(test_invariants_on_odd_machines),
        cmocka_unit_test(test_offline_pus),
        cmocka_unit_test(test_invariants_on_corpus),
        cmocka_unit_test(test_shares_are_cheapest),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
