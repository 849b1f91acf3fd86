/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a safetensors file: the length of a JSON text (64 bits, little endian), the text,
 * and the tensors' bytes one after another. */
#ifndef DT_TRAIN_SAFETENSORS_H
#define DT_TRAIN_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* How a number is stored. */
enum dt_stored { DT_STORED_F32, DT_STORED_BF16, DT_STORED_F16, DT_STORED_F64, DT_STORED_OTHER };
size_t dt_stored_bytes(enum dt_stored stored);

enum { DT_SAFETENSOR_SHAPE = 8 };
struct dt_safetensor {
    char *name;
    enum dt_stored stored;
    uint64_t shape[DT_SAFETENSOR_SHAPE];
    size_t dimensions;
    uint64_t begin, end; /* bytes after the header */
};

struct dt_safetensors {
    struct dt_safetensor *list;
    size_t count;
};

#define DT_SAFETENSORS_MOST (UINT64_C(100) << 20) /* bytes of a header, as the format's own limit */

/* text: the JSON; data: bytes of the file behind it. Every tensor of numbers lies within, and has as
 * many bytes as its shape says. */
int dt_safetensors_parse(struct dt_safetensors *s, const char *text, size_t length, uint64_t data,
                         struct dt_error *err);
void dt_safetensors_fini(struct dt_safetensors *s);

#endif
