/* SPDX-License-Identifier: Apache-2.0 */
/* RANK and its relatives, as PyTorch's env:// and dt-launch read them. */
#include "planner.h"

#include <stdio.h>

/* Ranks and nodes before this het component, and all of the step. */
struct place {
    long ranks_before, nodes_before, world;
    bool known;
};

static struct place find_place(const struct planner *p)
{
    struct place place = {.world = p->request->total_tasks, .known = true};
    if (p->request->het_size <= 1)
        return place;
    place = (struct place){.known = p->decision &&
                                    p->decision->component_count == (size_t)p->request->het_size};
    for (size_t i = 0; place.known && i < p->decision->component_count; i++) {
        const struct dt_component *c = &p->decision->components[i];
        place.world += c->tasks;
        if ((int)i < p->request->het_group) {
            place.ranks_before += c->tasks;
            place.nodes_before += c->nodes;
        }
    }
    return place;
}

static void set_all(struct dt_buf *plan, const char *name, long value)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", value);
    dt_plan_all_set(plan, name, text);
}

static void set_rank(struct dt_buf *plan, size_t rank, const char *name, long value)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", value);
    dt_plan_rank_set(plan, rank, name, text);
}

static void put_master(const struct planner *p, struct dt_buf *plan)
{
    const struct dt_request *r = p->request;
    bool alone = r->node_count == 1 && r->het_size <= 1;
    const char *address = p->decision ? p->decision->master_addr : alone ? "127.0.0.1" : "";
    int port = p->decision ? p->decision->master_port : r->port;
    char text[24];
    if (!*address || port == 0)
        return;
    snprintf(text, sizeof text, "%d", port);
    dt_plan_all_default(plan, "MASTER_ADDR", address);
    dt_plan_all_default(plan, "MASTER_PORT", text);
}

static void put_verdict(const struct planner *p, struct dt_buf *plan)
{
    char text[64];
    if (!p->decision)
        return;
    snprintf(text, sizeof text, "go:%lld.%lld", p->request->job, p->request->step);
    dt_plan_all_set(plan, "DT_VERDICT", text);
}

void planner_put_ranks(const struct planner *p, struct dt_buf *plan)
{
    const struct dt_request *r = p->request;
    struct place place = find_place(p);
    put_master(p, plan);
    put_verdict(p, plan);
    set_all(plan, "LOCAL_WORLD_SIZE", r->local_tasks);
    for (int i = 0; i < r->local_tasks; i++)
        set_rank(plan, (size_t)i, "LOCAL_RANK", i);
    if (!place.known) {
        /* A wrong RANK is worse than none. */
        planner_say(plan, "a heterogeneous job without validation: RANK, WORLD_SIZE and NODE_RANK "
                          "are not set; use --dt-validate, or SLURM_PROCID");
        return;
    }
    set_all(plan, "WORLD_SIZE", place.world);
    set_all(plan, "NODE_RANK", place.nodes_before + r->node_id);
    set_all(plan, "GROUP_RANK", place.nodes_before + r->node_id);
    for (int i = 0; i < r->local_tasks; i++)
        set_rank(plan, (size_t)i, "RANK", place.ranks_before + r->ranks[i]);
}
