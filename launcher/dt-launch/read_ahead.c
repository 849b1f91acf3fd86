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
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS   64           /* they wait for the file system, not for a core */
#define PIECE     (16ll << 20) /* of a file, by one thread */
#define BLOCK     (1ll << 20)
#define DEPTH_MAX 64

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

struct range {
    uint64_t offset, length;
};
struct cached {
    uint64_t pages, dirty, writeback, evicted, recently_evicted;
};

/* Is all of it in memory? Kernels before 6.5 do not say; nor does one of files that are not ours. */
static bool is_cached(int fd, off_t from, off_t length)
{
#ifndef SYS_cachestat
#define SYS_cachestat 451 /* on every architecture */
#endif
    struct range range = {(uint64_t)from, (uint64_t)length};
    struct cached cached;
    long page = sysconf(_SC_PAGESIZE);
    return syscall(SYS_cachestat, fd, &range, &cached, 0) == 0 &&
           cached.pages >= (uint64_t)((length + page - 1) / page);
}

static void read_piece(struct dt_read_ahead *work, int fd, off_t from, off_t size, char *block)
{
    off_t end = size - from < PIECE ? size : from + PIECE;
    ssize_t n;
    for (off_t at = from; at < end; at += n) {
        off_t length = end - at < BLOCK ? end - at : BLOCK;
        n = (ssize_t)length;
        if (is_cached(fd, at, length))
            continue;
        if (at == from)
            posix_fadvise(fd, from, end - from, POSIX_FADV_WILLNEED);
        n = pread(fd, block, (size_t)length, at);
        if (n <= 0)
            break;
        atomic_fetch_add(&work->read, n);
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

void dt_read_ahead_run(struct dt_read_ahead *work, struct dt_read_ahead_sum *sum)
{
    pthread_t threads[THREADS];
    int started = 0;
    while (started < THREADS && pthread_create(&threads[started], NULL, reader, work) == 0)
        started++;
    reader(work);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    *sum = (struct dt_read_ahead_sum){atomic_load(&work->files), atomic_load(&work->bytes),
                                      atomic_load(&work->read)};
}
