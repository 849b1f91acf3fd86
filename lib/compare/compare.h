/* SPDX-License-Identifier: Apache-2.0 */
/* Judging nodes against each other: the odd one out, by name, without a golden file.
 * Versions (kernel, NVIDIA, EFA and Neuron drivers, libfabric, NCCL, aws-ofi-nccl), counts,
 * sizes, where devices are, network file systems and MTU must be equal among the nodes of one instance type; instance types should be, and must be
 * where EFA can not connect them; the clock, and what level deep has measured, is compared with the
 * median of the nodes. A value that
 * a minority has is that minority's failure, or, of settings (mount options, modules, clock source, huge
 * pages, governor, limits), a warning; with no majority every group is named and nobody is
 * called odd. A node that lacks a fact which others have is UNKNOWN.
 */
#ifndef DT_COMPARE_COMPARE_H
#define DT_COMPARE_COMPARE_H

#include <stddef.h>

#include "base/error.h"
#include "check/check.h"
#include "conf/conf.h"
#include "facts/facts.h"

struct dt_compare_node {
    const char *name;
    const struct dt_facts *facts; /* NULL: the node did not report; left out */
};

struct dt_finding {
    size_t node; /* index into the nodes; SIZE_MAX: about all of them (no majority) */
    struct dt_check_result result;
};

struct dt_findings {
    struct dt_finding *items;
    size_t count;
    size_t checks; /* how many comparisons were made */
};

/* Every fact that a comparison looks at, NULL at the end: what a node has to send of its facts. */
extern const char *const dt_compare_keys[];

/* Every name that a finding can have, by a number from 0 on; NULL: no more. */
const char *dt_compare_check(size_t index);

int dt_compare(struct dt_findings *findings, const struct dt_compare_node *nodes, size_t count,
               const struct dt_conf *conf, struct dt_error *err);
void dt_findings_fini(struct dt_findings *findings);

#endif
