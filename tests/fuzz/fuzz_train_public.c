/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of public models: config.json, a safetensors header. Any bytes are refused with a
 * sentence, or say sizes that are in range and tensors that lie within their file. */
#include <stdlib.h>
#include <string.h>

#include "../../bench/train/public_config.c"
#include "../../bench/train/safetensors.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_config(const char *text, size_t length)
{
    struct dt_model_config c;
    struct dt_error err = {""};
    int most;
    int rc = dt_public_config(&c, &most, text, length, &err);
    if (rc < 0 && !err.text[0])
        abort();
    if (rc == 0 && (c.layers < 1 || c.channels < 1 || c.heads < 1 || c.seq < 1 || c.vocab < 1 ||
                    c.kv_heads < 0 || c.hidden < 0 || c.seq > most))
        abort();
}

static void try_header(const char *text, size_t length)
{
    enum { DATA = 1000 };
    struct dt_safetensors s;
    struct dt_error err = {""};
    int rc = dt_safetensors_parse(&s, text, length, DATA, &err);
    if (rc < 0 && !err.text[0])
        abort();
    for (size_t i = 0; rc == 0 && i < s.count; i++)
        if (s.list[i].begin > s.list[i].end || s.list[i].end > DATA)
            abort();
    if (rc == 0)
        dt_safetensors_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2)
        try_config((const char *)data + 1, size - 1);
    else
        try_header((const char *)data + 1, size - 1);
    return 0;
}
