/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env versions: what its two halves, one node and many, share. */
#ifndef DT_ENV_VERSIONS_H
#define DT_ENV_VERSIONS_H

#include "base/buf.h"
#include "step.h"
#include "versions/versions.h"

enum { VERSIONS_LINE_MAX = 64 << 10 }; /* bytes */

struct versions_options {
    const char *root, *program;
    long timeout; /* seconds that the nodes of a step wait for each other */
    bool json, compare;
};

/* nodes: of the step, 0: of none. -1: no memory. */
int versions_put_json(struct dt_buf *out, const struct dt_versions *versions, const char *node,
                      long nodes);
/* For people, as wide as the terminal; every line begins with indent. -1: no memory. */
int versions_print(const struct dt_versions *versions, const char *indent);

/* Exit status; a message in err. */
int versions_of_step(const struct step *step, const struct dt_versions *versions, const char *node,
                     struct dt_error *err);
int versions_compare(const struct versions_options *options, struct dt_error *err);

#endif
