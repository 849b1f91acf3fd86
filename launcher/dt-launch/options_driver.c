/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the driver: dt-launch inside an allocation, which starts the steps itself. Agents, which it
 * starts with its own command line, read them and leave them. */
#include <stdlib.h>

#include "base/hostlist.h"
#include "options_rows.h"

static int take_nodes(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    return dt_option_range(name, value, &o->driver.nodes_least, &o->driver.nodes, err);
}

static int take_spares(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    o->driver.wanted = true;
    return dt_option_int(name, value, 0, 1 << 20, &o->driver.spares, err);
}

static int check_list(const char *name, const char *value, struct dt_error *err)
{
    struct dt_hostlist list;
    if (dt_hostlist_parse(&list, value, err))
        return dt_error_prefix(err, "%s", name);
    dt_hostlist_fini(&list);
    return 0;
}

static int take_nodelist(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    o->driver.nodelist = value;
    return check_list(name, value, err);
}

static int take_exclude(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    o->driver.exclude = value;
    return check_list(name, value, err);
}

static int take_requeue(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    return dt_option_switch(name, value, &o->driver.requeue, err);
}

static int take_drain(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    return dt_option_switch(name, value, &o->driver.drain, err);
}

static int take_owner(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    static const char *const words[] = {"auto", "dt", "hyperpod"};
    int choice = 0;
    if (dt_option_word(name, value, words, sizeof words / sizeof *words, &choice, err))
        return -1;
    o->driver.owner = (enum dt_owner)choice;
    return 0;
}

static int take_srun(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    if (*value != '-')
        return dt_error_set(err,
                            "%s is \"%s\": an option of srun is needed, in one word: "
                            "--srun=--container-image=app.sqsh",
                            name, value);
    if (o->driver.srun_count == DT_SRUN_WORDS)
        return dt_error_set(err, "%s is given more than %d times", name, DT_SRUN_WORDS);
    o->driver.srun[o->driver.srun_count++] = value;
    return 0;
}

const struct dt_option_row dt_options_of_driver[] = {
    {.name = "nodes",
     .value = "N|MIN:MAX",
     .doc = "Run the program on N nodes of this allocation, each with an agent, in steps that "
            "dt-launch starts by srun. MIN:MAX: on as many as are good, up to MAX, and on fewer "
            "when one is lost, down to MIN",
     .take = take_nodes},
    {.name = "spares",
     .value = "S",
     .doc = "Of the allocation keep S nodes back, and start again on one of them instead of a node "
            "that "
            "is unfit, lost or has a broken GPU. Without --nodes: on all nodes but these",
     .take = take_spares},
    {.name = "nodelist",
     .value = "LIST",
     .doc = "Of the allocation use these nodes only, spares included",
     .take = take_nodelist},
    {.name = "exclude", .value = "LIST", .doc = "Do not use these nodes", .take = take_exclude},
    {.name = "requeue",
     .doc = "When too few good nodes are left, requeue the batch job without the bad ones",
     .take = take_requeue},
    {.name = "drain",
     .doc = "Drain a node in Slurm that was lost or has a broken GPU, with what was seen as the "
            "reason; Slurm lets its operators do that",
     .take = take_drain},
    {.name = "restart-owner",
     .value = "auto|dt|hyperpod",
     .doc = "Who replaces nodes. hyperpod: its auto-resume does (srun --auto-resume=1), and "
            "--spares must "
            "not be given; auto: hyperpod where it is and no spares are asked for (auto)",
     .take = take_owner},
    {.name = "srun",
     .value = "WORD",
     .doc = "Give srun this option, such as --srun=--container-image=app.sqsh; may be repeated",
     .take = take_srun},
    {0},
};
