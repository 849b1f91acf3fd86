/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies from files and from the instance table, override files, and what a live machine has that
 * the facts do not name: other RDMA NICs, MIG, GPUs without a driver. */
#include "topology_tree.h"

#include "base/buf.h"

#define OBJECT           "<object type="
#define SET(cpus, nodes) " cpuset=\"" cpus "\" nodeset=\"" nodes "\">"

static const char small_machine[] =
    "<?xml version=\"1.0\"?><!DOCTYPE topology SYSTEM \"hwloc2.dtd\"><!-- a comment -->\n"
    "<topology version=\"2.0\">" OBJECT
    "\"Machine\"" SET("0xf", "0x3") "<info name=\"DMIProductName\" value=\"A &amp; B\"/>" OBJECT
                                    "\"Package\" os_index=\"0\"" SET("0x5", "0x1") OBJECT
    "\"NUMANode\" os_index=\"0\" local_memory=\"1073741824\" cpuset=\"0x5\"/>" OBJECT
    "\"Core\"" SET("0x5", "0x1") OBJECT
    "\"PU\" os_index=\"0\"/>" OBJECT "\"PU\" os_index=\"2\"/></object>" OBJECT
    "\"Bridge\" bridge_type=\"0-1\" bridge_pci=\"0000:[00-20]\">" OBJECT
    "\"Bridge\" bridge_type=\"1-1\" pci_busid=\"0000:00:01.0\">" OBJECT
    "\"PCIDev\" pci_busid=\"0000:11:00.0\" pci_type=\"0302 [10de:2330] [10de:16c1] a1\">" OBJECT
    "\"OSDev\" name=\"nvml0\" osdev_type=\"1\"><info name=\"NVIDIAUUID\" value=\"GPU-x\"/>"
    "<info name=\"GPUModel\" value=\"H100\"/></object></object>" OBJECT
    "\"PCIDev\" pci_busid=\"0000:10:00.0\" pci_type=\"0200 [1d0f:efa1] [1d0f:efa1] 00\">" OBJECT
    "\"OSDev\" name=\"rdmap16s0\" osdev_type=\"3\"/></object></object>" OBJECT
    "\"PCIDev\" pci_busid=\"0000:05:00.0\" pci_type=\"0300 [1a03:2000] [1a03:2000] 52\"/>" OBJECT
    "\"PCIDev\" pci_busid=\"0000:06:00.0\" pci_type=\"0680 [10de:22a3] [10de:1796] a1\"/>"
    "</object></object>" OBJECT "\"Package\" os_index=\"1\"" SET("0xa", "0x2") OBJECT
    "\"NUMANode\" os_index=\"1\" cpuset=\"0xa\"/>" OBJECT "\"Core\"" SET("0xa", "0x2") OBJECT
    "\"PU\" os_index=\"1\"/>" OBJECT "\"PU\" os_index=\"3\"/></object></object>" OBJECT
    "\"NUMANode\" os_index=\"7\" subtype=\"GPUMemory\" cpuset=\"0x5\"/></object>"
    "<distances2 type=\"NUMANode\" nbobjs=\"3\" name=\"NUMALatency\" indexing=\"os\">"
    "<indexes length=\"6\">0 1 7 </indexes><u64values length=\"9\">10 32 40 </u64values>"
    "<u64values length=\"9\">32 10 80 </u64values><u64values length=\"9\">40 80 10 </u64values>"
    "</distances2></topology>";

static const char four_switches[] =
    "<system version=\"1\"><cpu numaid=\"0\" affinity=\"0f0f\" arch=\"x86_64\">"
    "<pci busid=\"ffff:ff:01.0\" class=\"0x060400\">"
    "<pci busid=\"0000:10:1c.0\" class=\"0x030200\" vendor=\"0x10de\" device=\"0x20b0\"/>"
    "<pci busid=\"0000:10:1b.0\" class=\"0x020000\" vendor=\"0x1d0f\"/></pci></cpu>"
    "<cpu numaid=\"1\" affinity=\"f0f0\" arch=\"x86_64\"><pci busid=\"ffff:ff:02.0\" "
    "class=\"0x060400\">"
    "<pci busid=\"0000:90:1c.0\" class=\"0x030200\" vendor=\"0x10de\" device=\"0x20b0\"/>"
    "<pci busid=\"0000:90:1b.0\" class=\"0x020000\" vendor=\"0x1d0f\"/></pci></cpu></system>";

static void must_parse(struct dt_topology *topology, const char *text,
                       const struct dt_instances *table)
{
    struct dt_error err = {{0}};

    if (dt_topology_parse(topology, "m.xml", text, strlen(text), table, NULL, &err))
        fail_msg("%s", err.text);
    hwloc_topology_check(topology->hwloc);
}

/* ---- hwloc ------------------------------------------------------------------------------------ */

static void test_hwloc(void **state)
{
    struct dt_topology t;

    (void)state;
    must_parse(&t, small_machine, NULL);
    assert_string_equal(t.source, "hwloc XML m.xml");
    assert_string_equal(t.machine, "A & B");
    assert_int_equal(count(&t, HWLOC_OBJ_PU), 4);
    assert_int_equal(count(&t, HWLOC_OBJ_CORE), 2);
    assert_int_equal(count(&t, HWLOC_OBJ_PACKAGE), 2);
    assert_int_equal(count(&t, HWLOC_OBJ_NUMANODE), 3);
    assert_int_equal(hwloc_get_obj_by_type(t.hwloc, HWLOC_OBJ_NUMANODE, 2)->os_index, 7);
    /* the board's video and the NVSwitch are no accelerators */
    assert_int_equal(t.accelerator_count, 1);
    assert_int_equal(t.kind, DT_ACCELERATOR_NVIDIA);
    assert_string_equal(t.accelerators[0].id, "GPU-x");
    assert_string_equal(t.accelerators[0].model, "H100");
    assert_string_equal(t.accelerators[0].path, "pci0000:00/0000:00:01.0/0000:11:00.0");
    assert_int_equal(t.accelerators[0].numa, 0);
    assert_int_equal(t.nic_count, 1);
    assert_string_equal(t.nics[0].id, "rdmap16s0");
    assert_true(t.nics[0].group >= 0);
    assert_int_equal(t.nics[0].group, t.accelerators[0].group);
    dt_topology_fini(&t);
}

static void test_hwloc_distances(void **state)
{
    struct dt_topology t;
    struct hwloc_distances_s *matrix;
    unsigned found = 1;

    (void)state;
    must_parse(&t, small_machine, NULL);
    assert_int_equal(hwloc_distances_get_by_name(t.hwloc, "NUMALatency", &found, &matrix, 0), 0);
    assert_int_equal(found, 1);
    assert_int_equal(matrix->nbobjs, 3);
    assert_int_equal(matrix->values[1], 32);
    assert_int_equal(matrix->values[2], 40);
    hwloc_distances_release(t.hwloc, matrix);
    dt_topology_fini(&t);
}

/* Format 1: nodes around cores, "Socket", offline PUs in the list. */
static void test_hwloc_format_1(void **state)
{
    static const char text[] =
        "<topology>" OBJECT "\"Machine\" cpuset=\"0xf\">" OBJECT
        "\"NUMANode\" os_index=\"3\" cpuset=\"0xf\" local_memory=\"4096\">" OBJECT
        "\"Socket\" os_index=\"0\" cpuset=\"0xf\">" OBJECT "\"Core\" cpuset=\"0x3\">" OBJECT
        "\"PU\" os_index=\"0\" online_cpuset=\"0x1\"/>" OBJECT
        "\"PU\" os_index=\"1\" online_cpuset=\"0x0\"/></object>" OBJECT
        "\"Core\" cpuset=\"0xc\">" OBJECT "\"PU\" os_index=\"2\"/>" OBJECT
        "\"PU\" os_index=\"3\"/></object></object></object></object></topology>";
    struct dt_topology t;

    (void)state;
    must_parse(&t, text, NULL);
    assert_int_equal(count(&t, HWLOC_OBJ_PU), 3);
    assert_int_equal(count(&t, HWLOC_OBJ_PACKAGE), 1);
    assert_int_equal(hwloc_get_obj_by_type(t.hwloc, HWLOC_OBJ_NUMANODE, 0)->os_index, 3);
    dt_topology_fini(&t);
}

/* What does not fit into hwloc's tree: nodes win over packages, and a core is cut at a node's edge. */
static void test_hwloc_crossing(void **state)
{
    static const char text[] =
        "<topology>" OBJECT "\"Machine\" cpuset=\"0xf\">" OBJECT
        "\"NUMANode\" os_index=\"0\" cpuset=\"0x1\"/>" OBJECT
        "\"NUMANode\" os_index=\"1\" cpuset=\"0xe\"/>" OBJECT "\"Package\" cpuset=\"0x3\">" OBJECT
        "\"Core\" cpuset=\"0x3\">" OBJECT "\"PU\" os_index=\"0\"/>" OBJECT
        "\"PU\" os_index=\"1\"/></object></object>" OBJECT "\"Package\" cpuset=\"0xc\">" OBJECT
        "\"Core\" cpuset=\"0xc\">" OBJECT "\"PU\" os_index=\"2\"/>" OBJECT
        "\"PU\" os_index=\"3\"/></object></object>"
        "</object></topology>";
    struct dt_topology t;

    (void)state;
    must_parse(&t, text, NULL);
    assert_int_equal(count(&t, HWLOC_OBJ_NUMANODE), 2);
    assert_int_equal(count(&t, HWLOC_OBJ_PACKAGE), 1);
    assert_int_equal(count(&t, HWLOC_OBJ_CORE), 3);
    assert_non_null(strstr(t.notes, "package 0 is left out"));
    dt_topology_fini(&t);
}

/* ---- NCCL ------------------------------------------------------------------------------------- */

static void test_nccl(void **state)
{
    struct dt_topology t;

    (void)state;
    must_parse(&t, four_switches, NULL);
    assert_string_equal(t.source, "NCCL XML m.xml");
    assert_int_equal(count(&t, HWLOC_OBJ_PU), 16);
    assert_int_equal(count(&t, HWLOC_OBJ_CORE), 8); /* 0 and 8 are threads of one core */
    assert_int_equal(t.accelerator_count, 2);
    assert_int_equal(t.nic_count, 2);
    assert_string_equal(t.nics[0].id, "rdmap16s27");
    assert_int_equal(t.accelerators[1].numa, 1);
    assert_int_equal(t.accelerators[1].group, t.nics[1].group);
    assert_true(t.accelerators[0].group != t.accelerators[1].group);
    assert_non_null(strstr(t.notes, "8 CPUs apart"));
    dt_topology_fini(&t);
}

static char *p_gpus0[] = {"0000:53:00.0", NULL},
            *p_nics0[] = {"0000:4f:00.0", "0000:50:00.0", NULL};
static char *p_gpus1[] = {"0000:97:00.0", NULL},
            *p_nics1[] = {"0000:93:00.0", "0000:94:00.0", NULL};
static struct dt_instance_switch p_rows[] = {
    {.numa = 0, .bridge = "0000:45:00.0", .gpus = p_gpus0, .nics = p_nics0},
    {.numa = 1, .bridge = "0000:89:00.0", .gpus = p_gpus1, .nics = p_nics1}};
static struct dt_instance p_type = {.name = "px.large",
                                    .vcpus = 16,
                                    .cores = 8,
                                    .threads_per_core = 2,
                                    .packages = 2,
                                    .numa_nodes = 2,
                                    .memory_mib = 2048,
                                    .accelerator = DT_ACCELERATOR_NVIDIA,
                                    .accelerator_model = "H100",
                                    .accelerators = 2,
                                    .efas = 4,
                                    .topology_measured = true,
                                    .switches = p_rows,
                                    .switch_count = 2};
static const struct dt_instances p_table = {.items = &p_type, .count = 1};

/* The file of aws-ofi-nccl for p5: bridges and NICs, no classes, no CPUs, no GPUs. */
static void test_nccl_that_leaves_much_out(void **state)
{
    static const char text[] =
        "<system version=\"1\"><cpu numaid=\"0\"><pci busid=\"0000:45:00.0\">"
        "<pci busid=\"0000:4f:00.0\"/><pci busid=\"0000:50:00.0\"/></pci></cpu><cpu numaid=\"1\">"
        "<pci busid=\"0000:89:00.0\"><pci busid=\"0000:93:00.0\"/><pci "
        "busid=\"0000:94:00.0\"/></pci>"
        "</cpu></system>";
    struct dt_topology t;
    struct dt_error err = {{0}};

    (void)state;
    must_parse(&t, text, &p_table);
    assert_string_equal(t.machine, "px.large");
    assert_int_equal(count(&t, HWLOC_OBJ_PU), 16);
    assert_int_equal(t.accelerator_count, 2);
    assert_int_equal(t.nic_count, 4);
    assert_int_equal(t.accelerators[1].group, t.nics[3].group);
    assert_int_equal(t.accelerators[1].numa, 1);
    assert_non_null(strstr(t.notes, "has no CPUs"));
    assert_non_null(strstr(t.notes, "has no GPUs"));
    dt_topology_fini(&t);
    assert_int_equal(dt_topology_parse(&t, "m.xml", text, sizeof(text) - 1, NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "no instance type has these addresses"));
}

static void test_instance(void **state)
{
    struct dt_topology t;
    struct dt_error err = {{0}};

    (void)state;
    assert_int_equal(dt_topology_of_instance(&t, &p_type, &err), 0);
    hwloc_topology_check(t.hwloc);
    assert_string_equal(t.source, "instance table px.large");
    assert_string_equal(t.machine, "px.large");
    assert_int_equal(count(&t, HWLOC_OBJ_PACKAGE), 2);
    assert_int_equal(count(&t, HWLOC_OBJ_CORE), 8);
    assert_true(hwloc_bitmap_isset(hwloc_get_obj_by_type(t.hwloc, HWLOC_OBJ_CORE, 1)->cpuset, 9));
    assert_string_equal(t.nics[0].id, "rdmap79s0");
    assert_int_equal(t.nics[1].group, t.accelerators[0].group);
    assert_true(t.accelerators[0].group != t.accelerators[1].group);
    dt_topology_fini(&t);
}

/* ---- bad files -------------------------------------------------------------------------------- */

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "neither hwloc XML"},
        {"<html></html>", "neither hwloc XML"},
        {"topology", "neither hwloc XML"},
        {"<topology>", "ends inside <topology>"},
        {"<topology></system>", "an end tag fits no element"},
        {"<topology><object type=Machine/></topology>", "must stand in quotes"},
        {"<topology><object type=\"Machine></topology>", "does not end"},
        {"<topology><!-- </topology>", "a comment does not end"},
        {"<topology></topology>", "no hwloc XML with a machine"},
        {"<topology></topology><topology/>", "a second outermost element"},
        {"<topology>" OBJECT "\"Machine\"/></topology>", "names no CPU"},
        {"<topology>" OBJECT "\"PU\" os_index=\"x\"/></topology>", "no os_index"},
        {"<topology>" OBJECT "\"PU\" os_index=\"99999\"/></topology>", "no os_index"},
        {"<topology>" OBJECT "\"Machine\">" OBJECT "\"PU\" os_index=\"1\"/>" OBJECT
         "\"PU\" os_index=\"1\"/></object></topology>",
         "CPU 1 stands in it twice"},
        {"<topology>" OBJECT "\"Machine\" cpuset=\"0xf...f\">" OBJECT
         "\"PU\" os_index=\"1\"/></object></topology>",
         "is no set of CPUs"},
        {"<topology>" OBJECT "\"Machine\">" OBJECT
         "\"NUMANode\" os_index=\"0\" cpuset=\"0x3\"/>" OBJECT
         "\"NUMANode\" os_index=\"1\" cpuset=\"0x6\"/>" OBJECT "\"PU\" os_index=\"0\"/>" OBJECT
         "\"PU\" os_index=\"1\"/>" OBJECT "\"PU\" os_index=\"2\"/></object></topology>",
         "shares some of its CPUs with another node"},
        {"<topology>" OBJECT "\"Machine\">" OBJECT
         "\"NUMANode\" os_index=\"0\" cpuset=\"0x1\"/>" OBJECT
         "\"NUMANode\" os_index=\"0\" cpuset=\"0x2\"/></object></topology>",
         "NUMA node 0 stands in it twice"},
        {"<topology>" OBJECT "\"PCIDev\" pci_busid=\"nowhere\"/></topology>", "has no address"},
        {"<system></system>", "no NCCL XML with a <cpu>"},
        {"<system><cpu/></system>", "not which CPUs"},
        {"<system><cpu affinity=\"1\"/></system>", "no numaid"},
        {"<system><cpu numaid=\"0\" affinity=\"xyz\"/></system>", "no affinity that is a mask"},
        {"<system><cpu numaid=\"0\" affinity=\"1\"><pci/></cpu></system>", "has no address"},
        {"<!DOCTYPE topology [<!ENTITY a \"b\">]><topology/>", "neither hwloc XML"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_topology t;
        struct dt_error err = {{0}};
        if (dt_topology_parse(&t, "m.xml", bad[i].text, strlen(bad[i].text), NULL, NULL, &err) == 0)
            fail_msg("taken for a topology: %s", bad[i].text);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: says '%s' and not '%s'", bad[i].text, err.text, bad[i].says);
        assert_null(strchr(err.text, '\n'));
    }
}

static void test_depth_and_missing_file(void **state)
{
    struct dt_buf text = DT_BUF_INIT;
    struct dt_topology t;
    struct dt_error err = {{0}};

    (void)state;
    dt_buf_puts(&text, "<topology>");
    for (int i = 0; i < 500; i++)
        dt_buf_puts(&text, "<object type=\"Group\">");
    assert_int_equal(dt_topology_parse(&t, "m.xml", text.data, text.len, NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "nested more than 128 deep"));
    dt_buf_fini(&text);
    assert_int_equal(dt_topology_read(&t, "/nonexistent/m.xml", NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/m.xml can not be opened"));
    assert_int_equal(dt_topology_read(&t, "/", NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "no regular file"));
}

/* ---- overrides -------------------------------------------------------------------------------- */

/* A flat virtual machine of two GPUs and two NICs, all on node 0 as far as sysfs tells. */
static void flat_machine(struct dt_topology *topology, struct tree *tree)
{
    static const char *const bdfs[] = {"0000:10:1c.0", "0000:90:1c.0", "0000:10:1b.0",
                                       "0000:90:1b.0"};
    struct dt_facts facts = no_facts();

    tree_init(tree, 4);
    for (int i = 0; i < 4; i++)
        add_device(&facts, i < 2 ? "gpu.devices" : "efa.devices", bdfs[i],
                   i < 2 ? (i ? "GPU-b" : "GPU-a") : (i == 2 ? "rdmap16s27" : "rdmap144s27"), -1);
    must_load(topology, tree, &facts, NULL, NULL);
    json_decref(facts.doc);
}

static const char rows[] =
    "switch { numa = 0 gpus = {\"0000:10:1c.0\"} nics = {\"0000:10:1b.0\"} }\n"
    "switch { numa = 1 gpus = {\"0000:90:1C.0\"} nics = {\"0000:90:1b.0\"} }\n";

static void test_override(void **state)
{
    static const char *const files[] = {rows, four_switches};

    (void)state;
    for (size_t f = 0; f < 2; f++) {
        struct dt_topology t;
        struct tree tree;
        struct dt_error err = {{0}};
        flat_machine(&t, &tree);
        assert_int_equal(t.accelerators[0].group, -1);
        if (dt_topology_override_text(&t, "o.conf", files[f], strlen(files[f]), &err))
            fail_msg("%s", err.text);
        assert_string_equal(t.source, "sysfs + override o.conf");
        assert_true(t.accelerators[0].group >= 0);
        assert_int_equal(t.accelerators[0].group, t.nics[0].group);
        assert_int_equal(t.accelerators[1].group, t.nics[1].group);
        assert_true(t.nics[0].group != t.nics[1].group);
        assert_int_equal(t.accelerators[1].numa, 1);
        assert_string_equal(t.accelerators[1].id, "GPU-b"); /* who it is stays the driver's word */
        assert_string_equal(t.notes, "");
        dt_topology_fini(&t);
        tree_fini(&tree);
    }
}

static void test_overrides_that_do_not_fit(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "describes no switch"},
        {"switch { gpus = {\"0000:10:1c.0\"} }", "needs numa"},
        {"switch { numa = 5 gpus = {\"0000:10:1c.0\"} }",
         "NUMA node 5, which this machine has not"},
        {"switch { numa = 0 gpus = {\"0000:10:1c.0\"} }\n"
         "switch { numa = 1 nics = {\"0000:10:1c.0\"} }",
         "puts device 0000:10:1c.0 in two places"},
        {"switch { numa = 0 gpus = {\"0000:aa:00.0\", \"0000:ab:00.0\", \"0000:10:1c.0\"} }",
         "is of another machine: 1 of its 3 devices are here, 0000:aa:00.0 is not"},
        {"switch { nuna = 0 }", "nuna"},
        {"<system><cpu numaid=\"0\"><pci busid=\"0000:01:00.0\"/></cpu></system>",
         "is of another machine"},
        {"<system><cpu numaid=\"0\">", "ends inside <cpu>"},
    };
    struct dt_topology t;
    struct tree tree;

    (void)state;
    flat_machine(&t, &tree);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_error err = {{0}};
        if (dt_topology_override_text(&t, "o.conf", bad[i].text, strlen(bad[i].text), &err) == 0)
            fail_msg("believed: %s", bad[i].text);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: says '%s' and not '%s'", bad[i].text, err.text, bad[i].says);
        assert_string_equal(t.source, "sysfs"); /* nothing was changed */
        assert_int_equal(t.accelerators[0].group, -1);
    }
    dt_topology_fini(&t);
    tree_fini(&tree);
}

static void test_override_of_a_part(void **state)
{
    static const char text[] =
        "switch { numa = 0 gpus = {\"0000:10:1c.0\", \"0000:11:1c.0\"} nics = {\"0000:10:1b.0\"} }";
    struct dt_topology t;
    struct tree tree;
    struct dt_error err = {{0}};

    (void)state;
    flat_machine(&t, &tree);
    assert_int_equal(dt_topology_override_text(&t, "o.conf", text, sizeof(text) - 1, &err), 0);
    assert_non_null(strstr(t.notes, "1 of 3 devices of o.conf are not on this machine"));
    assert_non_null(strstr(t.notes, "does not name 2 of 4 devices"));
    assert_int_equal(t.accelerators[1].group, -1);
    dt_topology_fini(&t);
    tree_fini(&tree);
}

static void test_override_must_be_the_admins(void **state)
{
    char path[] = "/tmp/dt-test-override-XXXXXX";
    struct dt_topology t;
    struct tree tree;
    struct dt_error err = {{0}};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, rows, sizeof(rows) - 1), sizeof(rows) - 1);
    flat_machine(&t, &tree);
    assert_int_equal(fchmod(fd, 0666), 0);
    assert_int_equal(dt_topology_override(&t, path, &err), -1);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(dt_topology_override(&t, path, &err), 0);
    unlink(path);
    assert_int_equal(dt_topology_override(&t, path, &err), -1);
    assert_non_null(strstr(err.text, "can not be opened"));
    close(fd);
    dt_topology_fini(&t);
    tree_fini(&tree);
}

/* ---- live: what the facts do not name --------------------------------------------------------- */

static void test_other_rdma_nics(void **state)
{
    static const char *const names[] = {"mlx5_0", "mlx5_1", "mlx5_2", "rxe0"};
    static const char *const bdfs[] = {"0000:30:00.0", "0000:30:00.1", "0000:30:00.2", NULL};
    struct dt_topology t;
    struct dt_facts facts = no_facts();
    struct tree tree;
    char text[256], path[512];

    (void)state;
    tree_init(&tree, 4);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/sys/class/infiniband/%s/device", tree.path, names[i]);
        make_parents(path);
        snprintf(text, sizeof(text), "../../../devices/pci0000:00/0000:00:01.0/%s",
                 bdfs[i] ? bdfs[i] : "");
        if (!bdfs[i])
            continue;
        assert_int_equal(symlink(text, path), 0);
        put(&tree, "1", "sys/devices/pci0000:00/0000:00:01.0/%s/numa_node", bdfs[i]);
        put_link(&tree, text, bdfs[i]);
    }
    /* the third is a virtual function of the first */
    put(&tree, "", "sys/devices/pci0000:00/0000:00:01.0/0000:30:00.2/physfn");
    must_load(&t, &tree, &facts, NULL, NULL);
    assert_int_equal(t.nic_count, 2);
    assert_string_equal(t.nics[0].id, "mlx5_0");
    assert_string_equal(t.nics[1].id, "mlx5_1");
    assert_int_equal(t.nics[1].numa, 1);
    assert_true(t.nics[0].group >= 0);
    assert_int_equal(t.nics[0].group, t.nics[1].group);
    dt_topology_fini(&t);
    json_decref(facts.doc);
    tree_fini(&tree);
}

static void test_mig(void **state)
{
    struct dt_topology t;
    struct dt_facts facts = no_facts();
    struct tree tree;

    (void)state;
    tree_init(&tree, 4);
    add_device(&facts, "gpu.devices", "0000:10:1c.0", "GPU-a", 0);
    add_device(&facts, "gpu.devices", "0000:10:1d.0", "GPU-b", 0);
    put(&tree, "Model: \t\t NVIDIA H100\nDevice Minor: \t 0",
        "proc/driver/nvidia/gpus/0000:10:1c.0/information");
    put(&tree, "Device Minor: \t 1", "proc/driver/nvidia/gpus/0000:10:1d.0/information");
    put(&tree, "x", "proc/driver/nvidia/capabilities/gpu0/mig/config");
    put(&tree, "x", "proc/driver/nvidia/capabilities/gpu1/mig/gi3/access");
    must_load(&t, &tree, &facts, NULL, NULL);
    assert_false(t.accelerators[0].partitioned);
    assert_true(t.accelerators[1].partitioned);
    assert_non_null(strstr(t.notes, "1 of 2 GPUs are in MIG mode"));
    dt_topology_fini(&t);
    json_decref(facts.doc);
    tree_fini(&tree);
}

static void test_gpus_without_a_driver(void **state)
{
    struct dt_topology t;
    struct dt_facts facts = no_facts();
    struct tree tree;

    (void)state;
    tree_init(&tree, 4);
    json_object_set_new(facts.doc, "gpu.pci_count", json_integer(1));
    put(&tree, "0x10de", "sys/bus/pci/devices/0000:10:1c.0/vendor");
    put(&tree, "0x030200", "sys/bus/pci/devices/0000:10:1c.0/class");
    put(&tree, "1", "sys/bus/pci/devices/0000:10:1c.0/numa_node");
    put(&tree, "0x10de", "sys/bus/pci/devices/0000:10:1d.0/vendor");
    put(&tree, "0x068000", "sys/bus/pci/devices/0000:10:1d.0/class");
    must_load(&t, &tree, &facts, NULL, NULL);
    assert_int_equal(t.accelerator_count, 1);
    assert_string_equal(t.accelerators[0].id, "pci:0000:10:1c.0");
    assert_int_equal(t.accelerators[0].numa, 1);
    dt_topology_fini(&t);
    json_decref(facts.doc);
    tree_fini(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hwloc),
        cmocka_unit_test(test_hwloc_distances),
        cmocka_unit_test(test_hwloc_format_1),
        cmocka_unit_test(test_hwloc_crossing),
        cmocka_unit_test(test_nccl),
        cmocka_unit_test(test_nccl_that_leaves_much_out),
        cmocka_unit_test(test_instance),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_depth_and_missing_file),
        cmocka_unit_test(test_override),
        cmocka_unit_test(test_overrides_that_do_not_fit),
        cmocka_unit_test(test_override_of_a_part),
        cmocka_unit_test(test_override_must_be_the_admins),
        cmocka_unit_test(test_other_rdma_nics),
        cmocka_unit_test(test_mig),
        cmocka_unit_test(test_gpus_without_a_driver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
