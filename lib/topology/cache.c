/* SPDX-License-Identifier: Apache-2.0 */
/* The per-boot cache of the CPU side: one file in an admin-owned directory, named after the boot and
 * a fingerprint of the machine, ending in a checksum of itself. Any doubt about a file means that it
 * is not there: the machine is then read again and the file replaced.
 *
 * The file is hwloc's model as it stands in memory (hwloc/shmem.h), to be mapped where it was made
 * for: a tenth of the time that reading XML takes. */
#include <dirent.h>
#include <hwloc/shmem.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fnv.h"
#include "topology/internal.h"

#define CACHE_MAX (64L << 20) /* bytes; 4096 PUs make about 4 MiB */
#define FAMILY    "topology-"
#define PREFIX    FAMILY "3-"
#define SUFFIX    ".hwloc"

/* Behind the model. */
struct seal {
    char mark[8];
    uint64_t hash;
};
#define MARK "dt-topo3"

/* Where nothing else lies: far below libraries and stacks, far above programs that are not
 * position-independent, and clear of the sanitizers' shadows. Where something does lie there, the
 * file is left alone and the machine is read. */
#define PLACE ((void *)((uintptr_t)1 << 45))

/* FNV-1a by words, for whole pages. */
static uint64_t hash_pages(const void *pages, size_t len)
{
    const uint64_t *p = pages;
    uint64_t hash = DT_FNV_START;
    for (size_t i = 0; i < len / sizeof(*p); i++) {
        hash = (hash ^ p[i]) * DT_FNV_PRIME;
        hash ^= hash >> 32;
    }
    return hash;
}

static uint64_t hash_file(uint64_t hash, const struct dt_root *root, const char *path)
{
    char text[4096];
    ssize_t len = dt_root_read(root, text, sizeof(text), "%s", path);

    hash = dt_fnv(hash, path, strlen(path) + 1);
    return len < 0 ? dt_fnv(hash, "?", 1) : dt_fnv(hash, text, (size_t)len);
}

/* Cheap and telling: which CPUs and nodes there are, how they are wired, and the machine's name. */
static uint64_t fingerprint(const struct dt_root *root)
{
    static const char *const files[] = {
        "sys/devices/system/cpu/online",
        "sys/devices/system/cpu/possible",
        "sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
        "sys/devices/system/cpu/cpu0/topology/package_cpus_list",
        "sys/devices/system/node/online",
        "sys/devices/virtual/dmi/id/product_name",
    };
    uint64_t hash = dt_fnv(DT_FNV_START, root->path, strlen(root->path) + 1);
    unsigned version = hwloc_get_api_version();
    hwloc_bitmap_t nodes = hwloc_bitmap_alloc();
    char text[1024];
    int node;

    hash = dt_fnv(hash, &version, sizeof(version));
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        hash = hash_file(hash, root, files[i]);
    if (nodes && dt_root_read(root, text, sizeof(text), "sys/devices/system/node/online") > 0 &&
        hwloc_bitmap_list_sscanf(nodes, text) == 0 && hwloc_bitmap_weight(nodes) > 0) {
        hwloc_bitmap_foreach_begin(node, nodes)
            snprintf(text, sizeof(text), "sys/devices/system/node/node%d/cpulist", node);
        hash = hash_file(hash, root, text);
        hwloc_bitmap_foreach_end();
    }
    hwloc_bitmap_free(nodes);
    return hash;
}

static bool trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

char *dt_topology_cache_path(const struct dt_root *root, const char *directory)
{
    struct dt_buf path = DT_BUF_INIT;
    char boot[64];
    struct stat st;

    if (!directory || directory[0] != '/')
        return NULL;
    if (mkdir(directory, 0755) && errno != EEXIST)
        return NULL;
    if (stat(directory, &st) || !S_ISDIR(st.st_mode) || !trusted(&st))
        return NULL;
    if (dt_root_read(root, boot, sizeof(boot), "proc/sys/kernel/random/boot_id") <= 0 ||
        strspn(boot, "0123456789abcdefABCDEF-") != strlen(boot))
        return NULL;
    dt_buf_printf(&path, "%s/" PREFIX "%s-%016" PRIx64 SUFFIX, directory, boot, fingerprint(root));
    return dt_buf_take(&path);
}

static int open_trusted(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !trusted(&st) ||
        st.st_size <= (off_t)sizeof(struct seal) || st.st_size > CACHE_MAX) {
        close(fd);
        return -1;
    }
    *len = (size_t)st.st_size - sizeof(struct seal);
    return fd;
}

/* The hash of the model in the file; false: it can not be looked at. */
static bool hash_model(int fd, size_t len, uint64_t *hash)
{
    void *pages = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);

    if (pages == MAP_FAILED)
        return false;
    *hash = hash_pages(pages, len);
    munmap(pages, len);
    return true;
}

static bool is_sealed(int fd, size_t len)
{
    struct seal seal;
    uint64_t hash;

    return len % (size_t)sysconf(_SC_PAGESIZE) == 0 &&
           pread(fd, &seal, sizeof(seal), (off_t)len) == (ssize_t)sizeof(seal) &&
           !memcmp(seal.mark, MARK, sizeof(seal.mark)) && hash_model(fd, len, &hash) &&
           hash == seal.hash;
}

int dt_topology_cache_read(hwloc_topology_t *hwloc, const char *path)
{
    size_t len;
    int fd = open_trusted(path, &len);
    int rc = -1;

    *hwloc = NULL;
    if (fd < 0)
        return -1;
    if (is_sealed(fd, len))
        rc = dt_topology_cpu_adopt(hwloc, fd, PLACE, len);
    close(fd);
    return rc;
}

/* Files of earlier boots, and those in earlier forms, serve nobody any more. */
static void remove_other_boots(const char *path)
{
    const char *base = strrchr(path, '/') + 1;
    size_t boot_len = strlen(base) - strlen("-0123456789abcdef" SUFFIX);
    char *directory = strndup(path, (size_t)(base - 1 - path));
    DIR *dir = directory ? opendir(directory) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, FAMILY, strlen(FAMILY)) == 0 &&
            strncmp(entry->d_name, base, boot_len) != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    free(directory);
}

/* Room is reserved first: hwloc writes through a mapping, where a full disk would be a SIGBUS. */
static bool write_model(int fd, hwloc_topology_t hwloc)
{
    struct seal seal = {.mark = MARK};
    size_t len;

    if (hwloc_shmem_topology_get_length(hwloc, &len, 0) || len > CACHE_MAX - sizeof(seal) ||
        posix_fallocate(fd, 0, (off_t)len) ||
        hwloc_shmem_topology_write(hwloc, fd, 0, PLACE, len, 0) || !hash_model(fd, len, &seal.hash))
        return false;
    return pwrite(fd, &seal, sizeof(seal), (off_t)len) == (ssize_t)sizeof(seal);
}

void dt_topology_cache_write(hwloc_topology_t hwloc, const char *path)
{
    struct dt_buf temporary = DT_BUF_INIT;
    int fd = -1;

    dt_buf_printf(&temporary, "%s.XXXXXX", path);
    if (!temporary.failed)
        fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd >= 0) {
        if (!write_model(fd, hwloc) || fchmod(fd, 0644) || rename(temporary.data, path))
            unlink(temporary.data);
        else
            remove_other_boots(path);
        close(fd);
    }
    dt_buf_fini(&temporary);
}
