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
    dt_report_node_fini(&node->report);
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
    if (!node->report.name)
        node->report.name = strdup(hello->node);
    return node;
}

static void explained(struct gather *g, struct node *node)
{
    g->unexplained_count -= node->unexplained;
    node->unexplained = false;
}

void roster_settle(struct gather *g, struct node *node)
{
    if (!node->settled)
        g->settled_count++;
    node->settled = true;
    explained(g, node);
    free(node->report.lost);
    node->report.lost = NULL;
}

/* What a lost node said is not compared: it will not run. Its checks still tell something. */
static void forget(struct node *node)
{
    node->reported = false;
    dt_facts_fini(&node->report.facts);
}

void roster_lose(struct gather *g, struct node *node, enum dt_lost how, const char *why)
{
    roster_settle(g, node);
    node->report.lost = strdup(why);
    node->report.how = how;
    forget(node);
}

void roster_lose_unexplained(struct gather *g, struct node *node, enum dt_lost how, const char *why)
{
    static const struct timeval grace = {.tv_usec = GRACE_MS * 1000};
    roster_lose(g, node, how, why);
    node->unexplained = true;
    g->unexplained_count++;
    evtimer_add(g->grace, &grace);
}

void roster_explained(struct gather *g)
{
    for (size_t c = 0; c < g->component_count; c++) {
        for (int i = 0; i < g->components[c].node_count; i++)
            explained(g, &g->components[c].nodes[i]);
    }
}

/* It is back, and reports anew. */
void roster_unsettle(struct gather *g, struct node *node)
{
    struct dt_report_node fresh = {.name = node->report.name};
    if (node->settled)
        g->settled_count--;
    node->settled = false;
    explained(g, node);
    node->report.name = NULL;
    dt_report_node_fini(&node->report);
    node->report = fresh;
}

static void lose_missing(struct gather *g, struct node *node)
{
    struct dt_error reason;
    if (node->settled)
        return;
    dt_error_set(&reason,
                 node->connections > 0 ? "it connected, but sent no report in %.1f s"
                                       : "no connection in %.1f s",
                 gather_now() - g->waiting_since);
    roster_lose(g, node, DT_LOST_SILENT, reason.text);
}

void roster_lose_missing(struct gather *g)
{
    struct dt_error err;
    for (size_t c = 0; c < g->component_count; c++) {
        /* Of a component that nobody ever spoke of, one node stands for all. */
        if (!g->components[c].known && roster_know(g, c, 1, NULL, &err) < 0)
            continue;
        for (int i = 0; i < g->components[c].node_count; i++)
            lose_missing(g, &g->components[c].nodes[i]);
    }
}

bool roster_complete(const struct gather *g)
{
    return g->known_components == g->component_count && g->settled_count == g->node_count &&
           g->unexplained_count == 0;
}
