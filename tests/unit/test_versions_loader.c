/* SPDX-License-Identifier: Apache-2.0 */
/* Versions: the loader's choice among copies. */
#include "versions_bundles.h"

static void put_nccl(struct world *world, const char *folder, const char *version)
{
    char path[256], text[64];
    snprintf(path, sizeof path, "%s/libnccl.so.2", folder);
    snprintf(text, sizeof text, "NCCL version %s+cuda12.8", version);
    stub(world, path, (struct elf_stub){.soname = "libnccl.so.2", .text = text});
}

static void the_order_of_the_loader(void **state)
{
    struct world *world = *state;
    put_nccl(world, "usr/lib64", "2.20.5");
    DETECT(world, "A=b");
    assert_loads(world, "nccl", "2.20.5", "/usr/lib64/libnccl.so.2");
    assert_why(world, "nccl", "system");

    put_nccl(world, "opt/conf", "2.21.5");
    tree_file(&world->tree, "etc/ld.so.conf", "# comment\n include ld.so.conf.d/*.conf \n");
    tree_file(&world->tree, "etc/ld.so.conf.d/z.conf", "/opt/conf/ # nccl\n");
    DETECT(world, "A=b");
    assert_loads(world, "nccl", "2.21.5", "/opt/conf/libnccl.so.2");
    assert_why(world, "nccl", "ld.so.conf");

    put_nccl(world, "fsx/nccl", "2.22.3");
    DETECT(world, "LD_LIBRARY_PATH=/nowhere:/fsx/nccl/:/opt/conf");
    assert_loads(world, "nccl", "2.22.3", "/fsx/nccl/libnccl.so.2");
    assert_why(world, "nccl", "LD_LIBRARY_PATH");
    assert_int_equal(copies(world, "nccl"), 3);

    put_nccl(world, "opt/nccl/build/lib", "2.23.4");
    DETECT(world, "LD_LIBRARY_PATH=/fsx/nccl", "LD_PRELOAD=/opt/nccl/build/lib/libnccl.so.2");
    assert_loads(world, "nccl", "2.23.4", "/opt/nccl/build/lib/libnccl.so.2");
    assert_why(world, "nccl", "LD_PRELOAD");
    assert_int_equal(copies(world, "nccl"), 4);
    assert_string_equal(world->versions.items[0].version, "2.23.4");
}

/* A cache is the truth where there is one: a new file in ld.so.conf.d does nothing without ldconfig. */
static void the_cache_of_ldconfig_counts(void **state)
{
    struct world *world = *state;
    unsigned char cache[256] = "glibc-ld.so.cache1.1";
    const uint32_t count = 1, key = 72, value = 85;
    const int32_t flags =
#if defined(__aarch64__)
        0x0a03;
#else
        0x0303;
#endif
    memcpy(cache + 20, &count, 4);
    memcpy(cache + 48, &flags, 4);
    memcpy(cache + 52, &key, 4);
    memcpy(cache + 56, &value, 4);
    strcpy((char *)cache + key, "libnccl.so.2");
    strcpy((char *)cache + value, "/opt/old/libnccl.so.2");
    tree_bytes(&world->tree, "etc/ld.so.cache", cache, sizeof cache);
    tree_file(&world->tree, "etc/ld.so.conf", "/opt/new\n");
    put_nccl(world, "opt/old", "2.19.3");
    put_nccl(world, "opt/new", "2.28.3");
    DETECT(world, "A=b");
    assert_loads(world, "nccl", "2.19.3", "/opt/old/libnccl.so.2");
    assert_why(world, "nccl", "ld.so.cache");
    assert_int_equal(copies(world, "nccl"), 2);
}

static void a_library_of_32_bits_is_stepped_over(void **state)
{
    struct world *world = *state;
    tree_bytes(&world->tree, "a/libnccl.so.2", "\177ELF\1\1\1", 7);
    put_nccl(world, "b", "2.27.5");
    DETECT(world, "LD_LIBRARY_PATH=/a;/b");
    assert_loads(world, "nccl", "2.27.5", "/b/libnccl.so.2");
}

static void runpath_and_rpath(void **state)
{
    struct world *world = *state;
    install(world, &bundles[9], false); /* its plugin has RUNPATH=/opt/amazon/efa/lib64 */
    stub(world, "home/libfabric.so.1", (struct elf_stub){.soname = "libfabric.so.1"});
    put(world, "home/pkgconfig/libfabric.pc", "Name: x\nVersion: %s\n", "1.18.0");
    DETECT(world, "A=b");
    assert_loads(world, "libfabric", "2.1.0amzn5.0", "/opt/amazon/efa/lib64/libfabric.so.1");
    assert_why(world, "libfabric", "DT_RUNPATH of libnccl-net.so");
    DETECT(world, "LD_LIBRARY_PATH=/home");
    assert_loads(world, "libfabric", "1.18.0", "/home/libfabric.so.1");

    stub(world, "opt/amazon/ofi-nccl/lib64/libnccl-net-ofi.so",
         (struct elf_stub){.text = "Initializing aws-ofi-nccl 1.16.3",
                           .rpath = "/opt/amazon/efa/lib64"});
    DETECT(world, "LD_LIBRARY_PATH=/home");
    assert_loads(world, "libfabric", "2.1.0amzn5.0", NULL);
    assert_why(world, "libfabric", "DT_RPATH");
}

#define SITE "fsx/venv/lib/python3.11/site-packages"

static void put_venv(struct world *world, const char *torch_rpath)
{
    tree_file(&world->tree, "usr/bin/python3.11", "x");
    tree_link(&world->tree, "fsx/venv/bin/python", "/usr/bin/python3.11");
    tree_file(&world->tree, "fsx/venv/pyvenv.cfg", "home = /usr/bin\n");
    put_nccl(world, SITE "/nvidia/nccl/lib", "2.26.2");
    tree_folder(&world->tree, SITE "/nvidia_nccl_cu12-2.26.2.post1.dist-info");
    tree_folder(&world->tree, SITE "/torch-2.7.1+cu126.dist-info");
    tree_folder(&world->tree, SITE "/torchvision-0.22.1.dist-info");
    stub(world, SITE "/torch/lib/libtorch_cuda.so",
         (struct elf_stub){.soname = "libtorch_cuda.so", .rpath = torch_rpath});
}

static void the_wheel_of_pytorch(void **state)
{
    struct world *world = *state;
    put_nccl(world, "usr/lib64", "2.20.5");
    put_venv(world, "$ORIGIN/../../nvidia/nccl/lib:$ORIGIN");
    DETECT(world, "PATH=/fsx/venv/bin:/usr/bin", "VIRTUAL_ENV=/fsx/venv",
           "LD_LIBRARY_PATH=/usr/lib64");
    assert_loads(world, "torch", "2.7.1+cu126", "/" SITE "/torch");
    const struct dt_version *nccl = loaded(world, "nccl");
    assert_non_null(nccl);
    assert_non_null(strstr(nccl->path, "nvidia/nccl/lib/libnccl.so.2"));
    assert_string_equal(nccl->version, "2.26.2.post1");
    assert_why(world, "nccl", "DT_RPATH of libtorch_cuda.so");
    assert_int_equal(copies(world, "nccl"), 2);

    DETECT(world, "PATH=/fsx/venv/bin", "VIRTUAL_ENV=/fsx/venv",
           "LD_PRELOAD=/usr/lib64/libnccl.so.2");
    assert_loads(world, "nccl", "2.20.5", "/usr/lib64/libnccl.so.2");

    /* the same wheels, but PATH leads to a python that does not see them */
    tree_file(&world->tree, "usr/bin/python3", "x");
    DETECT(world, "PATH=/usr/bin", "VIRTUAL_ENV=/fsx/venv");
    assert_null(loaded(world, "torch"));
    assert_int_equal(copies(world, "torch"), 1);
    assert_loads(world, "nccl", "2.20.5", NULL);

    DETECT(world, "PATH=/usr/bin", "PYTHONPATH=/" SITE);
    assert_loads(world, "torch", "2.7.1+cu126", NULL);
    assert_loads(world, "nccl", "2.26.2.post1", NULL);
}

static void conda_leads_by_its_python(void **state)
{
    struct world *world = *state;
    put_nccl(world, "usr/lib64", "2.20.5");
    put_nccl(world, "fsx/conda/lib", "2.25.1");
    stub(world, "fsx/conda/bin/python3.12", (struct elf_stub){.rpath = "$ORIGIN/../lib"});
    tree_link(&world->tree, "fsx/conda/bin/python", "python3.12");
    DETECT(world, "PATH=/fsx/conda/bin", "CONDA_PREFIX=/fsx/conda");
    assert_loads(world, "nccl", "2.25.1", NULL);
    assert_why(world, "nccl", "DT_RPATH of /fsx/conda/bin/python3.12");
    /* the program is not conda's: its library is a copy that nobody loads */
    DETECT(world, "PATH=/nowhere", "CONDA_PREFIX=/fsx/conda");
    assert_loads(world, "nccl", "2.20.5", NULL);
    assert_int_equal(copies(world, "nccl"), 2);
}

static void names_of_plugins(void **state)
{
    struct world *world = *state;
    install(world, &bundles[9], false);
    stub(world, "hpcx/libnccl-net.so", (struct elf_stub){.text = "NET/IB : Using"});
    DETECT(world, "LD_LIBRARY_PATH=/hpcx");
    assert_loads(world, "ofi-nccl", NULL, "/hpcx/libnccl-net.so");
    DETECT(world, "LD_LIBRARY_PATH=/hpcx", "NCCL_NET_PLUGIN=ofi");
    assert_loads(world, "ofi-nccl", "1.16.3", "/opt/amazon/ofi-nccl/lib64/libnccl-net-ofi.so");
    DETECT(world, "NCCL_NET_PLUGIN=none");
    assert_null(loaded(world, "ofi-nccl"));
    assert_int_equal(copies(world, "ofi-nccl"), 1);
    DETECT(world, "NCCL_NET_PLUGIN=nonsense,ofi",
           "NCCL_TUNER_PLUGIN=/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu/libnccl-ofi-tuner.so");
    assert_loads(world, "ofi-nccl", "1.16.3", NULL);
    assert_null(loaded(world, "ofi-nccl-tuner"));
    assert_int_equal(copies(world, "ofi-nccl-tuner"), 1);
    DETECT(world, "NCCL_TUNER_PLUGIN=/opt/amazon/ofi-nccl/lib64/libnccl-net-ofi.so");
    assert_loads(world, "ofi-nccl-tuner", "1.16.3", NULL);
}

static void drivers_cuda_and_neuron(void **state)
{
    struct world *world = *state;
    tree_file(&world->tree, "proc/driver/nvidia/version",
              "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release\n");
    tree_file(&world->tree, "sys/module/neuron/version", "2.24.7.0\n");
    tree_folder(&world->tree, "sys/module/efa");
    stub(world, "usr/lib64/libcuda.so.570.133.20", (struct elf_stub){.soname = "libcuda.so.1"});
    tree_link(&world->tree, "usr/lib64/libcuda.so.1", "libcuda.so.570.133.20");
    stub(world, "usr/local/cuda/lib64/libcudart.so.12.8.90",
         (struct elf_stub){.soname = "libcudart.so.12"});
    tree_link(&world->tree, "usr/local/cuda/lib64/libcudart.so.12", "libcudart.so.12.8.90");
    stub(world, "opt/aws/neuron/lib/libnrt.so.2.29.40.0", (struct elf_stub){.text = "x"});
    tree_link(&world->tree, "opt/aws/neuron/lib/libnrt.so.1", "libnrt.so.2.29.40.0");
    stub(world, "usr/lib64/libfabric.so.1", (struct elf_stub){.text = "x"});
    tree_file(&world->tree, "var/lib/dpkg/status",
              "Package: libfabric1\nStatus: install ok installed\nVersion: 1:1.17.0-3\n\n");
    DETECT(world, "LD_LIBRARY_PATH=/usr/local/cuda/lib64:/opt/aws/neuron/lib");
    assert_loads(world, "nvidia-driver", "570.133.20", NULL);
    assert_loads(world, "neuron-driver", "2.24.7.0", NULL);
    assert_loads(world, "efa-driver", NULL, NULL);
    assert_loads(world, "cuda-driver", "570.133.20", NULL);
    assert_loads(world, "cuda", "12.8.90", NULL);
    assert_loads(world, "neuron", "2.29.40.0", NULL);
    assert_loads(world, "libfabric", NULL, NULL);
    tree_file(&world->tree, "usr/lib/libfabric.so.1", "x");
    tree_remove(&world->tree, "usr/lib64/libfabric.so.1");
    DETECT(world, "A=b");
    assert_loads(world, "libfabric", "1.17.0", "/usr/lib/libfabric.so.1");
}

static void facts_are_what_the_program_loads(void **state)
{
    struct world *world = *state;
    struct dt_facts facts = {.doc = json_object()};
    const char *text;
    put_nccl(world, "fsx/nccl", "2.22.3");
    stub(world, "fsx/nccl/libnccl-net.so", (struct elf_stub){.text = "other"});
    DETECT(world, "LD_LIBRARY_PATH=/fsx/nccl");
    dt_facts_set_string(&facts, "lib.nccl", "2.18.0");
    dt_facts_set_string(&facts, "lib.ofi_nccl", "1.9.0");
    assert_int_equal(dt_versions_to_facts(&world->versions, &facts, NULL), 0);
    assert_true(dt_facts_string(&facts, "lib.nccl", &text));
    assert_string_equal(text, "2.22.3");
    assert_false(dt_facts_string(&facts, "lib.ofi_nccl", &text));
    dt_facts_fini(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_order_of_the_loader),
        TEST(the_cache_of_ldconfig_counts),
        TEST(a_library_of_32_bits_is_stepped_over),
        TEST(runpath_and_rpath),
        TEST(the_wheel_of_pytorch),
        TEST(conda_leads_by_its_python),
        TEST(names_of_plugins),
        TEST(drivers_cuda_and_neuron),
        TEST(facts_are_what_the_program_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
