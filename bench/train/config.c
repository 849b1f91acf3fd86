/* SPDX-License-Identifier: Apache-2.0 */
/* Families, presets and sizes that fit together; see config.h. Presets with a public model's name
 * have its sizes: GPT-2 (Radford et al. 2019, table 2; 50257 tokens), Llama 3.1 and 3.2. */
#include "config.h"

#include <string.h>

enum { GPT2_VOCAB = 50257, LLAMA_VOCAB = 128256 };

#define GPT2(L, C, H, T, V)                                                                        \
    {                                                                                              \
        .layers = (L), .channels = (C), .heads = (H), .seq = (T), .vocab = (V)                     \
    }
#define LLAMA(L, C, H, KV, HIDDEN, T, V, UNTIED)                                                   \
    {                                                                                              \
        .layers = (L), .channels = (C), .heads = (H), .seq = (T), .vocab = (V),                    \
        .family = DT_FAMILY_LLAMA, .kv_heads = (KV), .hidden = (HIDDEN), .untied = (UNTIED)        \
    }

static const struct dt_preset presets[] = {
    {"tiny", GPT2(1, 64, 2, 16, 256), 128, 4e-3},
    {"small", GPT2(6, 384, 6, 256, 256), 16, 1e-3},
    {"gpt2-124m", GPT2(12, 768, 12, 1024, GPT2_VOCAB), 8, 6e-4},
    {"gpt2-355m", GPT2(24, 1024, 16, 1024, GPT2_VOCAB), 8, 3e-4},
    {"gpt2-774m", GPT2(36, 1280, 20, 1024, GPT2_VOCAB), 8, 2.5e-4},
    {"gpt2-1558m", GPT2(48, 1600, 25, 1024, GPT2_VOCAB), 8, 2e-4},
    {"llama-tiny", LLAMA(1, 64, 4, 2, 192, 16, 256, 1), 128, 4e-3},
    {"llama-small", LLAMA(6, 384, 6, 2, 1024, 256, 256, 0), 16, 1e-3},
    {"llama-1b", LLAMA(16, 2048, 32, 8, 8192, 2048, LLAMA_VOCAB, 0), 8, 3e-4},
    {"llama-3b", LLAMA(28, 3072, 24, 8, 8192, 2048, LLAMA_VOCAB, 0), 8, 3e-4},
    {"llama-8b", LLAMA(32, 4096, 32, 8, 14336, 2048, LLAMA_VOCAB, 1), 8, 3e-4},
};

static const char *const families[] = {"gpt2", "llama"};

const char *dt_family_name(int family)
{
    return families[family];
}

int dt_family_find(const char *name)
{
    for (int i = 0; i < (int)(sizeof families / sizeof *families); i++)
        if (strcmp(name, families[i]) == 0)
            return i;
    return -1;
}

const struct dt_preset *dt_preset_at(size_t index)
{
    return index < sizeof presets / sizeof *presets ? &presets[index] : NULL;
}

const struct dt_preset *dt_preset_find(const char *name)
{
    const struct dt_preset *preset;
    for (size_t i = 0; (preset = dt_preset_at(i)); i++)
        if (strcmp(name, preset->name) == 0)
            return preset;
    return NULL;
}

void dt_config_fill(struct dt_model_config *c)
{
    const bool llama = c->family == DT_FAMILY_LLAMA;
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (!c->hidden)
        c->hidden = llama ? (8 * c->channels / 3 + 63) / 64 * 64 : 4 * c->channels;
    if (!c->rope_base)
        c->rope_base = 500000;
    if (c->experts && !c->experts_per_token)
        c->experts_per_token = c->experts < 2 ? 1 : 2;
}

long dt_nearest_divisor(long number, long wanted)
{
    for (long away = 0;; away++) {
        if (wanted - away >= 1 && number % (wanted - away) == 0)
            return wanted - away;
        if (wanted + away <= number && number % (wanted + away) == 0)
            return wanted + away;
    }
}

int dt_config_check(const struct dt_model_config *c, struct dt_error *err)
{
    if (c->channels % c->heads != 0)
        return dt_error_set(err,
                            "--heads %d does not divide --channels %d; the nearest that does "
                            "is --heads %ld",
                            c->heads, c->channels, dt_nearest_divisor(c->channels, c->heads));
    if (c->heads % c->kv_heads != 0)
        return dt_error_set(err,
                            "--kv-heads %d does not divide --heads %d; the nearest that does "
                            "is --kv-heads %ld",
                            c->kv_heads, c->heads, dt_nearest_divisor(c->heads, c->kv_heads));
    if (c->experts_per_token > 0 && c->experts == 0)
        return dt_error_set(err, "--experts-per-token %d wants --experts N, how many there are",
                            c->experts_per_token);
    if (c->experts_per_token > c->experts)
        return dt_error_set(err,
                            "--experts-per-token %d is more than --experts %d; the nearest that "
                            "fits is --experts-per-token %d",
                            c->experts_per_token, c->experts, c->experts);
    if (c->family == DT_FAMILY_LLAMA && dt_config_head(c) % 2 != 0)
        return dt_error_set(err,
                            "a head of %zu channels (--channels %d, --heads %d) can not be "
                            "rotated: the family llama wants an even number",
                            dt_config_head(c), c->channels, c->heads);
    return 0;
}
