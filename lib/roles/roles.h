/* SPDX-License-Identifier: Apache-2.0 */
/* A job of several programs: which nodes run which, who is waited for, whose end is the job's.
 *
 * A line each; # begins a comment; words are parted by blanks, 'quoted' and "quoted" as in a shell, with $NAME
 * and ${NAME} from the environment:
 *
 *   role NAME NODES [OPTION...] -- PROGRAM [ARGUMENT...]
 *   ready NAME tcp://HOST:PORT|http://HOST:PORT/PATH [SECONDS]
 *   end NAME
 *
 * NODES: first:N, last:N, N (the next N that no role has yet), rest (all that no role has), all. OPTIONs are
 * dt-launch's own. @NAME.K@ stands for the K-th node of role NAME, @NAME.count@ for how many it has. Roles
 * that stand below a `ready` line start when it is true. */
#ifndef DT_ROLES_ROLES_H
#define DT_ROLES_ROLES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DT_ROLES_MAX 64

enum dt_role_where { DT_ROLE_FIRST, DT_ROLE_LAST, DT_ROLE_NEXT, DT_ROLE_REST, DT_ROLE_ALL };

struct dt_role {
    char *name;
    enum dt_role_where where;
    int wanted;     /* nodes, of FIRST, LAST and NEXT */
    char **options; /* NULL-terminated */
    char **program; /* NULL-terminated, at least one */
    char *ready;    /* URL; NULL: nobody waits for it */
    double ready_s; /* how long others wait */
    size_t line;    /* of the file; 1: the first */
    int *nodes;     /* node ranks, ascending; filled by dt_roles_place */
    int node_count;
};

struct dt_roles {
    struct dt_role *items;
    size_t count;
    int end; /* number of the role whose end is the job's; -1: the job ends with the last */
};

/* text: the whole file; path: for the sentence. getenv gives the variables. */
int dt_roles_parse(struct dt_roles *roles, const char *text, const char *path,
                   const char *(*variable)(const char *name), struct dt_error *err);
void dt_roles_fini(struct dt_roles *roles);

/* Which nodes of `count` each role has. Every node must have one. */
int dt_roles_place(struct dt_roles *roles, int count, const char *path, struct dt_error *err);
/* Place of the node within the role, -1: it has none there. */
int dt_role_index(const struct dt_role *role, int node);

/* The word with @NAME.K@ replaced: names[] are the nodes' names or addresses (an entry may be NULL: not
 * known). Caller frees; NULL: err. */
char *dt_roles_expand(const struct dt_roles *roles, const char *word, char *const *names,
                      const char *path, struct dt_error *err);

#endif
