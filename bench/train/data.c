/* SPDX-License-Identifier: Apache-2.0 */
/* Reading training text; see data.h. Samples are read when they are wanted, so that data may be
 * larger than memory, and a file that shrinks is an error and not a fault. */
#include "data.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "rng.h"

#define MAX_FILES 4096

static int add_path(struct dt_data *data, const char *path, bool named, struct dt_error *err);

static int add_directory(struct dt_data *data, const char *path, struct dt_error *err)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), rc = 0;
    if (count < 0)
        return dt_error_set(err, "data directory %s can not be read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *inner = NULL;
        if (rc == 0 && entries[i]->d_name[0] != '.') {
            if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) < 0)
                rc = dt_error_set(err, "no memory for the names in %s", path);
            else
                rc = add_path(data, inner, false, err);
            free(inner);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int add_file(struct dt_data *data, const char *path, int fd, uint64_t size,
                    struct dt_error *err)
{
    if (data->file_count == MAX_FILES)
        return dt_error_set(err, "more than %d data files; join them into fewer", MAX_FILES);
    struct dt_data_file *grown = realloc(data->files, (data->file_count + 1) * sizeof *data->files);
    if (grown)
        data->files = grown;
    char *name = strdup(path);
    if (!grown || !name) {
        free(name);
        return dt_error_set(err, "no memory for %zu data files", data->file_count + 1);
    }
    data->files[data->file_count++] =
        (struct dt_data_file){.path = name, .fd = fd, .begin = data->size, .size = size};
    data->size += size;
    return 0;
}

/* What a directory holds besides regular files is passed over; what the user named is not. */
static int add_path(struct dt_data *data, const char *path, bool named, struct dt_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dt_error_set(err, "data file %s can not be opened: %s", path, strerror(errno));
    int rc = fstat(fd, &st);
    if (rc < 0)
        rc = dt_error_set(err, "data file %s can not be examined: %s", path, strerror(errno));
    else if (S_ISREG(st.st_mode))
        rc = add_file(data, path, fd, (uint64_t)st.st_size, err);
    else if (named && S_ISDIR(st.st_mode))
        rc = add_directory(data, path, err);
    else if (named)
        rc = dt_error_set(err, "data %s is neither a file nor a directory", path);
    if (rc < 0 || !S_ISREG(st.st_mode))
        close(fd);
    return rc;
}

/* Bytes at `place` of the joined files. */
static int read_at(const struct dt_data *data, unsigned char *out, size_t bytes, uint64_t place,
                   struct dt_error *err)
{
    size_t low = 0, high = data->file_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (data->files[middle].begin <= place)
            low = middle;
        else
            high = middle;
    }
    while (bytes > 0) {
        const struct dt_data_file *file = &data->files[low];
        uint64_t inside = place - file->begin;
        if (inside >= file->size) {
            low++;
            continue;
        }
        size_t want = file->size - inside < bytes ? (size_t)(file->size - inside) : bytes;
        ssize_t got = pread(file->fd, out, want, (off_t)inside);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_error_set(err, "data file %s can not be read at byte %llu: %s", file->path,
                                (unsigned long long)inside,
                                got < 0 ? strerror(errno) : "it has become shorter");
        out += got;
        place += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int take_fingerprint(struct dt_data *data, struct dt_error *err)
{
    enum { PROBES = 16, BYTES = 4096 };
    unsigned char bytes[BYTES];
    data->fingerprint = data->size;
    for (uint64_t i = 0; i < PROBES; i++) {
        size_t want = data->size < BYTES ? (size_t)data->size : BYTES;
        if (read_at(data, bytes, want, (data->size - want) / (PROBES - 1) * i, err) < 0)
            return -1;
        data->fingerprint = dt_hash(bytes, want, data->fingerprint);
    }
    return 0;
}

int dt_data_open(struct dt_data *data, char *const *paths, size_t count, size_t seq, bool held_out,
                 uint64_t seed, struct dt_error *err)
{
    *data = (struct dt_data){.seq = seq, .seed = seed};
    for (size_t i = 0; i < count; i++)
        if (add_path(data, paths[i], true, err) < 0)
            goto fail;
    uint64_t tenth = data->size / 10, least = 2 * (uint64_t)seq + 1;
    data->train = held_out ? data->size - tenth : data->size;
    if (data->train < least || (held_out && tenth < seq + 1)) {
        dt_error_set(err, "data has %llu bytes, and --seq %zu%s wants at least %llu",
                     (unsigned long long)data->size, seq, held_out ? " with --eval-every" : "",
                     (unsigned long long)(held_out ? 10 * (seq + 1) + 10 : least));
        goto fail;
    }
    data->buffer = malloc(seq + 1);
    if (!data->buffer) {
        dt_error_set(err, "no memory for a sample of %zu bytes", seq + 1);
        goto fail;
    }
    if (take_fingerprint(data, err) < 0)
        goto fail;
    return 0;
fail:
    dt_data_close(data);
    return -1;
}

void dt_data_close(struct dt_data *data)
{
    for (size_t i = 0; i < data->file_count; i++) {
        close(data->files[i].fd);
        free(data->files[i].path);
    }
    free(data->files);
    free(data->buffer);
    *data = (struct dt_data){0};
}

/* Windows begin at multiples of seq plus a phase of the epoch, so that their edges move. */
uint64_t dt_data_place(const struct dt_data *data, uint64_t number)
{
    enum { STREAM_ORDER = 0x10000, STREAM_PHASE };
    uint64_t windows = (data->train - data->seq - 1) / data->seq;
    uint64_t epoch = number / windows;
    uint64_t key = dt_rng_bits(data->seed, STREAM_ORDER, epoch);
    uint64_t phase = dt_rng_bits(data->seed, STREAM_PHASE, epoch) % data->seq;
    return phase + data->seq * dt_rng_permute(number % windows, windows, key);
}

uint64_t dt_data_held_out(const struct dt_data *data)
{
    uint64_t bytes = data->size - data->train;
    return bytes > data->seq ? (bytes - 1) / data->seq : 0;
}

int dt_data_read(struct dt_data *data, uint64_t place, int *tokens, int *targets, size_t row,
                 struct dt_error *err)
{
    if (read_at(data, data->buffer, data->seq + 1, place, err) < 0)
        return -1;
    for (size_t i = 0; i < data->seq; i++) {
        tokens[row * data->seq + i] = data->buffer[i];
        targets[row * data->seq + i] = data->buffer[i + 1];
    }
    return 0;
}
