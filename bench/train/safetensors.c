/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the header of a safetensors file; see safetensors.h. */
#include "safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

size_t dt_stored_bytes(enum dt_stored stored)
{
    static const size_t bytes[] = {4, 2, 2, 8, 0};
    return bytes[stored];
}

static enum dt_stored stored_of(const char *name)
{
    static const char *const names[] = {"F32", "BF16", "F16", "F64"};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum dt_stored)i;
    return DT_STORED_OTHER;
}

/* A number that is not negative. */
static bool number(json_t *value, uint64_t *to)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *to = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_shape(struct dt_safetensor *t, json_t *shape, uint64_t *count)
{
    size_t i;
    json_t *size;
    *count = 1;
    if (!json_is_array(shape) || json_array_size(shape) > DT_SAFETENSOR_SHAPE)
        return false;
    json_array_foreach(shape, i,
                       size) if (!number(size, &t->shape[i]) ||
                                 __builtin_mul_overflow(*count, t->shape[i], count)) return false;
    t->dimensions = json_array_size(shape);
    return true;
}

static int read_one(struct dt_safetensor *t, const char *name, json_t *value, uint64_t data,
                    struct dt_error *err)
{
    json_t *offsets = json_object_get(value, "data_offsets");
    uint64_t count, bytes;
    t->stored = stored_of(json_string_value(json_object_get(value, "dtype")));
    if (!read_shape(t, json_object_get(value, "shape"), &count) ||
        !number(json_array_get(offsets, 0), &t->begin) ||
        !number(json_array_get(offsets, 1), &t->end) || t->begin > t->end || t->end > data)
        return dt_error_set(err,
                            "its tensor %.80s has no shape, or does not lie in the file; it "
                            "may be cut short",
                            name);
    if (t->stored != DT_STORED_OTHER &&
        (__builtin_mul_overflow(count, dt_stored_bytes(t->stored), &bytes) ||
         bytes != t->end - t->begin))
        return dt_error_set(err, "its tensor %.80s has %llu bytes, which its shape does not have",
                            name, (unsigned long long)(t->end - t->begin));
    t->name = strdup(name);
    return t->name ? 0 : dt_error_set(err, "no memory for the names of its tensors");
}

int dt_safetensors_parse(struct dt_safetensors *s, const char *text, size_t length, uint64_t data,
                         struct dt_error *err)
{
    json_error_t why;
    const char *name;
    json_t *root = json_loadb(text, length, 0, &why), *value;
    *s = (struct dt_safetensors){0};
    if (!json_is_object(root)) {
        json_decref(root);
        return dt_error_set(err, "its header is not JSON, so that it is no safetensors file");
    }
    s->list = calloc(json_object_size(root) + 1, sizeof *s->list);
    int rc = s->list ? 0 : -1;
    if (rc < 0)
        dt_error_set(err, "no memory for the names of its tensors");
    json_object_foreach(root, name, value) if (rc == 0 && strcmp(name, "__metadata__") != 0) rc =
        read_one(&s->list[s->count++], name, value, data, err);
    json_decref(root);
    if (rc < 0)
        dt_safetensors_fini(s);
    return rc;
}

void dt_safetensors_fini(struct dt_safetensors *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->list[i].name);
    free(s->list);
    *s = (struct dt_safetensors){0};
}
