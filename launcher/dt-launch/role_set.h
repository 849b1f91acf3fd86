/* SPDX-License-Identifier: Apache-2.0 */
/* --roles: the processes of a node are not ranks of one program but a dt-launch for each role that the node
 * has, with the role's own options and world. They are started, watched and ended like ranks. */
#ifndef DT_LAUNCH_ROLE_SET_H
#define DT_LAUNCH_ROLE_SET_H

#include "options.h"
#include "place.h"
#include "prepare.h"
#include "roles/roles.h"
#include "worker.h"

struct dt_role_set {
    struct dt_roles roles;
    const char *path;
    char **names; /* of the nodes; an entry may be NULL */
    int node_count;
    int *here; /* numbers of the roles that this node has */
    int count;
};

/* Read the file that the options name; *set is NULL when they name none. The options are then those of an
 * agent. */
int dt_role_set_open(struct dt_role_set **set, struct dt_options *options, struct dt_error *err);
void dt_role_set_close(struct dt_role_set *set);

/* Give the nodes their roles, and the place its processes. */
int dt_role_set_settle(struct dt_role_set *set, struct dt_place *place, struct dt_error *err);

/* The process number `index` of this node: its command, and what is other in its environment. */
int dt_role_set_worker(const struct dt_role_set *set, const struct dt_place *place, int index,
                       struct dt_worker *worker, struct dt_error *err);

#endif
