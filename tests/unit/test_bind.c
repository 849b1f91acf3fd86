/* SPDX-License-Identifier: Apache-2.0 */
/* The binder: exact plans for the machines that matter, when it stands back, and what it refuses. */
#include "bind_machines.h"

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

static void test_ranks_that_share_gpus_are_told(void **state)
{
    struct dt_topology topology;
    struct dt_bind_plan plan;

    (void)state;
    load(&topology, &plan, "p5.48xlarge", 16);
    assert_non_null(strstr(plan.summary, "; there are fewer GPUs than ranks, so ranks share GPUs"));
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
    assert_null(strstr(plan.summary, "share"));
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
    struct dt_bind_request request = {.topology = &topology, .ranks = 2, .allowed = masks};
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
    struct dt_bind_request request = {
        .topology = &topology, .ranks = 2, .allowed = masks, .user_bound = true};
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
    assert_null(strstr(plan.summary, "share GPUs"));
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
    struct dt_bind_request none = {.topology = &topology};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p5),
        cmocka_unit_test(test_ranks_that_share_gpus_are_told),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
