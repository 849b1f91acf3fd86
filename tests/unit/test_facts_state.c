/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the state of a machine, from small trees: mounts, memory, processes, links, disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check/check.h"
#include "facts/counters.h"
#include "facts/imds.h"
#include "facts/system.h"
#include "facts_tree.h"
#include "facts_world.h"

/* One reader over the tree. */
static json_t *read_by(const struct tree *tree, const struct dt_conf *conf,
                       void (*read)(struct dt_reader *))
{
    struct dt_root root;
    struct dt_error err;
    assert_int_equal(dt_root_init(&root, tree->path, &err), 0);
    struct dt_facts_request request = {.root = &root, .conf = conf};
    struct dt_reader reader = {.request = &request, .root = &root, .doc = json_object()};
    read(&reader);
    assert_false(reader.failed);
    dt_root_fini(&root);
    return reader.doc;
}

static void empty_tree(struct tree *tree)
{
    snprintf(tree->path, sizeof tree->path, "/tmp/dt-facts-XXXXXX");
    if (!mkdtemp(tree->path))
        tree_die(tree->path);
}

static long long int_of(const json_t *doc, const char *key)
{
    if (!json_is_integer(json_object_get(doc, key)))
        fail_msg("no fact %s", key);
    return json_integer_value(json_object_get(doc, key));
}

static const char *text_of(const json_t *doc, const char *key)
{
    if (!json_is_string(json_object_get(doc, key)))
        fail_msg("no fact %s", key);
    return json_string_value(json_object_get(doc, key));
}

static const struct dt_conf plain = {.probe_timeout_ms = 500};

static void mount_table(void **state)
{
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    tree_file(&tree, "proc/self/mountinfo",
              "1 0 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n"
              "2 1 259:2 / /data rw,relatime - xfs /dev/nvme1n1 ro,attr2\n"
              "3 1 259:3 / /ro ro - ext4 /dev/x ro\n"
              "4 1 7:1 / /snap rw - squashfs /dev/loop0 ro\n"
              "5 1 259:2 / /bound ro - xfs /dev/nvme1n1 rw\n"
              "6 1 0:50 / /fsx rw,noatime shared:9 master:1 - lustre 10.0.0.1@tcp:/abc rw,flock\n"
              "7 1 0:51 / /home rw - autofs systemd-1 rw\n"
              "8 7 0:52 / /home/a rw - nfs4 srv:/a rw,clientaddr=10.0.0.7\n"
              "9 1 0:53 / /a\\040b rw - nfs4 srv:/b rw,vers=4.1,clientaddr=10.0.0.7,port=20345\n"
              "10 1 0:54 / /mnt rw - fuse.s3 s3 rw\n");
    json_t *doc = read_by(&tree, &plain, dt_read_mount_table);
    const json_t *readonly = json_object_get(doc, "fs.readonly");
    assert_int_equal(json_array_size(readonly), 1);
    assert_string_equal(text_of(json_array_get(readonly, 0), "path"), "/data");
    assert_string_equal(text_of(doc, "fs.network"), "/a_b nfs4; /fsx lustre");
    assert_string_equal(
        text_of(doc, "fs.network_options"),
        "/a_b nfs4 srv:/b rw,vers=4.1; /fsx lustre 10.0.0.1@tcp:/abc rw,noatime,flock");
    json_decref(doc);
    /* an option without a name ends, too */
    tree_file(&tree, "proc/self/mountinfo", "6 1 0:50 / /fsx rw - lustre s rw,,flock,\n");
    doc = read_by(&tree, &plain, dt_read_mount_table);
    assert_string_equal(text_of(doc, "fs.network_options"), "/fsx lustre s rw,flock");
    json_decref(doc);
    tree_file(&tree, "proc/self/mountinfo", "junk\n - \n1 2 3 - a\n");
    doc = read_by(&tree, &plain, dt_read_mount_table);
    assert_string_equal(text_of(doc, "fs.network"), "none");
    json_decref(doc);
    tree_remove(&tree, "proc/self/mountinfo");
    doc = read_by(&tree, &plain, dt_read_mount_table);
    assert_null(json_object_get(doc, "fs.readonly"));
    assert_non_null(json_object_get(doc, "why.fs.readonly"));
    json_decref(doc);
    tree_destroy(&tree);
}

static void buddies(void **state)
{
    long long free_mib, huge_mib;
    (void)state;
    dt_buddy_count("Node 0, zone      DMA      0      0      0      0      0      0      0      0 "
                   "     1      1      3 \n"
                   "Node 1, zone   Normal    256 0 0 0 0 0 0 0 0 2 1\n",
                   4, 2048, &free_mib, &huge_mib);
    /* 1 MiB + 2 + 12; 1 + 4 + 4 */
    assert_int_equal(free_mib, 24);
    assert_int_equal(huge_mib, 2 + 12 + 4 + 4);
    dt_buddy_count("Node 0, zone\nzone\n\nzone X 99999999999999999999\n", 4, 2048, &free_mib,
                   &huge_mib);
    assert_int_equal(free_mib, 0);
    /* more blocks, and larger ones, than any machine has */
    dt_buddy_count(
        "Node 0, zone N 4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 "
        "4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 "
        "4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 "
        "4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 "
        "4294967296 4294967296 4294967296 4294967296 4294967296 4294967296 4294967296\n",
        4, 2048, &free_mib, &huge_mib);
    assert_true(free_mib > 0 && huge_mib > 0 && huge_mib <= free_mib);
    dt_buddy_count("Node 0, zone Normal 1 1\n", 64, 128, &free_mib,
                   &huge_mib); /* pages of 64 KiB */
    assert_int_equal(huge_mib, 0);
}

static void memory_state(void **state)
{
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    tree_file(&tree, "proc/swaps",
              "Filename\tType\tSize\tUsed\tPriority\n/a file 9999 2048 -2\n/dev/b partition 9 3072 "
              "-3\n");
    tree_file(&tree, "proc/buddyinfo", "Node 0, zone Normal 0 0 0 0 0 0 0 0 0 5 0\n");
    tree_file(&tree, "sys/devices/system/edac/mc/mc0/ce_count", "7\n");
    tree_file(&tree, "sys/devices/system/edac/mc/mc0/ue_count", "0\n");
    tree_file(&tree, "sys/devices/system/edac/mc/mc1/ce_count", "1\n");
    tree_file(&tree, "sys/devices/system/edac/mc/mc1/ue_count", "2\n");
    tree_file(
        &tree, "proc/interrupts",
        "           CPU0  CPU1\n MCE:     1     2   Machine check exceptions\n MCP: 9 9 polls\n");
    json_t *doc = read_by(&tree, &plain, dt_read_memory_state);
    assert_int_equal(int_of(doc, "swap.used_mib"), 5);
    assert_int_equal(int_of(doc, "mem.free_huge_mib"), 10);
    assert_int_equal(int_of(doc, "edac.corrected"), 8);
    assert_int_equal(int_of(doc, "edac.uncorrected"), 2);
    assert_int_equal(int_of(doc, "cpu.machine_checks"), 3);
    json_decref(doc);
    tree_remove(&tree, "proc");
    tree_remove(&tree, "sys");
    doc = read_by(&tree, &plain, dt_read_memory_state);
    assert_non_null(json_object_get(doc, "why.swap.used_mib"));
    assert_non_null(json_object_get(doc, "why.mem.free_mib"));
    assert_null(json_object_get(doc, "edac.uncorrected"));
    json_decref(doc);
    tree_destroy(&tree);
}

static void processes(void **state)
{
    static char *const wanted[] = {(char *)"nv-fabricmanager", (char *)"chronyd", NULL};
    struct dt_conf conf = {.required_processes = (char **)wanted};
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    tree_file(&tree, "proc/1/stat", "1 (init) S 0\n");
    tree_file(&tree, "proc/2/stat", "2 (a) b) (c) Z 1\n"); /* a name may hold anything */
    tree_file(&tree, "proc/30/stat", "30 (dd) D 1\n");
    tree_file(&tree, "proc/30/wchan", "nfs_wait_bit");
    tree_file(&tree, "proc/40/stat", "40 (nv-fabricmanage) S 1\n");
    tree_file(&tree, "proc/50/stat", "junk\n");
    tree_file(&tree, "proc/nobody/stat", "9 (x) D 1\n");
    json_t *doc = read_by(&tree, &conf, dt_read_processes);
    assert_int_equal(int_of(doc, "process.zombies"), 1);
    assert_int_equal(int_of(doc, "process.stuck"), 1);
    assert_string_equal(text_of(doc, "process.stuck_first"), "dd (process 30) in nfs_wait_bit");
    const json_t *required = json_object_get(doc, "process.required");
    assert_true(json_is_true(json_object_get(json_array_get(required, 0), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(required, 1), "ok")));
    assert_non_null(json_object_get(doc, "why.shm.left_mib"));
    json_decref(doc);
    tree_destroy(&tree);
}

static void full_counters(struct dt_reader *reader)
{
    const struct dt_facts_request *asked = reader->request;
    struct dt_facts_request full = *asked;
    full.level = DT_LEVEL_FULL;
    reader->request = &full;
    dt_read_counters(reader);
    reader->request = asked;
}

/* What ENA's driver tells is a command to the device: only from level full on. */
static void allowances(void **state)
{
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    tree_file(&tree, "sys/class/net/ens32/device/x", "");
    tree_file(&tree, "sys/class/net/veth0/type", "1\n"); /* no device: not physical */
    tree_file(&tree, "dt-ethtool/veth0", "bw_in_allowance_exceeded: 1\n");
    tree_file(&tree, "dt-ethtool/ens32",
              "NIC statistics:\n     bw_in_allowance_exceeded: 12\n     tx_timeout: 4\n"
              "     conntrack_allowance_available: 9\n     conntrack_allowance_exceeded: 0\n");
    json_t *doc = read_by(&tree, &plain, dt_read_counters);
    assert_int_equal(json_array_size(json_object_get(doc, "counters")), 0);
    json_decref(doc);
    doc = read_by(&tree, &plain, full_counters);
    const json_t *list = json_object_get(doc, "counters"), *one = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(text_of(one, "kind"), "ena");
    assert_string_equal(text_of(one, "device"), "ens32");
    assert_int_equal(int_of(one, "bw_in_allowance_exceeded"), 12);
    assert_int_equal(int_of(one, "conntrack_allowance_exceeded"), 0);
    assert_int_equal(json_object_size(one), 4);
    json_decref(doc);
    tree_file(&tree, "dt-ethtool/ens32", "no stats available\n");
    doc = read_by(&tree, &plain, full_counters);
    assert_int_equal(json_array_size(json_object_get(doc, "counters")), 0);
    json_decref(doc);
    tree_destroy(&tree);
}

static const char *names_of_step;

static void ask_names(struct dt_reader *reader)
{
    struct dt_facts_request request = *reader->request;
    struct dt_error err;
    char *said;
    request.nodes = names_of_step;
    struct dt_reader asked = {.request = &request, .root = reader->root, .doc = reader->doc};
    assert_int_equal(dt_probe_here(&said, dt_probe_resolve, &asked, &err), 0);
    dt_read_resolve(reader, said, NULL);
    free(said);
}

/* Of numbers the resolver asks nobody; and a name may be 63 bytes between its dots. */
static void names_of_other_nodes(void **state)
{
    struct tree tree;
    char list[480] = "127.0.0.[1-40]";
    (void)state;
    empty_tree(&tree);
    names_of_step = list;
    json_t *doc = read_by(&tree, &plain, ask_names);
    const json_t *others = json_object_get(doc, "net.others");
    assert_int_equal(json_array_size(others), 16);
    assert_string_equal(text_of(json_array_get(others, 0), "name"), "127.0.0.1");
    assert_string_equal(text_of(json_array_get(others, 15), "name"), "127.0.0.38");
    for (size_t i = 0; i < 16; i++)
        assert_true(json_is_true(json_object_get(json_array_get(others, i), "ok")));
    json_decref(doc);
    snprintf(list, sizeof list, "127.0.0.1,%0100d.invalid,%0300d", 7, 7);
    doc = read_by(&tree, &plain, ask_names);
    others = json_object_get(doc, "net.others");
    assert_int_equal(json_array_size(others), 2); /* the third is too long for one */
    assert_true(json_is_false(json_object_get(json_array_get(others, 1), "ok")));
    assert_true(strlen(text_of(json_array_get(others, 1), "reason")) > 0);
    json_decref(doc);
    snprintf(list, sizeof list, "a,b*"); /* the job's own variable: it may hold anything */
    doc = read_by(&tree, &plain, ask_names);
    assert_int_equal(json_array_size(json_object_get(doc, "net.others")), 0);
    json_decref(doc);
    names_of_step = NULL;
    doc = read_by(&tree, &plain, ask_names);
    assert_int_equal(json_array_size(json_object_get(doc, "net.others")), 0);
    json_decref(doc);
    tree_destroy(&tree);
}

static void say_until_the_deadline(struct dt_reader *reader)
{
    dt_read_resolve(reader, "own\t\nb\tnot known\nc\t", "did not answer in 500 ms");
}

static void say_nothing(struct dt_reader *reader)
{
    dt_read_resolve(reader, "own\t", "did not answer in 500 ms");
}

/* The name at which the resolver hangs is told, and what was answered before counts. */
static void names_until_the_deadline(void **state)
{
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    json_t *doc = read_by(&tree, &plain, say_until_the_deadline);
    const json_t *others = json_object_get(doc, "net.others");
    assert_int_equal(int_of(doc, "net.resolves"), 1);
    assert_int_equal(json_array_size(others), 2);
    assert_string_equal(text_of(json_array_get(others, 0), "reason"), "not known");
    assert_string_equal(text_of(json_array_get(others, 1), "name"), "c");
    assert_string_equal(text_of(json_array_get(others, 1), "reason"), "did not answer in 500 ms");
    json_decref(doc);
    doc = read_by(&tree, &plain, say_nothing);
    assert_int_equal(int_of(doc, "net.resolves"), 0);
    assert_string_equal(text_of(doc, "why.net.resolves"), "did not answer in 500 ms");
    json_decref(doc);
    tree_destroy(&tree);
}

static void links(void **state)
{
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    for (int i = 0; i < 2; i++) {
        const char *files[][2] = {
            {"type", "1\n"},   {"carrier", i ? "0\n" : "1\n"}, {"flags", "0x1003\n"},
            {"mtu", "9001\n"}, {"carrier_changes", "3\n"},     {"device/x", "\n"}};
        for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
            char name[96];
            snprintf(name, sizeof name, "sys/class/net/ens3%d/%s", i, files[k][0]);
            tree_file(&tree, name, files[k][1]);
        }
    }
    tree_file(&tree, "sys/class/net/veth0/type", "1\n"); /* no device: not physical */
    tree_file(&tree, "sys/class/net/lo/type", "772\n");
    json_t *doc = read_by(&tree, &plain, dt_read_links);
    const json_t *list = json_object_get(doc, "net.links");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(int_of(json_array_get(list, 0), "carrier"), 1);
    assert_int_equal(int_of(json_array_get(list, 1), "carrier"), 0);
    assert_int_equal(int_of(json_array_get(list, 1), "on"), 1);
    assert_int_equal(int_of(json_array_get(list, 1), "carrier_changes"), 3);
    json_decref(doc);
    tree_destroy(&tree);
}

static void kernel(void **state)
{
    static char *const wanted[] = {(char *)"nvidia-peermem", (char *)"gdrdrv", NULL};
    struct dt_conf conf = {.required_modules = (char **)wanted};
    struct tree tree;
    (void)state;
    empty_tree(&tree);
    tree_folder(&tree, "sys/module");
    tree_folder(&tree, "sys/module/nvidia_peermem");
    tree_folder(&tree, "sys/module/ext4");
    tree_file(&tree, "proc/uptime", "123.45 99.0\n");
    tree_file(&tree, "sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    json_t *doc = read_by(&tree, &conf, dt_read_kernel);
    assert_int_equal(int_of(doc, "boot.uptime_s"), 123);
    assert_string_equal(text_of(doc, "kernel.thp"), "never");
    assert_string_equal(text_of(doc, "module.list"), "nvidia_peermem");
    assert_non_null(json_object_get(doc, "why.clock.source"));
    const json_t *required = json_object_get(doc, "module.required");
    assert_true(json_is_true(json_object_get(json_array_get(required, 0), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(required, 1), "ok")));
    json_decref(doc);
    tree_destroy(&tree);
}

static void space(void **state)
{
    struct dt_reader reader = {.doc = json_object()};
    (void)state;
    dt_read_space(&reader, "/ 100 5000 40\n/tmp 7 0 0\ncut off", NULL);
    const json_t *list = json_object_get(reader.doc, "fs.space");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(int_of(json_array_get(list, 0), "free_files"), 40);
    assert_null(json_object_get(json_array_get(list, 1), "free_files")); /* it counts none */
    json_object_clear(reader.doc);
    dt_read_space(&reader, "/ 100 5000 40\n", "did not answer in 500 ms");
    assert_null(json_object_get(reader.doc, "fs.space"));
    assert_string_equal(text_of(reader.doc, "why.fs.space"), "did not answer in 500 ms");
    json_decref(reader.doc);
}

static void placement(void **state)
{
    struct dt_reader reader = {.doc = json_pack("{s:s,s:i,s:[{s:i},{s:i},{s:i}],s:[{s:i},{}]}",
                                                "cpu.list", "0-191", "numa.count", 2, "gpu.devices",
                                                "numa", 0, "numa", 1, "numa", 1, "efa.devices",
                                                "numa", 1)};
    (void)state;
    dt_read_placement(&reader);
    assert_string_equal(text_of(reader.doc, "topology.summary"),
                        "CPUs 0-191 in 2 NUMA nodes, GPUs 1+2, EFA 0+1+1?");
    json_object_clear(reader.doc);
    dt_read_placement(&reader);
    assert_int_equal(json_object_size(reader.doc), 0);
    json_decref(reader.doc);
}

static void imds_answers(void **state)
{
    int status = 0;
    (void)state;
    assert_string_equal(dt_imds_body("HTTP/1.1 200 OK\r\nA: b\r\n\r\nm5.large", &status),
                        "m5.large");
    assert_int_equal(status, 200);
    assert_string_equal(dt_imds_body("HTTP/1.0 404 Not Found\r\n\r\n", &status), "");
    assert_int_equal(status, 404);
    assert_null(dt_imds_body("HTTP/1.1 200 OK\r\nA: b\r\n", &status)); /* cut off */
    assert_null(dt_imds_body("SSH-2.0-OpenSSH\r\n\r\n", &status));
    assert_null(dt_imds_body("", &status));
    assert_null(dt_imds_body("HTTP/1.1-200 OK\r\n\r\n", &status));
    assert_int_equal(dt_imds_seconds_until("1 Jan 1970 00:01:40 GMT", 40), 60);
    assert_int_equal(dt_imds_seconds_until("1970-01-01T00:01:40Z", 140), -40);
    assert_int_equal(dt_imds_seconds_until("soon", 140), 0);
    assert_int_equal(dt_imds_seconds_until("", 140), 0);
    json_t *events =
        dt_imds_events("[{\"NotBefore\":\"1 Jan 1970 00:01:40 GMT\",\"Code\":\"a\\u001b\","
                       "\"State\":\"active\"},{\"Code\":\"b\",\"State\":\"completed\"},7]",
                       40);
    assert_int_equal(json_array_size(events), 2);
    assert_string_equal(text_of(json_array_get(events, 0), "code"), "a?");
    assert_int_equal(int_of(json_array_get(events, 0), "in_s"), 60);
    json_decref(events);
    assert_null(dt_imds_events("{}", 0));
    assert_null(dt_imds_events("<html>", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_table),
        cmocka_unit_test(buddies),
        cmocka_unit_test(memory_state),
        cmocka_unit_test(processes),
        cmocka_unit_test(links),
        cmocka_unit_test(allowances),
        cmocka_unit_test(names_of_other_nodes),
        cmocka_unit_test(names_until_the_deadline),
        cmocka_unit_test(kernel),
        cmocka_unit_test(space),
        cmocka_unit_test(placement),
        cmocka_unit_test(imds_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
