/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of drivers and libraries, from files alone: nothing is opened with dlopen (libfabric and
 * NCCL would run code of theirs) and no tool is asked. Where each version stands was read from the
 * sources of the EFA installer, aws-ofi-nccl (nccl_ofi_net.cpp), NCCL and the NVIDIA driver. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/reader.h"

#define INSTALLED "opt/amazon/efa_installed_packages"

/* Copy the version at the start of `text` ("2.1.0amzn5.0"): digits, dots, letters, '-', '+'. */
static bool take_version(const char *text, char *version, size_t size)
{
    static const char parts[] = "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+";
    size_t len = strspn(text, parts);
    while (len > 0 && !isalnum((unsigned char)text[len - 1]))
        len--;
    if (len == 0 || len >= size || !isdigit((unsigned char)*text))
        return false;
    memcpy(version, text, len);
    version[len] = '\0';
    return strchr(version, '.') != NULL;
}

static bool version_after(const char *text, const char *label, char *version, size_t size)
{
    const char *found = strstr(text, label);
    if (!found)
        return false;
    found += strlen(label);
    return take_version(found + strspn(found, " \t"), version, size);
}

static void read_nvidia(struct dt_reader *reader)
{
    char text[1024], version[64];
    if (dt_root_exists(reader->root, "sys/module/nvidia/version") &&
        dt_reader_file(reader, "driver.nvidia", "sys/module/nvidia/version"))
        return;
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "proc/driver/nvidia/version");
    if (n <= 0) {
        dt_reader_why(reader, "driver.nvidia", "the driver is not loaded");
        return;
    }
    text[strcspn(text, "\n")] = '\0';
    for (char *word = strtok(text, " \t"); word; word = strtok(NULL, " \t")) {
        if (take_version(word, version, sizeof version)) {
            dt_reader_string(reader, "driver.nvidia", version);
            return;
        }
    }
    dt_reader_why(reader, "driver.nvidia", "/proc/driver/nvidia/version holds no version");
}

static void read_module(struct dt_reader *reader, const char *key, const char *module)
{
    char path[128];
    snprintf(path, sizeof path, "sys/module/%s/version", module);
    if (dt_root_exists(reader->root, "%s", path))
        dt_reader_file(reader, key, path);
    else if (dt_root_exists(reader->root, "sys/module/%s", module))
        dt_reader_why(reader, key, "the %s driver came with the kernel and has no version", module);
    else
        dt_reader_why(reader, key, "the %s driver is not loaded", module);
}

/* The head of a file; "" when it can not be read. */
static void read_head(const struct dt_root *root, const char *path, char *text, size_t size)
{
    int fd = dt_root_open(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "%s", path);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void read_installer(struct dt_reader *reader, const char *installed)
{
    char version[64];
    if (version_after(installed, "EFA installer version:", version, sizeof version))
        dt_reader_string(reader, "efa.installer", version);
    else
        dt_reader_why(reader, "efa.installer", "/" INSTALLED " %s",
                      *installed ? "names no version" : "is not there");
}

/* First of the folders that holds the file; NULL: none. */
static const char *find_in(const struct dt_root *root, const char *const *folders, const char *file)
{
    for (; *folders; folders++) {
        if (dt_root_exists(root, "%s/%s", *folders, file))
            return *folders;
    }
    return NULL;
}

/* Version of libfabric in the installer's package list: "libfabric-aws 2.1.0amzn5.0",
 * "libfabric1-aws_2.1.0amzn5.0_amd64.deb" and the like. */
static bool libfabric_package(const char *installed, char *version, size_t size)
{
    for (const char *at = installed; (at = strstr(at, "libfabric")); at += 9) {
        size_t line = strcspn(at, "\n");
        for (size_t i = 9; i + 1 < line; i++) {
            if (strchr("_- \t:=", at[i]) && take_version(at + i + 1, version, size))
                return true;
        }
    }
    return false;
}

static void read_libfabric(struct dt_reader *reader, const char *installed)
{
    static const char *const folders[] = {"opt/amazon/efa/lib",
                                          "opt/amazon/efa/lib64",
                                          "usr/lib/x86_64-linux-gnu",
                                          "usr/lib/aarch64-linux-gnu",
                                          "usr/lib64",
                                          "usr/local/lib",
                                          NULL};
    char path[128], text[2048], version[64];
    const char *folder = find_in(reader->root, folders, "libfabric.so.1");
    if (!folder) {
        dt_reader_why(reader, "lib.libfabric", "no libfabric.so.1 in the usual places");
        return;
    }
    snprintf(path, sizeof path, "%s/pkgconfig/libfabric.pc", folder);
    read_head(reader->root, path, text, sizeof text);
    if (version_after(text, "\nVersion:", version, sizeof version) ||
        (strncmp(folder, "opt/amazon/", 11) == 0 &&
         libfabric_package(installed, version, sizeof version)))
        dt_reader_string(reader, "lib.libfabric", version);
    else
        dt_reader_why(reader, "lib.libfabric", "/%s/libfabric.so.1 has no libfabric.pc beside it",
                      folder);
}

static void read_nccl(struct dt_reader *reader)
{
    static const char *const folders[] = {"opt/nccl/build/lib",
                                          "usr/local/cuda/lib",
                                          "usr/local/cuda/lib64",
                                          "usr/lib/x86_64-linux-gnu",
                                          "usr/lib64",
                                          "usr/local/lib",
                                          "usr/lib/aarch64-linux-gnu",
                                          NULL};
    static const char stem[] = "libnccl.so.";
    char target[512], version[64];
    const char *folder = find_in(reader->root, folders, "libnccl.so.2");
    if (!folder) {
        dt_reader_why(reader, "lib.nccl", "no libnccl.so.2 in the usual places");
        return;
    }
    if (dt_root_readlink(reader->root, target, sizeof target, "%s/libnccl.so.2", folder) > 0) {
        char *slash = strrchr(target, '/');
        char *name = slash ? slash + 1 : target;
        if (strncmp(name, stem, sizeof stem - 1) == 0 &&
            take_version(name + sizeof stem - 1, version, sizeof version)) {
            dt_reader_string(reader, "lib.nccl", version);
            return;
        }
    }
    dt_reader_why(reader, "lib.nccl", "/%s/libnccl.so.2 does not name its version", folder);
}

/* Look for `mark` in at most 16 MiB of a file and take the version behind it. Read in pieces rather
 * than mapped: a file that shrinks meanwhile must not be a SIGBUS. */
static bool scan_file(const struct dt_root *root, const char *path, const char *mark, char *version,
                      size_t size)
{
    enum { PIECE = 256 << 10, OVERLAP = 128, PIECES = 64 };
    bool found = false;
    int fd = dt_root_open(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "%s", path);
    char *data = fd < 0 ? NULL : malloc(OVERLAP + PIECE + 1);
    size_t kept = 0;
    for (int i = 0; data && !found && i < PIECES; i++) {
        ssize_t n = read(fd, data + kept, PIECE);
        if (n <= 0)
            break;
        size_t len = kept + (size_t)n;
        data[len] = '\0';
        const char *at = memmem(data, len, mark, strlen(mark));
        if (at)
            found = take_version(at + strlen(mark), version, size);
        kept = len < OVERLAP ? len : OVERLAP;
        memmove(data, data + len - kept, kept);
    }
    free(data);
    if (fd >= 0)
        close(fd);
    return found;
}

static void read_ofi_nccl(struct dt_reader *reader)
{
    static const char *const folders[] = {"opt/amazon/ofi-nccl/lib",
                                          "opt/amazon/ofi-nccl/lib64",
                                          "opt/amazon/ofi-nccl/lib/x86_64-linux-gnu",
                                          "opt/amazon/ofi-nccl/lib/aarch64-linux-gnu",
                                          "opt/amazon/aws-ofi-nccl/lib",
                                          "opt/aws-ofi-nccl/install/lib",
                                          "opt/aws-ofi-nccl/lib",
                                          NULL};
    static const char *const files[] = {"libnccl-net-ofi.so", "libnccl-net.so",
                                        "libnccl-net-aws-ofi.so"};
    char path[256], version[64];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *folder = find_in(reader->root, folders, files[i]);
        if (!folder)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (scan_file(reader->root, path, "Initializing aws-ofi-nccl ", version, sizeof version))
            dt_reader_string(reader, "lib.ofi_nccl", version);
        else
            dt_reader_why(reader, "lib.ofi_nccl", "/%s does not name its version", path);
        return;
    }
    dt_reader_why(reader, "lib.ofi_nccl", "no aws-ofi-nccl in the usual places");
}

/* The soname's last numbers are ABI and release: libibverbs.so.1.14.57.0 is 57.0. */
static void read_rdma_core(struct dt_reader *reader)
{
    static const char *const folders[] = {"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu",
                                          "usr/lib64", NULL};
    static const char stem[] = "libibverbs.so.1.";
    char target[512], version[64];
    const char *folder = find_in(reader->root, folders, "libibverbs.so.1");
    if (!folder) {
        dt_reader_why(reader, "lib.rdma_core", "no libibverbs.so.1 in the usual places");
        return;
    }
    if (dt_root_readlink(reader->root, target, sizeof target, "%s/libibverbs.so.1", folder) > 0 &&
        strncmp(target, stem, sizeof stem - 1) == 0) {
        const char *text = target + sizeof stem - 1;
        text += strcspn(text, ".");
        if (*text && take_version(text + 1, version, sizeof version)) {
            dt_reader_string(reader, "lib.rdma_core", version);
            return;
        }
    }
    dt_reader_why(reader, "lib.rdma_core", "/%s/libibverbs.so.1 does not name its version", folder);
}

void dt_read_versions(struct dt_reader *reader)
{
    char installed[4096];
    read_head(reader->root, INSTALLED, installed, sizeof installed);
    read_nvidia(reader);
    read_module(reader, "driver.efa", "efa");
    read_module(reader, "driver.neuron", "neuron");
    read_installer(reader, installed);
    read_libfabric(reader, installed);
    read_rdma_core(reader);
    read_nccl(reader);
    read_ofi_nccl(reader);
}
