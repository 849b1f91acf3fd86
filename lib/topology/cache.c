/* SPDX-License-Identifier: Apache-2.0 */
/* The per-boot cache of the CPU side: one hwloc XML file in an admin-owned directory, named after
 * the boot and a fingerprint of the machine, ending in a checksum of itself. Any doubt about a file
 * means that it is not there: the machine is then read again and the file replaced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "topology/internal.h"

#define CACHE_MAX (16L << 20) /* bytes; 4096 PUs make about 2 MiB */
#define PREFIX    "topology-2-"
#define SEAL      "<!-- dt "
#define SEAL_LEN  (sizeof(SEAL) - 1 + 16 + sizeof(" -->\n") - 1)

/* FNV-1a, 64 bits: against accident, not against attack; trust comes from the file's owner. */
#define FNV_START 0xcbf29ce484222325u
static uint64_t fnv(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_file(uint64_t hash, const struct dt_root *root, const char *path)
{
    char text[4096];
    ssize_t len = dt_root_read(root, text, sizeof(text), "%s", path);

    hash = fnv(hash, path, strlen(path) + 1);
    return len < 0 ? fnv(hash, "?", 1) : fnv(hash, text, (size_t)len);
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
    uint64_t hash = fnv(FNV_START, root->path, strlen(root->path) + 1);
    unsigned version = hwloc_get_api_version();
    hwloc_bitmap_t nodes = hwloc_bitmap_alloc();
    char text[1024];
    int node;

    hash = fnv(hash, &version, sizeof(version));
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
    dt_buf_printf(&path, "%s/" PREFIX "%s-%016" PRIx64 ".xml", directory, boot, fingerprint(root));
    return dt_buf_take(&path);
}

static char *read_trusted(const char *path, size_t *len)
{
    struct stat st;
    char *data = NULL;
    size_t have = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !trusted(&st) || st.st_size <= (off_t)SEAL_LEN ||
        st.st_size > CACHE_MAX)
        goto out;
    data = malloc((size_t)st.st_size + 1);
    while (data && have < (size_t)st.st_size) {
        ssize_t got = read(fd, data + have, (size_t)st.st_size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    if (data && have != (size_t)st.st_size) {
        free(data);
        data = NULL;
    }
out:
    close(fd);
    *len = have;
    return data;
}

/* Cut the seal off; false when it does not fit the text. */
static bool unseal(char *data, size_t *len)
{
    char want[SEAL_LEN + 1];
    size_t body = *len - SEAL_LEN;

    snprintf(want, sizeof(want), SEAL "%016" PRIx64 " -->\n", fnv(FNV_START, data, body));
    if (memcmp(data + body, want, SEAL_LEN) != 0)
        return false;
    data[body] = '\0';
    *len = body;
    return true;
}

int dt_topology_cache_read(hwloc_topology_t *hwloc, const char *path)
{
    size_t len;
    char *data = read_trusted(path, &len);
    int rc = -1;

    *hwloc = NULL;
    if (data && unseal(data, &len))
        rc = dt_topology_cpu_from_xml(hwloc, data, len);
    free(data);
    return rc;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        bytes += put;
        len -= (size_t)put;
    }
    return true;
}

/* Earlier boots' files serve nobody any more. */
static void remove_other_boots(const char *path)
{
    const char *base = strrchr(path, '/') + 1;
    size_t boot_len = strlen(base) - strlen("-0123456789abcdef.xml");
    char *directory = strndup(path, (size_t)(base - 1 - path));
    DIR *dir = directory ? opendir(directory) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            strncmp(entry->d_name, base, boot_len) != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    free(directory);
}

void dt_topology_cache_write(hwloc_topology_t hwloc, const char *path)
{
    struct dt_buf text = DT_BUF_INIT, temporary = DT_BUF_INIT;
    char *xml = NULL;
    int len, fd = -1;

    if (hwloc_topology_export_xmlbuffer(hwloc, &xml, &len, 0))
        return;
    dt_buf_puts(&text, xml); /* without the NUL that len counts */
    hwloc_free_xmlbuffer(hwloc, xml);
    if (!text.failed)
        dt_buf_printf(&text, SEAL "%016" PRIx64 " -->\n", fnv(FNV_START, text.data, text.len));
    dt_buf_printf(&temporary, "%s.XXXXXX", path);
    if (text.failed || temporary.failed)
        goto out;
    fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd < 0)
        goto out;
    if (!write_all(fd, text.data, text.len) || fchmod(fd, 0644) || rename(temporary.data, path))
        unlink(temporary.data);
    else
        remove_other_boots(path);
out:
    if (fd >= 0)
        close(fd);
    dt_buf_fini(&text);
    dt_buf_fini(&temporary);
}
