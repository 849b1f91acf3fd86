/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader's search works on: the job's variables, the program, ldconfig's files. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "versions/search.h"

const char *dt_search_env(const struct dt_search *search, const char *name)
{
    size_t len = strlen(name);
    for (char *const *e = search->request->env; e && *e; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return *e + len + 1;
    }
    return NULL;
}

bool dt_search_stat(const struct dt_search *search, const char *path, struct stat *st)
{
    int fd = *path == '/' ? dt_root_open(search->root, O_PATH, "%s", path + 1) : -1;
    bool ok = fd >= 0 && fstat(fd, st) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool dt_search_is_file(const struct dt_search *search, const char *path)
{
    struct stat st;
    return dt_search_stat(search, path, &st) && S_ISREG(st.st_mode);
}

int dt_search_open(const struct dt_search *search, const char *path)
{
    struct stat st;
    if (*path != '/')
        return -1;
    int fd = dt_root_open(search->root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "%s", path + 1);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -1;
}

static bool name_of(int fd, char name[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, PATH_MAX - 1);
    if (n <= 0 || *name != '/')
        return false;
    name[n] = '\0';
    return true;
}

char *dt_search_resolve(const struct dt_search *search, const char *path)
{
    char name[PATH_MAX], root[PATH_MAX];
    int fd = *path == '/' ? dt_root_open(search->root, O_PATH, "%s", path + 1) : -1;
    if (fd < 0)
        return NULL;
    bool ok = name_of(fd, name) && name_of(search->root->fd, root);
    close(fd);
    size_t len = ok ? strlen(root) : 0;
    if (!ok)
        return NULL;
    if (len > 1 && strncmp(name, root, len) == 0 && name[len] == '/')
        return strdup(name + len);
    return strdup(name);
}

static char *replace_origin(const char *folder, size_t len, const char *origin)
{
    static const char *const words[] = {"$ORIGIN", "${ORIGIN}"};
    char *text = NULL;
    for (size_t i = 0; origin && i < 2; i++) {
        size_t word = strlen(words[i]);
        if (len >= word && strncmp(folder, words[i], word) == 0)
            return asprintf(&text, "%s%.*s", origin, (int)(len - word), folder + word) < 0 ? NULL
                                                                                           : text;
    }
    return strndup(folder, len);
}

int dt_search_split(struct dt_list *folders, const struct dt_search *search, const char *text,
                    const char *separators, const char *origin)
{
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, separators);
        const char *cwd = search->request->cwd;
        char *folder = replace_origin(at, len, origin);
        if (!folder)
            return -1;
        if (*folder != '/' && *folder != '$' && cwd) { /* also "": the loader means the cwd */
            char *whole = NULL;
            int n = asprintf(&whole, "%s/%s", cwd, folder);
            free(folder);
            if (n < 0)
                return -1;
            folder = whole;
        }
        for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--)
            folder[end - 1] = '\0';
        /* What is left with a $ ($LIB, $PLATFORM) is not emulated. */
        if (*folder != '/' || strchr(folder, '$') || dt_list_has(folders, folder))
            free(folder);
        else if (dt_list_take(folders, folder) < 0)
            return -1;
        at += len;
        if (!*at)
            return 0;
    }
}

static int add_words(struct dt_list *list, const char *text, const char *separators)
{
    for (; text && *text; text += strspn(text, separators)) {
        size_t len = strcspn(text, separators);
        if (len && dt_list_add(list, text, len) < 0)
            return -1;
        text += len;
    }
    return 0;
}

/* The program's file: looked up in PATH and freed of symbolic links, as $ORIGIN of a venv's python
 * is where the real one lies. */
static int find_program(struct dt_search *search)
{
    static const char *const pythons[] = {"python3", "python", NULL};
    const char *const given[] = {search->request->program, NULL};
    const char *path = dt_search_env(search, "PATH");
    struct dt_list folders = {0};
    int rc = 0;
    if (given[0] && *given[0] == '/') {
        const char *name = strrchr(given[0], '/');
        const char *folder = memrchr(given[0], '/', (size_t)(name - given[0]));
        search->program = dt_search_resolve(search, given[0]);
        search->prefix = strndup(given[0], folder ? (size_t)(folder - given[0]) : 0);
        return search->prefix ? 0 : -1;
    }
    if (path && *path)
        rc = dt_search_split(&folders, search, path, ":", NULL);
    for (size_t i = 0; rc == 0 && !search->program && i < folders.count; i++) {
        for (const char *const *name = given[0] ? given : pythons; *name; name++) {
            char *file = NULL;
            if (asprintf(&file, "%s/%s", folders.items[i], *name) < 0) {
                rc = -1;
                break;
            }
            if (!search->program && dt_search_is_file(search, file)) {
                const char *slash = strrchr(folders.items[i], '/');
                search->program = dt_search_resolve(search, file);
                search->prefix = strndup(folders.items[i], (size_t)(slash - folders.items[i]));
            }
            free(file);
        }
    }
    dt_list_fini(&folders);
    return rc;
}

static int read_program(struct dt_search *search)
{
    struct dt_asker asker;
    if (find_program(search) < 0)
        return -1;
    if (dt_asker_init(&asker, search, search->program) < 0)
        return dt_asker_fini(&asker), -1;
    search->program_rpath = asker.rpath;
    asker.rpath = (struct dt_list){0};
    dt_asker_fini(&asker);
    return 0;
}

int dt_search_init(struct dt_search *search, const struct dt_versions_request *request)
{
    static const char *const system[] = {"/lib/x86_64-linux-gnu",
                                         "/usr/lib/x86_64-linux-gnu",
                                         "/lib/aarch64-linux-gnu",
                                         "/usr/lib/aarch64-linux-gnu",
                                         "/lib64",
                                         "/usr/lib64",
                                         "/lib",
                                         "/usr/lib"};
    *search = (struct dt_search){.request = request, .root = request->root};
    const char *path = dt_search_env(search, "LD_LIBRARY_PATH");
    if (path && *path && dt_search_split(&search->library_path, search, path, ":;", NULL) < 0)
        return -1;
    if (add_words(&search->preload, dt_search_env(search, "LD_PRELOAD"), ": \t") < 0 ||
        dt_ldconf_read(&search->conf, request->root) < 0)
        return -1;
    int cached = dt_ldcache_read(&search->cache, request->root);
    search->has_cache = cached == 1;
    for (size_t i = 0; i < sizeof system / sizeof system[0]; i++) {
        if (dt_list_add(&search->system, system[i], strlen(system[i])) < 0)
            return -1;
    }
    return cached < 0 ? -1 : read_program(search);
}

void dt_search_fini(struct dt_search *search)
{
    dt_list_fini(&search->library_path);
    dt_list_fini(&search->preload);
    dt_list_fini(&search->conf);
    dt_list_fini(&search->cache);
    dt_list_fini(&search->system);
    dt_list_fini(&search->program_rpath);
    free(search->program);
    free(search->prefix);
}
