/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes of the job are called, as far as this node knows. */
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "hosts.h"
#include "place.h"

char **dt_place_names(const struct dt_place *place, bool addresses, struct dt_error *err)
{
    const char *list = getenv("SLURM_STEP_NODELIST");
    struct dt_hostlist hosts = {0};
    char **names = calloc((size_t)place->node_count, sizeof *names);
    if (!names) {
        dt_error_set(err, "out of memory");
        return NULL;
    }
    if (place->in_step && list && dt_hostlist_parse(&hosts, list, err)) {
        free(names);
        return NULL;
    }
    for (int node = 0; node < place->node_count; node++) {
        const char *name = (size_t)node < hosts.count ? hosts.names[node]
                           : node == place->node_rank ? place->node_name
                           : node == 0                ? place->first_node
                                                      : NULL;
        char *address = name && addresses ? dt_hosts_lookup(name) : NULL;
        names[node] = address ? address : name ? strdup(name) : NULL;
    }
    dt_hostlist_fini(&hosts);
    return names;
}

void dt_place_names_free(char **names, int count)
{
    for (int i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}
