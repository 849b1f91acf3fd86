/* SPDX-License-Identifier: Apache-2.0 */
/* Facts: what is read from a tree, and what is said when it can not be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "check/check.h"
#include "facts/printable.h"
#include "facts/reader.h"
#include "facts_tree.h"

struct world {
    struct tree tree;
    struct dt_root root;
    struct dt_conf conf;
    struct dt_facts_request request;
    struct dt_facts facts;
    char *no_paths[1];
};

static int setup(void **state)
{
    struct dt_error err;
    struct world *world = calloc(1, sizeof *world);
    tree_make(&world->tree);
    assert_int_equal(dt_root_init(&world->root, world->tree.path, &err), 0);
    world->conf = (struct dt_conf){.nvml_library = (char *)"",
                                   .instance_type = (char *)"",
                                   .writable_paths = world->no_paths,
                                   .probe_timeout_ms = 5000};
    world->request = (struct dt_facts_request){.root = &world->root,
                                               .conf = &world->conf,
                                               .node_name = "dt-1",
                                               .cwd = "/fsx/home",
                                               .memlock = -1,
                                               .nofile = 65536,
                                               .level = DT_LEVEL_FAST};
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    dt_facts_fini(&world->facts);
    dt_root_fini(&world->root);
    tree_destroy(&world->tree);
    free(world);
    return 0;
}

static void collect(struct world *world)
{
    struct dt_error err = {0};
    dt_facts_fini(&world->facts);
    if (dt_facts_collect(&world->facts, &world->request, &err) < 0)
        fail_msg("%s", err.text);
}

static long long number(const struct world *world, const char *key)
{
    long long value = -999;
    if (!dt_facts_int(&world->facts, key, &value))
        fail_msg("%s is absent: %s", key, dt_facts_why(&world->facts, key));
    return value;
}

static const char *text(const struct world *world, const char *key)
{
    const char *value = NULL;
    if (!dt_facts_string(&world->facts, key, &value))
        fail_msg("%s is absent: %s", key, dt_facts_why(&world->facts, key));
    return value;
}

static void assert_absent(const struct world *world, const char *key, const char *why)
{
    assert_null(json_object_get(world->facts.doc, key));
    if (!strstr(dt_facts_why(&world->facts, key), why))
        fail_msg("why.%s is '%s', not '%s'", key, dt_facts_why(&world->facts, key), why);
}

static const char *item(const struct world *world, const char *key, size_t index, const char *field)
{
    const json_t *array = dt_facts_array(&world->facts, key);
    const char *value = json_string_value(json_object_get(json_array_get(array, index), field));
    return value ? value : "(absent)";
}

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
    assert_int_equal(json_integer_value(json_object_get(
                         json_array_get(dt_facts_array(&world->facts, "efa.devices"), 0), "gbps")),
                     100);
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

static void tells_lost_gpus_apart(void **state)
{
    struct world *world = *state;
    tree_remove(&world->tree, "proc/driver/nvidia/gpus/0000:b3:00.0");
    collect(world);
    assert_int_equal(number(world, "gpu.pci_count"), 8);
    assert_int_equal(number(world, "gpu.count"), 7);
    assert_string_equal(item(world, "gpu.lost", 0, "bdf"), "0000:b3:00.0");
    assert_string_equal(item(world, "gpu.lost", 0, "reason"), "the driver does not answer for it");
    tree_file(&world->tree, "sys/bus/pci/devices/0000:b3:00.0/config", "\xff\xff\xff\xff\xff");
    collect(world);
    assert_non_null(strstr(item(world, "gpu.lost", 0, "reason"), "fell off the PCI bus"));
    tree_remove(&world->tree, "proc/driver");
    collect(world);
    assert_absent(world, "gpu.count", "not loaded");
    assert_string_equal(text(world, "gpu.error"), "the NVIDIA driver is not loaded");
}

/* A library of our own in the role of NVML. Mode: what it does, from the environment. */
static const char fake_nvml[] =
    "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n#include <unistd.h>\n"
    "static char m(void){const char*e=getenv(\"DT_TEST_NVML\");return e?*e:0;}\n"
    "int nvmlInit_v2(void){if(m()=='h')sleep(60);if(m()=='c')abort();return m()=='r'?18:0;}\n"
    "const char*nvmlErrorString(int r){return r==18?\"Driver/library version mismatch\":\"x\";}\n"
    "int nvmlSystemGetDriverVersion(char*v,unsigned n){snprintf(v,n,\"570.1.2\");return 0;}\n"
    "int nvmlDeviceGetCount_v2(unsigned*c){*c=8;return 0;}\n"
    "int nvmlDeviceGetHandleByIndex_v2(unsigned i,void**d){*d=(void*)(long)(i+8);"
    "return m()=='l'&&i==3?15:0;}\n"
    "int nvmlDeviceGetUUID(void*d,char*u,unsigned n){snprintf(u,n,\"GPU-%ld\",(long)d);return 0;}\n"
    "int nvmlDeviceGetName(void*d,char*u,unsigned n){(void)d;snprintf(u,n,\"H100\");return 0;}\n"
    "struct p{char l[16];unsigned domain,bus,dev,a,b;char id[32];};\n"
    "int nvmlDeviceGetPciInfo_v3(void*d,struct "
    "p*p){memset(p,0,sizeof*p);p->bus=16*(unsigned)(long)d+3;"
    "return 0;}\n"
    "struct q{unsigned long long total,f,u;};\n"
    "int nvmlDeviceGetMemoryInfo(void*d,struct q*q){(void)d;q->total=81559ULL<<20;return 0;}\n";

static void asks_nvml(void **state)
{
    struct world *world = *state;
    char command[512];
    tree_file(&world->tree, "nvml.c", fake_nvml);
    tree_folder(&world->tree, "usr/lib64");
    snprintf(command, sizeof command,
             "cc -w -shared -fPIC -o %s/usr/lib64/libnvidia-ml.so.1 %s/nvml.c", world->tree.path,
             world->tree.path);
    assert_int_equal(system(command), 0);

    unsetenv("DT_TEST_NVML");
    collect(world);
    assert_string_equal(text(world, "gpu.source"), "nvml");
    assert_int_equal(number(world, "gpu.count"), 8);
    assert_int_equal(number(world, "gpu.memory_mib"), 81559);
    assert_string_equal(text(world, "driver.nvidia"), "570.1.2");
    assert_string_equal(item(world, "gpu.devices", 2, "bdf"), "0000:a3:00.0");
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "gpu.lost")), 0);

    setenv("DT_TEST_NVML", "lost", 1);
    collect(world);
    assert_int_equal(number(world, "gpu.count"), 7);
    assert_string_equal(item(world, "gpu.lost", 0, "bdf"), "0000:b3:00.0");

    setenv("DT_TEST_NVML", "refuses", 1);
    collect(world);
    assert_absent(world, "gpu.count", "version mismatch");
    assert_non_null(strstr(text(world, "gpu.error"), "version mismatch"));

    setenv("DT_TEST_NVML", "crashes", 1);
    collect(world);
    assert_absent(world, "gpu.count", "crashed with signal");
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "gpu.devices")), 8);

    setenv("DT_TEST_NVML", "hangs", 1);
    world->conf.probe_timeout_ms = 150;
    long long begin = dt_monotonic_us();
    collect(world);
    assert_true(dt_monotonic_us() - begin < 2000000);
    assert_absent(world, "gpu.count", "NVML did not answer in 150 ms");
    assert_null(json_object_get(world->facts.doc, "gpu.error"));
    unsetenv("DT_TEST_NVML");

    world->conf.nvml_library = (char *)"/nonexistent/libnvidia-ml.so.1";
    world->conf.probe_timeout_ms = 5000;
    collect(world);
    assert_absent(world, "gpu.count", "can not be opened");
}

static void tries_to_write(void **state)
{
    struct world *world = *state;
    char *more[] = {(char *)"/fsx/home", (char *)"/scratch", (char *)"relative", NULL};
    world->conf.writable_paths = more;
    collect(world);
    const json_t *list = dt_facts_array(&world->facts, "fs.writable");
    assert_int_equal(json_array_size(list), 4); /* /fsx/home once, and /tmp */
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(list, 1), "ok")));
    assert_string_equal(item(world, "fs.writable", 1, "reason"), "No such file or directory");
    assert_true(json_is_false(json_object_get(json_array_get(list, 2), "ok")));
    assert_string_equal(item(world, "fs.writable", 3, "path"), "/tmp");
    assert_true(json_is_true(json_object_get(json_array_get(list, 3), "ok")));
    char *folder = tree_path(&world->tree, "fsx/home");
    assert_int_equal(rmdir(folder), 0); /* nothing was left behind */
    free(folder);
}

static void writes_as_the_user(void **state)
{
    struct world *world = *state;
    if (geteuid() != 0)
        skip();
    world->request.uid = 65534;
    world->request.gid = 65534;
    collect(world); /* both folders belong to root */
    assert_string_equal(item(world, "fs.writable", 0, "reason"), "Permission denied");
    char *folder = tree_path(&world->tree, "fsx/home");
    assert_int_equal(chown(folder, 65534, 65534), 0);
    free(folder);
    collect(world);
    assert_true(json_is_true(
        json_object_get(json_array_get(dt_facts_array(&world->facts, "fs.writable"), 0), "ok")));
}

static void asks_mounts(void **state)
{
    struct world *world = *state;
    tree_folder(&world->tree, "my data");
    tree_file(&world->tree, "proc/self/mountinfo",
              "36 35 98:0 / /fsx rw,noatime shared:1 - lustre 10.0.0.1@tcp:/x rw\n"
              "37 35 98:1 / /my\\040data rw - nfs4 server:/ rw\n"
              "38 35 98:2 / /gone rw - fuse.s3 x rw\n"
              "39 35 98:3 / /tmp rw - ext4 /dev/x rw\n"
              "a line that is none\n");
    world->request.level = DT_LEVEL_FULL;
    collect(world);
    const json_t *list = dt_facts_array(&world->facts, "fs.mounts");
    assert_int_equal(json_array_size(list), 3);
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "ok")));
    assert_string_equal(item(world, "fs.mounts", 1, "path"), "/my data");
    assert_true(json_is_true(json_object_get(json_array_get(list, 1), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(list, 2), "ok")));
    assert_absent(world, "log.errors", "tree");
}

static void measures_at_deep(void **state)
{
    struct world *world = *state;
    world->request.level = DT_LEVEL_DEEP;
    collect(world);
    assert_true(number(world, "mem.copy_mib_s") > 10);
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

/* ---- children with a deadline ---- */

static void hang(int out, void *argument)
{
    (void)argument;
    dt_probe_say(out, "first line\n");
    for (;;)
        pause();
}

static void crash(int out, void *argument)
{
    (void)out;
    (void)argument;
    raise(SIGKILL);
}

static void flood(int out, void *argument)
{
    (void)argument;
    for (;;)
        dt_probe_say(out, "more and more ");
}

static void give_up(int out, void *argument)
{
    (void)out;
    (void)argument;
    _exit(7);
}

static void probe_ends(void **state)
{
    static const struct {
        void (*run)(int, void *);
        const char *reason;
        bool timed_out;
    } rows[] = {{hang, "did not answer in 100 ms", true},
                {crash, "crashed with signal 9", false},
                {flood, "answered with more than", false},
                {give_up, "ended with status 7", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_probe probe;
        struct dt_error err = {0};
        char *said = NULL;
        long long timeout = rows[i].timed_out ? 100 : 5000;
        assert_int_equal(dt_probe_start(&probe, rows[i].run, NULL, -1, timeout, &err), 0);
        pid_t pid = probe.pid;
        assert_int_equal(dt_probe_finish(&probe, &said, &err), -1);
        assert_non_null(strstr(err.text, rows[i].reason));
        assert_int_equal(probe.timed_out, rows[i].timed_out);
        if (rows[i].timed_out)
            assert_string_equal(said, "first line\n");
        for (int k = 0; k < 5000 && kill(pid, 0) == 0; k++) { /* it was killed, and goes */
            waitpid(pid, NULL, WNOHANG);
            usleep(1000);
        }
        assert_int_equal(kill(pid, 0), -1);
        free(said);
    }
}

/* A child that can not be ended must not keep our pipes open: the other end would never see the
 * end. */
static void probe_holds_nothing(void **state)
{
    struct dt_probe probe;
    struct dt_error err = {0};
    int ends[2];
    char byte;
    char *said = NULL;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dt_probe_start(&probe, hang, NULL, -1, 5000, &err), 0);
    /* its first line tells that the child has dropped what it inherited */
    while (read(probe.fd, &byte, 1) != 1)
        usleep(1000);
    close(ends[1]);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* end of file, not EAGAIN */
    kill(probe.pid, SIGKILL);
    assert_int_equal(dt_probe_finish(&probe, &said, &err), -1);
    free(said);
    close(ends[0]);
}

/* ---- texts from outside ---- */

static void reads_kernel_log_records(void **state)
{
    (void)state;
    json_t *event = dt_kernel_log_record("4,1234,5000000,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, "
                                         "GPU has fallen off the bus.\n K=V\n",
                                         65000000);
    assert_string_equal(json_string_value(json_object_get(event, "kind")), "xid");
    assert_int_equal(json_integer_value(json_object_get(event, "code")), 79);
    assert_int_equal(json_integer_value(json_object_get(event, "age_s")), 60);
    assert_string_equal(json_string_value(json_object_get(event, "bdf")), "0000:3b:00");
    json_decref(event);
    event = dt_kernel_log_record(
        "3,1,1,-;nvidia-nvswitch2: SXid (PCI:0000:85:00.0): 12028, Non-fatal, Link 61 x", 2);
    assert_string_equal(json_string_value(json_object_get(event, "kind")), "sxid");
    json_decref(event);
    event = dt_kernel_log_record("3,1,1,-;efa 0000:4f:00.0: Failed to submit command", 2);
    assert_string_equal(json_string_value(json_object_get(event, "bdf")), "0000:4f:00.0");
    json_decref(event);
    /* a program wrote this one (facility 1), that one is information, and these are no records */
    assert_null(dt_kernel_log_record("12,1,1,-;NVRM: Xid (PCI:0000:3b:00): 79, x", 2));
    assert_null(dt_kernel_log_record("6,1,1,-;efa 0000:4f:00.0: probed", 2));
    assert_null(dt_kernel_log_record("4,1,1,-;NVRM: Xid (PCI:): , x", 2));
    assert_null(dt_kernel_log_record("", 0));
    assert_null(dt_kernel_log_record("4,,;x", 0));
}

static void counts_lists(void **state)
{
    (void)state;
    assert_int_equal(dt_count_list("0-191"), 192);
    assert_int_equal(dt_count_list("0,2-3,8"), 4);
    assert_int_equal(dt_count_list("3-1"), -1);
    assert_int_equal(dt_count_list("0-"), -1);
    assert_int_equal(dt_count_list("0 1"), -1);
    assert_int_equal(dt_count_list("0-99999999999999999999"), -1);
}

static void takes_facts_from_outside(void **state)
{
    static const char *const bad[] = {"[]",
                                      "7",
                                      "{\"a\":{}}",
                                      "{\"a\":null}",
                                      "{\"a b\":1}",
                                      "{\"\":1}",
                                      "{\"a\":[[1]]}",
                                      "{\"a\":[{\"b\":{}}]}",
                                      "{\"a\":1.5}",
                                      "{\"a\":[{\"b c\":1}]}"};
    struct dt_facts facts;
    struct dt_error err = {0};
    const char *value;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *doc = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_non_null(doc);
        if (dt_facts_from_json(&facts, doc, &err) != -1)
            fail_msg("taken: %s", bad[i]);
        assert_true(strlen(err.text) > 0);
        json_decref(doc);
    }
    json_t *many = json_object();
    for (int i = 0; i <= DT_FACTS_KEYS_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        json_object_set_new(many, key, json_integer(i));
    }
    assert_int_equal(dt_facts_from_json(&facts, many, &err), -1);
    json_decref(many);
    json_t *doc =
        json_loads("{\"kernel.release\":\"\\u001b[2J\\u009b1m6.8\\u202e\",\"efa.count\":3,"
                   "\"efa.devices\":[{\"name\":\"a\\nb\",\"up\":true}]}",
                   0, NULL);
    assert_int_equal(dt_facts_from_json(&facts, doc, &err), 0);
    json_decref(doc);
    assert_true(dt_facts_string(&facts, "kernel.release", &value));
    assert_string_equal(value, "?[2J?1m6.8?");
    const json_t *device = json_array_get(dt_facts_array(&facts, "efa.devices"), 0);
    assert_string_equal(json_string_value(json_object_get(device, "name")), "a?b");
    dt_facts_set_int(&facts, "clock.offset_us", -5);
    long long offset;
    assert_true(dt_facts_int(&facts, "clock.offset_us", &offset) && offset == -5);
    assert_false(dt_facts_int(&facts, "kernel.release", &offset));
    assert_string_equal(dt_facts_why(&facts, "gpu.count"), "not known");
    dt_facts_fini(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_a_whole_node, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(sees_broken_efa, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_lost_gpus_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_nvml, setup, teardown),
        cmocka_unit_test_setup_teardown(tries_to_write, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_as_the_user, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_mounts, setup, teardown),
        cmocka_unit_test_setup_teardown(measures_at_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_this_machine, setup, teardown),
        cmocka_unit_test(probe_ends),
        cmocka_unit_test(probe_holds_nothing),
        cmocka_unit_test(reads_kernel_log_records),
        cmocka_unit_test(counts_lists),
        cmocka_unit_test(takes_facts_from_outside),
    };
    return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
