/* SPDX-License-Identifier: Apache-2.0 */
/* Facts: what is read from a tree, and what is said when it can not be read. */
#include "facts_world.h"

static void reads_a_whole_node(void **state)
{
    struct world *world = *state;
    collect(world);
    assert_string_equal(text(world, "node.name"), "dt-1");
    assert_string_equal(text(world, "instance.type"), "p5.48xlarge");
    assert_string_equal(text(world, "instance.source"), "dmi");
    assert_string_equal(text(world, "kernel.release"), "6.8.0-1021-aws");
    assert_int_equal(number(world, "cpu.online"), 192);
    assert_int_equal(number(world, "numa.count"), 2);
    assert_int_equal(number(world, "mem.total_mib"), 2048000);
    assert_int_equal(number(world, "hugepages.free_mib"), 10000);
    assert_int_equal(number(world, "limit.memlock"), -1);
    assert_int_equal(number(world, "limit.nofile"), 65536);
    assert_int_equal(number(world, "gpu.pci_count"), 8);
    assert_int_equal(number(world, "gpu.count"), 8);
    assert_string_equal(text(world, "gpu.source"), "procfs");
    assert_string_equal(text(world, "gpu.model"), "NVIDIA H100 80GB HBM3");
    assert_string_equal(item(world, "gpu.devices", 7, "uuid"), "GPU-0000000f");
    assert_int_equal(json_integer_value(json_object_get(
                         json_array_get(dt_facts_array(&world->facts, "gpu.devices"), 7), "numa")),
                     1);
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "gpu.lost")), 0);
    assert_int_equal(number(world, "neuron.count"), 0);
    assert_int_equal(number(world, "efa.count"), 32);
    assert_int_equal(number(world, "efa.active"), 32);
    assert_string_equal(item(world, "efa.devices", 0, "name"), "rdmap32s0");
    assert_string_equal(item(world, "efa.devices", 0, "bdf"), "0000:20:00.0");
    assert_string_equal(item(world, "efa.devices", 0, "device"), "1d0f:efa1");
    assert_null(
        json_object_get(json_array_get(dt_facts_array(&world->facts, "efa.devices"), 0), "gbps"));
    assert_string_equal(text(world, "net.interface"), "ens32");
    assert_absent(world, "net.address", "tree");
    assert_absent(world, "shm.size_mib", "/dev/shm");
    assert_null(json_object_get(world->facts.doc, "pci.gpus"));
    assert_null(json_object_get(world->facts.doc, "fs.mounts"));
}

static void reads_versions(void **state)
{
    struct world *world = *state;
    collect(world);
    assert_string_equal(text(world, "driver.nvidia"), "550.127.05");
    assert_string_equal(text(world, "driver.efa"), "2.13.0g");
    assert_absent(world, "driver.neuron", "not loaded");
    assert_string_equal(text(world, "efa.installer"), "1.37.0");
    assert_string_equal(text(world, "lib.libfabric"), "1.22.0amzn4.0");
    assert_string_equal(text(world, "lib.nccl"), "2.23.4");
    assert_absent(world, "lib.ofi_nccl", "no aws-ofi-nccl");
    assert_absent(world, "lib.rdma_core", "no libibverbs.so.1");
    tree_file(&world->tree, "usr/lib64/libibverbs.so.1.14.57.0", "x");
    tree_link(&world->tree, "usr/lib64/libibverbs.so.1", "libibverbs.so.1.14.57.0");
    collect(world);
    assert_string_equal(text(world, "lib.rdma_core"), "57.0");

    /* the mark lies across the border of two reads */
    size_t size = 600 << 10;
    char *library = calloc(1, size);
    const char *mark = "Initializing aws-ofi-nccl 1.13.2-aws";
    memcpy(library + (256 << 10) - 20, mark, strlen(mark));
    tree_bytes(&world->tree, "opt/amazon/ofi-nccl/lib64/libnccl-net.so", library, size);
    free(library);
    tree_remove(&world->tree, "sys/module/nvidia");
    tree_file(
        &world->tree, "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build\n");
    tree_remove(&world->tree, "sys/module/efa/version");
    tree_remove(&world->tree, "opt/amazon/efa/lib/pkgconfig");
    collect(world);
    assert_string_equal(text(world, "lib.ofi_nccl"), "1.13.2-aws");
    assert_string_equal(text(world, "driver.nvidia"), "570.133.20");
    assert_absent(world, "driver.efa", "came with the kernel");
    assert_absent(world, "lib.libfabric", "no libfabric.pc");

    tree_file(&world->tree, "opt/amazon/efa_installed_packages",
              "libfabric1-aws_2.1.0amzn5.0_amd64.deb\n");
    collect(world);
    assert_string_equal(text(world, "lib.libfabric"), "2.1.0amzn5.0");
    assert_absent(world, "efa.installer", "names no version");
}

static void sees_broken_efa(void **state)
{
    struct world *world = *state;
    tree_file(&world->tree, "sys/class/infiniband/rdmap40s0/ports/1/state", "1: DOWN\n");
    tree_remove(&world->tree, "sys/class/infiniband/rdmap63s0");
    collect(world);
    assert_int_equal(number(world, "efa.count"), 31);
    assert_int_equal(number(world, "efa.active"), 30);
    assert_string_equal(item(world, "efa.devices", 8, "state"), "DOWN");
    tree_remove(&world->tree, "sys/class/infiniband");
    collect(world);
    assert_int_equal(number(world, "efa.count"), 0);
    tree_remove(&world->tree, "sys");
    collect(world);
    assert_absent(world, "efa.count", "No such file");
    assert_absent(world, "gpu.pci_count", "No such file");
    assert_absent(world, "instance.type", "product_name");
}

static void reads_rates_at_full(void **state)
{
    struct world *world = *state;
    world->request.level = DT_LEVEL_FULL;
    collect(world);
    json_t *device = json_array_get(dt_facts_array(&world->facts, "efa.devices"), 31);
    assert_int_equal(json_integer_value(json_object_get(device, "gbps")), 100);
}

static void measures_at_deep(void **state)
{
    struct world *world = *state;
    world->request.level = DT_LEVEL_DEEP;
    collect(world);
    assert_absent(world, "mem.bandwidth_mb_s", "a tree has no memory");
    assert_absent(world, "cpu.speed", "a tree has no memory");
}

/* Of this machine: each NUMA node that this process may use, and the least of them. */
static void measures_this_machine(void **state)
{
    struct world *world = *state;
    struct dt_root root;
    assert_int_equal(dt_root_init(&root, NULL, NULL), 0);
    world->request.root = &root;
    world->request.level = DT_LEVEL_DEEP;
    collect(world);
    json_t *nodes = dt_facts_array(&world->facts, "measured.nodes"), *node;
    size_t i;
    assert_true(json_array_size(nodes) > 0);
    json_array_foreach(nodes, i, node)
    {
        assert_true(json_integer_value(json_object_get(node, "cores")) > 0);
        assert_true(json_integer_value(json_object_get(node, "mb_s")) >=
                    number(world, "mem.bandwidth_mb_s"));
        assert_true(json_integer_value(json_object_get(node, "speed")) >=
                    number(world, "cpu.speed"));
    }
    assert_true(number(world, "mem.bandwidth_mb_s") > 100); /* slower than any memory */
    assert_true(number(world, "cpu.speed") > 1000);         /* a clock of 10 MHz */
    dt_root_fini(&root);
}

static void reads_this_machine(void **state)
{
    struct world *world = *state;
    struct dt_root root;
    assert_int_equal(dt_root_init(&root, NULL, NULL), 0);
    world->request.root = &root;
    world->request.cwd = world->tree.path;
    world->request.memlock = DT_LIMIT_OWN;
    world->request.nofile = DT_LIMIT_OWN;
    collect(world);
    assert_true(number(world, "mem.total_mib") > 100);
    assert_true(number(world, "limit.nofile") >= -1);
    assert_true(number(world, "took_us") > 0);
    assert_true(json_is_true(
        json_object_get(json_array_get(dt_facts_array(&world->facts, "fs.writable"), 0), "ok")));
    dt_root_fini(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_a_whole_node, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(sees_broken_efa, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_rates_at_full, setup, teardown),
        cmocka_unit_test_setup_teardown(measures_at_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(measures_this_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_this_machine, setup, teardown),
    };
    return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
