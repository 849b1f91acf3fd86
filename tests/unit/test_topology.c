/* SPDX-License-Identifier: Apache-2.0 */
/* The model of a node, loaded from generated sysfs trees: CPUs, NUMA nodes, devices, switches. */
#include "topology_tree.h"

/* ---- CPUs ------------------------------------------------------------------------------------ */

static void test_cpus_of_a_tree(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();

    (void)state;
    setenv("HWLOC_FSROOT", "/nonexistent",
           1); /* what the caller has must neither matter nor get lost */
    tree_init(&tree, 4);
    must_load(&topology, &tree, &facts, NULL, NULL);
    assert_int_equal(count(&topology, HWLOC_OBJ_PU), 16);
    assert_int_equal(count(&topology, HWLOC_OBJ_CORE), 8);
    assert_int_equal(count(&topology, HWLOC_OBJ_PACKAGE), 2);
    assert_int_equal(count(&topology, HWLOC_OBJ_NUMANODE), 2);
    assert_int_equal(count(&topology, HWLOC_OBJ_L3CACHE), 0);
    assert_true(hwloc_bitmap_isset(hwloc_get_obj_by_type(topology.hwloc, HWLOC_OBJ_CORE, 1)->cpuset,
                                   9)); /* sibling of 1 */
    assert_int_equal(topology.accelerator_count, 0);
    assert_string_equal(topology.source, "no devices");
    assert_string_equal(getenv("HWLOC_FSROOT"), "/nonexistent");
    unsetenv("HWLOC_FSROOT");
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

static void test_this_machine(void **state)
{
    struct tree tree = {.path = "/"};
    struct dt_topology topology;
    struct dt_facts facts = no_facts();

    (void)state;
    must_load(&topology, &tree, &facts, NULL, "");
    assert_true(count(&topology, HWLOC_OBJ_PU) >= 1);
    dt_topology_fini(&topology);
    json_decref(facts.doc);
}

static void test_tree_without_cpus(void **state)
{
    struct tree tree = {.path = "/tmp/dt-test-topology-XXXXXX"};
    struct dt_topology topology;
    struct dt_facts facts = no_facts();
    struct dt_error err = {0};

    (void)state;
    assert_non_null(mkdtemp(tree.path));
    assert_int_equal(load(&topology, &tree, &facts, NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "holds no sys/devices/system/cpu"));
    assert_null(topology.hwloc);
    json_decref(facts.doc);
    tree_fini(&tree);
}

/* ---- devices --------------------------------------------------------------------------------- */

static char *row0_gpus[] = {"0000:10:1c.0", "0000:10:1d.0", NULL};
static char *row0_nics[] = {"0000:10:1b.0", NULL};
static char *row1_gpus[] = {"0000:90:1c.0", "0000:90:1d.0", NULL};
static char *row1_nics[] = {"0000:90:1b.0", NULL};
static struct dt_instance_switch switches[] = {
    {.numa = 0, .gpus = row0_gpus, .nics = row0_nics},
    {.numa = 1, .gpus = row1_gpus, .nics = row1_nics},
    {.numa = 0}, /* two switches on each node */
    {.numa = 1},
};
static const struct dt_instance instance = {
    .name = "p4d.24xlarge", .topology_measured = true, .switches = switches, .switch_count = 4};

/* Given out of order, to see that the model is in PCI order. */
static void add_p4d_devices(struct dt_facts *facts, const char *high)
{
    char bdf[32];

    for (int slot = 0x1d; slot >= 0x1c; slot--) {
        char name[16];
        snprintf(bdf, sizeof(bdf), "0000:%s:%x.0", high, slot);
        snprintf(name, sizeof(name), "GPU-%x", slot);
        add_device(facts, "gpu.devices", bdf, name, 1);
    }
    add_device(facts, "gpu.devices", "0000:10:1c.0", "GPU-a", 0);
    add_device(facts, "gpu.devices", "0000:10:1d.0", "", -1);
    snprintf(bdf, sizeof(bdf), "0000:%s:1b.0", high);
    add_device(facts, "efa.devices", bdf, "rdmap144s27", 1);
    add_device(facts, "efa.devices", "0000:10:1b.0", "rdmap16s27", 0);
}

static void assert_pairs(const struct dt_topology *t)
{
    assert_int_equal(t->accelerator_count, 4);
    assert_int_equal(t->nic_count, 2);
    assert_true(t->accelerators[0].group >= 0);
    assert_int_equal(t->accelerators[0].group, t->accelerators[1].group);
    assert_int_equal(t->accelerators[0].group, t->nics[0].group);
    assert_int_equal(t->accelerators[2].group, t->accelerators[3].group);
    assert_int_equal(t->accelerators[2].group, t->nics[1].group);
    assert_true(t->accelerators[0].group != t->accelerators[2].group);
}

static void test_flat_machine_asks_the_table(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();

    (void)state;
    tree_init(&tree, 4);
    add_p4d_devices(&facts, "90");
    must_load(&topology, &tree, &facts, &instance, NULL);
    assert_pairs(&topology);
    assert_string_equal(topology.source, "sysfs + instance table p4d.24xlarge");
    assert_int_equal(topology.kind, DT_ACCELERATOR_NVIDIA);
    assert_string_equal(topology.accelerators[0].id, "GPU-a");
    assert_string_equal(topology.accelerators[1].id, "pci:0000:10:1d.0");
    assert_int_equal(topology.accelerators[1].numa, 0); /* from the table */
    assert_int_equal(topology.accelerators[3].numa, 1);
    assert_string_equal(topology.nics[0].id, "rdmap16s27");
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

/* A table that knows no more than the NUMA nodes must not speak of switches. */
static void test_row_of_a_whole_node_is_no_switch(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();
    struct dt_instance type = instance;

    (void)state;
    tree_init(&tree, 4);
    add_p4d_devices(&facts, "90");
    type.switch_count = 2;
    must_load(&topology, &tree, &facts, &type, NULL);
    for (size_t i = 0; i < topology.accelerator_count; i++)
        assert_int_equal(topology.accelerators[i].group, -1);
    assert_int_equal(topology.nics[0].group, -1);
    assert_int_equal(topology.accelerators[1].numa, 0); /* from the table */
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

static void test_other_bus_numbers_go_by_order(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();
    static char *moved[] = {"0000:01:00.0", "0000:02:00.0", NULL};
    struct dt_instance_switch other[] = {{.numa = 0, .gpus = moved, .nics = row1_nics},
                                         {.numa = 1, .gpus = moved, .nics = row1_nics},
                                         {.numa = 0},
                                         {.numa = 1}};
    struct dt_instance type = {.name = "p4d.24xlarge", .switches = other, .switch_count = 4};

    (void)state;
    tree_init(&tree, 4);
    add_p4d_devices(&facts, "99");
    must_load(&topology, &tree, &facts, &type, NULL);
    assert_pairs(&topology);
    assert_string_equal(
        topology.source,
        "sysfs + instance table p4d.24xlarge, modelled (by order, addresses differ)");
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

static void test_bridges_are_believed(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();
    static const char *const behind[][2] = {
        /* one root complex; two switches (up and down ports), and a NIC's own port below */
        {"0000:10:1c.0", "01.0/0000:01:00.0/0000:02:00.0"},
        {"0000:10:1d.0", "01.0/0000:01:00.0/0000:02:01.0"},
        {"0000:10:1b.0", "01.0/0000:01:00.0/0000:02:02.0"},
        {"0000:90:1c.0", "02.0/0000:03:00.0/0000:04:00.0"},
        {"0000:90:1d.0", "02.0/0000:03:00.0/0000:04:01.0"},
        {"0000:90:1b.0", "02.0/0000:03:00.0/0000:04:02.0"},
    };

    (void)state;
    tree_init(&tree, 4);
    add_p4d_devices(&facts, "90");
    for (size_t i = 0; i < 6; i++) {
        char target[256];
        snprintf(target, sizeof(target), "../../../devices/pci0000:00/0000:00:%s/%s", behind[i][1],
                 behind[i][0]);
        put_link(&tree, target, behind[i][0]);
    }
    must_load(&topology, &tree, &facts, &instance, NULL);
    assert_pairs(&topology);
    assert_string_equal(topology.source, "sysfs");
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

/* No bridges and no table: several host bridges still tell devices apart, one does not. */
static void test_host_bridges(void **state)
{
    static const char *const bdfs[] = {"0000:10:1c.0", "0000:10:1d.0", "0000:10:1b.0",
                                       "0000:90:1c.0", "0000:90:1d.0", "0000:90:1b.0"};

    (void)state;
    for (int several = 0; several < 2; several++) {
        struct tree tree;
        struct dt_topology topology;
        struct dt_facts facts = no_facts();

        tree_init(&tree, 4);
        add_p4d_devices(&facts, "90");
        for (size_t i = 0; i < 6; i++) {
            char target[256];
            snprintf(target, sizeof(target), "../../../devices/pci0000:%.2s/%s",
                     several ? bdfs[i] + 5 : "00", bdfs[i]);
            put_link(&tree, target, bdfs[i]);
        }
        must_load(&topology, &tree, &facts, NULL, NULL);
        if (several)
            assert_pairs(&topology);
        else
            assert_int_equal(topology.accelerators[0].group, -1);
        dt_topology_fini(&topology);
        json_decref(facts.doc);
        tree_fini(&tree);
    }
}

static void test_neuron(void **state)
{
    struct tree tree;
    struct dt_topology topology;
    struct dt_facts facts = no_facts();

    (void)state;
    tree_init(&tree, 4);
    dt_facts_set_int(&facts, "neuron.count", 4);
    add_device(&facts, "efa.devices", "0000:90:1b.0", "rdmap144s27", 1);
    put(&tree, "1", "sys/bus/pci/devices/0000:90:1c.0/numa_node");
    must_load(&topology, &tree, &facts, &instance, NULL);
    assert_int_equal(topology.kind, DT_ACCELERATOR_NEURON);
    assert_int_equal(topology.accelerator_count, 4);
    assert_string_equal(topology.accelerators[2].id, "neuron2");
    assert_string_equal(topology.accelerators[2].bdf, "0000:90:1c.0");
    assert_int_equal(topology.accelerators[2].numa, 1);
    assert_int_equal(topology.accelerators[2].group, topology.nics[0].group);
    dt_topology_fini(&topology);
    json_decref(facts.doc);
    tree_fini(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpus_of_a_tree),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_tree_without_cpus),
        cmocka_unit_test(test_flat_machine_asks_the_table),
        cmocka_unit_test(test_row_of_a_whole_node_is_no_switch),
        cmocka_unit_test(test_other_bus_numbers_go_by_order),
        cmocka_unit_test(test_bridges_are_believed),
        cmocka_unit_test(test_host_bridges),
        cmocka_unit_test(test_neuron),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
