/* SPDX-License-Identifier: Apache-2.0 */
/* A small tree that stands for a p5.48xlarge, made by the tests at run time and broken by them. */
#ifndef DT_TEST_FACTS_TREE_H
#define DT_TEST_FACTS_TREE_H

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char path[64];
};

static inline void tree_die(const char *what)
{
    fprintf(stderr, "test tree: %s: %s\n", what, strerror(errno));
    abort();
}

static inline char *tree_path(const struct tree *tree, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", tree->path, name) < 0)
        tree_die("asprintf");
    return path;
}

static inline void tree_parents(char *path)
{
    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            tree_die(path);
        path[i] = '/';
    }
}

static inline void tree_bytes(const struct tree *tree, const char *name, const void *bytes,
                              size_t len)
{
    char *path = tree_path(tree, name);
    tree_parents(path);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
        tree_die(path);
    free(path);
}

static inline void tree_file(const struct tree *tree, const char *name, const char *text)
{
    tree_bytes(tree, name, text, strlen(text));
}

static inline void tree_link(const struct tree *tree, const char *name, const char *target)
{
    char *path = tree_path(tree, name);
    tree_parents(path);
    if (symlink(target, path) < 0)
        tree_die(path);
    free(path);
}

static inline void tree_folder(const struct tree *tree, const char *name)
{
    char *path = tree_path(tree, name);
    tree_parents(path);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        tree_die(path);
    free(path);
}

static inline int tree_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void tree_remove(const struct tree *tree, const char *name)
{
    char *path = tree_path(tree, name);
    nftw(path, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static inline void tree_efa(const struct tree *tree, int index)
{
    char name[128], text[128];
#define PUT(file, ...)                                                                             \
    do {                                                                                           \
        snprintf(text, sizeof text, __VA_ARGS__);                                                  \
        snprintf(name, sizeof name, "sys/devices/pci0000:%02x/0000:%02x:00.0/" file, index,        \
                 index);                                                                           \
        tree_file(tree, name, text);                                                               \
    } while (0)
    PUT("modalias", "pci:v00001D0Fd0000EFA1sv00001D0Fsd0000EFA1bc02sc00i00\n");
    PUT("numa_node", "%d\n", index / 48);
    snprintf(name, sizeof name, "sys/bus/pci/devices/0000:%02x:00.0", index);
    snprintf(text, sizeof text, "../../../devices/pci0000:%02x/0000:%02x:00.0", index, index);
    tree_link(tree, name, text);
#undef PUT
#define PUT(file, value)                                                                           \
    do {                                                                                           \
        snprintf(name, sizeof name,                                                                \
                 "sys/devices/pci0000:%02x/0000:%02x:00.0/infiniband/rdmap%ds0/" file, index,      \
                 index, index);                                                                    \
        tree_file(tree, name, value);                                                              \
    } while (0)
    PUT("ports/1/state", "4: ACTIVE\n");
    PUT("ports/1/phys_state", "5: LinkUp\n");
    PUT("ports/1/rate", "100 Gb/sec (4X EDR)\n");
#undef PUT
    snprintf(name, sizeof name, "sys/class/infiniband/rdmap%ds0", index);
    snprintf(text, sizeof text, "../../devices/pci0000:%02x/0000:%02x:00.0/infiniband/rdmap%ds0",
             index, index, index);
    tree_link(tree, name, text);
}

static inline void tree_gpu(const struct tree *tree, int index)
{
    char name[128], text[256];
    snprintf(name, sizeof name, "sys/bus/pci/devices/0000:%x3:00.0/modalias", index);
    tree_file(tree, name, "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00\n");
    snprintf(name, sizeof name, "sys/bus/pci/devices/0000:%x3:00.0/numa_node", index);
    tree_file(tree, name, index < 12 ? "0\n" : "1\n");
    snprintf(name, sizeof name, "proc/driver/nvidia/gpus/0000:%x3:00.0/information", index);
    snprintf(text, sizeof text,
             "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 1\nGPU UUID: \t GPU-%08x\n"
             "Video BIOS: \t ??\n",
             index);
    tree_file(tree, name, text);
}

/* 8 GPUs (0000:83 to 0000:f3), 32 EFA (rdmap16s0 to 47s0 on node 0, 48s0 to 63s0 ...), and other
 * devices that must not be counted. */
static inline void tree_make(struct tree *tree)
{
    snprintf(tree->path, sizeof tree->path, "/tmp/dt-facts-XXXXXX");
    if (!mkdtemp(tree->path) || chmod(tree->path, 0755) < 0)
        tree_die(tree->path);
    tree_file(tree, "sys/devices/virtual/dmi/id/product_name", "p5.48xlarge\n");
    tree_file(tree, "proc/sys/kernel/osrelease", "6.8.0-1021-aws\n");
    tree_file(tree, "proc/sys/kernel/random/boot_id", "c0ffee00-0000-0000-0000-000000000000\n");
    tree_file(tree, "sys/devices/system/cpu/online", "0-191\n");
    tree_file(tree, "sys/devices/system/node/online", "0-1\n");
    tree_file(tree, "proc/meminfo",
              "MemTotal:       2097152000 kB\nMemFree: 1 kB\nHugePages_Total:    5128\n"
              "HugePages_Free:     5000\nHugepagesize:       2048 kB\n");
    tree_file(tree, "sys/module/nvidia/version", "550.127.05\n");
    tree_file(tree, "sys/module/efa/version", "2.13.0g\n");
    tree_file(tree, "opt/amazon/efa_installed_packages",
              "# EFA installer version: 1.37.0\nefa 2.13.0\n");
    tree_file(tree, "opt/amazon/efa/lib/libfabric.so.1", "");
    tree_file(tree, "opt/amazon/efa/lib/pkgconfig/libfabric.pc",
              "Name: x\nVersion: 1.22.0amzn4.0\n");
    tree_link(tree, "usr/lib64/libnccl.so.2", "libnccl.so.2.23.4");
    tree_file(tree, "usr/lib64/libnccl.so.2.23.4", "");
    tree_file(tree, "proc/net/route",
              "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
              "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
              "ens33\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
              "ens32\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
    tree_file(tree, "sys/bus/pci/devices/0000:01:00.0/modalias", /* an NVSwitch */
              "pci:v000010DEd000022A3sv000010DEsd00001796bc06sc80i00\n");
    tree_file(tree, "sys/devices/pci0000:00/0000:00:05.0/modalias",
              "pci:v000015B3d0000101Dsv000015B3sd00000040bc02sc00i00\n");
    tree_folder(tree, "sys/devices/pci0000:00/0000:00:05.0/infiniband/mlx5_0");
    tree_link(tree, "sys/class/infiniband/mlx5_0",
              "../../devices/pci0000:00/0000:00:05.0/infiniband/mlx5_0");
    tree_folder(tree, "sys/devices/virtual/infiniband/rxe0"); /* no device of a bus */
    tree_link(tree, "sys/class/infiniband/rxe0", "../../devices/virtual/infiniband/rxe0");
    tree_folder(tree, "tmp");
    tree_folder(tree, "fsx/home");
    for (int i = 0; i < 32; i++)
        tree_efa(tree, 32 + i);
    for (int i = 8; i < 16; i++)
        tree_gpu(tree, i);
}

static inline void tree_destroy(const struct tree *tree)
{
    nftw(tree->path, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
