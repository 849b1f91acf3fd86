/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing nodes: the odd one and only the odd one, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compare/compare.h"

enum { NODES_MAX = 64 };

static const struct dt_conf conf = {
    .max_clock_offset_ms = 100, .fresh_boot_minutes = 10, .deep_slower_percent = 15};

struct job {
    struct dt_facts facts[NODES_MAX];
    struct dt_compare_node nodes[NODES_MAX];
    char names[NODES_MAX][32];
    size_t count;
    struct dt_findings findings;
};

static void job_init(struct job *job, size_t count)
{
    memset(job, 0, sizeof *job);
    job->count = count;
    for (size_t i = 0; i < count; i++) {
        job->facts[i].doc =
            json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i}", "instance.type", "p5.48xlarge",
                      "kernel.release", "6.8.0", "driver.nvidia", "550.127", "driver.efa", "2.13.0",
                      "lib.libfabric", "2.1.0", "gpu.count", 8, "efa.count", 32, "mem.total_mib",
                      2048000 + (int)i, "clock.offset_us", (int)i * 10, "clock.rtt_us", 200);
        snprintf(job->names[i], sizeof job->names[i], "dt-%zu", i + 1);
        job->nodes[i] = (struct dt_compare_node){.name = job->names[i], .facts = &job->facts[i]};
    }
}

static void job_fini(struct job *job)
{
    dt_findings_fini(&job->findings);
    for (size_t i = 0; i < job->count; i++)
        dt_facts_fini(&job->facts[i]);
}

static void compare(struct job *job)
{
    struct dt_error err;
    dt_findings_fini(&job->findings);
    assert_int_equal(dt_compare(&job->findings, job->nodes, job->count, &conf, &err), 0);
}

static void put(struct job *job, size_t node, const char *key, const char *value)
{
    dt_facts_set_string(&job->facts[node], key, value);
}

static void put_int(struct job *job, size_t node, const char *key, long long value)
{
    dt_facts_set_int(&job->facts[node], key, value);
}

static void assert_finding(const struct job *job, size_t index, size_t node, const char *name,
                           enum dt_result result, const char *value)
{
    assert_true(index < job->findings.count);
    const struct dt_finding *finding = &job->findings.items[index];
    if (finding->node != node || strcmp(finding->result.name, name) != 0 ||
        finding->result.result != result || !strstr(finding->result.value, value))
        fail_msg("finding %zu is about node %zd: %s %s", index, (ssize_t)finding->node,
                 dt_result_name(finding->result.result), finding->result.message);
    assert_true(*finding->result.next && *finding->result.message);
}

static void alike_nodes_have_no_finding(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 64);
    compare(&job);
    assert_int_equal(job.findings.count, 0);
    assert_int_equal(job.findings.checks, 9); /* type, clock, memory, kernel, 2 drivers, ... */
    job_fini(&job);
    job_init(&job, 1);
    put(&job, 0, "kernel.release", "1");
    compare(&job);
    assert_int_equal(job.findings.count + job.findings.checks, 0);
    job_fini(&job);
}

static void names_the_odd_one(void **state)
{
    static const struct {
        const char *name, *key, *value;
        long long number;
    } rows[] = {{"kernel", "kernel.release", "5.10", 0},
                {"nvidia-driver", "driver.nvidia", "535.1", 0},
                {"efa-driver", "driver.efa", "2.0", 0},
                {"libfabric", "lib.libfabric", "1.22.0amzn4.0", 0},
                {"gpu-count", "gpu.count", NULL, 7},
                {"efa-count", "efa.count", NULL, 31},
                {"memory", "mem.total_mib", NULL, 1000000},
                {"clock", "clock.offset_us", NULL, 3600000000},
                {"clock", "clock.offset_us", NULL, -250000},
                {"clock", "clock.offset_us", NULL, INT64_MIN}};
    static struct job job;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        job_init(&job, 5);
        if (rows[i].value)
            put(&job, 2, rows[i].key, rows[i].value);
        else
            put_int(&job, 2, rows[i].key, rows[i].number);
        compare(&job);
        if (job.findings.count != 1)
            fail_msg("%s: %zu findings", rows[i].name, job.findings.count);
        assert_finding(&job, 0, 2, rows[i].name, DT_FAIL, rows[i].value ? rows[i].value : "");
        job_fini(&job);
    }
}

/* Settings, places and mounts: of five nodes that have them the third has another. */
static void names_the_odd_setting(void **state)
{
    static const struct {
        const char *name, *key, *usual, *odd;
        enum dt_result result;
    } rows[] = {
        {"topology", "topology.summary", "CPUs 0-191 in 2 NUMA nodes, GPUs 4+4",
         "CPUs 0-191 in 2 NUMA nodes, GPUs 8+0", DT_FAIL},
        {"network-mounts", "fs.network", "/fsx lustre", "none", DT_FAIL},
        {"mount-options", "fs.network_options", "/fsx lustre s rw,flock", "/fsx lustre s rw",
         DT_WARN},
        {"modules", "module.list", "efa,gdrdrv", "efa", DT_WARN},
        {"clock-source", "clock.source", "tsc", "kvm-clock", DT_WARN},
        {"huge-page-mode", "kernel.thp", "madvise", "always", DT_WARN},
        {"cpu-governor", "cpu.governor", "performance", "powersave", DT_WARN},
    };
    static const struct {
        const char *name, *key;
        long long usual, odd;
        enum dt_result result;
    } numbers[] = {
        {"cpu-count", "cpu.online", 192, 96, DT_FAIL},
        {"mtu", "net.mtu", 9001, 1500, DT_FAIL},
        {"memlock", "limit.memlock", -1, 68719476736, DT_WARN},
        {"nofile", "limit.nofile", 1048576, 65536, DT_WARN},
        {"boot", "boot.uptime_s", 864000, 599, DT_WARN},
    };
    static struct job job;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        job_init(&job, 5);
        for (size_t node = 0; node < 5; node++)
            put(&job, node, rows[i].key, node == 2 ? rows[i].odd : rows[i].usual);
        compare(&job);
        assert_int_equal(job.findings.count, 1);
        assert_finding(&job, 0, 2, rows[i].name, rows[i].result, rows[i].odd);
        job_fini(&job);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        job_init(&job, 5);
        for (size_t node = 0; node < 5; node++)
            put_int(&job, node, numbers[i].key, node == 2 ? numbers[i].odd : numbers[i].usual);
        compare(&job);
        assert_int_equal(job.findings.count, 1);
        assert_finding(&job, 0, 2, numbers[i].name, numbers[i].result, "");
        job_fini(&job);
    }
}

/* A setting that most nodes do not have is no lack of theirs. */
static void a_setting_of_few_is_no_lack_of_the_others(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 5);
    put(&job, 2, "cpu.governor", "powersave");
    compare(&job);
    assert_int_equal(job.findings.count, 0);
    for (size_t node = 0; node < 4; node++)
        put(&job, node, "cpu.governor", "performance");
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 4, "cpu-governor", DT_UNKNOWN, "not known");
    job_fini(&job);
}

/* Nodes that booted together, or at other times, are no news; a missing device is told once. */
static void boots_and_lost_devices_are_told_once(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 3);
    for (size_t node = 0; node < 3; node++)
        put_int(&job, node, "boot.uptime_s", 30);
    compare(&job);
    assert_int_equal(job.findings.count, 0);
    put_int(&job, 0, "boot.uptime_s", 8640000);
    put_int(&job, 1, "boot.uptime_s", 864000);
    put_int(&job, 2, "boot.uptime_s", 600);
    for (size_t node = 0; node < 3; node++)
        put(&job, node, "topology.summary", node == 1 ? "EFA 16+15" : "EFA 16+16");
    put_int(&job, 1, "efa.count", 31);
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 1, "efa-count", DT_FAIL, "31");
    job_fini(&job);
}

static void says_what_the_others_have(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 64);
    put(&job, 16, "lib.libfabric", "1.22.0");
    compare(&job);
    assert_finding(&job, 0, 16, "libfabric", DT_FAIL, "1.22.0");
    assert_string_equal(job.findings.items[0].result.limit, "2.1.0 (63 other nodes)");
    job_fini(&job);
}

static void without_majority_names_groups(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 4);
    put(&job, 1, "kernel.release", "5.10");
    put(&job, 3, "kernel.release", "5.10");
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, SIZE_MAX, "kernel", DT_FAIL, "6.8.0 on dt-[1,3], 5.10 on dt-[2,4]");
    job_fini(&job);
    job_init(&job, 2);
    put_int(&job, 0, "clock.offset_us", -500000); /* and the gathering host in the middle */
    put_int(&job, 1, "clock.offset_us", 500000);
    put_int(&job, 1, "mem.total_mib", 1000);
    compare(&job);
    assert_int_equal(job.findings.count, 2);
    assert_finding(&job, 0, SIZE_MAX, "clock", DT_FAIL, "up to 1000 ms apart");
    assert_finding(&job, 1, SIZE_MAX, "memory", DT_FAIL, "on some nodes");
    job_fini(&job);
}

static void of_two_clocks_the_one_that_differs_from_the_gather_is_odd(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 2);
    put_int(&job, 0, "clock.offset_us", 2000000);
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 0, "clock", DT_FAIL, "+1999 ms");
    job_fini(&job);
}

static void lacking_is_unknown(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 3);
    json_object_del(job.facts[1].doc, "driver.efa");
    put(&job, 1, "why.driver.efa", "the efa driver is not loaded");
    json_object_del(job.facts[2].doc, "clock.offset_us");
    compare(&job);
    assert_int_equal(job.findings.count, 2);
    assert_finding(&job, 0, 2, "clock", DT_UNKNOWN, "not known");
    assert_finding(&job, 1, 1, "efa-driver", DT_UNKNOWN, "the efa driver is not loaded");
    for (size_t i = 0; i < 3; i++) {
        json_object_del(job.facts[i].doc, "driver.efa");
        json_object_del(job.facts[i].doc, "clock.offset_us");
    }
    compare(&job);
    assert_int_equal(job.findings.count, 0); /* nobody has it: nothing to compare */
    job.nodes[2].facts = NULL;               /* did not report */
    put(&job, 0, "lib.nccl", "2.23");
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 1, "nccl", DT_UNKNOWN, "not known");
    job_fini(&job);
}

static void clock_minds_the_round_trip(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 5);
    put_int(&job, 4, "clock.offset_us", 120000);
    put_int(&job, 4, "clock.rtt_us", 100000); /* it may be 70 ms as well */
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 4, "clock", DT_UNKNOWN, "give or take 50 ms");
    put_int(&job, 4, "clock.rtt_us", 20000);
    compare(&job);
    assert_finding(&job, 0, 4, "clock", DT_FAIL, "+119 ms");
    job_fini(&job);
}

static void mixed_types(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 6);
    for (size_t i = 4; i < 6; i++) {
        put(&job, i, "instance.type", "p5en.48xlarge");
        put_int(&job, i, "efa.count", 16);
        put(&job, i, "kernel.release", "6.1");
    }
    put(&job, 0, "driver.efa", "1.0");
    compare(&job); /* counts and versions are compared inside a type */
    assert_int_equal(job.findings.count, 2);
    assert_finding(&job, 0, SIZE_MAX, "instance-type", DT_WARN,
                   "p5.48xlarge on dt-[1-4], p5en.48xlarge on dt-[5-6]");
    assert_finding(&job, 1, 0, "efa-driver", DT_FAIL, "1.0");
    assert_non_null(strstr(job.findings.items[1].result.limit, "3 other such nodes"));
    job_fini(&job);

    job_init(&job, 3);
    put(&job, 2, "instance.type", "p4d.24xlarge"); /* EFA can not connect these */
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 2, "instance-type", DT_FAIL, "p4d.24xlarge");
    put_int(&job, 2, "efa.count", 0); /* over TCP it can */
    compare(&job);
    assert_finding(&job, 0, SIZE_MAX, "instance-type", DT_WARN, "p4d.24xlarge on dt-3");
    json_object_del(job.facts[1].doc, "instance.type");
    compare(&job);
    assert_finding(&job, 0, 1, "instance-type", DT_UNKNOWN, "not known");
    job_fini(&job);

    job_init(&job, 2);
    put(&job, 1, "instance.type", "p4d.24xlarge");
    compare(&job);
    assert_finding(&job, 0, SIZE_MAX, "instance-type", DT_FAIL, "p5.48xlarge on dt-1");
    job_fini(&job);
}

/* Of unknown type is not of another type. */
static void unknown_type_is_no_mix(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 4);
    json_object_del(job.facts[3].doc, "instance.type");
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 3, "instance-type", DT_UNKNOWN, "not known");
    job_fini(&job);
}

/* Two of three clocks are off: with the gathering host's that is half, and nobody is blamed. */
static void half_of_the_clocks_blame_nobody(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 3);
    put_int(&job, 1, "clock.offset_us", 1000000);
    put_int(&job, 2, "clock.offset_us", 2000000);
    compare(&job);
    assert_finding(&job, 0, SIZE_MAX, "clock", DT_FAIL, "up to 2000 ms apart");
    job_fini(&job);
}

static void slow_memory_is_told(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 4);
    for (size_t i = 0; i < 4; i++) {
        put_int(&job, i, "mem.bandwidth_mb_s", i == 3 ? 84900 : 100000);
        put_int(&job, i, "mem.bandwidth_node", 1);
        put_int(&job, i, "cpu.speed", 400000);
        put_int(&job, i, "cpu.speed_node", 0);
    }
    size_t checks = 2; /* what is told beside a speed is no comparison */
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 3, "memory-bandwidth", DT_WARN, "84.9 GB/s on NUMA node 1");
    assert_non_null(strstr(job.findings.items[0].result.limit, "85% of 100.0 GB/s"));
    checks = job.findings.checks - checks;
    job_fini(&job);
    job_init(&job, 4);
    compare(&job);
    assert_int_equal(job.findings.checks, checks);
    job_fini(&job);
}

static void slow_core_is_told(void **state)
{
    static struct job job;
    (void)state;
    job_init(&job, 2);
    put_int(&job, 0, "cpu.speed", 200000);
    put_int(&job, 1, "cpu.speed", 400000);
    compare(&job);
    assert_int_equal(job.findings.count, 1);
    assert_finding(&job, 0, 0, "cpu-speed", DT_WARN, "200000 units/s");
    job_fini(&job);
}

/* 15 % is dt.conf's, and nodes that differ by more than that among themselves have none that is slow. */
static void scatter_blames_nobody(void **state)
{
    static const long long rates[][6] = {
        {100000, 100000, 100000, 100000, 100000, 85000}, /* not more than 15 % */
        {100000, 90000, 80000, 70000, 60000, 50000},     /* each another */
    };
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        static struct job job;
        job_init(&job, 6);
        for (size_t i = 0; i < 6; i++)
            put_int(&job, i, "mem.bandwidth_mb_s", rates[k][i]);
        compare(&job);
        assert_int_equal(job.findings.count, 0);
        job_fini(&job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike_nodes_have_no_finding),
        cmocka_unit_test(names_the_odd_one),
        cmocka_unit_test(names_the_odd_setting),
        cmocka_unit_test(a_setting_of_few_is_no_lack_of_the_others),
        cmocka_unit_test(boots_and_lost_devices_are_told_once),
        cmocka_unit_test(says_what_the_others_have),
        cmocka_unit_test(without_majority_names_groups),
        cmocka_unit_test(lacking_is_unknown),
        cmocka_unit_test(of_two_clocks_the_one_that_differs_from_the_gather_is_odd),
        cmocka_unit_test(clock_minds_the_round_trip),
        cmocka_unit_test(mixed_types),
        cmocka_unit_test(unknown_type_is_no_mix),
        cmocka_unit_test(half_of_the_clocks_blame_nobody),
        cmocka_unit_test(slow_memory_is_told),
        cmocka_unit_test(slow_core_is_told),
        cmocka_unit_test(scatter_blames_nobody),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
