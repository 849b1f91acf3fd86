/* SPDX-License-Identifier: Apache-2.0 */
/* Devices as their drivers and Slurm tell of them: Neuron's counters in both layouts, the job's GPUs,
 * errors of PCIe. */
#include "facts_world.h"

#define NEURON "sys/devices/virtual/neuron_device/neuron"

static void name_file(struct world *world, const char *base, int device, const char *rest,
                      const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%d/%s", base, device, rest);
    tree_file(&world->tree, path, text);
}

static void neuron_devices(struct world *world, const char *ecc, const char *status)
{
    char path[256];
    for (int device = 0; device < 2; device++) {
        name_file(world, NEURON, device, "core_count", "2\n");
        snprintf(path, sizeof path, "%s/mem_ecc_uncorrected", ecc);
        name_file(world, NEURON, device, path, "0\n");
        snprintf(path, sizeof path, "%s/sram_ecc_uncorrected", ecc);
        name_file(world, NEURON, device, path, device ? "3\n" : "0\n");
        for (int core = 0; core < 2; core++) {
            snprintf(path, sizeof path, "neuron_core%d/%s/hw_nc_ue_error/total", core, status);
            name_file(world, NEURON, device, path, core ? "1\n" : "0\n");
            snprintf(path, sizeof path, "neuron_core%d/%s/hw_hbm_ue_error/total", core, status);
            name_file(world, NEURON, device, path, "0\n");
        }
    }
}

static void expect_neuron_errors(struct world *world)
{
    world->request.level = DT_LEVEL_FAST;
    collect(world);
    assert_int_equal(number(world, "neuron.count"), 2);
    assert_int_equal(number(world, "neuron.counters"), 4);
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "neuron.errors")), 1);
    assert_string_equal(item(world, "neuron.errors", 0, "device"), "neuron1");
    assert_string_equal(item(world, "neuron.errors", 0, "counter"), "sram_ecc_uncorrected");
    world->request.level = DT_LEVEL_FULL;
    collect(world);
    assert_int_equal(number(world, "neuron.counters"), 12);
    assert_string_equal(item(world, "neuron.errors", 0, "device"), "neuron0/neuron_core1");
    assert_string_equal(item(world, "neuron.errors", 0, "counter"), "hw_nc_ue_error");
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "neuron.errors")), 3);
}

static void neuron_counters_lie_where_they_lay(void **state)
{
    neuron_devices(*state, "stats/hardware", "stats/status");
    expect_neuron_errors(*state);
}

/* Driver 2.31 has moved them. A link that leads in a circle is no way. */
static void neuron_counters_are_found_where_they_lie_now(void **state)
{
    struct world *world = *state;
    neuron_devices(world, "hw/ecc", "metrics/exec");
    char *link = tree_path(&world->tree, NEURON "0/a_circle");
    assert_int_equal(symlink(".", link), 0);
    free(link);
    expect_neuron_errors(world);
}

static void neuron_without_counters(void **state)
{
    struct world *world = *state;
    name_file(world, NEURON, 0, "core_count", "2\n");
    collect(world);
    assert_int_equal(number(world, "neuron.count"), 1);
    assert_int_equal(number(world, "neuron.counters"), 0);
}

static void assert_gpus(struct world *world, const char *list, const char *first, size_t count)
{
    world->request.job_gpus = list;
    collect(world);
    const json_t *gpus = dt_facts_array(&world->facts, "job.gpus");
    assert_int_equal(json_array_size(gpus), count);
    if (first)
        assert_string_equal(json_string_value(json_array_get(gpus, 0)), first);
    else
        assert_null(gpus);
}

/* Slurm's numbers are the driver's minor numbers, whatever the order on the bus. */
static void the_jobs_gpus_are_known_by_their_minor_number(void **state)
{
    struct world *world = *state;
    tree_file(&world->tree, "proc/driver/nvidia/gpus/0000:83:00.0/information",
              "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-aaaa-1\nDevice Minor: \t 5\n");
    tree_file(&world->tree, "proc/driver/nvidia/gpus/0000:93:00.0/information",
              "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-bbbb-2\nDevice Minor: \t 0\n");
    world->request.job = 77;
    world->request.uid = getuid();
    assert_gpus(world, "5", "0000:83:00.0", 1);
    assert_int_equal(number(world, "job.id"), 77);
    assert_gpus(world, "0,5", "0000:93:00.0", 2);
    assert_gpus(world, "GPU-bbbb", "0000:93:00.0", 1);
    assert_gpus(world, "5,7", NULL, 0); /* one that does not answer: any may be the job's */
    assert_gpus(world, "5,", "0000:83:00.0", 1);
    assert_gpus(world, "x", NULL, 0);
    assert_gpus(world, "", NULL, 0);
    assert_gpus(world, NULL, NULL, 0);
    world->request.job = 0;
    collect(world);
    assert_null(json_object_get(world->facts.doc, "job.id"));
}

static void pcie_errors_are_read_where_the_kernel_counts(void **state)
{
    struct world *world = *state;
    world->request.level = DT_LEVEL_FULL;
#define BUS "sys/bus/pci/devices/0000:93:00.0/"
    tree_file(&world->tree, BUS "aer_dev_fatal", "Undefined 0\nDLP 1\nTOTAL_ERR_FATAL 1\n");
    tree_file(&world->tree, BUS "aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 2\n");
    tree_file(&world->tree, BUS "aer_dev_correctable", "RxErr 9\nTOTAL_ERR_COR 9\n");
    collect(world);
    const json_t *gpus = dt_facts_array(&world->facts, "gpu.devices");
    size_t told = 0;
    for (size_t i = 0; i < json_array_size(gpus); i++) {
        const json_t *gpu = json_array_get(gpus, i);
        if (!json_object_get(gpu, "aer_fatal"))
            continue;
        told++;
        assert_int_equal(json_integer_value(json_object_get(gpu, "aer_fatal")), 1);
        assert_int_equal(json_integer_value(json_object_get(gpu, "aer_nonfatal")), 2);
        assert_int_equal(json_integer_value(json_object_get(gpu, "aer_correctable")), 9);
    }
    assert_int_equal(told, 1);
}

/* A program's own errors, however many, leave in the log what is the node's. */
static void many_events_bury_none(void **state)
{
    struct world *world = *state;
    char *text = malloc(200000);
    size_t len = 0;
    world->request.level = DT_LEVEL_FULL;
    len += (size_t)sprintf(text + len, "3,1,1000000,-;NVRM: Xid (PCI:0000:83:00): 79, gone\n"
                                       "3,2,1000000,-;NVRM: Xid (PCI:0000:83:00): 149, A Fatal "
                                       "(0x1 0x1)\n3,3,1000000,-;NVRM: Xid (PCI:0000:83:00): 149, "
                                       "B Non-fatal (0x2 0x1)\n");
    for (int i = 0; i < 500; i++)
        len += (size_t)sprintf(text + len,
                               "3,%d,%d000000,-;NVRM: Xid (PCI:0000:83:00): 31, pid=%d, fault\n",
                               4 + i, 2 + i, i);
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(text + len, "3,%d,900000000,-;I/O error, dev nvme1n1, sector %d\n",
                               600 + i, i);
    tree_file(&world->tree, "dev/kmsg", text);
    free(text);
    collect(world);
    const json_t *events = dt_facts_array(&world->facts, "log.errors");
    assert_int_equal(json_array_size(events), 5); /* with that of the disk */
    assert_int_equal(json_integer_value(json_object_get(json_array_get(events, 0), "code")), 79);
    const json_t *last = json_array_get(events, 3);
    assert_int_equal(json_integer_value(json_object_get(last, "code")), 31);
    assert_int_equal(json_integer_value(json_object_get(last, "times")), 500);
    assert_int_equal(json_integer_value(json_object_get(last, "age_s")), 900 - 501);
    assert_non_null(strstr(json_string_value(json_object_get(last, "text")), "pid=499"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(neuron_counters_lie_where_they_lay, setup, teardown),
        cmocka_unit_test_setup_teardown(neuron_counters_are_found_where_they_lie_now, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(neuron_without_counters, setup, teardown),
        cmocka_unit_test_setup_teardown(the_jobs_gpus_are_known_by_their_minor_number, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_events_bury_none, setup, teardown),
        cmocka_unit_test_setup_teardown(pcie_errors_are_read_where_the_kernel_counts, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("facts_devices", tests, NULL, NULL);
}
