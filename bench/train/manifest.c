/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest's lines, out and in; see manifest.h. */
#include "manifest.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define FORMAT 3
/* Above this no tensor of any model is; so no sum of two overflows. */
#define MOST_REALS (UINT64_C(1) << 48)
#define LITTLE     (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "little" : "big")

/* The sizes of a model: the name is that of the line and of the option. */
static const struct size_row {
    const char *name;
    size_t place;
} sizes[] = {{"layers", offsetof(struct dt_model_config, layers)},
             {"channels", offsetof(struct dt_model_config, channels)},
             {"heads", offsetof(struct dt_model_config, heads)},
             {"seq", offsetof(struct dt_model_config, seq)},
             {"vocab", offsetof(struct dt_model_config, vocab)},
             {"kv-heads", offsetof(struct dt_model_config, kv_heads)},
             {"hidden", offsetof(struct dt_model_config, hidden)},
             {"untied", offsetof(struct dt_model_config, untied)},
             {"rope-base", offsetof(struct dt_model_config, rope_base)},
             {"experts", offsetof(struct dt_model_config, experts)},
             {"experts-per-token", offsetof(struct dt_model_config, experts_per_token)}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static int size_of(const struct dt_model_config *config, size_t row)
{
    int value;
    memcpy(&value, (const char *)config + sizes[row].place, sizeof value);
    return value;
}

void dt_manifest_put_head(struct dt_buf *text, const struct dt_checkpoint_info *info,
                          const char *ranks)
{
    dt_buf_printf(text, "dt-train checkpoint %d\nreals %s %s\nfamily %s\n", FORMAT, DT_REAL_NAME,
                  LITTLE, dt_family_name(info->config.family));
    for (size_t i = 0; i < SIZES; i++)
        dt_buf_printf(text, "%s %d\n", sizes[i].name, size_of(&info->config, i));
    dt_buf_printf(text,
                  "seed %" PRIu64 "\ndata %" PRIu64 "\nstep %" PRIu64 "\nglobal-batch %" PRIu64
                  "\nranks %s\n",
                  info->seed, info->data, info->step, info->global_batch, ranks);
}

void dt_manifest_put_file(struct dt_buf *text, uint64_t reals, uint64_t sum)
{
    dt_buf_printf(text, "file %" PRIu64 " %016" PRIx64 "\n", reals, sum);
}

void dt_manifest_put_extent(struct dt_buf *text, const struct dt_extent *e)
{
    dt_buf_printf(text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", e->tensor,
                  e->offset, e->length, e->stride, e->times);
}

void dt_manifest_put_end(struct dt_buf *text)
{
    if (!text->failed)
        dt_buf_printf(text, "end %016" PRIx64 "\n", dt_hash(text->data, text->len, FORMAT));
}

/* Reads a text line by line; after a failure nothing more. */
struct reader {
    const char *at, *end;
    size_t line;
    bool failed;
    struct dt_error *err;
};

static void fail(struct reader *r, const char *wanted)
{
    if (!r->failed)
        dt_error_set(r->err, "line %zu of its manifest is damaged: \"%s\" is wanted", r->line,
                     wanted);
    r->failed = true;
}

static void want(struct reader *r, const char *word)
{
    size_t length = strlen(word);
    if (!r->failed && (size_t)(r->end - r->at) >= length && memcmp(r->at, word, length) == 0)
        r->at += length;
    else
        fail(r, word);
}

static bool see(const struct reader *r, const char *word)
{
    size_t length = strlen(word);
    return !r->failed && (size_t)(r->end - r->at) >= length && memcmp(r->at, word, length) == 0;
}

/* As it is written: decimal without zeros in front, hexadecimal with 16 digits. Not above `most`. */
static uint64_t number(struct reader *r, unsigned base, uint64_t most)
{
    uint64_t value = 0;
    const char *begin = r->at;
    for (; !r->failed && r->at < r->end; r->at++) {
        unsigned digit = *r->at >= '0' && *r->at <= '9'   ? (unsigned)(*r->at - '0')
                         : *r->at >= 'a' && *r->at <= 'f' ? (unsigned)(*r->at - 'a') + 10
                                                          : 99;
        if (digit >= base)
            break;
        if (value > (most - digit) / base)
            fail(r, "a smaller number");
        else
            value = value * base + digit;
    }
    if (r->at == begin || (base == 10 && *begin == '0' && r->at - begin > 1) ||
        (base == 16 && r->at - begin != 16))
        fail(r, base == 16 ? "16 hexadecimal digits" : "a number");
    return value;
}

static void end_line(struct reader *r)
{
    want(r, "\n");
    r->line++;
}

static uint64_t row(struct reader *r, const char *name, uint64_t most)
{
    want(r, name);
    want(r, " ");
    uint64_t value = number(r, 10, most);
    end_line(r);
    return value;
}

/* What stands up to the end of the line. */
static void rest_of_line(struct reader *r, char *out, size_t size)
{
    size_t length = 0;
    const char *end = r->failed ? NULL : memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (end)
        length = (size_t)(end - r->at);
    if (!end || length >= size || memchr(r->at, '\0', length)) {
        fail(r, "a shorter line");
        length = 0;
    }
    memcpy(out, r->at, length);
    out[length] = '\0';
    r->at += length;
    end_line(r);
}

static int read_head(struct reader *r, struct dt_manifest *m)
{
    struct dt_checkpoint_info *info = &m->info;
    char word[32];
    want(r, "dt-train checkpoint ");
    uint64_t format = number(r, 10, UINT32_MAX);
    if (!r->failed && format != FORMAT)
        return dt_error_set(r->err, "it has format version %" PRIu64 ", and this dt-train reads %d",
                            format, FORMAT);
    end_line(r);
    want(r, "reals ");
    rest_of_line(r, word, sizeof word);
    if (!r->failed &&
        strcmp(word, LITTLE[0] == 'l' ? DT_REAL_NAME " little" : DT_REAL_NAME " big") != 0)
        return dt_error_set(r->err, "its numbers are %s, and this dt-train works in %s %s", word,
                            DT_REAL_NAME, LITTLE);
    want(r, "family ");
    rest_of_line(r, word, sizeof word);
    info->config.family = dt_family_find(word);
    if (!r->failed && info->config.family < 0)
        return dt_error_set(r->err, "it is of the family %s, which this dt-train does not know",
                            word);
    for (size_t i = 0; i < SIZES; i++) {
        int value = (int)row(r, sizes[i].name, INT32_MAX);
        memcpy((char *)&info->config + sizes[i].place, &value, sizeof value);
    }
    info->seed = row(r, "seed", UINT64_MAX);
    info->data = row(r, "data", UINT64_MAX);
    info->step = row(r, "step", INT64_MAX);
    info->global_batch = row(r, "global-batch", INT64_MAX);
    want(r, "ranks ");
    rest_of_line(r, m->ranks, sizeof m->ranks);
    return r->failed ? -1 : 0;
}

static struct dt_extent read_extent(struct reader *r)
{
    struct dt_extent e;
    uint64_t *const places[] = {&e.tensor, &e.offset, &e.length, &e.stride, &e.times};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        *places[i] = number(r, 10, MOST_REALS);
        if (i + 1 < sizeof places / sizeof *places)
            want(r, " ");
    }
    end_line(r);
    if (!r->failed &&
        (e.length == 0 || e.times == 0 || e.stride < e.length || e.times > MOST_REALS / e.stride))
        fail(r, "an extent with runs side by side");
    return e;
}

static void read_file(struct reader *r, struct dt_manifest *m)
{
    struct dt_manifest_file *grown = realloc(m->files, (m->file_count + 1) * sizeof *grown);
    if (!grown) {
        fail(r, "memory for one more file");
        return;
    }
    m->files = grown;
    struct dt_manifest_file *file = &grown[m->file_count++];
    want(r, "file ");
    *file = (struct dt_manifest_file){.first = m->extents.count};
    file->reals = number(r, 10, MOST_REALS);
    want(r, " ");
    file->sum = number(r, 16, UINT64_MAX);
    end_line(r);
    uint64_t sum = 0;
    while (!r->failed && r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        struct dt_extent e = read_extent(r);
        sum += dt_extent_reals(&e);
        if (sum > file->reals)
            fail(r, "as many reals in extents as in the file");
        else
            dt_extents_push(&m->extents, e);
    }
    file->count = m->extents.count - file->first;
    if (sum != file->reals)
        fail(r, "as many reals in extents as in the file");
    if (m->extents.failed)
        fail(r, "memory for the extents");
}

int dt_manifest_parse(struct dt_manifest *m, const char *text, size_t size, struct dt_error *err)
{
    struct reader r = {.at = text, .end = text + size, .line = 1, .err = err};
    *m = (struct dt_manifest){0};
    if (read_head(&r, m) < 0)
        goto fail;
    while (see(&r, "file "))
        read_file(&r, m);
    const char *last = r.at;
    want(&r, "end ");
    uint64_t sum = number(&r, 16, UINT64_MAX);
    want(&r, "\n");
    if (!r.failed && (r.at != r.end || sum != dt_hash(text, (size_t)(last - text), FORMAT)))
        fail(&r, "the checksum of all before");
    if (!r.failed)
        return 0;
fail:
    dt_manifest_fini(m);
    return -1;
}

void dt_manifest_fini(struct dt_manifest *m)
{
    free(m->files);
    dt_extents_fini(&m->extents);
    *m = (struct dt_manifest){0};
}

int dt_manifest_compare(const struct dt_model_config *there, const struct dt_model_config *wanted,
                        struct dt_error *err)
{
    if (there->family != wanted->family)
        return dt_error_set(err, "it is of the family %s, and this run has --family %s",
                            dt_family_name(there->family), dt_family_name(wanted->family));
    if (there->untied != wanted->untied)
        return dt_error_set(err, "its head is %s, and this run's is %s",
                            there->untied ? "untied" : "tied", wanted->untied ? "untied" : "tied");
    for (size_t i = 0; i < SIZES; i++)
        if (size_of(there, i) != size_of(wanted, i))
            return dt_error_set(err, "it is of a model with --%s %d, and this run has %d",
                                sizes[i].name, size_of(there, i), size_of(wanted, i));
    return 0;
}
