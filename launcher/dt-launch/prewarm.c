/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead: file systems over a network are slow for one reader that touches a page here and there,
 * as a program's start does, and quick for many that read in order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"
#include "pre.h"
#include "prepare.h"
#include "worker.h"

#define THREADS   16
#define PIECE     (16ll << 20) /* of a file, by one thread */
#define BLOCK     (1u << 20)
#define DEPTH_MAX 64

struct piece {
    const char *path; /* borrowed from `paths` */
    off_t from;
};

struct work {
    char **paths;
    size_t path_count, piece_count;
    struct piece *pieces;
    atomic_size_t next;
    atomic_llong bytes;
    bool failed;
};

/* ---- what there is to read ----------------------------------------------------------------- */

static void add_piece(struct work *work, const char *path, off_t from)
{
    /* The arrays grow in powers of two. */
    if ((work->piece_count & (work->piece_count - 1)) == 0) {
        size_t capacity = work->piece_count ? work->piece_count * 2 : 1;
        struct piece *more = reallocarray(work->pieces, capacity, sizeof *more);
        if (!more) {
            work->failed = true;
            return;
        }
        work->pieces = more;
    }
    work->pieces[work->piece_count++] = (struct piece){path, from};
}

static void add_file(struct work *work, const char *path, off_t size)
{
    char *copy = strdup(path);
    char **more = copy ? reallocarray(work->paths, work->path_count + 1, sizeof *more) : NULL;
    if (!more) {
        free(copy);
        work->failed = true;
        return;
    }
    work->paths = more;
    more[work->path_count++] = copy;
    for (off_t from = 0; from < size && !work->failed; from += PIECE)
        add_piece(work, copy, from);
}

/* Links to files are followed, links to directories are not: they may lead round. */
static void add_tree(struct work *work, const char *path, int depth)
{
    struct stat st;
    if (stat(path, &st) || work->failed)
        return;
    if (S_ISREG(st.st_mode))
        add_file(work, path, st.st_size);
    DIR *directory = S_ISDIR(st.st_mode) && depth < DEPTH_MAX ? opendir(path) : NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char *below = NULL;
        struct stat link;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            asprintf(&below, "%s/%s", path, entry->d_name) < 0)
            continue;
        if (lstat(below, &link) == 0 &&
            (!S_ISLNK(link.st_mode) || (stat(below, &st) == 0 && S_ISREG(st.st_mode))))
            add_tree(work, below, depth + 1);
        free(below);
    }
    if (directory)
        closedir(directory);
}

static void warn(const struct dt_place *place, const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "dt-launch: warning: --prewarm %s: %s (node %s)\n", what, why,
            place->node_name);
}

/* Where Python would find the module, without importing it; a package is its directories. */
static void add_module(struct work *work, const char *name, const struct dt_options *options,
                       const struct dt_place *place)
{
    static const char code[] = "import importlib.util as u, sys\n"
                               "s = u.find_spec(sys.argv[1])\n"
                               "if s: print(\"\\n\".join(s.submodule_search_locations or "
                               "[s.origin or \"\"]))\n";
    const char *base = strrchr(options->program[0], '/');
    base = base ? base + 1 : options->program[0];
    const char *python = strncmp(base, "python", 6) == 0 ? options->program[0] : "python3";
    char *path = NULL;
    char *argv[] = {(char *)python, (char *)"-c", (char *)code, (char *)name, NULL};
    struct dt_buf answer = DT_BUF_INIT;
    struct dt_error err = {""};
    int unused;
    if (dt_program_find(python, &path, &unused, &err) == 0) {
        struct dt_helper helper = {.path = path, .argv = argv, .env = environ};
        if (dt_helper_run(&helper, &answer, &err) == 0 && (!answer.data || !*answer.data))
            dt_error_set(&err, "Python finds no such module");
    }
    if (err.text[0])
        warn(place, name, err.text);
    char *rest = err.text[0] ? NULL : answer.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (*line == '/')
            add_tree(work, line, 0);
    }
    dt_buf_fini(&answer);
    free(path);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void read_piece(struct work *work, const struct piece *piece, char *block)
{
    int fd = open(piece->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n;
    if (fd < 0)
        return;
    posix_fadvise(fd, piece->from, PIECE, POSIX_FADV_WILLNEED);
    for (off_t at = piece->from; at < piece->from + PIECE; at += n) {
        n = pread(fd, block, BLOCK, at);
        if (n <= 0)
            break;
        atomic_fetch_add(&work->bytes, n);
    }
    close(fd);
}

static void *reader(void *argument)
{
    struct work *work = argument;
    char *block = malloc(BLOCK);
    for (size_t i; block && (i = atomic_fetch_add(&work->next, 1)) < work->piece_count;)
        read_piece(work, &work->pieces[i], block);
    free(block);
    return NULL;
}

static void read_all(struct work *work)
{
    pthread_t threads[THREADS];
    int started = 0;
    while (started < THREADS && pthread_create(&threads[started], NULL, reader, work) == 0)
        started++;
    if (!started)
        reader(work);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

void dt_prewarm(const struct dt_options *options, const struct dt_place *place)
{
    const struct dt_extras *extras = &options->extras;
    struct work work = {0};
    double began = dt_now();
    if (!extras->prewarm_count || (place->shape == DT_SHAPE_TASK && place->local_rank > 0))
        return;
    for (int i = 0; i < extras->prewarm_count; i++) {
        const char *what = extras->prewarm[i];
        if (strncmp(what, "python:", 7) == 0)
            add_module(&work, what + 7, options, place);
        else if (access(what, R_OK))
            warn(place, what, strerror(errno));
        else
            add_tree(&work, what, 0);
    }
    read_all(&work);
    double took = dt_now() - began, mib = (double)atomic_load(&work.bytes) / 1048576;
    if (place->node_rank == 0)
        dprintf(STDERR_FILENO, "dt-launch: prewarm: %zu files, %.1f MiB in %.2f s (%.0f MiB/s)\n",
                work.path_count, mib, took, took > 0 ? mib / took : 0);
    for (size_t i = 0; i < work.path_count; i++)
        free(work.paths[i]);
    free(work.paths);
    free(work.pieces);
}
