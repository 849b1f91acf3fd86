/* SPDX-License-Identifier: Apache-2.0 */
/* The bundles of the EFA installer, and how a machine looks on which one is installed. */
#ifndef TESTS_UNIT_VERSIONS_BUNDLES_H
#define TESTS_UNIT_VERSIONS_BUNDLES_H

#include "versions_scene.h"

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

static inline void put(struct world *world, const char *path, const char *format, const char *value)
{
    char text[512];
    snprintf(text, sizeof text, format, value);
    tree_file(&world->tree, path, text);
}

static inline void install_rdma_core(struct world *world, const char *version)
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

static inline void install_plugin(struct world *world, const char *folder, const char *version)
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
static inline void install(struct world *world, const struct bundle *bundle, bool debian)
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

#endif
