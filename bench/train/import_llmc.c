/* SPDX-License-Identifier: Apache-2.0 */
/* llm.c's checkpoint of a GPT-2, as its train_gpt2.py writes it: a header of 256 32-bit numbers, then
 * each kind of tensor for all layers, matrices as outputs x inputs, the token table padded. */
#include <stdio.h>
#include <string.h>

#include "import_file.h"

enum { MAGIC = 20240326, VERSION_F32 = 3, VERSION_BF16 = 5, HEADER = 1024 };

int dt_import_llmc_sizes(struct dt_model_config *config, int *padded, enum dt_stored *stored,
                         const int32_t header[8], struct dt_error *err)
{
    if (header[0] != MAGIC)
        return dt_error_set(err,
                            "it is no checkpoint of llm.c: it begins with %d, and %d is "
                            "wanted",
                            header[0], MAGIC);
    if (header[1] != VERSION_F32 && header[1] != VERSION_BF16)
        return dt_error_set(err, "it is of version %d, and %d (fp32) or %d (bf16) is wanted",
                            header[1], VERSION_F32, VERSION_BF16);
    for (int i = 2; i < 8; i++)
        if (header[i] < 1 || header[i] > 1 << 24)
            return dt_error_set(err, "number %d of its header, %d, is no size of a model", i,
                                header[i]);
    *stored = header[1] == VERSION_F32 ? DT_STORED_F32 : DT_STORED_BF16;
    *config = (struct dt_model_config){.family = DT_FAMILY_GPT2,
                                       .seq = header[2],
                                       .vocab = header[3],
                                       .layers = header[4],
                                       .heads = header[5],
                                       .channels = header[6]};
    *padded = header[7];
    if (*padded < config->vocab)
        return dt_error_set(err, "its table of %d tokens is padded to %d", config->vocab, *padded);
    return 0;
}

/* One kind of tensor: of each layer, or once. */
static int add(struct dt_import *import, uint64_t *at, enum dt_stored stored, const char *name,
               int layers, uint64_t rows, uint64_t columns, struct dt_error *err)
{
    for (int layer = 0; layer < (layers > 0 ? layers : 1); layer++) {
        char full[80];
        if (layers > 0)
            snprintf(full, sizeof full, "transformer.h.%d.%s", layer, name);
        else
            snprintf(full, sizeof full, "transformer.%s", name);
        if (dt_import_add_tensor(import,
                                 &(struct dt_import_tensor){.name = full,
                                                            .offset = *at,
                                                            .stored = stored,
                                                            .rows = rows,
                                                            .columns = columns,
                                                            .as_ours = true},
                                 err) < 0)
            return -1;
        *at += rows * (columns > 0 ? columns : 1) * dt_stored_bytes(stored);
    }
    return 0;
}

int dt_import_llmc(struct dt_import *import, struct dt_error *err)
{
    const struct dt_import_file *file = &import->files[0];
    struct dt_model_config *m = &import->config;
    int32_t header[8];
    int padded = 0;
    enum dt_stored stored = DT_STORED_F32;
    if (dt_import_read(file, header, sizeof header, 0, err) < 0 ||
        dt_import_llmc_sizes(m, &padded, &stored, header, err) < 0)
        return -1;
    import->most = m->seq;
    uint64_t c = (uint64_t)m->channels, at = HEADER;
    const struct {
        const char *name;
        int layers;
        uint64_t rows, columns;
    } kinds[] = {{"wte.weight", 0, (uint64_t)padded, c},
                 {"wpe.weight", 0, (uint64_t)m->seq, c},
                 {"ln_1.weight", m->layers, c, 0},
                 {"ln_1.bias", m->layers, c, 0},
                 {"attn.c_attn.weight", m->layers, 3 * c, c},
                 {"attn.c_attn.bias", m->layers, 3 * c, 0},
                 {"attn.c_proj.weight", m->layers, c, c},
                 {"attn.c_proj.bias", m->layers, c, 0},
                 {"ln_2.weight", m->layers, c, 0},
                 {"ln_2.bias", m->layers, c, 0},
                 {"mlp.c_fc.weight", m->layers, 4 * c, c},
                 {"mlp.c_fc.bias", m->layers, 4 * c, 0},
                 {"mlp.c_proj.weight", m->layers, c, 4 * c},
                 {"mlp.c_proj.bias", m->layers, c, 0},
                 {"ln_f.weight", 0, c, 0},
                 {"ln_f.bias", 0, c, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (add(import, &at, stored, kinds[i].name, kinds[i].layers, kinds[i].rows,
                kinds[i].columns, err) < 0)
            return -1;
    if (at != file->size)
        return dt_error_set(err, "it has %llu bytes, and its sizes want %llu; it may be cut short",
                            (unsigned long long)file->size, (unsigned long long)at);
    return 0;
}
