/* SPDX-License-Identifier: Apache-2.0 */
/* No plan is cheaper: on small random machines every other way to part accelerators and cores is
 * tried, with a cost written down here anew. Then what the binder says of its own plans. */
#include <limits.h>

#include "bind_machines.h"

#define NODES_MAX 3
#define RANKS_MAX 8
#define DEVICES   10

struct trial {
    struct dt_topology topology;
    size_t ranks, accelerators, nodes;
    size_t have[NODES_MAX], cores;
    size_t owner[DEVICES]; /* more accelerators than ranks */
    size_t users[DEVICES]; /* fewer */
    long long best, node_cost[RANKS_MAX][NODES_MAX];
};

/* synthetic() gives no matrix, so: 10 in a node, 12 in a package, 20 beyond. */
static long long node_distance(const struct trial *t, int a, int b)
{
    hwloc_obj_t x = hwloc_get_obj_by_type(t->topology.hwloc, HWLOC_OBJ_NUMANODE, (unsigned)a);
    hwloc_obj_t y = hwloc_get_obj_by_type(t->topology.hwloc, HWLOC_OBJ_NUMANODE, (unsigned)b);

    if (a == b)
        return 10000;
    return hwloc_get_ancestor_obj_by_type(t->topology.hwloc, HWLOC_OBJ_PACKAGE, x) ==
                   hwloc_get_ancestor_obj_by_type(t->topology.hwloc, HWLOC_OBJ_PACKAGE, y)
               ? 12000
               : 20000;
}

static long long device_distance(const struct trial *t, const struct dt_device *a,
                                 const struct dt_device *b)
{
    return a->group >= 0 && a->group == b->group ? 2000 : node_distance(t, a->numa, b->numa);
}

/* ---- all ways to share the cores ------------------------------------------------------------- */

static long long try_rank(struct trial *t, size_t rank, size_t extras);

static long long try_units(struct trial *t, size_t rank, size_t from, size_t need, size_t extras)
{
    long long best = LLONG_MAX / 2;

    if (need == 0)
        return try_rank(t, rank + 1, extras);
    for (size_t n = from; n < t->nodes; n++) {
        if (t->have[n] == 0)
            continue;
        t->have[n]--;
        long long here = t->node_cost[rank][n] + try_units(t, rank, n, need - 1, extras);
        t->have[n]++;
        best = here < best ? here : best;
    }
    return best;
}

static long long try_rank(struct trial *t, size_t rank, size_t extras)
{
    size_t base = t->cores / t->ranks;
    long long with = LLONG_MAX / 2, without = LLONG_MAX / 2;

    if (rank == t->ranks)
        return extras ? LLONG_MAX / 2 : 0;
    if (extras > 0)
        with = try_units(t, rank, 0, base + 1, extras - 1);
    if (t->ranks - rank > extras)
        without = try_units(t, rank, 0, base, extras);
    return with < without ? with : without;
}

/* ---- all ways to share the accelerators ------------------------------------------------------ */

static long long price_rank(struct trial *t, size_t rank, const size_t *items, size_t count)
{
    const struct dt_device *devices = t->topology.accelerators;
    long long pci = 0;

    for (size_t n = 0; n < t->nodes; n++) {
        long long sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += node_distance(t, devices[items[i]].numa, (int)n);
        t->node_cost[rank][n] = sum / (long long)count;
    }
    for (size_t i = 0; i < count; i++) {
        long long nearest = LLONG_MAX;
        for (size_t n = 0; n < t->topology.nic_count; n++) {
            long long d = device_distance(t, &devices[items[i]], &t->topology.nics[n]);
            nearest = d < nearest ? d : nearest;
        }
        pci += nearest == LLONG_MAX ? 0 : nearest;
        for (size_t k = i + 1; k < count; k++)
            pci += device_distance(t, &devices[items[i]], &devices[items[k]]);
    }
    return pci;
}

static void price_groups(struct trial *t)
{
    long long pci = 0;

    for (size_t r = 0; r < t->ranks; r++) {
        size_t items[DEVICES], count = 0;
        for (size_t a = 0; a < t->accelerators; a++)
            if (t->owner[a] == r)
                items[count++] = a;
        if (count < t->accelerators / t->ranks)
            return; /* not an equal share */
        pci += price_rank(t, r, items, count);
    }
    long long cost = pci + try_rank(t, 0, t->cores % t->ranks);
    t->best = cost < t->best ? cost : t->best;
}

/* Every partition once: a rank is used when all before it are. */
static void try_groups(struct trial *t, size_t device, size_t used)
{
    size_t most = (t->accelerators + t->ranks - 1) / t->ranks;

    if (device == t->accelerators) {
        price_groups(t);
        return;
    }
    for (size_t r = 0; r <= used && r < t->ranks; r++) {
        size_t count = 0;
        for (size_t a = 0; a < device; a++)
            count += t->owner[a] == r;
        if (count == most)
            continue;
        t->owner[device] = r;
        try_groups(t, device + 1, used + (r == used));
    }
}

static void try_users(struct trial *t, size_t device, size_t ranks_left)
{
    size_t base = t->ranks / t->accelerators;
    long long pci = 0;

    if (device < t->accelerators) {
        for (t->users[device] = base; t->users[device] <= base + 1; t->users[device]++)
            if (t->users[device] <= ranks_left)
                try_users(t, device + 1, ranks_left - t->users[device]);
        return;
    }
    if (ranks_left)
        return;
    for (size_t a = 0, r = 0; a < t->accelerators; a++)
        for (size_t u = 0; u < t->users[a]; u++)
            pci += price_rank(t, r++, &a, 1);
    long long cost = pci + try_rank(t, 0, t->cores % t->ranks);
    t->best = cost < t->best ? cost : t->best;
}

/* ---- random machines ------------------------------------------------------------------------- */

static void trial_init(struct trial *t, unsigned *seed, size_t ranks_max, size_t cores_max)
{
    static const struct machine shapes[] = {
        {"a", 2, 1, 8, 1, DT_ACCELERATOR_NVIDIA, 0, 0, 0, -1},
        {"b", 1, 3, 8, 1, DT_ACCELERATOR_NVIDIA, 0, 0, 0, -1},
        {"c", 3, 1, 8, 1, DT_ACCELERATOR_NVIDIA, 0, 0, 0, -1},
    };
    struct machine m = shapes[(unsigned)rand_r(seed) % 3];
    size_t groups = 1 + (size_t)rand_r(seed) % 4;

    memset(t, 0, sizeof(*t));
    t->nodes = m.packages * m.nodes_per_package;
    t->ranks = 2 + (size_t)rand_r(seed) % (ranks_max - 1);
    t->accelerators = m.accelerators =
        1 + (size_t)rand_r(seed) % (t->ranks + 3 > 9 ? 9 : t->ranks + 3);
    m.nics = (size_t)rand_r(seed) % 4;
    machine_init(&t->topology, &m);
    for (size_t a = 0; a < m.accelerators + m.nics; a++) {
        struct dt_device *device = a < m.accelerators ? &t->topology.accelerators[a]
                                                      : &t->topology.nics[a - m.accelerators];
        int group = (int)((size_t)rand_r(seed) % (groups * 2));
        device->numa = group % (int)t->nodes;
        device->group = group < (int)groups ? group : -1;
    }
    for (t->cores = 0; t->cores < t->ranks;) {
        t->cores = 0;
        for (size_t n = 0; n < t->nodes; n++)
            t->cores += t->have[n] = (size_t)rand_r(seed) % (cores_max / t->nodes + 2);
        t->cores = t->cores > cores_max ? 0 : t->cores;
    }
    t->best = LLONG_MAX;
}

static hwloc_bitmap_t trial_cpus(const struct trial *t)
{
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();

    for (size_t n = 0; n < t->nodes; n++)
        for (size_t c = 0; c < t->have[n]; c++)
            hwloc_bitmap_set(cpus, (unsigned)(8 * n + c));
    return cpus;
}

static void check_trial(struct trial *t, unsigned seed)
{
    struct dt_bind_plan plan;
    struct dt_error err;
    hwloc_bitmap_t cpus = trial_cpus(t);

    if (plan_same(&plan, &t->topology, t->ranks, cpus, NULL, &err))
        fail_msg("%s", err.text);
    /* With one for each the order is fixed: programs take the device of their local rank. */
    if (t->accelerators < t->ranks)
        try_users(t, 0, t->ranks);
    else
        try_groups(t, 0, 0);
    if (plan.cost != t->best)
        fail_msg(
            "seed %u: %zu ranks, %zu accelerators, %zu cores: the plan costs %lld, and %lld is "
            "possible",
            seed, t->ranks, t->accelerators, t->cores, plan.cost, t->best);
    hwloc_bitmap_free(cpus);
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&t->topology);
}

static void test_no_plan_is_cheaper(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct trial t;
        unsigned s = seed;
        trial_init(&t, &s, 4, 8);
        check_trial(&t, seed);
    }
}

static void test_no_plan_is_cheaper_for_8_ranks(void **state)
{
    (void)state;
    for (unsigned seed = 1000; seed < 1060; seed++) {
        struct trial t;
        unsigned s = seed;
        trial_init(&t, &s, 8, 9);
        check_trial(&t, seed);
    }
}

/* ---- groupings that a person would make ------------------------------------------------------ */

static void test_accelerators_of_one_switch_stay_together(void **state)
{
    static const struct machine m = {"mixed", 2, 1, 8, 1, DT_ACCELERATOR_NVIDIA, 4, 0, 0, -1};
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err;

    (void)state;
    machine_init(&topology, &m);
    for (size_t a = 0; a < 4; a++)
        topology.accelerators[a].numa = (int)(a % 2); /* PCI order alternates between packages */
    assert_int_equal(plan_same(&plan, &topology, 2,
                               hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                     0);
    assert_int_equal(plan.ranks[0].accelerators[0], 0);
    assert_int_equal(plan.ranks[0].accelerators[1], 2);
    assert_cpus(&plan, 0, "0-7");
    assert_cpus(&plan, 1, "8-15");
    assert_true(plan.cost < plan.linear_cost);
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

/* Beyond 8 ranks nothing is proved, but the order of PCI is never made worse. */
static void test_many_ranks_are_not_worse_than_plain_order(void **state)
{
    static const struct machine m = {"many", 4, 2, 8, 2, DT_ACCELERATOR_NVIDIA, 16, 16, 8, -1};
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err;

    (void)state;
    machine_init(&topology, &m);
    for (size_t a = 0; a < 16; a++)
        topology.accelerators[a].numa = (int)(a * 5 % 8);
    for (size_t ranks = 9; ranks <= 40; ranks++) {
        assert_int_equal(plan_same(&plan, &topology, ranks,
                                   hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                         0);
        assert_true(plan.cost > 0 && plan.cost <= plan.linear_cost);
        dt_bind_plan_fini(&plan);
    }
    dt_topology_fini(&topology);
}

/* ---- what a request may say ------------------------------------------------------------------ */

static void plan_request(struct dt_bind_plan *plan, const struct dt_bind_request *request)
{
    struct dt_error err;
    hwloc_const_bitmap_t *masks = calloc(request->ranks, sizeof(*masks));

    assert_non_null(masks);
    for (size_t r = 0; r < request->ranks; r++)
        masks[r] = hwloc_topology_get_topology_cpuset(request->topology->hwloc);
    struct dt_bind_request whole = *request;
    if (!whole.allowed)
        whole.allowed = masks;
    if (dt_bind_plan(plan, &whole, &err))
        fail_msg("%s", err.text);
    free(masks);
}

/* A shared node: four of eight GPUs are ours, in the order that Slurm says. */
static void test_only_the_gpus_of_the_job(void **state)
{
    static const size_t given[] = {4, 5, 6, 7};
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_bind_request request = {.topology = &topology, .ranks = 4, .gpus = {given, 4}};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    plan_request(&plan, &request);
    for (size_t r = 0; r < 4; r++) {
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, 4 + r, 1);
        assert_int_equal(plan.ranks[r].cores, 24);
    }
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

/* Slurm gave each task its GPU: the cores follow. */
static void test_cores_follow_gpus_of_others(void **state)
{
    static const size_t far[] = {7}, near[] = {0};
    const struct dt_bind_list own[] = {{far, 1}, {near, 1}};
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_bind_request request = {.topology = &topology, .ranks = 2, .own = own};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    plan_request(&plan, &request);
    assert_cpus(&plan, 0, "48-95,144-191");
    assert_cpus(&plan, 1, "0-47,96-143");
    assert_indices(plan.ranks[0].accelerators, plan.ranks[0].accelerator_count, 7, 1);
    assert_non_null(strstr(plan.summary, "as Slurm gave them"));
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

/* Slurm bound by itself, across the packages: dt plans anew within the same CPUs. */
static void test_slurms_own_choice_is_refined(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    hwloc_bitmap_t odd = hwloc_bitmap_alloc(), even = hwloc_bitmap_alloc();
    hwloc_const_bitmap_t masks[] = {odd, even};
    struct dt_bind_request request = {
        .topology = &topology, .ranks = 2, .allowed = masks, .refine = true};

    (void)state;
    for (unsigned pu = 0; pu < 96; pu++)
        hwloc_bitmap_set(pu % 2 ? odd : even, pu);
    machine_init(&topology, find_machine("p5.48xlarge"));
    plan_request(&plan, &request);
    assert_false(plan.stand_back);
    assert_cpus(&plan, 0, "0-47");
    assert_cpus(&plan, 1, "48-95");
    assert_true(hwloc_bitmap_iszero(plan.idle));
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
    hwloc_bitmap_free(odd);
    hwloc_bitmap_free(even);
}

static void test_who_bound_is_named(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_bind_request request = {
        .topology = &topology, .ranks = 2, .user_bound = true, .bound_by = "--cpu-bind=cores"};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    plan_request(&plan, &request);
    assert_string_equal(plan.reason, "--cpu-bind=cores bound the ranks explicitly; CPUs and memory "
                                     "policy are left alone");
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

static void test_cores_are_kept_for_communication(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_bind_request request = {
        .topology = &topology, .ranks = 8, .reserve = 2, .loaders = 4};
    hwloc_bitmap_t want = cpus_of("10-11,106-107");
    char *text;

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    plan_request(&plan, &request);
    assert_true(hwloc_bitmap_isequal(plan.ranks[0].reserved, want));
    assert_true(hwloc_bitmap_isincluded(plan.ranks[0].reserved, plan.ranks[0].cpus));
    assert_int_equal(plan.ranks[0].omp_threads, 6);
    assert_int_equal(plan.ranks[0].loader_workers, 4);
    assert_string_equal(plan.notes, "");
    text = dt_bind_explain(&plan, &topology);
    assert_non_null(strstr(text, "suggested: 6 OpenMP threads, 4 data loaders; PUs 10-11,106-107 "
                                 "are left for communication threads\n"));
    free(text);
    dt_bind_plan_fini(&plan);
    request.reserve = 12;
    plan_request(&plan, &request);
    assert_int_equal(hwloc_bitmap_weight(plan.ranks[0].reserved), 22); /* one core stays */
    assert_int_equal(plan.ranks[0].omp_threads, 1);
    assert_non_null(strstr(plan.notes, "keeps one for the program"));
    hwloc_bitmap_free(want);
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

/* ---- reasons --------------------------------------------------------------------------------- */

static void test_reasons(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_bind_request request = {.topology = &topology, .ranks = 8};
    const struct dt_bind_choice *choice;
    char *text;

    (void)state;
    machine_init(&topology, find_machine("p4d.24xlarge"));
    plan_request(&plan, &request);
    assert_int_equal(plan.ranks[3].choice_count, 2);
    choice = &plan.ranks[3].choices[0];
    assert_false(choice->nic);
    assert_int_equal(choice->device, 3);
    assert_int_equal(choice->near.place, DT_BIND_NODE);
    assert_int_equal(choice->near.distance, 10000);
    assert_true(choice->has_runner_up);
    assert_int_equal(choice->runner_up, 0);
    assert_int_equal(choice->runner_up_rank, 0);
    choice = &plan.ranks[3].choices[1];
    assert_true(choice->nic);
    assert_int_equal(choice->device, 1);
    assert_int_equal(choice->near.place, DT_BIND_SWITCH);
    assert_int_equal(choice->near.distance, 2000);
    assert_int_equal(choice->runner_up, 0);
    assert_int_equal(choice->runner_up_near.distance, 10000);
    /* 6 cores at 10, and 2 to the NIC */
    assert_int_equal(plan.ranks[3].cost, 62000);
    text = dt_bind_explain(&plan, &topology);
    assert_non_null(strstr(text, "NIC rdmap1s0 (behind its accelerator's PCIe switch), shared by 2 "
                                 "ranks; distance 2.0; next: rdmap0s0 at 10.0, refused: farther"));
    assert_non_null(strstr(text, "next: GPU-0 at 10.0, refused: it is local rank 0's"));
    assert_non_null(strstr(text, "cost: 496.0; GPUs and cores in plain order would cost 496.0"));
    free(text);
    dt_bind_plan_fini(&plan);
    dt_topology_fini(&topology);
}

/* What another binder made of the machine, priced by the same rule. */
static void test_cost_of_a_given_plan(void **state)
{
    struct dt_topology topology;
    size_t gpu = 0;
    struct dt_bind_rank rank = {.accelerators = &gpu, .accelerator_count = 1};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    rank.cpus = cpus_of("48-59,144-155");
    assert_int_equal(dt_bind_cost(&topology, &rank, 1), 0);
    assert_int_equal(rank.cores, 12);
    assert_int_equal(rank.cost, 12 * 20000 + 2000);
    hwloc_bitmap_free(rank.cpus);
    dt_topology_fini(&topology);
}

static void test_notes(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err;
    hwloc_bitmap_t one = cpus_of("5");

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(plan_same(&plan, &topology, 8, one, NULL, &err), 0);
    assert_non_null(strstr(plan.notes, "8 ranks have fewer cores than one each"));
    for (size_t r = 0; r < 8; r++)
        assert_cpus(&plan, r, "5");
    dt_bind_plan_fini(&plan);
    topology.accelerators[3].numa = -1;
    assert_int_equal(plan_same(&plan, &topology, 8,
                               hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                     0);
    assert_non_null(strstr(plan.notes, "GPU GPU-3 is on no known NUMA node"));
    for (size_t r = 0; r < 8; r++)
        assert_int_equal(plan.ranks[r].cores, 12);
    dt_bind_plan_fini(&plan);
    hwloc_bitmap_free(one);
    dt_topology_fini(&topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_plan_is_cheaper),
        cmocka_unit_test(test_no_plan_is_cheaper_for_8_ranks),
        cmocka_unit_test(test_accelerators_of_one_switch_stay_together),
        cmocka_unit_test(test_many_ranks_are_not_worse_than_plain_order),
        cmocka_unit_test(test_only_the_gpus_of_the_job),
        cmocka_unit_test(test_cores_follow_gpus_of_others),
        cmocka_unit_test(test_slurms_own_choice_is_refined),
        cmocka_unit_test(test_who_bound_is_named),
        cmocka_unit_test(test_cores_are_kept_for_communication),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_cost_of_a_given_plan),
        cmocka_unit_test(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
