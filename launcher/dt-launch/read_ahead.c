/* SPDX-License-Identifier: Apache-2.0 */
/* A stack of things to look at or to read, and the threads that work on it. */
#include "read_ahead.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "in_memory.h"

#define THREADS   64           /* they wait for the file system, not for a core */
#define PIECE     (16ll << 20) /* of a file, by one thread */
#define BLOCK     (1ll << 20)
#define GRAIN     (64ll << 10)
#define DEPTH_MAX 64
#define SAMPLE    64 /* of the libraries, and of the other files */

enum kind { NAMED, FOUND, FOUND_LINK, LISTED, PIECE_OF };

struct item {
    enum kind kind;
    char *path; /* owned */
    int depth;
    off_t from; /* PIECE_OF */
};

struct dt_read_ahead {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct item *items;
    size_t count, capacity, busy; /* busy: items that a thread works on */
    atomic_llong files, bytes, read;
};

struct dt_read_ahead *dt_read_ahead_create(void)
{
    struct dt_read_ahead *work = calloc(1, sizeof *work);
    if (!work)
        return NULL;
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->more, NULL);
    return work;
}

void dt_read_ahead_destroy(struct dt_read_ahead *work)
{
    if (!work)
        return;
    for (size_t i = 0; i < work->count; i++)
        free(work->items[i].path);
    free(work->items);
    pthread_cond_destroy(&work->more);
    pthread_mutex_destroy(&work->lock);
    free(work);
}

/* Takes the path over. What there is no memory for is not read ahead. */
static void push(struct dt_read_ahead *work, const struct item *item)
{
    bool good = item->path != NULL;
    pthread_mutex_lock(&work->lock);
    if (good && work->count == work->capacity) {
        size_t capacity = work->capacity ? work->capacity * 2 : 1024;
        struct item *more = reallocarray(work->items, capacity, sizeof *more);
        good = more != NULL;
        work->items = more ? more : work->items;
        work->capacity = more ? capacity : work->capacity;
    }
    if (good)
        work->items[work->count++] = *item;
    pthread_cond_signal(&work->more);
    pthread_mutex_unlock(&work->lock);
    if (!good)
        free(item->path);
}

void dt_read_ahead_add(struct dt_read_ahead *work, const char *path)
{
    push(work, &(struct item){.kind = NAMED, .path = strdup(path)});
}

void dt_read_ahead_list(struct dt_read_ahead *work, const char *path)
{
    push(work, &(struct item){.kind = LISTED, .path = strdup(path)});
}

/* ---- one item ------------------------------------------------------------------------------ */

static bool read_part(struct dt_read_ahead *work, int fd, off_t at, off_t length, char *block)
{
    ssize_t n = pread(fd, block, (size_t)length, at);
    if (n > 0)
        atomic_fetch_add(&work->read, n);
    return n > 0;
}

/* The kernel is asked for all at once; this thread then waits for it. Where all but a few pages are in memory, these are
 * looked for, and the rest is not copied. */
static void read_piece(struct dt_read_ahead *work, int fd, off_t from, off_t size, char *block)
{
    off_t end = size - from < PIECE ? size : from + PIECE, length;
    bool asked = false;
    for (off_t at = from; at < end; at += length) {
        length = end - at < BLOCK ? end - at : BLOCK;
        off_t lacks = dt_in_memory_lacks(fd, at, length);
        if (lacks != 0 && !asked)
            posix_fadvise(fd, at, end - at, POSIX_FADV_WILLNEED);
        asked = asked || lacks != 0;
        if (lacks > 0 && lacks <= length / 4 && length > GRAIN) {
            length = GRAIN;
            lacks = dt_in_memory_lacks(fd, at, length);
        }
        if (lacks != 0 && !read_part(work, fd, at, length, block))
            break;
    }
}

static void read_directory(struct dt_read_ahead *work, int fd, const struct item *item)
{
    DIR *directory = item->depth < DEPTH_MAX ? fdopendir(dup(fd)) : NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct item below = {.kind = entry->d_type == DT_LNK ? FOUND_LINK : FOUND,
                             .depth = item->depth + 1};
        if (item->kind == LISTED || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 ||
            (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK && entry->d_type != DT_REG &&
             entry->d_type != DT_DIR) ||
            asprintf(&below.path, "%s/%s", item->path, entry->d_name) < 0)
            continue;
        push(work, &below);
    }
    if (directory)
        closedir(directory);
}

/* Its type is asked first, as opening a fifo or a device does something. */
static void do_item(struct dt_read_ahead *work, const struct item *item, char *block)
{
    struct stat st;
    bool link = item->kind == FOUND_LINK;
    int flags = item->kind == FOUND ? AT_SYMLINK_NOFOLLOW : 0;
    if (fstatat(AT_FDCWD, item->path, &st, flags) || (link && !S_ISREG(st.st_mode)) ||
        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return;
    int fd = open(item->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        read_directory(work, fd, item);
    } else {
        for (off_t from = PIECE; item->kind != PIECE_OF && from < st.st_size; from += PIECE)
            push(work, &(struct item){.kind = PIECE_OF, .path = strdup(item->path), .from = from});
        read_piece(work, fd, item->from, st.st_size, block);
        if (item->kind != PIECE_OF) {
            atomic_fetch_add(&work->files, 1);
            atomic_fetch_add(&work->bytes, st.st_size);
        }
    }
    close(fd);
}

/* ---- threads ------------------------------------------------------------------------------- */

/* false: there is nothing left, and nobody works on what could bring more. */
static bool take(struct dt_read_ahead *work, struct item *item)
{
    pthread_mutex_lock(&work->lock);
    while (work->count == 0 && work->busy > 0)
        pthread_cond_wait(&work->more, &work->lock);
    bool some = work->count > 0;
    if (some) {
        *item = work->items[--work->count];
        work->busy++;
    }
    pthread_mutex_unlock(&work->lock);
    return some;
}

static void done(struct dt_read_ahead *work, const struct item *item)
{
    free(item->path);
    pthread_mutex_lock(&work->lock);
    work->busy--;
    if (work->busy == 0)
        pthread_cond_broadcast(&work->more);
    pthread_mutex_unlock(&work->lock);
}

static void *reader(void *argument)
{
    struct dt_read_ahead *work = argument;
    struct item item;
    char *block = malloc(BLOCK);
    while (block && take(work, &item)) {
        do_item(work, &item, block);
        done(work, &item);
    }
    free(block);
    return NULL;
}

/* ---- nothing to do --------------------------------------------------------------------------- */

static bool is_library(const char *path)
{
    const char *name = strrchr(path, '/');
    return strstr(name ? name : path, ".so") != NULL;
}

static size_t count_of(const struct dt_read_ahead *work, bool libraries)
{
    size_t count = 0;
    for (size_t i = 0; i < work->count; i++)
        count += is_library(work->items[i].path) == libraries;
    return count;
}

/* Libraries are few, and most of the bytes: they have a sample of their own. */
static bool nothing_to_do(const struct dt_read_ahead *work, int *looked)
{
    struct dt_in_memory sample = {0};
    for (int libraries = 1; libraries >= 0; libraries--) {
        size_t all = count_of(work, libraries), n = 0, next = 0;
        for (size_t i = 0; i < work->count && !dt_in_memory_enough(&sample); i++) {
            const struct item *item = &work->items[i];
            if (is_library(item->path) != (bool)libraries || n++ != next)
                continue;
            dt_in_memory_look(&sample, item->path, item->kind == NAMED);
            next += all > SAMPLE ? all / SAMPLE : 1;
        }
    }
    *looked = sample.looked;
    return dt_in_memory_all(&sample);
}

void dt_read_ahead_run(struct dt_read_ahead *work, struct dt_read_ahead_sum *sum)
{
    pthread_t threads[THREADS];
    int started = 0;
    *sum = (struct dt_read_ahead_sum){0};
    if (nothing_to_do(work, &sum->looked))
        return;
    while (started < THREADS && pthread_create(&threads[started], NULL, reader, work) == 0)
        started++;
    reader(work);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    sum->files = atomic_load(&work->files);
    sum->bytes = atomic_load(&work->bytes);
    sum->read = atomic_load(&work->read);
}
