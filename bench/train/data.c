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

#include "base/whole.h"
#include "encode.h"
#include "hash.h"
#include "rng.h"
#include "shard.h"

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

/* A text becomes a shard in memory where there is a tokenizer. */
static int find_kind(const struct dt_data *data, const char *path, int *fd, uint64_t *size,
                     struct dt_error *err)
{
    char header[DT_SHARD_HEADER];
    struct dt_error why;
    for (bool encoded = false;; encoded = true) {
        struct stat st;
        ssize_t got = pread(*fd, header, sizeof header, 0);
        if (got < 0 || fstat(*fd, &st) < 0)
            return dt_error_set(err, "data file %s can not be read: %s", path, strerror(errno));
        *size = (uint64_t)st.st_size;
        int width = dt_shard_parse(size, header, (size_t)got, *size, &why);
        if (width == 0 && data->tokenizer && !encoded &&
            dt_encode_file(fd, *size, data->tokenizer, &why) == 0)
            continue;
        if (width < 0 || (width == 0 && data->tokenizer))
            return dt_error_set(err, "data file %s can not be used: %s", path, why.text);
        return width > 0 ? width : 1;
    }
}

/* Bytes or a shard? *size: tokens. All files must be of one kind. */
static int find_width(struct dt_data *data, const char *path, int *fd, uint64_t *size,
                      struct dt_error *err)
{
    static const char *const kinds[] = {"", "text", "tokens of 16 bits", "", "tokens of 32 bits"};
    int width = find_kind(data, path, fd, size, err);
    if (width < 0)
        return -1;
    if (data->width && data->width != (size_t)width)
        return dt_error_set(err,
                            "data file %s is %s, and the ones before are %s; give --data files of "
                            "one kind",
                            path, kinds[width], kinds[data->width]);
    data->width = (size_t)width;
    return 0;
}

/* *fd: the file's, or what is read in its place. */
static int add_file(struct dt_data *data, const char *path, int *fd, struct dt_error *err)
{
    uint64_t size = 0;
    if (find_width(data, path, fd, &size, err) < 0)
        return -1;
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
        (struct dt_data_file){.path = name, .fd = *fd, .begin = data->size, .size = size};
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
        rc = add_file(data, path, &fd, err);
    else if (named && S_ISDIR(st.st_mode))
        rc = add_directory(data, path, err);
    else if (named)
        rc = dt_error_set(err, "data %s is neither a file nor a directory", path);
    if (rc < 0 || !S_ISREG(st.st_mode))
        close(fd);
    return rc;
}

static int read_file(const struct dt_data_file *file, unsigned char *out, size_t bytes,
                     uint64_t place, struct dt_error *err)
{
    while (bytes > 0) {
        ssize_t got = pread(file->fd, out, bytes, (off_t)place);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_error_set(err, "data file %s can not be read at byte %llu: %s", file->path,
                                (unsigned long long)place,
                                got < 0 ? strerror(errno) : "it has become shorter");
        out += got;
        place += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* Tokens at `place` of the joined files, as they are stored. */
/* The number of the file that holds this place. */
static size_t file_at(const struct dt_data *data, uint64_t place)
{
    size_t low = 0, high = data->file_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (data->files[middle].begin <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int read_at(const struct dt_data *data, unsigned char *out, size_t tokens, uint64_t place,
                   struct dt_error *err)
{
    const size_t width = data->width;
    size_t low = file_at(data, place);
    while (tokens > 0) {
        const struct dt_data_file *file = &data->files[low];
        uint64_t inside = place - file->begin;
        if (inside >= file->size) {
            low++;
            continue;
        }
        uint64_t rest = file->size - inside;
        size_t want = rest < tokens ? (size_t)rest : tokens;
        if (read_file(file, out, want * width, inside * width + (width > 1 ? DT_SHARD_HEADER : 0),
                      err) < 0)
            return -1;
        out += want * width;
        place += want;
        tokens -= want;
    }
    return 0;
}

static int take_fingerprint(struct dt_data *data, struct dt_error *err)
{
    enum { PROBES = 16, TOKENS = 4096 };
    unsigned char bytes[4 * TOKENS];
    data->fingerprint = data->size;
    for (uint64_t i = 0; i < PROBES; i++) {
        size_t want = data->size < TOKENS ? (size_t)data->size : TOKENS;
        if (read_at(data, bytes, want, (data->size - want) / (PROBES - 1) * i, err) < 0)
            return -1;
        data->fingerprint = dt_hash(bytes, want * data->width, data->fingerprint);
    }
    return 0;
}

int dt_data_open(struct dt_data *data, char *const *paths, size_t count,
                 const struct dt_data_setup *setup, struct dt_error *err)
{
    const bool held_out = setup->held_out;
    const size_t seq = setup->seq;
    *data = (struct dt_data){
        .seq = seq, .vocab = setup->vocab, .seed = setup->seed, .tokenizer = setup->tokenizer};
    for (size_t i = 0; i < count; i++)
        if (add_path(data, paths[i], true, err) < 0)
            goto fail;
    uint64_t tenth = data->size / 10, least = 2 * (uint64_t)seq + 1;
    data->train = held_out ? data->size - tenth : data->size;
    if (data->train < least || (held_out && tenth < seq + 1)) {
        dt_error_set(err, "data has %llu %s, and --seq %zu%s wants at least %llu",
                     (unsigned long long)data->size, data->width > 1 ? "tokens" : "bytes", seq,
                     held_out ? " with --eval-every" : "",
                     (unsigned long long)(held_out ? 10 * (seq + 1) + 10 : least));
        goto fail;
    }
    data->buffer = malloc((seq + 1) * data->width);
    if (!data->buffer) {
        dt_error_set(err, "no memory for a sample of %zu tokens", seq + 1);
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

static int refuse_token(const struct dt_data *data, uint32_t token, uint64_t place,
                        struct dt_error *err)
{
    const struct dt_data_file *file = &data->files[file_at(data, place)];
    return dt_error_set(err,
                        "data file %s has token %u at place %llu, and --vocab is %zu; is it made "
                        "with another tokenizer?",
                        file->path, token, (unsigned long long)(place - file->begin), data->vocab);
}

int dt_data_read(struct dt_data *data, uint64_t place, int *tokens, int *targets, size_t row,
                 struct dt_error *err)
{
    if (read_at(data, data->buffer, data->seq + 1, place, err) < 0)
        return -1;
    int last = 0;
    for (size_t i = 0; i <= data->seq; i++) {
        uint32_t token = 0;
        for (size_t b = 0; b < data->width; b++)
            token |= (uint32_t)data->buffer[i * data->width + b] << 8 * b;
        if (token >= data->vocab)
            return refuse_token(data, token, place + i, err);
        if (i > 0) {
            tokens[row * data->seq + i - 1] = last;
            targets[row * data->seq + i - 1] = (int)token;
        }
        last = (int)token;
    }
    return 0;
}

int dt_data_write(const struct dt_data *data, const char *path, struct dt_error *err)
{
    enum { TOKENS = 4096 };
    unsigned char piece[4 * TOKENS];
    char header[DT_SHARD_HEADER];
    struct dt_whole file;
    if (data->size > DT_SHARD_MOST || data->width < 2)
        return dt_error_set(err, "--write-tokens %s: %llu tokens are more than the %d of a file",
                            path, (unsigned long long)data->size, DT_SHARD_MOST);
    dt_shard_header(header, data->width, data->size);
    int rc = 0, why = dt_whole_open(&file, path);
    if (why == 0)
        why = dt_whole_write(&file, header, sizeof header);
    for (uint64_t at = 0; rc == 0 && why == 0 && at < data->size; at += TOKENS) {
        size_t now = data->size - at < TOKENS ? (size_t)(data->size - at) : TOKENS;
        rc = read_at(data, piece, now, at, err);
        if (rc == 0)
            why = dt_whole_write(&file, (const char *)piece, now * data->width);
    }
    int closed = dt_whole_close(&file, rc == 0 && why == 0);
    why = why < 0 ? why : closed;
    if (rc == 0 && why < 0)
        rc = dt_error_set(err, "--write-tokens %s can not be written: %s", path, strerror(-why));
    return rc;
}
