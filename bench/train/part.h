/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of the model one rank holds, and how wide its tensors are. The config (config.h) always
 * speaks of the whole model. Where the parts lie in whole tensors is layout.h's. */
#ifndef DT_TRAIN_PART_H
#define DT_TRAIN_PART_H

#include "config.h"

/* The all-zero part is the whole model. */
struct dt_part {
    int tp, tp_size;   /* share of each product: heads, hidden channels, rows of the vocabulary */
    int stage, stages; /* layers, */
    int chunks;        /* in so many runs of neighbours a stage (interleaved) */
    int ep, ep_size;   /* share of the experts */
};

/* A bucket of gradients is summed over those who have the same: all tensors of a part are dense but
 * the experts'. */
enum dt_bucket_kind { DT_BUCKET_DENSE, DT_BUCKET_EXPERTS, DT_BUCKET_KINDS };

/* `count` things in `shares`: those of one share, whose sizes differ by one at most. */
struct dt_range {
    size_t first, count;
};
struct dt_range dt_share(size_t count, size_t share, size_t shares);

/* The widths of a part's tensors and activations. */
struct dt_widths {
    size_t channels;        /* of the residual stream: never cut */
    size_t heads, kv_heads; /* of this part */
    size_t head;            /* channels of one */
    size_t attended;        /* channels of its heads */
    size_t qkv;             /* a row of queries, keys and values */
    size_t hidden, up;      /* the wide half; what is before the activation (SwiGLU: twice) */
    struct dt_range vocab;  /* tokens whose rows of the tables, and whose logits, are here */
    struct dt_range experts;
};
struct dt_widths dt_part_widths(const struct dt_model_config *config, const struct dt_part *part);

/* Can the model be cut so? The sentence names the nearest that can. */
int dt_part_check(const struct dt_model_config *config, const struct dt_part *part,
                  struct dt_error *err);

/* Layers: the model's are dealt out in stages x chunks runs of neighbours; run r belongs to stage
 * r % stages, as its chunk r / stages. Chunk 0 of the first stage has the embedding before it, the
 * last chunk of the last stage the norm and the head behind it. */
struct dt_range dt_part_layers(const struct dt_model_config *config, const struct dt_part *part,
                               int chunk);
size_t dt_part_layer_count(const struct dt_model_config *config, const struct dt_part *part);
bool dt_part_is_first(const struct dt_part *part);
bool dt_part_is_last(const struct dt_part *part);

static inline int dt_part_tp(const struct dt_part *part)
{
    return part->tp_size > 1 ? part->tp_size : 1;
}

static inline int dt_part_stages(const struct dt_part *part)
{
    return part->stages > 1 ? part->stages : 1;
}

static inline int dt_part_chunks(const struct dt_part *part)
{
    return part->chunks > 1 ? part->chunks : 1;
}

#endif
