/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes belong to the step, and what became of each. */
#include <stdlib.h>
#include <string.h>

#include "gather.h"

int roster_init(struct gather *g, struct dt_error *err)
{
    g->component_count = (size_t)g->options.components;
    g->components = calloc(g->component_count, sizeof *g->components);
    if (!g->components)
        return dt_error_set(err, "out of memory");
    if (g->component_count > 1 || g->options.nodes == 0)
        return 0; /* the nodes will say */
    return roster_know(g, 0, g->options.nodes, g->options.nodelist, err);
}

static void node_fini(struct node *node)
{
    free(node->name);
    free(node->lost);
    free(node->env_summary);
    dt_facts_fini(&node->facts);
    dt_check_results_fini(&node->checks);
}

void roster_fini(struct gather *g)
{
    for (size_t c = 0; g->components && c < g->component_count; c++) {
        struct component *component = &g->components[c];
        for (int i = 0; i < component->node_count; i++)
            node_fini(&component->nodes[i]);
        free(component->nodes);
        dt_hostlist_fini(&component->names);
    }
    free(g->components);
}

static int take_names(struct component *component, const char *nodelist, struct dt_error *err)
{
    if (!nodelist || component->names.count > 0)
        return 0;
    if (dt_hostlist_parse(&component->names, nodelist, err) < 0)
        return -1;
    if (component->names.count == (size_t)component->node_count)
        return 0;
    dt_error_set(err, "node list '%s' has %zu names for %d nodes", nodelist, component->names.count,
                 component->node_count);
    dt_hostlist_fini(&component->names);
    component->names = (struct dt_hostlist){0};
    return -1;
}

int roster_know(struct gather *g, size_t group, int nodes, const char *nodelist,
                struct dt_error *err)
{
    if (group >= g->component_count)
        return dt_error_set(err, "component %zu, but the job has %zu", group, g->component_count);
    struct component *component = &g->components[group];
    if (component->known && component->node_count != nodes)
        return dt_error_set(err, "component %zu has %d nodes, not %d", group, component->node_count,
                            nodes);
    if (!component->known) {
        component->nodes = calloc((size_t)nodes, sizeof *component->nodes);
        if (!component->nodes)
            return dt_error_set(err, "out of memory");
        component->known = true;
        component->node_count = nodes;
        g->node_count += (size_t)nodes;
        g->known_components++;
    }
    return take_names(component, nodelist, err);
}

static bool is_this_step(const struct gather *g, const struct dt_hello *hello)
{
    /* The components of a het job have job ids of their own: there the token must do. */
    return hello->het_size > 0 || !g->options.job || strcmp(g->options.job, hello->step) == 0;
}

struct node *roster_find(struct gather *g, const struct dt_hello *hello, struct dt_error *err)
{
    if (!is_this_step(g, hello)) {
        dt_error_set(err, "node %s reports for step %s, this is %s", hello->node, hello->step,
                     g->options.job);
        return NULL;
    }
    size_t group = hello->het_group < 0 ? 0 : (size_t)hello->het_group;
    if (roster_know(g, group, hello->node_count, NULL, err) < 0)
        return NULL;
    struct component *component = &g->components[group];
    component->tasks = hello->tasks;
    struct node *node = &component->nodes[hello->node_id];
    if (!node->name)
        node->name = strdup(hello->node);
    return node;
}

void roster_settle(struct gather *g, struct node *node)
{
    if (!node->settled)
        g->settled_count++;
    node->settled = true;
    free(node->lost);
    node->lost = NULL;
}

void roster_lose(struct gather *g, struct node *node, enum dt_lost how, const char *why)
{
    roster_settle(g, node);
    node->lost = strdup(why);
    node->how = how;
    /* What a lost node said is not compared: it will not run. */
    node->reported = false;
    dt_facts_fini(&node->facts);
    node->facts = (struct dt_facts){0};
}

void roster_unsettle(struct gather *g, struct node *node)
{
    if (node->settled)
        g->settled_count--;
    node->settled = false;
    free(node->lost);
    node->lost = NULL;
}

bool roster_complete(const struct gather *g)
{
    return g->known_components == g->component_count && g->settled_count == g->node_count;
}
