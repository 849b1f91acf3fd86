/* SPDX-License-Identifier: Apache-2.0 */
/* --dt-nic: the variables by which libraries choose NICs. "plan" leaves out NICs that no rank of the
 * node was given, and is the same for all its ranks; "narrow" leaves each rank its own groups. Whole
 * groups in both: NCCL's plugin for EFA makes one fast device of each. */
#include "planner.h"

#include <stdlib.h>
#include <string.h>

struct choice {
    bool *wanted; /* per NIC */
    size_t count;
};

static void want(struct choice *choice, const struct dt_bind_rank *rank)
{
    for (size_t i = 0; i < rank->nic_count; i++) {
        choice->count += !choice->wanted[rank->nics[i]];
        choice->wanted[rank->nics[i]] = true;
    }
}

/* EFA devices are named rdmap79s0 or efa_0; all others are taken for InfiniBand or RoCE. */
static bool is_efa(const struct dt_device *nic)
{
    return strncmp(nic->id, "rdmap", 5) == 0 || strncmp(nic->id, "efa", 3) == 0;
}

static char *list_of(const struct planner *p, const struct choice *choice, const char *head,
                     const char *tail)
{
    struct dt_buf list = DT_BUF_INIT;
    dt_buf_puts(&list, head);
    for (size_t n = 0, i = 0; n < p->topology->nic_count; n++) {
        if (choice->wanted[n])
            dt_buf_printf(&list, "%s%s%s", i++ ? "," : "", p->topology->nics[n].id, tail);
    }
    return dt_buf_take(&list);
}

/* Defaults: what the user has set stays. */
static void put_variable(struct dt_buf *plan, size_t rank, const char *name, char *value)
{
    if (value)
        dt_plan_rank_default(plan, rank, name, value);
    else
        plan->failed = true;
    free(value);
}

static void put_choice(const struct planner *p, struct dt_buf *plan, size_t rank,
                       const struct choice *choice)
{
    if (is_efa(&p->topology->nics[0])) {
        put_variable(plan, rank, "FI_EFA_IFACE", list_of(p, choice, "", ""));
        return;
    }
    /* "=": names in full, else mlx5_1 is mlx5_10 too */
    put_variable(plan, rank, "NCCL_IB_HCA", list_of(p, choice, "=", ""));
    put_variable(plan, rank, "UCX_NET_DEVICES", list_of(p, choice, "", ":1"));
    put_variable(plan, rank, "OMPI_MCA_btl_openib_if_include", list_of(p, choice, "", ""));
}

void planner_put_nics(const struct planner *p, const struct dt_bind_plan *b, struct dt_buf *plan)
{
    const char *mode = p->request->nic ? p->request->nic : "off";
    bool narrow = strcmp(mode, "narrow") == 0;
    size_t nics = p->topology->nic_count;
    if (strcmp(mode, "off") == 0 || nics == 0)
        return;
    struct choice choice = {.wanted = calloc(nics, sizeof(bool))};
    if (!choice.wanted) {
        plan->failed = true;
        return;
    }
    for (size_t r = 0; !narrow && r < b->rank_count; r++)
        want(&choice, &b->ranks[r]);
    for (size_t r = 0; r < b->rank_count; r++) {
        if (narrow) {
            memset(choice.wanted, 0, nics * sizeof(bool));
            choice.count = 0;
            want(&choice, &b->ranks[r]);
        }
        /* all of them is what libraries take by themselves */
        if (choice.count > 0 && choice.count < nics)
            put_choice(p, plan, r, &choice);
    }
    free(choice.wanted);
}
