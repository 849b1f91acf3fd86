/* SPDX-License-Identifier: Apache-2.0 */
/* Shares of sizes, and which sizes can be shared; see part.h. */
#include "part.h"

struct dt_range dt_share(size_t count, size_t share, size_t shares)
{
    size_t begin = count * share / shares;
    return (struct dt_range){begin, count * (share + 1) / shares - begin};
}

struct dt_widths dt_part_widths(const struct dt_model_config *c, const struct dt_part *part)
{
    size_t tp = (size_t)dt_part_tp(part), head = dt_config_head(c);
    struct dt_widths w = {.channels = (size_t)c->channels,
                          .heads = (size_t)c->heads / tp,
                          .kv_heads = (size_t)c->kv_heads / tp,
                          .head = head,
                          .hidden = (size_t)c->hidden / tp,
                          .vocab = dt_share((size_t)c->vocab, (size_t)part->tp, tp),
                          .experts = dt_share((size_t)c->experts, (size_t)part->ep,
                                              (size_t)(part->ep_size > 1 ? part->ep_size : 1))};
    w.attended = w.heads * head;
    w.qkv = (w.heads + 2 * w.kv_heads) * head;
    w.up = dt_config_up(c) / tp;
    return w;
}

/* The largest divisor of all three that is not above `wanted`. */
static int nearest_tp(const struct dt_model_config *c, int wanted)
{
    int tp = wanted < c->kv_heads ? wanted : c->kv_heads;
    tp = tp < c->vocab ? tp : c->vocab;
    while (c->heads % tp != 0 || c->kv_heads % tp != 0 || c->hidden % tp != 0)
        tp--;
    return tp;
}

static int refuse_stages(const struct dt_model_config *c, const struct dt_part *part,
                         struct dt_error *err)
{
    int chunks = dt_part_chunks(part), pp = dt_part_stages(part), nearest = pp;
    while (nearest > 0 && c->layers % (nearest * chunks) != 0)
        nearest--;
    if (chunks == 1)
        return dt_error_set(err,
                            "--pp %d does not divide --layers %d; the nearest that fits is --pp %d",
                            pp, c->layers, nearest);
    if (nearest == 0)
        return dt_error_set(err,
                            "--pp-chunks %d does not divide --layers %d; the nearest that fits is "
                            "--pp-chunks %ld",
                            chunks, c->layers, dt_nearest_divisor(c->layers, chunks));
    return dt_error_set(err,
                        "--pp %d x --pp-chunks %d does not divide --layers %d; the nearest that "
                        "fits is --pp %d --pp-chunks %d",
                        pp, chunks, c->layers, nearest, chunks);
}

static int check_experts(const struct dt_model_config *c, const struct dt_part *part,
                         struct dt_error *err)
{
    if (part->ep_size <= 1 || (c->experts > 0 && c->experts % part->ep_size == 0))
        return 0;
    if (c->experts == 0)
        return dt_error_set(err, "--ep %d wants --experts N, of which each rank has a share",
                            part->ep_size);
    return dt_error_set(err,
                        "--ep %d does not divide --experts %d; the nearest that fits is --ep %ld",
                        part->ep_size, c->experts, dt_nearest_divisor(c->experts, part->ep_size));
}

int dt_part_check(const struct dt_model_config *c, const struct dt_part *part, struct dt_error *err)
{
    const struct {
        const char *name;
        int size;
    } cut[] = {{"heads", c->heads}, {"kv-heads", c->kv_heads}, {"hidden", c->hidden}};
    int tp = dt_part_tp(part), runs = dt_part_stages(part) * dt_part_chunks(part);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        if (cut[i].size % tp != 0)
            return dt_error_set(err,
                                "--tp %d does not divide --%s %d; the nearest that fits is --tp %d",
                                tp, cut[i].name, cut[i].size, nearest_tp(c, tp));
    if (c->vocab < tp)
        return dt_error_set(err,
                            "--tp %d is more than --vocab %d; the nearest that fits is --tp %d", tp,
                            c->vocab, nearest_tp(c, c->vocab));
    if (c->layers % runs != 0)
        return refuse_stages(c, part, err);
    return check_experts(c, part, err);
}

struct dt_range dt_part_layers(const struct dt_model_config *c, const struct dt_part *part,
                               int chunk)
{
    size_t stages = (size_t)dt_part_stages(part);
    return dt_share((size_t)c->layers, (size_t)chunk * stages + (size_t)part->stage,
                    stages * (size_t)dt_part_chunks(part));
}

size_t dt_part_layer_count(const struct dt_model_config *c, const struct dt_part *part)
{
    size_t count = 0;
    for (int chunk = 0; chunk < dt_part_chunks(part); chunk++)
        count += dt_part_layers(c, part, chunk).count;
    return count;
}

bool dt_part_is_first(const struct dt_part *part)
{
    return part->stage == 0;
}

bool dt_part_is_last(const struct dt_part *part)
{
    return part->stage + 1 == dt_part_stages(part);
}
