/* SPDX-License-Identifier: Apache-2.0 */
/* From the tensors of a public model to a rank's array; see import.h. */
#include "import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import_file.h"
#include "public.h"

enum { CHUNK = 16384 }; /* numbers that are read at a time */

/* Where the values of a piece of one of our tensors are. */
struct source {
    struct dt_public_tensor to;
    const struct dt_import_tensor *from;
};

static size_t columns_of(const struct source *s)
{
    return s->to.columns > 0 ? s->to.columns : 1; /* of a vector, too */
}

struct filling {
    const struct dt_import *import;
    struct source *sources;
    size_t source_count;
    real *params;
    unsigned char *raw;         /* CHUNK numbers */
    unsigned char *turned;      /* the bytes of a whole transposed tensor, */
    const struct source *which; /* and whose */
    int rc;
    struct dt_error *err;
};

int dt_import_check(const struct dt_import *import, const struct dt_model_config *config,
                    struct dt_error *err)
{
    const struct dt_model_config *has = &import->config;
    const struct {
        const char *name;
        int has, wants;
    } sizes[] = {{"layers", has->layers, config->layers},
                 {"channels", has->channels, config->channels},
                 {"heads", has->heads, config->heads},
                 {"kv-heads", has->kv_heads, config->kv_heads},
                 {"hidden", has->hidden, config->hidden},
                 {"experts", has->experts, config->experts},
                 {"experts-per-token", has->experts_per_token, config->experts_per_token},
                 {"vocab", has->vocab, config->vocab},
                 {"rope-base", has->rope_base, config->rope_base}};
    if (has->family != config->family || has->untied != config->untied)
        return dt_error_set(err,
                            "--init has a model of the family %s, %s, which options say "
                            "otherwise; leave --family, --tied and --untied out",
                            dt_family_name(has->family), has->untied ? "untied" : "tied");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].has != sizes[i].wants)
            return dt_error_set(err, "--%s is %d, and the model of --init has %d; leave it out",
                                sizes[i].name, sizes[i].wants, sizes[i].has);
    if (config->seq > import->most)
        return dt_error_set(err, "--seq is %d, and the model of --init knows %d positions at most",
                            config->seq, import->most);
    return 0;
}

/* Public files of a GPT-2 leave "transformer." out, some of a Llama "model.". */
static const struct dt_import_tensor *find(const struct dt_import *import, const char *name)
{
    const char *dot = strchr(name, '.');
    for (size_t i = 0; i < import->tensor_count; i++)
        if (strcmp(import->tensors[i].name, name) == 0)
            return &import->tensors[i];
    for (size_t i = 0; dot && strncmp(name, "lm_head", 7) != 0 && i < import->tensor_count; i++)
        if (strcmp(import->tensors[i].name, dot + 1) == 0)
            return &import->tensors[i];
    return NULL;
}

static int match(struct filling *f, const struct dt_public_tensor *to, struct dt_error *err)
{
    const struct dt_import_tensor *from = find(f->import, to->name);
    if (!from)
        return dt_error_set(err, "--init has no tensor %s", to->name);
    struct source *source = &f->sources[f->source_count++];
    *source = (struct source){.to = *to, .from = from};
    source->to.turned = to->turned && !from->as_ours;
    bool turned = source->to.turned;
    uint64_t rows = turned ? from->columns : from->rows;
    uint64_t columns = turned ? from->rows : from->columns;
    /* positions that are not wanted, and the padding of llm.c's table of tokens */
    bool longer = strstr(to->name, ".wpe.") || (from->as_ours && strstr(to->name, ".wte."));
    if (columns != to->columns || (longer ? rows < to->rows : rows != to->rows))
        return dt_error_set(err, "--init has %s with %llu x %llu, and its sizes want %zu x %zu",
                            to->name, (unsigned long long)rows, (unsigned long long)columns,
                            to->rows, to->columns);
    return 0;
}

static float from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
             fraction = half & 0x3ff, bits;
    float value;
    if (exponent == 0) {
        value = (float)fraction / 16777216.0f; /* 2^-24 */
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static real number(const unsigned char *bytes, enum dt_stored stored)
{
    float narrow;
    double wide;
    uint16_t half;
    uint32_t bits;
    switch (stored) {
    case DT_STORED_F32:
        memcpy(&narrow, bytes, sizeof narrow);
        return (real)narrow;
    case DT_STORED_F64:
        memcpy(&wide, bytes, sizeof wide);
        return (real)wide;
    case DT_STORED_F16:
        memcpy(&half, bytes, sizeof half);
        return (real)from_f16(half);
    default: /* bf16 */
        memcpy(&half, bytes, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&narrow, &bits, sizeof narrow);
        return (real)narrow;
    }
}

/* `count` values from the piece's real `first` on, which lie one after another in the file. */
static int read_straight(struct filling *f, const struct source *s, real *to, size_t first,
                         size_t count)
{
    const struct dt_import_file *file = &f->import->files[s->from->file];
    size_t each = dt_stored_bytes(s->from->stored);
    while (count > 0) {
        size_t now = count < CHUNK ? count : CHUNK;
        if (dt_import_read(file, f->raw, now * each, s->from->offset + first * each, f->err) < 0)
            return -1;
        for (size_t i = 0; i < now; i++)
            to[i] = number(f->raw + i * each, s->from->stored);
        to += now;
        first += now;
        count -= now;
    }
    return 0;
}

/* The same of a transposed one, which is kept whole while it is used. */
static int read_turned(struct filling *f, const struct source *s, real *to, size_t first,
                       size_t count)
{
    const struct dt_import_file *file = &f->import->files[s->from->file];
    size_t each = dt_stored_bytes(s->from->stored), columns = columns_of(s);
    if (f->which != s) {
        size_t bytes = s->to.rows * columns * each;
        unsigned char *grown = realloc(f->turned, bytes > 0 ? bytes : 1);
        if (!grown)
            return dt_error_set(f->err, "no memory for %s of --init", s->to.name);
        f->turned = grown;
        f->which = NULL;
        if (dt_import_read(file, f->turned, bytes, s->from->offset, f->err) < 0)
            return -1;
        f->which = s;
    }
    for (size_t i = 0; i < count; i++) {
        size_t row = (first + i) / columns, column = (first + i) % columns;
        to[i] = number(f->turned + (column * s->to.rows + row) * each, s->from->stored);
    }
    return 0;
}

/* A model that was saved after it had failed. */
static int check_finite(const struct source *s, const real *values, size_t count,
                        struct dt_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return dt_error_set(err,
                                "%s of --init holds %g, which is no weight; the model was saved "
                                "after its training had failed, so give one from before",
                                s->to.name, (double)values[i]);
    return 0;
}

/* One of our runs, from as many pieces as it goes over. */
static void fill_run(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    struct filling *f = context;
    for (size_t i = 0; f->rc == 0 && i < f->source_count; i++) {
        const struct source *s = &f->sources[i];
        size_t count = s->to.rows * columns_of(s);
        size_t begin = s->to.first > run->there ? s->to.first : run->there;
        size_t end = s->to.first + count < run->there + run->count ? s->to.first + count
                                                                   : run->there + run->count;
        if (s->to.index != tensor->index || begin >= end)
            continue;
        real *to = f->params + run->here + (begin - run->there);
        f->rc = (s->to.turned ? read_turned : read_straight)(f, s, to, begin - s->to.first,
                                                             end - begin);
        if (f->rc == 0)
            f->rc = check_finite(s, to, end - begin, f->err);
    }
}

static int find_sources(struct filling *f, const struct dt_model_config *config,
                        struct dt_error *err)
{
    struct dt_layout whole;
    size_t count = 0;
    if (dt_layout_init(&whole, config, NULL, err) < 0)
        return -1;
    struct dt_public_tensor *wanted = dt_public_tensors(&whole, &count);
    f->sources = calloc(count + 1, sizeof *f->sources);
    int rc = wanted && f->sources ? 0 : -1;
    if (rc < 0)
        dt_error_set(err, "no memory for the tensors of --init");
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = match(f, &wanted[i], err);
    free(wanted);
    dt_layout_fini(&whole);
    return rc;
}

int dt_import_values(struct dt_import *import, const struct dt_layout *own, real *params,
                     struct dt_error *err)
{
    struct filling f = {.import = import, .params = params, .err = err};
    f.raw = malloc(CHUNK * dt_stored_bytes(DT_STORED_F64)); /* the widest */
    if (!f.raw) {
        dt_error_set(err, "no memory to read --init");
        f.rc = -1;
    }
    if (f.rc == 0)
        f.rc = find_sources(&f, &own->config, err);
    if (f.rc == 0)
        dt_layout_runs(own, 0, own->total, fill_run, &f);
    free(f.raw);
    free(f.turned);
    free(f.sources);
    return f.rc;
}
