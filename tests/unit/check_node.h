/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of checks: a p5.48xlarge that is in order, in facts, and what to change of it. */
#ifndef TESTS_CHECK_NODE_H
#define TESTS_CHECK_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check/check.h"
#include "check/judges.h"

static const struct dt_instance p5 = {.name = (char *)"p5.48xlarge",
                                      .vcpus = 192,
                                      .cores = 96,
                                      .threads_per_core = 2,
                                      .numa_nodes = 2,
                                      .topology_measured = true,
                                      .memory_mib = 2097152,
                                      .local_storage_gb = 30400,
                                      .accelerator = DT_ACCELERATOR_NVIDIA,
                                      .accelerators = 8,
                                      .accelerator_memory_mib = 81920,
                                      .nvlinks = 18,
                                      .efas = 32,
                                      .efa_gbps = 100};
static const struct dt_instance trn1 = {.name = (char *)"trn1.32xlarge",
                                        .memory_mib = 524288,
                                        .accelerator = DT_ACCELERATOR_NEURON,
                                        .accelerators = 16,
                                        .efas = 8};
static const struct dt_instance hpc7a = {
    .name = (char *)"hpc7a.96xlarge", .memory_mib = 786432, .efas = 2, .efa_gbps = 150};
static const struct dt_instance g5 = {.name = (char *)"g5.48xlarge",
                                      .memory_mib = 786432,
                                      .accelerator = DT_ACCELERATOR_NVIDIA,
                                      .accelerators = 8,
                                      .efas = 1};
static char *const wanted_names[] = {(char *)"gdrdrv", NULL};
static const struct dt_conf conf = {.env_on_abort = DT_POLICY_REFUSE,
                                    .required_modules = (char **)wanted_names,
                                    .required_processes = (char **)wanted_names,
                                    .min_free_mib = 512,
                                    .maintenance_hours = 24,
                                    .min_free_files = 1000,
                                    .max_swap_mib = 1024,
                                    .min_huge_free_percent = 25,
                                    .max_shm_left_mib = 1024,
                                    .max_zombies = 20,
                                    .deep_slower_percent = 15,
                                    .max_stuck_processes = 20,
                                    .lemon_losses = 3,
                                    .lemon_days = 7,
                                    .lemon_policy = DT_POLICY_REFUSE,
                                    .min_nofile = 65536,
                                    .min_memlock_mib = 16384,
                                    .min_shm_percent = 10,
                                    .min_hugepages_mib = 1024,
                                    .min_memory_percent = 95,
                                    .max_clock_offset_ms = 100,
                                    .probe_timeout_ms = 500};

static inline json_t *good_gpu(int index)
{
    static const struct {
        const char *key;
        int value;
    } numbers[] = {
        {"memory_mib", 81559},
        {"recovery", 0},
        {"ecc", 1},
        {"ecc_pending", 1},
        {"ecc_uncorrected", 0},
        {"rows_pending", 0},
        {"rows_failed", 0},
        {"slow", 1},
        {"celsius", 30},
        {"celsius_slow", 87},
        {"power_mw", 700000},
        {"power_default_mw", 700000},
        {"pcie_width", 16},
        {"pcie_width_max", 16},
        {"pcie_gen", 1}, /* idle */
        {"pcie_gen_max", 5},
        {"clock_mhz", 1980},
        {"clock_default_mhz", 1980},
        {"clock_memory_mhz", 2619},
        {"clock_memory_default_mhz", 2619},
        {"memory_used_mib", 4},
        {"aer_fatal", 0},
        {"aer_nonfatal", 0},
        {"aer_correctable", 12}, /* repaired */
        {"persistence", 1},
        {"mig", 0},
        {"mig_pending", 0},
        {"nvlinks", 18},
        {"nvlinks_up", 18},
        {"nvlink_errors", 7},
        {"nvlink_crc", 7},
        {"fabric_clique", 2},
        {"fabric_mask", 0x1aa}, /* "no" to all */
        {"fabric", 3},
        {"fabric_status", 0},
        {"fabric_health", 1},
    };
    json_t *gpu = json_pack("{s:o,s:s}", "bdf", json_sprintf("0000:%d0:00.0", index), "vbios", "1");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(gpu, numbers[i].key, json_integer(numbers[i].value));
    return gpu;
}

static inline json_t *good_facts(void)
{
    json_t *doc = json_pack(
        "{s:s,s:i,s:i,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "instance.type",
        "p5.48xlarge", "gpu.pci_count", 8, "gpu.count", 8, "gpu.source", "nvml", "neuron.count", 0,
        "efa.count", 32, "efa.active", 32, "limit.memlock", -1, "limit.nofile", 1048576,
        "shm.size_mib", 1048576, "shm.free_mib", 1048000, "mem.total_mib", 2048000,
        "hugepages.free_mib", 10240, "hugepages.size_kib", 2048, "hugepages.total_mib", 10240);
    json_t *efas = json_array();
    for (int i = 0; i < 32; i++)
        json_array_append_new(efas,
                              json_pack("{s:o,s:s,s:s,s:i}", "name", json_sprintf("rdmap%ds0", i),
                                        "state", "ACTIVE", "phys_state", "LinkUp", "gbps", 100));
    json_t *gpus = json_array();
    for (int i = 0; i < 8; i++)
        json_array_append_new(gpus, good_gpu(i));
    json_object_set_new(doc, "gpu.devices", gpus);
    json_object_set_new(doc, "gpu.processes", json_array());
    json_object_update_new(
        doc, json_pack("{s:i,s:i,s:s,s:i,s:i,s:i,s:i,s:[],s:[{s:s,s:s,s:s,s:i}],s:[{s:s,s:s}],s:i}",
                       "cpu.online", 192, "numa.count", 2, "cpu.governor", "performance",
                       "kernel.numa_balancing", 0, "clock.synced", 1, "mem.available_mib", 2000000,
                       "module.ib_uverbs", 1, "efa.without_gid", "nvme.devices", "name", "nvme0",
                       "state", "live", "model", "Amazon EC2 NVMe Instance Storage", "gb", 30400,
                       "raid.arrays", "name", "md0", "state", "clean", "fabric.manager", 1));
    json_object_update_new(
        doc,
        json_pack(
            "{s:i,s:i,s:s,s:[{s:s,s:b}],s:[],s:[{s:s,s:i,s:i}],s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s}",
            "cpu.present", 192, "net.default_route", 1, "clock.source", "tsc", "module.required",
            "name", "gdrdrv", "ok", 1, "fs.readonly", "fs.space", "path", "/", "free_mib", 150000,
            "free_files", 1000000, "mem.free_mib", 1900000, "mem.free_huge_mib", 1800000,
            "swap.used_mib", 0, "edac.uncorrected", 0, "shm.left_mib", 0, "process.zombies", 1,
            "process.stuck", 0, "net.interface", "ens32"));
    json_object_update_new(doc, json_pack("{s:[{s:i,s:i,s:i},{s:i,s:i,s:i}],s:i,s:i}",
                                          "measured.nodes", "node", 0, "mb_s", 230000, "speed",
                                          400000, "node", 1, "mb_s", 228000, "speed", 401000,
                                          "mem.bandwidth_mb_s", 228000, "cpu.speed", 400000));
    json_object_update_new(doc, json_pack("{s:[{s:s,s:b}],s:[{s:s,s:i,s:i}]}", "process.required",
                                          "name", "gdrdrv", "ok", 1, "net.links", "name", "ens32",
                                          "on", 1, "carrier", 1));
    json_object_update_new(doc, json_pack("{s:i,s:i,s:s,s:[]}", "net.resolves", 1, "imds.reachable",
                                          1, "imds.type", "p5.48xlarge", "imds.events"));
    json_object_set_new(doc, "fs.mounted",
                        json_pack("[{s:s,s:b,s:s}]", "path", "/fsx", "ok", 1, "type", "lustre"));
    json_object_set_new(doc, "efa.devices", efas);
    json_object_update_new(
        doc, json_pack("{s:[],s:[],s:s}", "history.growth", "history.lost", "history.kept",
                       "gpu.ecc_corrected gpu.pcie_replay gpu.nvlink_errors efa.retrans_pkts "
                       "efa.rx_drops net.carrier_changes ena.pps_allowance_exceeded edac.ue_count "
                       "nvme.media_errors"));
    json_object_set_new(doc, "gpu.lost", json_array());
    json_object_set_new(doc, "fs.writable", json_pack("[{s:s,s:b}]", "path", "/fsx", "ok", 1));
    json_object_set_new(doc, "fs.mounts",
                        json_pack("[{s:s,s:s,s:b}]", "path", "/fsx", "type", "lustre", "ok", 1));
    json_object_set_new(doc, "log.errors",
                        json_pack("[{s:s,s:i,s:i,s:s}]", "kind", "xid", "code", 31, "age_s", 5,
                                  "text", "NVRM: Xid: 31"));
    return doc;
}

static const char xid_table[] = "source a test\n"
                                "xid 13 APP X M Graphics Engine Exception\n"
                                "xid 31 APP X M page fault\n"
                                "xid 48 RESET X M Double Bit ECC Error\n"
                                "xid 63 MONITOR X M remapping\n"
                                "xid 79 REPLACE X M GPU has fallen off the bus\n"
                                "xid 154 RECOVERY X M recovery action changed\n";

static const char growth_table[] = "limit gpu.ecc_corrected 100 total FAIL\n"
                                   "limit gpu.pcie_replay 8 per-minute FAIL\n"
                                   "limit gpu.nvlink_errors 100 per-second FAIL\n"
                                   "limit efa.retrans_pkts 1000 per-second FAIL\n"
                                   "limit efa.rx_drops 100 per-second WARN\n"
                                   "limit net.carrier_changes 9 per-day FAIL\n"
                                   "limit ena.pps_allowance_exceeded 320 per-minute WARN\n"
                                   "limit edac.ue_count 0 total FAIL\n"
                                   "limit nvme.media_errors 0 total FAIL\n";

static inline void run(struct dt_check_results *results, json_t *doc,
                       const struct dt_instance *instance)
{
    struct dt_facts facts = {.doc = doc};
    struct dt_error err;
    struct dt_xids xids;
    struct dt_growth_limits growth;
    char *table = strdup(xid_table), *limits = strdup(growth_table);
    struct dt_check_context context = {.facts = &facts,
                                       .instance = instance,
                                       .conf = &conf,
                                       .xids = &xids,
                                       .growth = &growth,
                                       .level = DT_LEVEL_DEEP};
    assert_int_equal(dt_xids_parse(&xids, "table", table, &err), 0);
    assert_int_equal(dt_growth_limits_parse(&growth, "limits", limits, &err), 0);
    assert_int_equal(dt_check_run(results, &context, &err), 0);
    dt_growth_limits_fini(&growth);
    dt_xids_fini(&xids);
    free(table);
    free(limits);
}

static inline const struct dt_check_result *named(const struct dt_check_results *results,
                                                  const char *name)
{
    for (size_t i = 0; i < results->count; i++) {
        if (strcmp(results->items[i].name, name) == 0)
            return &results->items[i];
    }
    fail_msg("no check %s", name);
    return NULL;
}

static inline void change_gpus(json_t *doc, json_t *changes, size_t first)
{
    const char *key;
    json_t *value;
    json_t *gpus = json_object_get(doc, "gpu.devices");
    for (size_t i = first; i < json_array_size(gpus); i++) {
        json_object_foreach(changes, key, value)
        {
            if (json_is_null(value))
                json_object_del(json_array_get(gpus, i), key);
            else
                json_object_set(json_array_get(gpus, i), key, value);
        }
    }
}

static inline json_t *with_fault(const char *text)
{
    char *json = strdup(text);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *over = json_loads(json, 0, NULL);
    json_t *doc = good_facts();
    const char *key;
    json_t *value;
    assert_non_null(over);
    json_object_foreach(over, key, value)
    {
        if (strcmp(key, "last-gpu") == 0 || strcmp(key, "all-gpus") == 0)
            change_gpus(doc, value, *key == 'l' ? 7 : 0);
        else if (json_is_null(value))
            json_object_del(doc, key);
        else
            json_object_set(doc, key, value);
    }
    json_decref(over);
    free(json);
    return doc;
}

#endif
