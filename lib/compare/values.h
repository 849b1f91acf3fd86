/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/compare: the findings being made, and groups of nodes with one value. */
#ifndef DT_COMPARE_VALUES_H
#define DT_COMPARE_VALUES_H

#include "compare/compare.h"

struct dt_comparison {
    const struct dt_compare_node *nodes;
    size_t node_count;
    const struct dt_conf *conf;
    struct dt_findings *findings;
    bool failed; /* out of memory */
};

/* A new finding to be filled with dt_judge*; NULL: out of memory. */
struct dt_check_result *dt_finding_add(struct dt_comparison *comparison, size_t node,
                                       const char *name);

/* "dt-[1-3]"; caller frees. */
char *dt_compare_names(const struct dt_comparison *comparison, const size_t *members, size_t count);

/* values.c: all rows that must be equal, among `members` (nodes of one instance type, called
 * `type` in texts; NULL: all nodes). */
void dt_compare_values(struct dt_comparison *comparison, const size_t *members, size_t count,
                       const char *type);
/* Name of such a row; NULL: no more. */
const char *dt_compare_value_name(size_t index);
/* numbers.c: clock, memory, what was measured: within a tolerance of the median. */
void dt_compare_clock(struct dt_comparison *comparison, const size_t *members, size_t count);
void dt_compare_memory(struct dt_comparison *comparison, const size_t *members, size_t count);
void dt_compare_speed(struct dt_comparison *comparison, const size_t *members, size_t count);
void dt_compare_boot(struct dt_comparison *comparison, const size_t *members, size_t count);
/* types.c: instance types; calls `each` with the members of each type. */
void dt_compare_types(struct dt_comparison *comparison, const size_t *members, size_t count,
                      void (*each)(struct dt_comparison *comparison, const size_t *members,
                                   size_t count, const char *type));

/* Groups of equal value, largest first (ties: first node first). */
struct dt_group {
    const char *value; /* NULL: these nodes lack it */
    size_t *members;
    size_t count;
};
struct dt_groups {
    struct dt_group *items;
    size_t count;
    size_t *storage; /* of all members */
    char **values;   /* owned copies, one a node of the input */
    size_t total;    /* nodes that have a value */
};
/* Group by the text that `value` makes of each member (malloc'd; NULL: lacks it). -1: no memory. */
int dt_group(struct dt_groups *groups, const struct dt_comparison *comparison,
             const size_t *members, size_t count,
             char *(*value)(const struct dt_facts *facts, const void *argument),
             const void *argument);
void dt_groups_fini(struct dt_groups *groups);
/* "p5.48xlarge on dt-[1-3], g5.48xlarge on dt-4": at most four groups named. Caller frees. */
char *dt_groups_text(const struct dt_groups *groups, const struct dt_comparison *comparison);

#endif
