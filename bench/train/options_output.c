/* SPDX-License-Identifier: Apache-2.0 */
/* Options about checkpoints and output. */
#include "options_rows.h"

const struct dt_option_row dt_options_of_output[] = {
    {"checkpoint", "DIR", "save at the end, and on SIGUSR1 and SIGTERM", dt_take_text,
     DT_AT(checkpoint), .compared = DT_GIVEN_EQUAL},
    {"save-every", "N", "and every N steps", dt_take_long, DT_AT(save_every), DT_FROM(1, 1e9)},
    {"resume", NULL, "go on from the newest whole checkpoint, if there is one", dt_take_on,
     DT_AT(resume)},
    {"validate-every", "N", "compare what several ranks hold of the parameters every N steps",
     dt_take_long, DT_AT(validate_every), 1, 1e9},
    {"export", "DIR", "write the trained model for Hugging Face's transformers", dt_take_text,
     DT_AT(export_to), .compared = DT_GIVEN_EQUAL},
    {"eval-every", "N", "hold out the last tenth of the data; loss on it every N", dt_take_long,
     DT_AT(eval_every), DT_FROM(1, 1e9)},
    {"print-every", "N", "steps a printed line (default: about 20 lines)", dt_take_long,
     DT_AT(print_every), DT_FROM(1, 1e9), .compared = DT_MAY_DIFFER},
    {"log", "FILE", "append a JSON object a step", dt_take_text, DT_AT(log),
     .compared = DT_MAY_DIFFER},
    {.name = NULL},
};
