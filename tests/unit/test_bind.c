/* SPDX-License-Identifier: Apache-2.0 */
/* The binder: exact plans for the machines that matter, then the rules of bind.h as invariants over
 * generated machines, and over every hwloc XML in $DT_CORPUS/hwloc. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "bind/bind.h"
#include "bind/internal.h"

/* ---- machines -------------------------------------------------------------------------------- */

struct machine {
    const char *name;
    unsigned packages, nodes_per_package, cores_per_node, threads;
    enum dt_accelerator kind;
    size_t accelerators, nics;
    size_t groups; /* switches, spread over nodes in order; 0: none known */
    int nic_node;  /* >= 0: all NICs are on this node, outside any group */
};

/* As modelled in the EC2 instance table. */
static const struct machine ec2[] = {
    {"p4d.24xlarge", 2, 1, 24, 2, DT_ACCELERATOR_NVIDIA, 8, 4, 4, -1},
    {"p5.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 32, 8, -1},
    {"p5en.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 16, 4, -1},
    {"p6-b200.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 8, 4, -1},
    {"g5.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 1, 0, 1},
    {"trn1.32xlarge", 2, 1, 32, 2, DT_ACCELERATOR_NEURON, 16, 8, 8, -1},
    {"hpc7a.96xlarge", 2, 2, 48, 1, DT_ACCELERATOR_NONE, 0, 2, 0, 0},
    {"host", 1, 1, 2, 1, DT_ACCELERATOR_NONE, 0, 0, 0, -1},
};
#define EC2_COUNT (sizeof(ec2) / sizeof(ec2[0]))

/* Linux numbers first threads of all cores, then second threads. */
static hwloc_topology_t synthetic(const struct machine *m)
{
    unsigned cores = m->packages * m->nodes_per_package * m->cores_per_node;
    struct dt_buf text = DT_BUF_INIT;
    hwloc_topology_t hwloc;

    dt_buf_printf(&text, "pack:%u numa:%u core:%u pu:%u(indexes=", m->packages,
                  m->nodes_per_package, m->cores_per_node, m->threads);
    for (unsigned c = 0; c < cores; c++)
        for (unsigned t = 0; t < m->threads; t++)
            dt_buf_printf(&text, "%s%u", c + t ? "," : "", t * cores + c);
    dt_buf_puts(&text, ")");
    assert_false(text.failed);
    assert_int_equal(hwloc_topology_init(&hwloc), 0);
    assert_int_equal(hwloc_topology_set_synthetic(hwloc, text.data), 0);
    assert_int_equal(hwloc_topology_load(hwloc), 0);
    dt_buf_fini(&text);
    return hwloc;
}

static struct dt_device *make_devices(const struct machine *m, size_t count, bool nic)
{
    struct dt_device *devices = calloc(count ? count : 1, sizeof(*devices));
    int nodes = (int)(m->packages * m->nodes_per_package);

    assert_non_null(devices);
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof(id), nic ? "rdmap%zus0" : "GPU-%zu", i);
        devices[i].id = strdup(id);
        snprintf(id, sizeof(id), "0000:%02zx:%02x.0", i + 16, nic ? 0x1b : 0x1c);
        devices[i].bdf = strdup(id);
        devices[i].group = m->groups ? (int)(i * m->groups / count) : -1;
        devices[i].numa = nic && m->nic_node >= 0 ? m->nic_node : (int)(i * (size_t)nodes / count);
    }
    return devices;
}

static void machine_init(struct dt_topology *topology, const struct machine *m)
{
    memset(topology, 0, sizeof(*topology));
    topology->hwloc = synthetic(m);
    topology->kind = m->kind;
    topology->accelerator_count = m->accelerators;
    topology->accelerators = make_devices(m, m->accelerators, false);
    topology->nic_count = m->nics;
    topology->nics = make_devices(m, m->nics, true);
    topology->source = strdup(m->name);
}

static const struct machine *find_machine(const char *name)
{
    for (size_t i = 0; i < EC2_COUNT; i++)
        if (!strcmp(ec2[i].name, name))
            return &ec2[i];
    fail_msg("no machine %s", name);
    return NULL;
}

/* ---- planning -------------------------------------------------------------------------------- */

static hwloc_bitmap_t cpus_of(const char *list)
{
    hwloc_bitmap_t bitmap = hwloc_bitmap_alloc();
    assert_int_equal(hwloc_bitmap_list_sscanf(bitmap, list), 0);
    return bitmap;
}

static int plan_same(struct dt_bind_plan *plan, const struct dt_topology *topology, size_t ranks,
                     hwloc_const_bitmap_t allowed, const char *visible, struct dt_error *err)
{
    hwloc_const_bitmap_t *masks = calloc(ranks, sizeof(*masks));
    struct dt_bind_request request = {topology, ranks, masks, visible, false, NULL};
    int rc;

    for (size_t r = 0; r < ranks; r++)
        masks[r] = allowed;
    rc = dt_bind_plan(plan, &request, err);
    free(masks);
    return rc;
}

static void assert_cpus(const struct dt_bind_plan *plan, size_t rank, const char *want)
{
    char *have = NULL;
    hwloc_bitmap_list_asprintf(&have, plan->ranks[rank].cpus);
    assert_string_equal(have, want);
    free(have);
}

static void assert_indices(const size_t *have, size_t have_count, size_t first, size_t count)
{
    assert_int_equal(have_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(have[i], first + i);
}

/* ---- exact plans ----------------------------------------------------------------------------- */

static void load(struct dt_topology *topology, struct dt_bind_plan *plan, const char *type,
                 size_t ranks)
{
    struct dt_error err = {0};

    machine_init(topology, find_machine(type));
    if (plan_same(plan, topology, ranks, hwloc_topology_get_topology_cpuset(topology->hwloc), NULL,
                  &err))
        fail_msg("%s", err.text);
    assert_false(plan->stand_back);
    assert_null(plan->reason);
}

static void unload(struct dt_topology *topology, struct dt_bind_plan *plan)
{
    dt_bind_plan_fini(plan);
    dt_topology_fini(topology);
}

static void test_p5(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    char want[64];

    (void)state;
    load(&topology, &plan, "p5.48xlarge", 8);
    for (size_t r = 0; r < 8; r++) {
        snprintf(want, sizeof(want), "%zu-%zu,%zu-%zu", 12 * r, 12 * r + 11, 96 + 12 * r,
                 96 + 12 * r + 11);
        assert_cpus(&plan, r, want);
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, r, 1);
        assert_indices(plan.ranks[r].nics, plan.ranks[r].nic_count, 4 * r, 4);
        assert_int_equal(hwloc_bitmap_first(plan.ranks[r].numa), r / 4);
        assert_int_equal(hwloc_bitmap_weight(plan.ranks[r].numa), 1);
    }
    assert_string_equal(plan.summary, "8 ranks, 12 cores, 1 GPU and 4 NICs each, memory preferred "
                                      "on the NUMA node of its cores");
    unload(&topology, &plan);
}

static void test_p4d_pairs_share_a_nic(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    char want[64];

    (void)state;
    load(&topology, &plan, "p4d.24xlarge", 8);
    for (size_t r = 0; r < 8; r++) {
        snprintf(want, sizeof(want), "%zu-%zu,%zu-%zu", 6 * r, 6 * r + 5, 48 + 6 * r,
                 48 + 6 * r + 5);
        assert_cpus(&plan, r, want);
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, r, 1);
        assert_indices(plan.ranks[r].nics, plan.ranks[r].nic_count, r / 2, 1);
    }
    char *text = dt_bind_explain(&plan, &topology);
    assert_non_null(strstr(text, "local rank 7: 6 cores, PUs 42-47,90-95; memory preferred on NUMA "
                                 "node 1\n"));
    assert_non_null(strstr(text, "GPU 7: GPU-7 at 0000:17:1c.0 (on its NUMA node)"));
    assert_non_null(strstr(text, "NIC rdmap3s0 (behind its accelerator's PCIe switch), shared by 2 "
                                 "ranks"));
    free(text);
    unload(&topology, &plan);
}

static void test_g5_one_nic_for_all(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;

    (void)state;
    load(&topology, &plan, "g5.48xlarge", 8);
    for (size_t r = 0; r < 8; r++) {
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, r, 1);
        assert_indices(plan.ranks[r].nics, plan.ranks[r].nic_count, 0, 1);
    }
    assert_cpus(&plan, 0, "0-11,96-107");
    assert_cpus(&plan, 7, "84-95,180-191");
    unload(&topology, &plan);
}

static void test_trn1(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    char want[64];

    (void)state;
    load(&topology, &plan, "trn1.32xlarge", 32); /* a rank for each NeuronCore */
    for (size_t r = 0; r < 32; r++) {
        snprintf(want, sizeof(want), "%zu-%zu,%zu-%zu", 2 * r, 2 * r + 1, 64 + 2 * r, 65 + 2 * r);
        assert_cpus(&plan, r, want);
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, r / 2, 1);
        assert_indices(plan.ranks[r].nics, plan.ranks[r].nic_count, r / 4, 1);
    }
    assert_non_null(strstr(plan.summary, "1 Neuron device and 1 NIC each"));
    unload(&topology, &plan);
}

static void test_hpc7a(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    char want[16];

    (void)state;
    load(&topology, &plan, "hpc7a.96xlarge", 192);
    for (size_t r = 0; r < 192; r++) {
        snprintf(want, sizeof(want), "%zu", r);
        assert_cpus(&plan, r, want);
        assert_int_equal(plan.ranks[r].accelerator_count, 0);
        assert_indices(plan.ranks[r].nics, plan.ranks[r].nic_count, 0, 2);
        assert_int_equal(hwloc_bitmap_first(plan.ranks[r].numa), r / 48);
    }
    unload(&topology, &plan);
}

static void test_one_rank_keeps_everything(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;

    (void)state;
    load(&topology, &plan, "p5.48xlarge", 1);
    assert_cpus(&plan, 0, "0-191");
    assert_indices(plan.ranks[0].accelerators, plan.ranks[0].accelerator_count, 0, 8);
    assert_indices(plan.ranks[0].nics, plan.ranks[0].nic_count, 0, 32);
    assert_int_equal(hwloc_bitmap_weight(plan.ranks[0].numa), 2);
    unload(&topology, &plan);
}

/* Memory is not preferred on a node that has none. */
static void test_empty_nodes_are_passed_over(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, &ec2[0]);
    for (unsigned n = 0; n < 2; n++)
        hwloc_get_obj_by_type(topology.hwloc, HWLOC_OBJ_NUMANODE, n)->attr->numanode.local_memory =
            n ? 1 << 30 : 0;
    assert_int_equal(plan_same(&plan, &topology, 8,
                               hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                     0);
    assert_true(hwloc_bitmap_iszero(plan.ranks[0].numa));
    assert_int_equal(hwloc_bitmap_first(plan.ranks[7].numa), 1);
    unload(&topology, &plan);
}

/* The published failure of another binder: GPUs on half of the NUMA nodes leave cores idle. */
static void test_cores_without_gpus_are_lent(void **state)
{
    static const struct machine turin = {"turin", 2, 4, 16, 1, DT_ACCELERATOR_NVIDIA, 4, 0, 0, -1};
    static const int homes[] = {1, 2, 6, 7};
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, &turin);
    for (size_t i = 0; i < 4; i++)
        topology.accelerators[i].numa = homes[i];
    assert_int_equal(plan_same(&plan, &topology, 4,
                               hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                     0);
    for (size_t r = 0; r < 4; r++) {
        hwloc_obj_t near =
            hwloc_get_obj_by_type(topology.hwloc, HWLOC_OBJ_NUMANODE, (unsigned)homes[r]);
        hwloc_obj_t package =
            hwloc_get_obj_by_type(topology.hwloc, HWLOC_OBJ_PACKAGE, homes[r] / 4);
        assert_int_equal(hwloc_bitmap_weight(plan.ranks[r].cpus), 32);
        assert_true(hwloc_bitmap_isincluded(near->cpuset, plan.ranks[r].cpus));
        assert_true(hwloc_bitmap_isincluded(plan.ranks[r].cpus, package->cpuset));
    }
    unload(&topology, &plan);
}

/* ---- manners --------------------------------------------------------------------------------- */

static void test_stands_back_from_differing_masks(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    hwloc_bitmap_t far = cpus_of("48-59"), near = cpus_of("0-11");
    hwloc_const_bitmap_t masks[] = {far, near};
    struct dt_bind_request request = {&topology, 2, masks, NULL, false, NULL};
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(dt_bind_plan(&plan, &request, &err), 0);
    assert_true(plan.stand_back);
    assert_non_null(strstr(plan.reason, "masks differ"));
    assert_cpus(&plan, 0, "48-59");
    assert_cpus(&plan, 1, "0-11");
    /* Rank 0 sits on node 1, so it gets node 1's GPUs. */
    assert_indices(plan.ranks[0].accelerators, plan.ranks[0].accelerator_count, 4, 4);
    assert_indices(plan.ranks[1].accelerators, plan.ranks[1].accelerator_count, 0, 4);
    assert_int_equal(hwloc_bitmap_first(plan.ranks[0].numa), 1);
    hwloc_bitmap_free(far);
    hwloc_bitmap_free(near);
    unload(&topology, &plan);
}

static void test_stands_back_from_the_user(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    hwloc_bitmap_t all = cpus_of("0-191");
    hwloc_const_bitmap_t masks[] = {all, all};
    struct dt_bind_request request = {&topology, 2, masks, NULL, true, NULL};
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(dt_bind_plan(&plan, &request, &err), 0);
    assert_true(plan.stand_back);
    assert_non_null(strstr(plan.reason, "user bound"));
    assert_cpus(&plan, 1, "0-191");
    assert_true(hwloc_bitmap_iszero(plan.ranks[0].numa));
    hwloc_bitmap_free(all);
    unload(&topology, &plan);
}

static void test_users_devices_are_left_alone(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(plan_same(&plan, &topology, 2,
                               hwloc_topology_get_topology_cpuset(topology.hwloc), "3,1", &err),
                     0);
    assert_int_equal(plan.ranks[0].accelerator_count, 0);
    assert_int_equal(plan.ranks[0].nic_count, 16);
    assert_non_null(strstr(plan.summary, "CUDA_VISIBLE_DEVICES"));
    unload(&topology, &plan);
}

/* A node that claims 192 CPUs on a kernel with 2, and the reverse. */
static void test_masks_and_topology_disagree(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    hwloc_bitmap_t two = cpus_of("0-1"), beyond = cpus_of("500-507"), both = cpus_of("190-300");
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, find_machine("p5.48xlarge"));
    assert_int_equal(plan_same(&plan, &topology, 8, two, NULL, &err), 0);
    for (size_t r = 0; r < 8; r++) {
        assert_cpus(&plan, r, r < 4 ? "0" : "1");
        assert_indices(plan.ranks[r].accelerators, plan.ranks[r].accelerator_count, r, 1);
    }
    assert_non_null(strstr(plan.summary, "ranks share cores"));
    dt_bind_plan_fini(&plan);

    assert_int_equal(plan_same(&plan, &topology, 2, beyond, NULL, &err), 0);
    assert_cpus(&plan, 0, "500-503");
    assert_cpus(&plan, 1, "504-507");
    assert_true(hwloc_bitmap_iszero(plan.ranks[0].numa));
    dt_bind_plan_fini(&plan);

    assert_int_equal(plan_same(&plan, &topology, 2, both, NULL, &err), 0);
    assert_cpus(&plan, 0, "190");
    assert_cpus(&plan, 1, "191");
    hwloc_bitmap_free(two);
    hwloc_bitmap_free(beyond);
    hwloc_bitmap_free(both);
    unload(&topology, &plan);
}

static void test_bad_requests(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;
    hwloc_bitmap_t empty = hwloc_bitmap_alloc(), full = hwloc_bitmap_alloc_full();
    struct dt_bind_request none = {&topology, 0, NULL, NULL, false, NULL};
    struct dt_error err = {0};

    (void)state;
    machine_init(&topology, find_machine("host"));
    assert_int_equal(plan_same(&plan, &topology, 2, empty, NULL, &err), -1);
    assert_non_null(strstr(err.text, "local rank 0"));
    assert_null(plan.ranks);
    assert_int_equal(plan_same(&plan, &topology, 2, full, NULL, &err), -1);
    assert_int_equal(dt_bind_plan(&plan, &none, &err), -1);
    assert_non_null(strstr(err.text, "no rank"));
    hwloc_bitmap_free(empty);
    hwloc_bitmap_free(full);
    dt_topology_fini(&topology);
}

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
        assert_int_equal(dt_bind_assign(ranks, nodes, cost, have, share), 0);
        for (size_t i = 0; i < ranks * nodes; i++)
            sum += (long long)share[i] * cost[i];
        assert_int_equal(sum, search_rank(&search, 0, total % ranks));
    }
}

/* ---- speed ----------------------------------------------------------------------------------- */

static double plan_ms(const struct machine *m, size_t ranks)
{
    struct dt_topology topology;
    struct timespec a, b;
    double best = 1e9;

    machine_init(&topology, m);
    for (int i = 0; i < 5; i++) {
        struct dt_bind_plan plan;
        struct dt_error err;
        clock_gettime(CLOCK_MONOTONIC, &a);
        assert_int_equal(plan_same(&plan, &topology, ranks,
                                   hwloc_topology_get_topology_cpuset(topology.hwloc), NULL, &err),
                         0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        dt_bind_plan_fini(&plan);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        best = ms < best ? ms : best;
    }
    dt_topology_fini(&topology);
    return best;
}

/* The promised figures are 1 and 10 ms; ten times that only fails when something is badly wrong. */
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
        cmocka_unit_test(test_p5),
        cmocka_unit_test(test_p4d_pairs_share_a_nic),
        cmocka_unit_test(test_g5_one_nic_for_all),
        cmocka_unit_test(test_trn1),
        cmocka_unit_test(test_hpc7a),
        cmocka_unit_test(test_empty_nodes_are_passed_over),
        cmocka_unit_test(test_one_rank_keeps_everything),
        cmocka_unit_test(test_cores_without_gpus_are_lent),
        cmocka_unit_test(test_stands_back_from_differing_masks),
        cmocka_unit_test(test_stands_back_from_the_user),
        cmocka_unit_test(test_users_devices_are_left_alone),
        cmocka_unit_test(test_masks_and_topology_disagree),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_invariants_on_ec2_types),
        cmocka_unit_test(test_invariants_on_odd_machines),
        cmocka_unit_test(test_offline_pus),
        cmocka_unit_test(test_invariants_on_corpus),
        cmocka_unit_test(test_shares_are_cheapest),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
