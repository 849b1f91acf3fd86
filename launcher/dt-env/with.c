/* SPDX-License-Identifier: Apache-2.0 */
/* Reading --with, and the guess at what a misspelt word was to be. */
#include "with.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

const struct component components[] = {
    {"libfabric", "lib.libfabric", "libfabric"},
    {"ofi-nccl", "lib.ofi_nccl", "aws-ofi-nccl"},
    {"aws-ofi-nccl", "lib.ofi_nccl", "aws-ofi-nccl"},
    {"nccl", "lib.nccl", "NCCL"},
    {"efa-installer", "efa.installer", "EFA installer"},
    {"efa-driver", "driver.efa", "EFA driver"},
    {"rdma-core", "lib.rdma_core", "rdma-core"},
    {"kernel", "kernel.release", "kernel"},
    {"nvidia-driver", "driver.nvidia", "NVIDIA driver"},
    {"cuda", "lib.cuda", "CUDA"},
    {"neuron-driver", "driver.neuron", "Neuron driver"},
    {"neuron", "lib.neuron", "Neuron runtime"},
    {"torch", "lib.torch", "PyTorch"},
    {"pytorch", "lib.torch", "PyTorch"},
    {NULL, NULL, NULL},
};

/* Edits (insert, delete, replace) from a to b, by the usual table of one row; words are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], width = strlen(b);
    if (width >= sizeof row / sizeof *row || strlen(a) >= sizeof row / sizeof *row)
        return SIZE_MAX;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t cost = corner + (tolower((unsigned char)*a) != tolower((unsigned char)b[j - 1]));
            corner = row[j];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1;
            row[j] = cost;
        }
    }
    return row[width];
}

const char *nearest_word(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t best = strlen(word) / 3 + 1;
    for (; *words; words++) {
        size_t here = distance(word, *words);
        bool begins = *word && strlen(word) > 2 && strncasecmp(*words, word, strlen(word)) == 0;
        if (begins)
            here = here > 1 ? 1 : here;
        if (here <= best && (!nearest || here < best)) {
            nearest = *words;
            best = here;
        }
    }
    return nearest;
}

static const struct component *find(const char *name, size_t len)
{
    for (const struct component *c = components; c->name; c++)
        if (strncmp(c->name, name, len) == 0 && c->name[len] == '\0')
            return c;
    return NULL;
}

static int unknown_component(const char *name, struct dt_error *err)
{
    const char *names[sizeof components / sizeof *components];
    struct dt_buf list = DT_BUF_INIT;
    const char *near;
    size_t i;
    for (i = 0; components[i].name; i++) {
        names[i] = components[i].name;
        dt_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    names[i] = NULL;
    near = nearest_word(name, names);
    if (near)
        dt_error_set(err, "--with: no component '%s'; did you mean '%s'?", name, near);
    else
        dt_error_set(err, "--with: no component '%s'; there are %s", name,
                     list.data ? list.data : "");
    dt_buf_fini(&list);
    return -1;
}

static bool is_version(const char *text)
{
    static const char parts[] =
        "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+~_";
    const char *digit = text + (*text == 'v');
    return isdigit((unsigned char)*digit) && strspn(text, parts) == strlen(text) &&
           strlen(text) < 64;
}

static int apply_one(struct dt_facts *facts, char *word, struct dt_error *err)
{
    char *equals = strchr(word, '=');
    const struct component *component;
    if (!equals)
        return dt_error_set(err, "--with: '%s' is not COMPONENT=VERSION, such as libfabric=1.22.0",
                            word);
    *equals = '\0';
    component = find(word, strlen(word));
    if (!component)
        return unknown_component(word, err);
    if (!is_version(equals + 1))
        return dt_error_set(err, "--with: '%s' is no version of %s, such as 1.22.0 or 2.1.0amzn5.0",
                            equals + 1, component->label);
    if (dt_facts_set_string(facts, component->fact, equals + 1) < 0)
        return dt_error_set(err, "out of memory");
    return 0;
}

int with_apply(struct dt_facts *facts, const char *with, struct dt_error *err)
{
    char *copy = with ? strdup(with) : NULL, *rest = copy, *word;
    int rc = 0;
    if (with && !copy)
        return dt_error_set(err, "out of memory");
    while (rc == 0 && rest && (word = strsep(&rest, ",")))
        rc = *word ? apply_one(facts, word, err)
                   : dt_error_set(err, "--with: empty word in '%s', expected COMPONENT=VERSION,...",
                                  with);
    free(copy);
    return rc;
}
