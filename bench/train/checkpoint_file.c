/* SPDX-License-Identifier: Apache-2.0 */
/* Files of numbers written, verified, and read in pieces; see checkpoint_file.h. */
#include "checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

/* Checksums go block by block, each with that of the one before as its seed. */
#define BLOCK ((size_t)1 << 20)

char *dt_checkpoint_file_name(const char *directory, size_t number)
{
    char *name;
    return asprintf(&name, "%s/rank-%05zu", directory, number) < 0 ? NULL : name;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t done = write(fd, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        at += done;
        bytes -= (size_t)done;
    }
    return 0;
}

/* -1 with errno, 0 at the end of the file. */
static int read_all(int fd, void *data, size_t bytes, uint64_t place)
{
    char *at = data;
    while (bytes > 0) {
        ssize_t done = pread(fd, at, bytes, (off_t)place);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return (int)done;
        at += done;
        place += (uint64_t)done;
        bytes -= (size_t)done;
    }
    return 1;
}

/* sum NULL: not wanted. */
static int write_file(const char *path, const void *data, size_t bytes, uint64_t *sum,
                      struct dt_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = fd < 0 ? -1 : 0;
    uint64_t hash = 0;
    for (size_t at = 0; at < bytes && rc == 0; at += BLOCK) {
        size_t part = bytes - at < BLOCK ? bytes - at : BLOCK;
        if (sum)
            hash = dt_hash((const char *)data + at, part, hash);
        rc = write_all(fd, (const char *)data + at, part);
    }
    if (rc == 0)
        rc = fsync(fd);
    if (rc < 0)
        dt_error_set(err, "%s", strerror(errno));
    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = dt_error_set(err, "%s", strerror(errno));
    if (sum)
        *sum = hash;
    return rc;
}

int dt_checkpoint_file_write(const char *path, const real *values, size_t count, uint64_t *sum,
                             struct dt_error *err)
{
    return write_file(path, values, count * sizeof *values, sum, err);
}

int dt_checkpoint_text_write(const char *path, const char *text, size_t size, struct dt_error *err)
{
    return write_file(path, text, size, NULL, err);
}

static int verify(int fd, const struct dt_manifest_file *file, char *block, struct dt_error *err)
{
    struct stat st;
    uint64_t bytes = file->reals * 3 * sizeof(real), hash = 0;
    if (fstat(fd, &st) < 0)
        return dt_error_set(err, "it can not be read: %s", strerror(errno));
    if ((uint64_t)st.st_size != bytes)
        return dt_error_set(err, "it is cut short or too long: %llu bytes for 3 x %llu numbers",
                            (unsigned long long)st.st_size, (unsigned long long)file->reals);
    for (uint64_t at = 0; at < bytes; at += BLOCK) {
        size_t part = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
        if (read_all(fd, block, part, at) <= 0)
            return dt_error_set(err, "it can not be read to its end: %s", strerror(errno));
        hash = dt_hash(block, part, hash);
    }
    return hash == file->sum ? 0 : dt_error_set(err, "its content is damaged (checksum)");
}

int dt_checkpoint_file_verify(const char *path, const struct dt_manifest_file *file,
                              struct dt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
    if (fd < 0)
        return dt_error_set(err, "it can not be opened: %s", strerror(errno));
    char *block = malloc(BLOCK);
    rc = block ? verify(fd, file, block, err) : dt_error_set(err, "no memory to read it");
    free(block);
    close(fd);
    return rc;
}

char *dt_checkpoint_text_read(const char *path, size_t most, size_t *size, struct dt_error *err)
{
    struct stat st;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        dt_error_set(err, "it can not be opened: %s", strerror(errno));
    else if ((uint64_t)st.st_size > most)
        dt_error_set(err, "it is too long (%llu bytes)", (unsigned long long)st.st_size);
    else if (!(text = malloc((size_t)st.st_size + 1)))
        dt_error_set(err, "no memory to read it");
    else if (st.st_size > 0 && read_all(fd, text, (size_t)st.st_size, 0) <= 0) {
        dt_error_set(err, "it can not be read: %s", strerror(errno));
        free(text);
        text = NULL;
    }
    if (text) {
        *size = (size_t)st.st_size;
        text[*size] = '\0';
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* An extent, and where it begins in each array of its file. */
struct source {
    struct dt_extent extent;
    uint64_t place;
    size_t file;
};

/* Reads runs; what follows in the file and here alike is read in one go. */
struct gatherer {
    const char *directory;
    const struct dt_manifest *manifest;
    const struct dt_checkpoint_arrays *arrays;
    struct source *sources; /* by tensor, then offset */
    size_t hint;            /* the source used last: the next run often goes on there */
    int *fds;               /* of the files, opened when first read; -1: not open */
    size_t opened;
    size_t file;                 /* of what is to be read next */
    uint64_t place, count, here; /* where it lies there, how much, and where it goes */
    bool failed;
    struct dt_error *err;
};

static int by_tensor(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    if (x->extent.tensor != y->extent.tensor)
        return x->extent.tensor < y->extent.tensor ? -1 : 1;
    return (x->extent.offset > y->extent.offset) - (x->extent.offset < y->extent.offset);
}

static void close_files(struct gatherer *g)
{
    for (size_t f = 0; f < g->manifest->file_count; f++) {
        if (g->fds[f] >= 0)
            close(g->fds[f]);
        g->fds[f] = -1;
    }
    g->opened = 0;
}

/* The rows of a matrix may lie in several files in turn, so they stay open; but not more of them
 * than a process may have. */
static int open_file(struct gatherer *g, size_t file)
{
    enum { MOST_OPEN = 128 };
    if (g->fds[file] >= 0)
        return 0;
    if (g->opened == MOST_OPEN)
        close_files(g);
    char *name = dt_checkpoint_file_name(g->directory, file);
    g->fds[file] = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (g->fds[file] < 0)
        dt_error_set(g->err, "file rank-%05zu can not be opened: %s", file, strerror(errno));
    else
        g->opened++;
    free(name);
    return g->fds[file] < 0 ? -1 : 0;
}

static void flush(struct gatherer *g)
{
    real *const arrays[3] = {g->arrays->params, g->arrays->first, g->arrays->second};
    if (g->count > 0 && !g->failed)
        g->failed = open_file(g, g->file) < 0;
    for (size_t i = 0; i < 3 && g->count > 0 && !g->failed; i++) {
        uint64_t place = i * g->manifest->files[g->file].reals + g->place;
        if (read_all(g->fds[g->file], arrays[i] + g->here, (size_t)g->count * sizeof(real),
                     place * sizeof(real)) > 0)
            continue;
        dt_error_set(g->err, "file rank-%05zu can not be read: %s", g->file, strerror(errno));
        g->failed = true;
    }
    g->count = 0;
}

static void take(struct gatherer *g, size_t file, uint64_t place, uint64_t here, uint64_t count)
{
    if (g->count > 0 && file == g->file && place == g->place + g->count &&
        here == g->here + g->count) {
        g->count += count;
        return;
    }
    flush(g);
    g->file = file;
    g->place = place;
    g->here = here;
    g->count = count;
}

/* Reals that the source has from `at` of its tensor on, without a gap; 0: it has not that one. */
static uint64_t reach(const struct source *s, uint64_t tensor, uint64_t at)
{
    const struct dt_extent *e = &s->extent;
    if (e->tensor != tensor || at < e->offset)
        return 0;
    uint64_t run = (at - e->offset) / e->stride, inside = (at - e->offset) % e->stride;
    return run < e->times && inside < e->length ? e->length - inside : 0;
}

/* The source that has real `at`, first where the last one was found; NULL: none. */
static const struct source *find(struct gatherer *g, uint64_t tensor, uint64_t at)
{
    size_t count = g->manifest->extents.count, low = 0, high = count;
    for (size_t i = g->hint; i < count && i < g->hint + 2; i++)
        if (reach(&g->sources[i], tensor, at) > 0)
            return &g->sources[g->hint = i];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->sources[middle].extent.tensor < tensor)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i < count && g->sources[i].extent.tensor == tensor; i++)
        if (reach(&g->sources[i], tensor, at) > 0)
            return &g->sources[g->hint = i];
    return NULL;
}

static void read_run(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    struct gatherer *g = context;
    uint64_t here = run->here, there = run->there, count = run->count;
    while (count > 0 && !g->failed) {
        const struct source *s = find(g, tensor->index, there);
        if (!s) {
            dt_error_set(g->err, "it lacks real %llu of tensor %zu", (unsigned long long)there,
                         tensor->index);
            g->failed = true;
            return;
        }
        const struct dt_extent *e = &s->extent;
        uint64_t part = reach(s, tensor->index, there), from = there - e->offset;
        part = part < count ? part : count;
        take(g, s->file, s->place + from / e->stride * e->length + from % e->stride, here, part);
        here += part;
        there += part;
        count -= part;
    }
}

static void list_sources(struct gatherer *g)
{
    const struct dt_manifest *m = g->manifest;
    for (size_t f = 0; f < m->file_count; f++) {
        uint64_t place = 0;
        for (size_t i = m->files[f].first; i < m->files[f].first + m->files[f].count; i++) {
            g->sources[i] = (struct source){m->extents.items[i], place, f};
            place += dt_extent_reals(&m->extents.items[i]);
        }
    }
    qsort(g->sources, m->extents.count, sizeof *g->sources, by_tensor);
}

int dt_checkpoint_files_read(const char *directory, const struct dt_manifest *m,
                             const struct dt_checkpoint_arrays *arrays, struct dt_error *err)
{
    struct gatherer g = {.directory = directory,
                         .manifest = m,
                         .arrays = arrays,
                         .sources = calloc(m->extents.count + 1, sizeof *g.sources),
                         .fds = calloc(m->file_count + 1, sizeof *g.fds),
                         .err = err};
    g.failed = !g.sources || !g.fds;
    if (g.failed) {
        dt_error_set(err, "no memory for the list of its %zu pieces", m->extents.count);
    } else {
        memset(g.fds, 0xff, m->file_count * sizeof *g.fds);
        list_sources(&g);
    }
    for (size_t t = 0; t < arrays->own->tensor_count && !g.failed; t++)
        dt_tensor_runs(&arrays->own->tensors[t], 0, arrays->own->tensors[t].count, read_run, &g);
    flush(&g);
    if (g.fds)
        close_files(&g);
    free(g.fds);
    free(g.sources);
    return g.failed ? -1 : 0;
}
