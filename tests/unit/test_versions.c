/* SPDX-License-Identifier: Apache-2.0 */
/* Versions: every bundle of the EFA installer as a fake root, and the loader's choice among copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <regex.h>

#include "base/buf.h"
#include "elf_stub.h"
#include "facts_tree.h"
#include "versions/elf.h"
#include "versions/ldconf.h"
#include "versions/text.h"
#include "versions/versions.h"

struct world {
    struct tree tree;
    struct dt_root root;
    struct dt_versions versions;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    strcpy(world->tree.path, "/tmp/dt-versions-XXXXXX");
    if (!mkdtemp(world->tree.path) || dt_root_init(&world->root, world->tree.path, NULL) < 0)
        return -1;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    dt_versions_fini(&world->versions);
    dt_root_fini(&world->root);
    nftw(world->tree.path, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(world);
    return 0;
}

static void detect_program(struct world *world, const char *program, char *const *env)
{
    struct dt_error err = {""};
    struct dt_versions_request request = {.root = &world->root, .env = env, .program = program};
    dt_versions_fini(&world->versions);
    assert_int_equal(dt_versions_detect(&world->versions, &request, &err), 0);
}

#define DETECT(world, ...) detect_program(world, NULL, (char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void stub(struct world *world, const char *path, struct elf_stub stub)
{
    size_t size;
    unsigned char *data = elf_stub_make(&stub, &size);
    tree_bytes(&world->tree, path, data, size);
    free(data);
}

static const struct dt_version *loaded(struct world *world, const char *component)
{
    return dt_versions_loaded(&world->versions, component);
}

static void assert_loads(struct world *world, const char *component, const char *version,
                         const char *path)
{
    const struct dt_version *item = loaded(world, component);
    if (!item)
        fail_msg("no %s is loaded", component);
    if (version)
        assert_string_equal(item->version, version);
    else
        assert_null(item->version);
    if (path)
        assert_string_equal(item->path, path);
}

static void assert_why(struct world *world, const char *component, const char *word)
{
    const struct dt_version *item = loaded(world, component);
    assert_non_null(item);
    if (!strstr(item->why, word))
        fail_msg("%s: '%s' does not say '%s'", component, item->why, word);
}

static size_t copies(struct world *world, const char *component)
{
    size_t count = 0;
    for (size_t i = 0; i < world->versions.count; i++)
        count += strcmp(world->versions.items[i].component, component) == 0;
    return count;
}

/* ---- bundles ------------------------------------------------------------------------------------- */

/* What the EFA installer brought with each of its versions; NULL: not published. */
static const struct bundle {
    const char *installer, *driver, *libfabric, *rdma_core, *ofi_nccl;
} bundles[] = {
    {"1.51.0", "3.3.1", "2.7.0amzn2.0", "65.0", "1.22.0"},
    {"1.50.0", "3.3.0", "2.6.0amzn1.0", "64.0", "1.21.1"},
    {"1.49.0", NULL, "2.4.0amzn5.0", NULL, NULL},
    {"1.48.0", NULL, NULL, NULL, NULL},
    {"1.47.0", NULL, NULL, NULL, NULL},
    {"1.46.0", NULL, NULL, NULL, NULL},
    {"1.45.1", NULL, NULL, NULL, NULL},
    {"1.44.0", NULL, NULL, NULL, "1.17.0"},
    {"1.43.3", NULL, "2.1.0amzn5.0", "58.amzn0", NULL},
    {"1.43.2", NULL, "2.1.0amzn5.0", "58.amzn0", "1.16.3"},
    {"1.43.1", NULL, "2.1.0amzn5.0", "58.amzn0", "1.16.2"},
    {"1.43.0", "2.17.2", "2.1.0amzn4.0", "58.amzn0", "1.16.1"},
    {"1.42.0", "2.15.3", "2.1.0amzn3.0", "57.amzn1", "1.15.0"},
    {"1.41.0", NULL, NULL, "57.amzn0", NULL},
    {"1.40.0", NULL, "2.1.0amzn2.0", "56.0", "1.14.2"},
    {"1.38.1", "2.13.0", "1.22.0", "54.0", "1.13.2-aws"},
    {"1.34.0", "2.10.0", "1.22.0", "52.0", NULL},
    {"1.32.0", "2.8.0", "1.21.0", "50.0", NULL},
    {"1.30.0", "2.6.0", "1.19.0", "46.0", NULL},
    {"1.29.1", "2.6.0", "1.19.0-1", NULL, NULL},
    {"1.26.1", "2.5.0", "1.18.2", NULL, NULL},
    {"1.25.1", "2.5.0", "1.18.1", NULL, NULL},
    {"1.22.1", "2.1.1g", "1.17.1", "43.0", NULL},
    {"1.22.0", "2.1.1g", "1.17.0", "43.0", NULL},
    {"1.21.0", "2.1.1", "1.16.1amzn3.0", NULL, NULL},
    {"1.20.0", "1.16.0", "1.16.1", NULL, NULL},
    {"1.18.0", "1.16.0", "1.16.0amzn4.0", "41.0", NULL},
};

static void put(struct world *world, const char *path, const char *format, const char *value)
{
    char text[512];
    snprintf(text, sizeof text, format, value);
    tree_file(&world->tree, path, text);
}

static void install_rdma_core(struct world *world, const char *version)
{
    char name[128];
    snprintf(name, sizeof name, "libibverbs.so.1.14.%d.0", atoi(version));
    char *path = tree_path(&world->tree, "");
    free(path);
    char whole[192];
    snprintf(whole, sizeof whole, "usr/lib64/%s", name);
    stub(world, whole, (struct elf_stub){.soname = "libibverbs.so.1"});
    tree_link(&world->tree, "usr/lib64/libibverbs.so.1", name);
}

static void install_plugin(struct world *world, const char *folder, const char *version)
{
    char text[128], path[192];
    snprintf(text, sizeof text, "NET/OFI Initializing aws-ofi-nccl %s", version);
    snprintf(path, sizeof path, "%s/libnccl-net-ofi.so", folder);
    stub(world, path,
         (struct elf_stub){.text = text, .padding = 300000, .runpath = "/opt/amazon/efa/lib64"});
    snprintf(path, sizeof path, "%s/libnccl-net.so", folder);
    tree_link(&world->tree, path, "libnccl-net-ofi.so");
    snprintf(text, sizeof text, "/%s\n", folder);
    tree_file(&world->tree, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
    tree_file(&world->tree, "etc/ld.so.conf.d/100_ofinccl.conf", text);
}

/* Debian's layout puts the plugin into a multi-arch folder until 1.16.x; others have lib64. */
static void install(struct world *world, const struct bundle *bundle, bool debian)
{
    struct dt_buf list = DT_BUF_INIT;
    dt_buf_printf(&list, "# EFA installer version: %s\n# Debug packages installed: no\n",
                  bundle->installer);
    dt_buf_puts(&list, "# Packages installed:\n");
    if (bundle->libfabric)
        dt_buf_printf(&list, debian ? "libfabric1-aws_%s_amd64.deb " : "libfabric-aws-%s-1.x86_64 ",
                      bundle->libfabric);
    if (bundle->rdma_core)
        dt_buf_printf(&list, debian ? "rdma-core_%s-1_amd64.deb " : "rdma-core-%s-1.x86_64 ",
                      bundle->rdma_core);
    dt_buf_puts(&list, "\n");
    tree_file(&world->tree, "opt/amazon/efa_installed_packages", list.data);
    dt_buf_fini(&list);
    if (bundle->driver)
        put(world, "sys/module/efa/version", "%s\n", bundle->driver);
    if (bundle->libfabric) {
        const char *folder = debian ? "opt/amazon/efa/lib" : "opt/amazon/efa/lib64";
        char path[128];
        snprintf(path, sizeof path, "%s/libfabric.so.1.27.0", folder);
        stub(world, path, (struct elf_stub){.soname = "libfabric.so.1"});
        snprintf(path, sizeof path, "%s/libfabric.so.1", folder);
        tree_link(&world->tree, path, "libfabric.so.1.27.0");
        snprintf(path, sizeof path, "%s/pkgconfig/libfabric.pc", folder);
        put(world, path, "Name: libfabric\nVersion: %s\n", bundle->libfabric);
    }
    if (bundle->rdma_core)
        install_rdma_core(world, bundle->rdma_core);
    if (bundle->ofi_nccl) {
        bool multiarch = debian && strncmp(bundle->ofi_nccl, "1.17", 4) < 0;
        install_plugin(world,
                       multiarch ? "opt/amazon/ofi-nccl/lib/x86_64-linux-gnu"
                       : debian  ? "opt/amazon/ofi-nccl/lib"
                                 : "opt/amazon/ofi-nccl/lib64",
                       bundle->ofi_nccl);
    }
}

static void empty(struct world *world)
{
    static const char *const names[] = {"opt", "sys", "usr", "etc"};
    for (size_t i = 0; i < 4; i++)
        tree_remove(&world->tree, names[i]);
}

static void assert_bundle(struct world *world, const char *component, const char *version)
{
    if (version)
        assert_loads(world, component, version, NULL);
    else
        assert_null(loaded(world, component));
}

static void every_bundle_is_detected(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < 2 * sizeof bundles / sizeof bundles[0]; i++) {
        const struct bundle *bundle = &bundles[i / 2];
        install(world, bundle, i % 2);
        DETECT(world, "LD_LIBRARY_PATH=/opt/amazon/efa/lib:/opt/amazon/efa/lib64");
        assert_bundle(world, "efa-installer", bundle->installer);
        assert_bundle(world, "efa-driver", bundle->driver);
        assert_bundle(world, "libfabric", bundle->libfabric);
        assert_bundle(world, "rdma-core", bundle->rdma_core);
        assert_bundle(world, "ofi-nccl", bundle->ofi_nccl);
        empty(world);
    }
}

/* The patterns of the public efa-versions.py find in the same files what is reported here. */
static void agrees_with_the_public_patterns(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *component, *text, *pattern;
    } rows[] = {
        {"efa-installer", "# EFA installer version: 1.43.2",
         "# EFA installer version: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"libfabric", "libfabric: 2.1.0amzn5.0", "libfabric: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"nccl", "libnccl.so.2.27.5", "libnccl.so.([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"ofi-nccl", "NET/OFI Initializing aws-ofi-nccl 1.16.3",
         "NET/OFI Initializing aws-ofi-nccl ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"nvidia-driver", "Driver Version: 570.133.20",
         "Driver Version: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
    };
    install(world, &bundles[9], false);
    stub(world, "usr/lib64/libnccl.so.2.27.5", (struct elf_stub){.soname = "libnccl.so.2"});
    tree_link(&world->tree, "usr/lib64/libnccl.so.2", "libnccl.so.2.27.5");
    tree_file(&world->tree, "sys/module/nvidia/version", "570.133.20\n");
    DETECT(world, "LD_LIBRARY_PATH=");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        regex_t regex;
        regmatch_t match[2];
        assert_int_equal(regcomp(&regex, rows[i].pattern, REG_EXTENDED), 0);
        assert_int_equal(regexec(&regex, rows[i].text, 2, match, 0), 0);
        const struct dt_version *item = loaded(world, rows[i].component);
        assert_non_null(item);
        assert_int_equal(strncmp(item->version, rows[i].text + match[1].rm_so,
                                 (size_t)(match[1].rm_eo - match[1].rm_so)),
                         0);
        regfree(&regex);
    }
}

/* ---- the loader ----------------------------------------------------------------------------------- */

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

/* ---- hostile and large files ------------------------------------------------------------------------ */

static void texts_and_borders(void **state)
{
    struct world *world = *state;
    static const char mark[] = "Initializing aws-ofi-nccl 1.13.2-aws";
    size_t size = 600 << 10;
    char *data = calloc(1, size);
    for (int shift = -60; shift <= 4; shift += 4) { /* over the border of two pieces */
        memset(data, 0, size);
        memcpy(data + (256 << 10) + shift, mark, sizeof mark);
        tree_bytes(&world->tree, "file", data, size);
        int fd = dt_root_open(&world->root, O_RDONLY, "file");
        char *version = dt_version_scan_library(fd, "Initializing aws-ofi-nccl ");
        close(fd);
        assert_non_null(version);
        assert_string_equal(version, "1.13.2-aws");
        free(version);
    }
    free(data);
    assert_null(dt_version_take("", 0));
    assert_null(dt_version_take("abc", 3));
    assert_null(dt_version_take("12", 2));
    char long_one[200];
    memset(long_one, '1', sizeof long_one);
    long_one[1] = '.';
    assert_null(dt_version_take(long_one, sizeof long_one));
}

static void loops_and_rubbish_in_ldconf(void **state)
{
    struct world *world = *state;
    struct dt_list folders = {0}, pairs = {0};
    tree_file(&world->tree, "etc/ld.so.conf",
              "include /etc/*.conf\ninclude\nhwcap 0 x\nrelative\n/a:/b,/c /a\n/b\n");
    assert_int_equal(dt_ldconf_read(&folders, &world->root), 0);
    assert_int_equal(folders.count, 3);
    assert_string_equal(folders.items[2], "/c");
    dt_list_fini(&folders);
    unsigned char rubbish[64] = "glibc-ld.so.cache1.1";
    memset(rubbish + 20, 0xff, 44);
    assert_int_equal(dt_ldcache_parse(&pairs, rubbish, sizeof rubbish), 1);
    assert_int_equal(pairs.count, 0);
    assert_int_equal(dt_ldcache_parse(&pairs, (const unsigned char *)"x", 1), 0);
    dt_list_fini(&pairs);
}

static void nothing_is_no_error(void **state)
{
    struct world *world = *state;
    DETECT(world);
    assert_int_equal(world->versions.count, 0);
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static struct dt_versions_comparison compare(const char *const *lines)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    struct dt_versions_comparison found;
    for (; *lines; lines++)
        assert_int_equal(dt_versions_nodes_add(nodes, *lines, strlen(*lines), NULL), 0);
    assert_int_equal(dt_versions_compare(&found, nodes, NULL), 0);
    dt_versions_nodes_destroy(nodes);
    return found;
}

#define LINE(node, component, version, loads)                                                      \
    "{\"node\":\"" node "\",\"nodes\":4,\"component\":\"" component "\",\"version\":" version      \
    ",\"loads\":" loads ",\"path\":\"/x\"}"

static void the_odd_node_is_named(void **state)
{
    (void)state;
    struct dt_versions_comparison found =
        compare((const char *const[]){LINE("p5-1", "libfabric", "\"2.1.0\"", "true"),
                                      LINE("p5-2", "libfabric", "\"1.9\"", "true"),
                                      LINE("p5-3", "libfabric", "\"2.1.0\"", "true"),
                                      LINE("p5-3", "libfabric", "\"1.9\"", "false"), "", NULL});
    assert_string_equal(found.text, "libfabric: odd: p5-2 has 1.9; 2 other nodes: 2.1.0\n");
    assert_int_equal(found.differing, 1);
    assert_int_equal(found.nodes, 3);
    assert_int_equal(found.expected, 4);
    dt_versions_comparison_fini(&found);

    found = compare((const char *const[]){LINE("a-1", "nccl", "\"2.1.0\"", "true"),
                                          LINE("a-2", "nccl", "null", "true"),
                                          LINE("a-1", "efa", "\"1.0\"", "true"), NULL});
    assert_string_equal(found.text, "nccl: no majority: a-1 has 2.1.0, a-2 has an unknown version\n"
                                    "efa: no majority: a-1 has 1.0, a-2 has not there\n");
    dt_versions_comparison_fini(&found);
}

static void foreign_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",
        "{}",
        "[1]",
        "{\"node\":5}",
        "{\"node\":\"a b\"}",
        "{\"node\":\"a\",\"component\":\"nccl\"}",
        "{\"node\":\"a\",\"component\":\"n\\u001b\",\"version\":null}"};
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dt_error err = {""};
        assert_int_equal(dt_versions_nodes_add(nodes, bad[i], strlen(bad[i]), &err), -1);
        assert_true(*err.text);
    }
    dt_versions_nodes_destroy(nodes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_bundle_is_detected),
        TEST(agrees_with_the_public_patterns),
        TEST(the_order_of_the_loader),
        TEST(the_cache_of_ldconfig_counts),
        TEST(a_library_of_32_bits_is_stepped_over),
        TEST(runpath_and_rpath),
        TEST(the_wheel_of_pytorch),
        TEST(conda_leads_by_its_python),
        TEST(names_of_plugins),
        TEST(drivers_cuda_and_neuron),
        TEST(facts_are_what_the_program_loads),
        TEST(texts_and_borders),
        TEST(loops_and_rubbish_in_ldconf),
        TEST(nothing_is_no_error),
        TEST(the_odd_node_is_named),
        TEST(foreign_lines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
