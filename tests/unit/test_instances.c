/* SPDX-License-Identifier: Apache-2.0 */
/* The instance table: the shipped one is sound and quick to load, and each way to contradict
 * oneself is refused with the line and the section. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "instances/instances.h"
#include "shipped.h"

static char *table_path;

static void load(struct dt_instances *table)
{
    struct dt_error err = {0};
    if (dt_instances_load(table, table_path, &err) != 0)
        fail_msg("%s", err.text);
}

static size_t length(char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

static void shipped_types_have_their_known_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int vcpus, accelerators, efas, efa_gbps, nvlinks;
        enum dt_accelerator kind;
        bool measured;
    } known[] = {
        {"p4d.24xlarge", 96, 8, 4, 100, 12, DT_ACCELERATOR_NVIDIA, true},
        {"p4de.24xlarge", 96, 8, 4, 100, 12, DT_ACCELERATOR_NVIDIA, true},
        {"p5.48xlarge", 192, 8, 32, 100, 18, DT_ACCELERATOR_NVIDIA, false},
        {"p5e.48xlarge", 192, 8, 32, 100, 18, DT_ACCELERATOR_NVIDIA, false},
        {"p5en.48xlarge", 192, 8, 16, 200, 18, DT_ACCELERATOR_NVIDIA, false},
        {"p6-b200.48xlarge", 192, 8, 8, 400, 18, DT_ACCELERATOR_NVIDIA, false},
        {"p6-b300.48xlarge", 192, 8, 16, 400, 18, DT_ACCELERATOR_NVIDIA, false},
        {"g5.48xlarge", 192, 8, 1, 100, 0, DT_ACCELERATOR_NVIDIA, true},
        {"g6.48xlarge", 192, 8, 1, 100, 0, DT_ACCELERATOR_NVIDIA, false},
        {"g6e.48xlarge", 192, 8, 4, 100, 0, DT_ACCELERATOR_NVIDIA, false},
        {"trn1.32xlarge", 128, 16, 8, 100, 0, DT_ACCELERATOR_NEURON, false},
        {"trn1n.32xlarge", 128, 16, 16, 100, 0, DT_ACCELERATOR_NEURON, false},
        {"trn2.48xlarge", 192, 16, 16, 200, 0, DT_ACCELERATOR_NEURON, false},
        {"hpc7a.96xlarge", 192, 0, 2, 150, 0, DT_ACCELERATOR_NONE, false},
        {"hpc6a.48xlarge", 96, 0, 1, 100, 0, DT_ACCELERATOR_NONE, false},
        {"c5n.18xlarge", 72, 0, 1, 100, 0, DT_ACCELERATOR_NONE, false},
    };
    struct dt_instances table;
    load(&table);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct dt_instance *type = dt_instances_find(&table, known[i].name);
        if (!type)
            fail_msg("%s is missing", known[i].name);
        assert_int_equal(type->vcpus, known[i].vcpus);
        assert_int_equal(type->accelerators, known[i].accelerators);
        assert_int_equal(type->accelerator, known[i].kind);
        assert_int_equal(type->efas, known[i].efas);
        assert_int_equal(type->efa_gbps, known[i].efa_gbps);
        assert_int_equal(type->nvlinks, known[i].nvlinks);
        assert_int_equal(type->topology_measured, known[i].measured);
    }
    assert_null(dt_instances_find(&table, "host"));
    assert_null(dt_instances_find(&table, NULL));
    dt_instances_fini(&table);
}

/* Every accelerated type of EC2 has its section, with EC2's numbers and where they are from. */
static void every_accelerated_type_is_there(void **state)
{
    (void)state;
    struct dt_instances table;
    char line[256], name[64];
    int vcpus, gib, accelerators, mib, efas, rows = 0;
    char *path = source_path("tests/unit/instances_ec2.csv");
    FILE *list = fopen(path, "re");
    assert_non_null(list);
    load(&table);
    while (fgets(line, sizeof line, list)) {
        if (*line == '#')
            continue;
        assert_int_equal(
            sscanf(line, "%63[^,],%d,%d,%d,%d,%d", name, &vcpus, &gib, &accelerators, &mib, &efas),
            6);
        const struct dt_instance *type = dt_instances_find(&table, name);
        if (!type)
            fail_msg("%s is missing", name);
        if (type->vcpus != vcpus || type->memory_mib != gib * 1024LL ||
            type->accelerators != accelerators || type->efas != efas ||
            (mib && type->accelerator_memory_mib != mib))
            fail_msg("%s has other numbers than EC2's", name);
        assert_int_not_equal(type->accelerator, DT_ACCELERATOR_NONE);
        rows++;
    }
    assert_true(rows > 60);
    for (size_t i = 0; i < table.count; i++)
        assert_non_null(strstr(table.items[i].source, "EC2"));
    fclose(list);
    free(path);
    dt_instances_fini(&table);
}

/* RDMA without capability aborts a job in libfabric, so these flags matter. */
static void rdma_follows_the_generation(void **state)
{
    (void)state;
    struct dt_instances table;
    load(&table);
    for (size_t i = 0; i < table.count; i++) {
        const struct dt_instance *type = &table.items[i];
        bool p4 = strncmp(type->name, "p4d", 3) == 0;
        assert_int_equal(type->rdma_read, type->efa_generation >= 2 || p4);
        if (type->efa_generation == 1)
            assert_false(type->rdma_write);
        if (!type->topology_measured)
            assert_non_null(strstr(type->source, "modelled"));
    }
    dt_instances_fini(&table);
}

static void p5_has_four_nics_and_a_gpu_on_each_switch(void **state)
{
    (void)state;
    struct dt_instances table;
    load(&table);
    const struct dt_instance *p5 = dt_instances_find(&table, "p5.48xlarge");
    assert_non_null(p5);
    assert_int_equal(p5->switch_count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(p5->switches[i].numa, i / 4);
        assert_int_equal(length(p5->switches[i].gpus), 1);
        assert_int_equal(length(p5->switches[i].nics), 4);
    }
    assert_string_equal(p5->switches[0].bridge, "0000:45:00.0");
    assert_string_equal(p5->switches[0].gpus[0], "0000:53:00.0");
    assert_string_equal(p5->switches[7].nics[3], "0000:c9:00.0");
    dt_instances_fini(&table);
}

static void one_type_alone_is_the_same_as_from_the_whole_table(void **state)
{
    (void)state;
    struct dt_instances all, one;
    struct dt_error err = {0};
    load(&all);
    for (size_t i = 0; i < all.count; i++) {
        const struct dt_instance *a = &all.items[i];
        if (dt_instances_load_type(&one, table_path, a->name, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(one.count, 1);
        const struct dt_instance *b = dt_instances_find(&one, a->name);
        assert_non_null(b);
        assert_int_equal(a->vcpus, b->vcpus);
        assert_int_equal(a->memory_mib, b->memory_mib);
        assert_int_equal(a->switch_count, b->switch_count);
        assert_string_equal(a->source, b->source);
        dt_instances_fini(&one);
    }
    assert_int_equal(dt_instances_load_type(&one, table_path, "p9.huge", &err), 0);
    assert_int_equal(one.count, 0);
    dt_instances_fini(&one);
    dt_instances_fini(&all);
}

/* A section that is right, and the text around one of its lines to change. */
static const char good[] = "# comment { \"\n"
                           "instance \"x1.large\" {\n"
                           "    vcpus = 8\n"
                           "    cores = 4\n"
                           "    threads-per-core = 2\n"
                           "    packages = 2\n"
                           "    numa-nodes = 2\n"
                           "    cpu-vendor = \"GenuineIntel\"\n"
                           "    memory-mib = 1024\n"
                           "    accelerator = \"nvidia\"\n"
                           "    accelerators = 2\n"
                           "    accelerator-model = \"NVIDIA Test\"\n"
                           "    accelerator-pci-id = \"10de:2330\"\n"
                           "    accelerator-memory-mib = 100\n"
                           "    efas = 1\n"
                           "    efa-generation = 1\n"
                           "    efa-pci-id = \"1d0f:efa0\"\n"
                           "    efa-gbps = 100\n"
                           "    switch {\n"
                           "        numa = 1\n"
                           "        gpus = {\"0000:10:00.0\", \"0000:11:00.0\"}\n"
                           "        nics = {\"0000:12:00.0\"}\n"
                           "    }\n"
                           "    source = \"invented\"\n"
                           "}\n";

static int parse(const char *text, struct dt_error *err)
{
    struct dt_instances table;
    int rc = dt_instances_parse(&table, "t.conf", text, strlen(text), err);
    dt_instances_fini(&table);
    return rc;
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *expected;
    } cases[] = {
        {"vcpus = 8", "vcpus = 9", "cores = 4 times threads-per-core = 2 is not vcpus = 9"},
        {"vcpus = 8", "", "vcpus is missing"},
        {"vcpus = 8", "vcpus = 0", "vcpus = 0 must be between 1 and 4096"},
        {"packages = 2", "packages = 3", "packages = 3"},
        {"numa-nodes = 2", "numa-nodes = 3", "no multiple of packages"},
        {"memory-mib = 1024", "memory-mib = 0", "memory-mib must be 1 or more"},
        {"GenuineIntel", "Intel", "cpu-vendor = 'Intel' must be"},
        {"accelerators = 2", "accelerators = 3", "list 2 gpus, but accelerators = 3"},
        {"accelerators = 2", "accelerators = 0", "contradict"},
        {"\"nvidia\"", "\"amd\"", "accelerator = 'amd' must be none, nvidia, neuron or other"},
        {"10de:2330", "10DE:2330", "accelerator-pci-id = '10DE:2330' must be like"},
        {"accelerator-model = \"NVIDIA Test\"", "", "accelerator-model is missing"},
        {"accelerator-memory-mib = 100", "", "accelerator-memory-mib is missing"},
        {"efas = 1", "efas = 2", "list 1 nics, but efas = 2"},
        {"efa-generation = 1", "efa-generation = 0", "contradict"},
        {"1d0f:efa0", "1d0f:0000", "efa-pci-id = '1d0f:0000' must be like"},
        {"efa-gbps = 100", "", "efa-gbps is missing"},
        {"numa = 1", "numa = 2", "switch 1 hangs on numa = 2, but numa-nodes = 2"},
        {"numa = 1", "", "numa is missing"},
        {"0000:11:00.0", "0000:10:00.0", "PCI address 0000:10:00.0 is listed twice"},
        {"0000:12:00.0", "12:00.0", "'12:00.0' is no PCI address"},
        {"0000:12:00.0", "0000:AB:00.0", "'0000:AB:00.0' is no PCI address"},
        {"source = \"invented\"", "", "source is missing"},
        {"\"invented\"\n}\n", "\"}\"\n", "t.conf:2: the '{' in this line is not closed"},
        {"x1.large", "host", "'host' stands for the machine as it is"},
        {"x1.large", "x1/large", "this is no EC2 instance type"},
        {"efas = 1", "efa = 1",
         "t.conf:15: unknown option 'efa' in x1.large; did you mean 'efas'?"},
        {"cores = 4", "cores = four", "t.conf:4: invalid integer value"},
        {"cores = 4", "cores = 4\ncores = 4", "t.conf:5: option 'cores' is set twice"},
    };
    struct dt_error err = {0};
    if (parse(good, &err) != 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_buf text = DT_BUF_INIT;
        const char *hit = strstr(good, cases[i].from);
        assert_non_null(hit);
        dt_buf_append(&text, good, (size_t)(hit - good));
        dt_buf_puts(&text, cases[i].to);
        dt_buf_puts(&text, hit + strlen(cases[i].from));
        assert_int_equal(parse(text.data, &err), -1);
        if (!strstr(err.text, cases[i].expected))
            fail_msg("'%s' does not hold '%s'", err.text, cases[i].expected);
        assert_ptr_equal(strstr(err.text, "t.conf:"), err.text);
        dt_buf_fini(&text);
    }
}

static void sections_are_located(void **state)
{
    (void)state;
    struct dt_error err = {0};
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, good);
    dt_buf_puts(&text, good);
    assert_int_equal(parse(text.data, &err), -1);
    assert_non_null(strstr(err.text, "x1.large"));
    dt_buf_fini(&text);
    assert_int_equal(parse("", &err), -1);
    assert_string_equal(err.text, "t.conf: no instance is described in it");
    assert_int_equal(parse("instance \"a\" {", &err), -1);
    assert_non_null(strstr(err.text, "t.conf:1: "));
}

static int copy_table(void **state)
{
    (void)state;
    table_path = shipped_copy("configs/instances.conf");
    return 0;
}

static int drop_table(void **state)
{
    (void)state;
    shipped_drop(table_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_types_have_their_known_numbers),
        cmocka_unit_test(every_accelerated_type_is_there),
        cmocka_unit_test(rdma_follows_the_generation),
        cmocka_unit_test(p5_has_four_nics_and_a_gpu_on_each_switch),
        cmocka_unit_test(one_type_alone_is_the_same_as_from_the_whole_table),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(sections_are_located),
    };
    return cmocka_run_group_tests(tests, copy_table, drop_table);
}
