/* SPDX-License-Identifier: Apache-2.0 */
/* Where the list is, what goes into it, and when it gives way to a newer one. */
#include "prewarm_list.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "progress.h"
#include "worker.h"

#define FIRST_S 1.0 /* after the start; then after twice as long each */
#define LAST_S  1000.0
/* A shorter life may not have read all: it adds to the list of those before. */
#define SETTLED_S 300.0
#define LIST_MAX  (64u << 20) /* bytes */

struct dt_prewarm_list {
    char *path, *imports;
    double began, next;
    char **files;
    size_t count;
};

bool dt_prewarm_last(const struct dt_options *options)
{
    for (int i = 0; i < options->extras.prewarm_count; i++) {
        if (strcmp(options->extras.prewarm[i], "last") == 0)
            return true;
    }
    return false;
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The program, and the script or module that an interpreter is to run: the words up to the first that is a file. */
static uint64_t key_of(char *const *program)
{
    uint64_t key = dt_fnv(DT_FNV_START, program[0], strlen(program[0]) + 1), found = key;
    struct stat st;
    for (int i = 1; program[i]; i++) {
        bool module = strcmp(program[i], "-m") == 0 && program[i + 1];
        char *full = module ? NULL : realpath(program[i], NULL);
        const char *word = module ? program[i + 1] : full ? full : program[i];
        bool last = module || (full && stat(full, &st) == 0 && S_ISREG(st.st_mode));
        found = dt_fnv(found, word, strlen(word) + 1);
        free(full);
        if (last)
            return found;
    }
    return key;
}

/* Made, where `make` is set. NULL: there is no home. */
static char *path_of(const struct dt_options *options, bool make)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *directory = NULL, *path = NULL;
    if (cache && *cache == '/')
        directory = strdup(cache);
    else if (!home || *home != '/' || asprintf(&directory, "%s/.cache", home) < 0)
        return NULL;
    if (!directory || asprintf(&path, "%s/dt-launch/%016llx.list", directory,
                               (unsigned long long)key_of(options->program)) < 0)
        path = NULL;
    if (make && path) {
        mkdir(directory, 0700);
        *strrchr(path, '/') = '\0';
        mkdir(path, 0700);
        path[strlen(path)] = '/';
    }
    free(directory);
    return path;
}

static void read_text(struct dt_buf *text, const char *path)
{
    char piece[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && text->len < LIST_MAX && (n = read(fd, piece, sizeof piece)) > 0)
        dt_buf_append(text, piece, (size_t)n);
    if (fd >= 0)
        close(fd);
}

bool dt_prewarm_list_read(struct dt_buf *text, const struct dt_options *options)
{
    char *path = path_of(options, false);
    if (path)
        read_text(text, path);
    free(path);
    return text->len > 0;
}

/* ---- what the program reads ---------------------------------------------------------------- */

struct dt_prewarm_list *dt_prewarm_list_open(const struct dt_options *options, const char *imports)
{
    struct dt_prewarm_list *list = dt_prewarm_last(options) ? calloc(1, sizeof *list) : NULL;
    if (!list)
        return NULL;
    list->path = path_of(options, true);
    list->imports = imports ? strdup(imports) : NULL;
    list->began = dt_now();
    list->next = list->began + FIRST_S;
    return list;
}

static void add(struct dt_prewarm_list *list, const char *path)
{
    static const char *const no_files[] = {"/dev/", "/proc/", "/sys/", "/run/", "/memfd:", "/SYSV"};
    size_t length = strlen(path);
    if (path[0] != '/' || (length > 10 && strcmp(path + length - 10, " (deleted)") == 0))
        return;
    for (size_t i = 0; i < sizeof no_files / sizeof *no_files; i++) {
        if (strncmp(path, no_files[i], strlen(no_files[i])) == 0)
            return;
    }
    char *copy = strdup(path);
    char **more = copy ? reallocarray(list->files, list->count + 1, sizeof *more) : NULL;
    if (!more) {
        free(copy);
        return;
    }
    list->files = more;
    more[list->count++] = copy;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct dt_prewarm_list *list)
{
    size_t kept = 0;
    if (list->count)
        qsort(list->files, list->count, sizeof *list->files, compare);
    for (size_t i = 0; i < list->count; i++) {
        if (kept && strcmp(list->files[kept - 1], list->files[i]) == 0)
            free(list->files[i]);
        else
            list->files[kept++] = list->files[i];
    }
    list->count = kept;
}

/* "START-END PERMISSIONS OFFSET DEVICE INODE PATH" */
static void add_mapped(struct dt_prewarm_list *list, pid_t pid)
{
    char path[64], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    for (ssize_t n; maps && (n = getline(&line, &size, maps)) > 0;) {
        line[n - 1] = line[n - 1] == '\n' ? '\0' : line[n - 1];
        const char *file = strchr(line, '/');
        if (file)
            add(list, file);
    }
    free(line);
    if (maps)
        fclose(maps);
    sort(list);
}

void dt_prewarm_list_look(struct dt_prewarm_list *list, pid_t pid)
{
    double now = dt_now();
    if (!list || list->next <= 0 || now < list->next)
        return;
    list->next = now - list->began < LAST_S ? list->began + 2 * (now - list->began) : 0;
    add_mapped(list, dt_progress_acting(pid));
}

/* ---- the end ------------------------------------------------------------------------------- */

static void write_list(const struct dt_prewarm_list *list)
{
    struct dt_buf text = DT_BUF_INIT;
    char *new_path = NULL;
    for (size_t i = 0; i < list->count; i++)
        dt_buf_printf(&text, "%s\n", list->files[i]);
    bool worth = !text.failed && text.len > 0;
    int fd = worth && asprintf(&new_path, "%s.%d", list->path, (int)getpid()) > 0
                 ? open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                 : -1;
    if (fd >= 0) {
        bool whole = write(fd, text.data, text.len) == (ssize_t)text.len;
        if ((close(fd) || !whole || rename(new_path, list->path)))
            unlink(new_path);
    } else if (worth) {
        dprintf(STDERR_FILENO, "dt-launch: warning: --prewarm last: %s can not be written: %s\n",
                list->path, strerror(errno));
    }
    free(new_path);
    dt_buf_fini(&text);
}

static void add_lines(struct dt_prewarm_list *list, const char *path)
{
    struct dt_buf text = DT_BUF_INIT;
    read_text(&text, path);
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));)
        add(list, line);
    dt_buf_fini(&text);
}

void dt_prewarm_list_close(struct dt_prewarm_list *list)
{
    if (!list)
        return;
    if (list->imports)
        add_lines(list, list->imports);
    if (list->path && dt_now() - list->began < SETTLED_S)
        add_lines(list, list->path);
    sort(list);
    if (list->path)
        write_list(list);
    for (size_t i = 0; i < list->count; i++)
        free(list->files[i]);
    free(list->files);
    free(list->path);
    free(list->imports);
    free(list);
}
