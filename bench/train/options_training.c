/* SPDX-License-Identifier: Apache-2.0 */
/* Options about how a model is trained. */
#include "options_rows.h"

static const char *const blas_kinds[] = {[DT_BLAS_AUTO] = "auto",
                                         [DT_BLAS_ONEDNN] = "onednn",
                                         [DT_BLAS_OPENBLAS] = "openblas",
                                         [DT_BLAS_BUILTIN] = "builtin",
                                         NULL};

static const char *const precisions[] = {"fp32", "bf16", NULL};

static const char *const recompute_kinds[] = {[DT_RECOMPUTE_NONE] = "none",
                                              [DT_RECOMPUTE_SELECTIVE] = "selective",
                                              [DT_RECOMPUTE_FULL] = "full",
                                              NULL};

const struct dt_option_row dt_options_of_training[] = {
    {"steps", "N", "steps in all, those before a resume included (default: 100)", dt_take_long,
     DT_AT(steps), DT_FROM(1, 1e9)},
    {"global-batch", "N", "samples a step over all ranks; the ranks divide it", dt_take_long,
     DT_AT(global_batch), DT_FROM(1, 1 << 24)},
    {"micro-batch", "N", "samples a rank takes at a time (default: all its share)", dt_take_long,
     DT_AT(micro_batch), DT_FROM(1, 1 << 24)},
    {"recompute", "KIND",
     "what backward makes again instead of keeping it: none, selective (what is cheap) or full "
     "(default: none)",
     dt_take_word, DT_AT(recompute), .words = recompute_kinds},
    {"lr", "X", "highest learning rate, from where it falls to a tenth", dt_take_number,
     DT_AT(rate), DT_FROM(0, 10)},
    {"warmup", "N", "steps up to it (default: a tenth of --steps)", dt_take_long, DT_AT(warmup), 0,
     1e9},
    {"weight-decay", "X", "AdamW's (default: 0.1)", dt_take_number, DT_AT(decay), DT_FROM(0, 10)},
    {"clip", "X", "cut the gradient to this length (default: 0, any length)", dt_take_number,
     DT_AT(clip), DT_FROM(0, 1e6)},
    {"spike", "Z", "end when the loss jumps by Z standard deviations (0: never)", dt_take_number,
     DT_AT(spike), DT_FROM(0, 1e6)},
    {"seed", "N", "of weights and data order (default: 1)", dt_take_seed, DT_AT(seed)},
    {"precision", "KIND", "fp32, or bf16: products of bf16, everything else fp32 (default: fp32)",
     dt_take_word, DT_AT(bf16), .words = precisions},
    {"blas", "KIND", "auto, onednn, openblas or builtin (default: auto)", dt_take_word, DT_AT(blas),
     .words = blas_kinds, .compared = DT_MAY_DIFFER},
    {.name = NULL},
};
