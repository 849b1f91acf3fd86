/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what reads foreign files for versions: ELF headers and texts, ld.so.cache, ld.so.conf, and
 * the lines of other nodes. The first byte chooses the reader. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "versions/elf.h"
#include "versions/ldconf.h"
#include "versions/text.h"
#include "versions/versions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_library(const uint8_t *data, size_t size)
{
    struct dt_elf elf;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    if (dt_elf_read(&elf, fd) == 0)
        dt_elf_fini(&elf);
    char *version = dt_version_scan_library(fd, "NCCL version ");
    if (version && (strlen(version) > 63 || !strchr(version, '.')))
        abort();
    free(version);
    close(fd);
}

static void fuzz_cache(const uint8_t *data, size_t size)
{
    struct dt_list pairs = {0};
    if (dt_ldcache_parse(&pairs, data, size) < 0 || pairs.count % 2)
        abort();
    dt_list_fini(&pairs);
}

/* One root for the whole run; ld.so.conf may include itself. */
static void fuzz_conf(const uint8_t *data, size_t size)
{
    static struct dt_root root = {.fd = -1};
    struct dt_list folders = {0};
    if (root.fd < 0) {
        char path[] = "/tmp/dt-fuzz-versions-XXXXXX", etc[64];
        if (!mkdtemp(path) || dt_root_init(&root, path, NULL) < 0)
            abort();
        snprintf(etc, sizeof etc, "%s/etc", path);
        if (mkdir(etc, 0755) < 0)
            abort();
    }
    char name[256];
    snprintf(name, sizeof name, "%s/etc/ld.so.conf", root.path);
    FILE *file = fopen(name, "w");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    if (dt_ldconf_read(&folders, &root) < 0)
        abort();
    for (size_t i = 0; i < folders.count; i++) {
        if (*folders.items[i] != '/')
            abort();
    }
    dt_list_fini(&folders);
}

static void fuzz_nodes(const uint8_t *data, size_t size)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    struct dt_versions_comparison found;
    char *text = strndup((const char *)data, size), *rest = text;
    for (char *line; nodes && (line = strsep(&rest, "\n"));) {
        struct dt_error err = {""};
        if (dt_versions_nodes_add(nodes, line, strlen(line), &err) < 0 && !*err.text)
            abort();
    }
    if (nodes && dt_versions_compare(&found, nodes, NULL) == 0)
        dt_versions_comparison_fini(&found);
    dt_versions_nodes_destroy(nodes);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const uint8_t *data, size_t size) = {fuzz_library, fuzz_cache,
                                                                        fuzz_conf, fuzz_nodes};
    if (size > 0)
        readers[*data % 4](data + 1, size - 1);
    return 0;
}
