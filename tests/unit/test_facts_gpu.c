/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs: the bus, the driver and NVML, each of which may say something else. */
#include "facts_world.h"

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
    assert_true(dt_monotonic_us() - begin < 30000000); /* it would sleep for 60 s */
    assert_absent(world, "gpu.count", "NVML did not answer in 150 ms");
    assert_null(json_object_get(world->facts.doc, "gpu.error"));
    unsetenv("DT_TEST_NVML");

    world->conf.nvml_library = (char *)"/nonexistent/libnvidia-ml.so.1";
    world->conf.probe_timeout_ms = 5000;
    collect(world);
    assert_absent(world, "gpu.count", "can not be opened");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_lost_gpus_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_nvml, setup, teardown),
    };
    return cmocka_run_group_tests_name("facts_gpu", tests, NULL, NULL);
}
