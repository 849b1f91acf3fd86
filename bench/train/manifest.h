/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a checkpoint: of which model and step it is, which files it has, and which reals of
 * which tensors lie where in them. A text, line by line in a fixed order, with a checksum at its end:
 *
 *   dt-train checkpoint 3           format
 *   reals fp32 little               of the files
 *   family gpt2
 *   layers 2                        ... and the other sizes of the model
 *   seed 1
 *   data 1234                       fingerprint
 *   step 40                         steps that are done
 *   global-batch 8
 *   ranks 4: dp 2, fsdp 2           of the run that wrote it; for people
 *   file 1000 0123456789abcdef      reals in each of its three arrays, checksum; "rank-00000" first
 *   5 0 100 200 10                  extent: tensor offset length stride times
 *   end 0123456789abcdef            checksum of all before
 *
 * Reading and writing the text only; files are checkpoint_file.h's. */
#ifndef DT_TRAIN_MANIFEST_H
#define DT_TRAIN_MANIFEST_H

#include "base/buf.h"
#include "base/error.h"
#include "config.h"
#include "extents.h"

/* What a checkpoint says of the run that wrote it. */
struct dt_checkpoint_info {
    struct dt_model_config config; /* filled */
    uint64_t seed, data, step, global_batch;
};

struct dt_manifest_file {
    uint64_t reals, sum;
    size_t first, count; /* of the extents; what they hold lies in the file in their order */
};

struct dt_manifest {
    struct dt_checkpoint_info info;
    char ranks[128];
    struct dt_manifest_file *files;
    size_t file_count;
    struct dt_extents extents;
};

/* Append all up to the files; a file without its extents; an extent; the end. */
void dt_manifest_put_head(struct dt_buf *text, const struct dt_checkpoint_info *info,
                          const char *ranks);
void dt_manifest_put_file(struct dt_buf *text, uint64_t reals, uint64_t sum);
void dt_manifest_put_extent(struct dt_buf *text, const struct dt_extent *extent);
void dt_manifest_put_end(struct dt_buf *text);

/* Read `size` bytes. The sentence says which line is wrong. */
int dt_manifest_parse(struct dt_manifest *manifest, const char *text, size_t size,
                      struct dt_error *err);
void dt_manifest_fini(struct dt_manifest *manifest);

/* Is the checkpoint's model the one wanted? The first difference is named. */
int dt_manifest_compare(const struct dt_model_config *there, const struct dt_model_config *want,
                        struct dt_error *err);

#endif
