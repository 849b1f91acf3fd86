/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading checkpoint files; see checkpoint.h. Numbers are in the byte order of the
 * machine, which the magic number tells. */
#include "checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

#define MAGIC      0x6474747261696e01u
#define VERSION    2u
#define KEEP       2
#define UNFINISHED ".writing"

struct header {
    uint64_t magic;
    uint32_t version, real_size;
    int32_t layers, channels, heads, seq, vocab, family, kv_heads, hidden, untied, rope_base;
    uint64_t seed, data, step, global_batch;
    uint64_t count;   /* reals in each of the three arrays */
    uint64_t sums[3]; /* checksums of the arrays */
    uint64_t self;    /* checksum of all before */
};
_Static_assert(sizeof(struct header) <= DT_CHECKPOINT_HEADER, "header fits its place");

static uint64_t header_sum(const struct header *header)
{
    return dt_hash(header, offsetof(struct header, self), MAGIC);
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

static int read_all(int fd, void *data, size_t bytes)
{
    char *at = data;
    while (bytes > 0) {
        ssize_t done = read(fd, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        bytes -= (size_t)done;
    }
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x < y) - (x > y);
}

/* Steps of the files in the directory that have a checkpoint's name and then `ending`, newest first.
 */
static int list(const char *directory, const char *ending, long long **steps, size_t *count,
                struct dt_error *err)
{
    DIR *dir = opendir(directory);
    *steps = NULL;
    *count = 0;
    if (!dir)
        return dt_error_set(err, "checkpoint directory %s can not be read: %s", directory,
                            strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        long long step;
        int end = 0;
        if (sscanf(entry->d_name, "step-%lld.dtc%n", &step, &end) != 1 || end == 0 ||
            strcmp(entry->d_name + end, ending) != 0 || step < 0)
            continue;
        long long *grown = realloc(*steps, (*count + 1) * sizeof **steps);
        if (!grown) {
            closedir(dir);
            free(*steps);
            *steps = NULL;
            *count = 0;
            return dt_error_set(err, "no memory for the list of checkpoints in %s", directory);
        }
        grown[(*count)++] = step;
        *steps = grown;
    }
    closedir(dir);
    if (*count > 0)
        qsort(*steps, *count, sizeof **steps, newest_first);
    return 0;
}

static char *file_name(const char *directory, long long step, const char *ending)
{
    char *name;
    return asprintf(&name, "%s/step-%08lld.dtc%s", directory, step, ending) < 0 ? NULL : name;
}

static void remove_file(const char *directory, long long step, const char *ending)
{
    char *name = file_name(directory, step, ending);
    if (name)
        unlink(name);
    free(name);
}

/* What runs that were killed while they saved have left. */
static void remove_unfinished(const char *directory)
{
    long long *steps;
    size_t count;
    if (list(directory, UNFINISHED, &steps, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        remove_file(directory, steps[i], UNFINISHED);
    free(steps);
}

int dt_checkpoint_prepare(const char *directory, long long *newest, struct dt_error *err)
{
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return dt_error_set(err, "checkpoint directory %s can not be made: %s", directory,
                            strerror(errno));
    if (access(directory, W_OK | X_OK) < 0)
        return dt_error_set(err, "checkpoint directory %s can not be written: %s", directory,
                            strerror(errno));
    long long *steps;
    size_t count;
    if (list(directory, "", &steps, &count, err) < 0)
        return -1;
    *newest = count > 0 ? steps[0] : -1;
    free(steps);
    return 0;
}

static int write_file(int fd, const struct dt_checkpoint_info *info,
                      const struct dt_checkpoint_arrays *arrays)
{
    size_t bytes = arrays->count * sizeof(real);
    struct header header = {.magic = MAGIC,
                            .version = VERSION,
                            .real_size = sizeof(real),
                            .layers = info->config.layers,
                            .channels = info->config.channels,
                            .heads = info->config.heads,
                            .seq = info->config.seq,
                            .vocab = info->config.vocab,
                            .family = info->config.family,
                            .kv_heads = info->config.kv_heads,
                            .hidden = info->config.hidden,
                            .untied = info->config.untied,
                            .rope_base = info->config.rope_base,
                            .seed = info->seed,
                            .data = info->data,
                            .step = info->step,
                            .global_batch = info->global_batch,
                            .count = arrays->count,
                            .sums = {dt_hash(arrays->params, bytes, 1),
                                     dt_hash(arrays->first, bytes, 2),
                                     dt_hash(arrays->second, bytes, 3)}};
    header.self = header_sum(&header);
    char block[DT_CHECKPOINT_HEADER] = {0};
    memcpy(block, &header, sizeof header);
    if (write_all(fd, block, sizeof block) < 0 || write_all(fd, arrays->params, bytes) < 0 ||
        write_all(fd, arrays->first, bytes) < 0 || write_all(fd, arrays->second, bytes) < 0)
        return -1;
    return fsync(fd);
}

static void sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* not every file system can; the file itself is safe */
        close(fd);
    }
}

/* Files of later steps are left: damaged ones that a resumed run has passed over, and which must not
 * crowd out what it writes. It overwrites them when it gets there. */
static void remove_old(const char *directory, long long newest)
{
    long long *steps;
    size_t count;
    if (list(directory, "", &steps, &count, NULL) < 0)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (steps[i] <= newest && kept++ >= KEEP)
            remove_file(directory, steps[i], "");
    }
    free(steps);
}

int dt_checkpoint_save(const char *directory, const struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *err)
{
    char *name = file_name(directory, (long long)info->step, "");
    char *temporary = file_name(directory, (long long)info->step, UNFINISHED);
    int rc = -1, fd = -1;
    if (!name || !temporary) {
        dt_error_set(err, "no memory for the name of a checkpoint");
        goto out;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write_file(fd, info, arrays) < 0 || rename(temporary, name) < 0) {
        dt_error_set(err, "checkpoint %s can not be written: %s; earlier ones are untouched", name,
                     strerror(errno));
        unlink(temporary);
        goto out;
    }
    sync_directory(directory);
    remove_old(directory, (long long)info->step);
    remove_unfinished(directory);
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    free(name);
    free(temporary);
    return rc;
}

int dt_checkpoint_parse(struct dt_checkpoint_info *info, size_t *count, const void *bytes,
                        size_t size, uint64_t file_size, struct dt_error *err)
{
    struct header header;
    if (size < DT_CHECKPOINT_HEADER)
        return dt_error_set(err, "it is too short (%zu bytes) to be a checkpoint", size);
    memcpy(&header, bytes, sizeof header);
    if (header.magic != MAGIC)
        return dt_error_set(err, "it is not a checkpoint of dt-train on this kind of machine");
    if (header.version != VERSION)
        return dt_error_set(err, "it has format version %u, and this dt-train reads %u",
                            header.version, VERSION);
    if (header.self != header_sum(&header))
        return dt_error_set(err, "its header is damaged (checksum)");
    if (header.family != DT_FAMILY_GPT2 && header.family != DT_FAMILY_LLAMA)
        return dt_error_set(err,
                            "it is of a family of models (number %d) that this dt-train does "
                            "not know",
                            header.family);
    if (header.real_size != sizeof(real))
        return dt_error_set(err, "its numbers have %u bytes, and this dt-train works in %s",
                            header.real_size, DT_REAL_NAME);
    if (header.count > (UINT64_MAX - DT_CHECKPOINT_HEADER) / (3 * sizeof(real)) ||
        file_size != DT_CHECKPOINT_HEADER + header.count * 3 * sizeof(real))
        return dt_error_set(err, "it is cut short or too long: %llu bytes for 3 x %llu numbers",
                            (unsigned long long)file_size, (unsigned long long)header.count);
    *info = (struct dt_checkpoint_info){
        .config = {header.layers, header.channels, header.heads, header.seq, header.vocab,
                   header.family, header.kv_heads, header.hidden, header.untied, header.rope_base},
        .seed = header.seed,
        .data = header.data,
        .step = header.step,
        .global_batch = header.global_batch};
    *count = (size_t)header.count;
    return 0;
}

/* Is the checkpoint's model the one wanted? The first difference is named. */
static int compare_models(const struct dt_model_config *there, const struct dt_model_config *want,
                          struct dt_error *err)
{
    const struct {
        const char *option;
        int there, want;
    } rows[] = {{"--layers", there->layers, want->layers},
                {"--channels", there->channels, want->channels},
                {"--heads", there->heads, want->heads},
                {"--seq", there->seq, want->seq},
                {"--kv-heads", there->kv_heads, want->kv_heads},
                {"--hidden", there->hidden, want->hidden},
                {"--rope-base", there->rope_base, want->rope_base},
                {"a vocabulary of", there->vocab, want->vocab}};
    if (there->family != want->family)
        return dt_error_set(err, "it is of the family %s, and this run has --family %s",
                            dt_family_name(there->family), dt_family_name(want->family));
    if (there->untied != want->untied)
        return dt_error_set(err, "its head is %s, and this run's is %s",
                            there->untied ? "untied" : "tied", want->untied ? "untied" : "tied");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].there != rows[i].want)
            return dt_error_set(err, "it is of a model with %s %d, and this run has %d",
                                rows[i].option, rows[i].there, rows[i].want);
    return 0;
}

static int read_arrays(int fd, const void *block, const struct dt_checkpoint_arrays *arrays,
                       struct dt_error *err)
{
    real *const places[3] = {arrays->params, arrays->first, arrays->second};
    size_t bytes = arrays->count * sizeof(real);
    struct header header;
    memcpy(&header, block, sizeof header);
    for (uint64_t i = 0; i < 3; i++) {
        if (read_all(fd, places[i], bytes) < 0)
            return dt_error_set(err, "it can not be read to its end: %s", strerror(errno));
        if (dt_hash(places[i], bytes, i + 1) != header.sums[i])
            return dt_error_set(err, "its content is damaged (checksum of array %d)", (int)i + 1);
    }
    return 0;
}

/* 1: loaded; 0: damaged, err says how; -1: whole, and of another model. */
static int load_file(const char *name, struct dt_checkpoint_info *info,
                     const struct dt_checkpoint_arrays *arrays, struct dt_error *err)
{
    char block[DT_CHECKPOINT_HEADER] = {0};
    struct dt_checkpoint_info there = {0};
    struct stat st;
    size_t count = 0;
    int rc = 0, fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        dt_error_set(err, "it can not be opened: %s", strerror(errno));
        goto out;
    }
    size_t have = st.st_size < DT_CHECKPOINT_HEADER ? (size_t)st.st_size : sizeof block;
    if (read_all(fd, block, have) < 0) {
        dt_error_set(err, "it can not be read: %s", strerror(errno));
        goto out;
    }
    if (dt_checkpoint_parse(&there, &count, block, have, (uint64_t)st.st_size, err) < 0)
        goto out;
    if (compare_models(&there.config, &info->config, err) < 0) {
        rc = -1;
        goto out;
    }
    if (count != arrays->count) {
        dt_error_set(err, "it holds %zu parameters, and the model has %zu", count, arrays->count);
        goto out;
    }
    if (read_arrays(fd, block, arrays, err) < 0)
        goto out;
    *info = there;
    rc = 1;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

int dt_checkpoint_load(const char *directory, struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *skipped,
                       struct dt_error *err)
{
    struct dt_error why = {""};
    long long *steps = NULL;
    size_t count = 0;
    int rc = 0;
    if (skipped)
        skipped->text[0] = '\0';
    if (list(directory, "", &steps, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count && rc == 0; i++) {
        char *name = file_name(directory, steps[i], "");
        if (!name) {
            rc = dt_error_set(err, "no memory for the name of a checkpoint");
            break;
        }
        rc = load_file(name, info, arrays, &why);
        if (rc < 0)
            dt_error_set(err, "checkpoint %s can not be resumed: %s", name, why.text);
        if (rc == 0)
            dt_error_set(skipped, "checkpoint %s is passed over: %s", name, why.text);
        free(name);
    }
    if (rc == 0 && count > 0)
        rc = dt_error_set(err, "no checkpoint in %s can be used; the oldest: %s", directory,
                          why.text);
    free(steps);
    return rc;
}
