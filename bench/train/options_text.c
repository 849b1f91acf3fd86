/* SPDX-License-Identifier: Apache-2.0 */
/* Options about text from the trained model. */
#include "options_rows.h"

const struct dt_option_row dt_options_of_text[] = {
    {"generate", "N", "so many tokens of text from the model at the end", dt_take_long,
     DT_AT(generate), DT_FROM(1, 1e9)},
    {"prompt", "TEXT", "what the text begins with (default: its own beginning)", dt_take_text,
     DT_AT(prompt)},
    {"temperature", "X", "0: the most probable token; 1: by probability (default: 0.8)",
     dt_take_number, DT_AT(temperature), DT_FROM(0, 100)},
    {"top", "N", "draw among the N most probable tokens (default: 40; 0: all)", dt_take_long,
     DT_AT(top), DT_FROM(0, 1e9)},
    {.name = NULL},
};
