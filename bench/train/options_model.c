/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what is trained: the data, and the sizes of the model. */
#include <stdlib.h>

#include "options_rows.h"

static DT_TAKER(take_data)
{
    (void)row;
    char **grown = realloc(options->data, (options->data_count + 1) * sizeof *grown);
    if (!grown)
        return dt_error_set(err, "no memory for %zu --data options", options->data_count + 1);
    options->data = grown;
    options->data[options->data_count++] = text;
    return 0;
}

static const char *const families[] = {
    [DT_FAMILY_GPT2] = "gpt2", [DT_FAMILY_LLAMA] = "llama", NULL};

/* The limits keep products of two sizes in range. Compared are the sizes that follow from the preset
 * and what was given. */
const struct dt_option_row dt_options_of_model[] = {
    {"data", "FILE|DIR", "text to learn; any bytes; may be given several times", take_data,
     .compared = DT_MAY_DIFFER},
    {"tokenizer", "FILE|DIR", "tokens of the text: tokenizer.json, tokenizer.model, vocab.json",
     dt_take_text, DT_AT(tokenizer_path), .compared = DT_GIVEN_EQUAL},
    {"write-tokens", "FILE", "write the tokens of --data to FILE, and end", dt_take_text,
     DT_AT(write_tokens), .compared = DT_GIVEN_EQUAL},
    {"init", "FILE|DIR", "begin from a public model: safetensors, or llm.c's .bin", dt_take_text,
     DT_AT(init_path), .compared = DT_GIVEN_EQUAL},
    {"preset", "NAME", "tiny (default), small, gpt2-124m, llama-1b ...; sets what follows",
     dt_take_text, DT_AT(preset), .compared = DT_MAY_DIFFER},
    {"family", "NAME", "gpt2 or llama", dt_take_word, DT_AT(model.family), .words = families},
    {"layers", "N", "transformer layers", dt_take_int, DT_AT(model.layers), DT_FROM(1, 1000)},
    {"channels", "N", "width of the model", dt_take_int, DT_AT(model.channels), DT_FROM(1, 65536)},
    {"heads", "N", "attention heads; divides --channels", dt_take_int, DT_AT(model.heads),
     DT_FROM(1, 4096)},
    {"kv-heads", "N", "heads of keys and values; divides --heads", dt_take_int,
     DT_AT(model.kv_heads), DT_FROM(1, 4096)},
    {"hidden", "N", "width of the second half of a layer", dt_take_int, DT_AT(model.hidden), 1,
     1 << 20},
    {"experts", "N", "a layer's second half is so many, of which a router chooses", dt_take_int,
     DT_AT(model.experts), DT_FROM(1, 1024)},
    {"experts-per-token", "N", "as many for each token (default: 2)", dt_take_int,
     DT_AT(model.experts_per_token), DT_FROM(1, 1024)},
    {"experts-balance", "X", "weight of the loss that keeps them evenly used (default: 0.01)",
     dt_take_number, DT_AT(model.experts_balance), DT_FROM(0, 1000)},
    {"seq", "N", "tokens of context", dt_take_int, DT_AT(model.seq), DT_FROM(1, 1 << 20)},
    {"vocab", "N", "tokens there are; bytes want 256", dt_take_int, DT_AT(model.vocab), 256,
     1 << 20},
    {"rope-base", "N", "of rotary positions (llama; default: 500000)", dt_take_int,
     DT_AT(model.rope_base), DT_FROM(1, 1e9)},
    {"tied", NULL, "the head is the table of tokens", dt_take_set, DT_AT(model.untied), .least = 0,
     .compared = DT_MAY_DIFFER},
    {"untied", NULL, "the head has a table of its own", dt_take_set, DT_AT(model.untied),
     .least = 1},
    {.name = NULL},
};
