/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's search, step by step; ld.so(8) and glibc's elf/dl-load.c, _dl_map_object. */
#include "versions/search.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "versions/elf.h"

static int take_why(char **why, const char *format, const char *a, const char *b)
{
    return asprintf(why, format, a, b) < 0 ? (*why = NULL, -1) : 0;
}

static const char *basename_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A library of another word size is stepped over by the loader. */
static bool is_foreign(const struct dt_search *search, const char *path)
{
    unsigned char head[5];
    int fd = dt_search_open(search, path);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    if (fd >= 0)
        close(fd);
    return fd < 0 || (n == sizeof head && memcmp(head, "\177ELF\1", sizeof head) == 0);
}

static int find_in(const struct dt_search *search, const struct dt_list *folders, const char *name,
                   char **path)
{
    for (size_t i = 0; i < folders->count; i++) {
        if (asprintf(path, "%s/%s", folders->items[i], name) < 0)
            return *path = NULL, -1;
        if (!is_foreign(search, *path))
            return 0;
        free(*path);
        *path = NULL;
    }
    return 0;
}

static int find_plain(const struct dt_search *search, const char *name, char **path);

/* A preloaded library is there already, under its name or its soname. */
static int find_preloaded(const struct dt_search *search, const char *name, char **path)
{
    for (size_t i = 0; i < search->preload.count; i++) {
        const char *word = search->preload.items[i];
        char *file = NULL;
        struct dt_elf elf = {0};
        if (*word == '/' ? !(file = strdup(word)) : find_plain(search, word, &file) < 0)
            return -1;
        int fd = file ? dt_search_open(search, file) : -1;
        bool same = fd >= 0 && strcmp(basename_of(file), name) == 0;
        if (fd >= 0 && !same && dt_elf_read(&elf, fd) == 0) {
            same = elf.soname && strcmp(elf.soname, name) == 0;
            dt_elf_fini(&elf);
        }
        if (fd >= 0)
            close(fd);
        if (same) {
            *path = file;
            return 0;
        }
        free(file);
    }
    return 0;
}

static int find_cached(const struct dt_search *search, const char *name, char **path)
{
    for (size_t i = 0; i + 1 < search->cache.count; i += 2) {
        const char *file = search->cache.items[i + 1];
        if (strcmp(search->cache.items[i], name) == 0 && !is_foreign(search, file))
            return (*path = strdup(file)) ? 0 : -1;
    }
    return 0;
}

/* The steps that ask nobody: used for LD_PRELOAD's own words. */
static int find_plain(const struct dt_search *search, const char *name, char **path)
{
    int rc = find_in(search, &search->library_path, name, path);
    if (rc == 0 && !*path)
        rc = search->has_cache ? find_cached(search, name, path)
                               : find_in(search, &search->conf, name, path);
    if (rc == 0 && !*path)
        rc = find_in(search, &search->system, name, path);
    return rc;
}

static int find_by_path(const struct dt_search *search, const char *name, char **path, char **why)
{
    if (*name != '/' || !dt_search_is_file(search, name))
        return 0;
    *path = strdup(name);
    return *path ? take_why(why, "named by its whole path%s%s", "", "") : -1;
}

int dt_search_find(const struct dt_search *search, const struct dt_asker *asker, const char *name,
                   char **path, char **why)
{
    bool old_way = asker->runpath.count == 0;
    *path = *why = NULL;
    if (strchr(name, '/'))
        return find_by_path(search, name, path, why);
    const struct {
        bool on;
        const struct dt_list *folders; /* NULL: by the function */
        int (*find)(const struct dt_search *search, const char *name, char **path);
        const char *why, *a, *b;
    } steps[] = {
        {true, NULL, find_preloaded, "LD_PRELOAD names it%s%s", "", ""},
        {old_way, &asker->rpath, NULL, "DT_RPATH of %s leads there%s", asker->name, ""},
        {old_way, &search->program_rpath, NULL, "DT_RPATH of %s leads there%s", search->program,
         ""},
        {true, &search->library_path, NULL, "first in LD_LIBRARY_PATH%s%s", "", ""},
        {true, &asker->runpath, NULL, "DT_RUNPATH of %s leads there%s", asker->name, ""},
        {search->has_cache, NULL, find_cached, "/etc/ld.so.cache has it%s%s", "", ""},
        {!search->has_cache, &search->conf, NULL, "first in the directories of /etc/ld.so.conf%s%s",
         "", ""},
        {true, &search->system, NULL, "in a directory of the system%s%s", "", ""},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (!steps[i].on)
            continue;
        int rc = steps[i].folders ? find_in(search, steps[i].folders, name, path)
                                  : steps[i].find(search, name, path);
        if (rc < 0)
            return -1;
        if (*path)
            return take_why(why, steps[i].why, steps[i].a ? steps[i].a : "the program", steps[i].b);
    }
    return 0;
}

/* ---- who asks --------------------------------------------------------------------------------- */

int dt_asker_init(struct dt_asker *asker, const struct dt_search *search, const char *path)
{
    struct dt_elf elf;
    *asker = (struct dt_asker){.name = path ? basename_of(path) : "nobody"};
    int fd = path ? dt_search_open(search, path) : -1;
    if (fd < 0)
        return 0;
    int rc = 0;
    if (dt_elf_read(&elf, fd) == 0) {
        char *origin = strndup(path, (size_t)(basename_of(path) - path));
        rc = origin ? 0 : -1;
        if (rc == 0 && elf.rpath && !elf.runpath) /* a RUNPATH makes the loader ignore RPATH */
            rc = dt_search_split(&asker->rpath, search, elf.rpath, ":", origin);
        if (rc == 0 && elf.runpath)
            rc = dt_search_split(&asker->runpath, search, elf.runpath, ":", origin);
        free(origin);
        dt_elf_fini(&elf);
    }
    close(fd);
    return rc;
}

void dt_asker_fini(struct dt_asker *asker)
{
    dt_list_fini(&asker->rpath);
    dt_list_fini(&asker->runpath);
}
