/* SPDX-License-Identifier: Apache-2.0 */
/* Roles as processes; see role_set.h. */
#include "role_set.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text_file.h"

/* The ports of the roles' worlds, apart from those that the job's own session tries. */
#define PORT_FIRST 20000
#define PORT_COUNT 12768
#define PORT_APART 4099

/* ---- the file ------------------------------------------------------------------------------ */

static const char *variable(const char *name)
{
    return getenv(name);
}

static int refuse_together(const struct dt_options *o, struct dt_error *err)
{
    if (o->program && *o->program[0])
        return dt_error_set(err, "--roles and a program contradict each other: the roles file has "
                                 "the programs");
    if (o->nproc != DT_NPROC_UNSET || o->per_task)
        return dt_error_set(err,
                            "--roles and %s contradict each other: give it to a role in the "
                            "roles file",
                            o->per_task ? "--per-task" : "--nproc-per-node");
    if (o->store == DT_STORE_RANK0 || o->max_restarts > 0)
        return dt_error_set(err, "--roles and %s contradict each other",
                            o->max_restarts > 0 ? "--max-restarts" : "--store rank0");
    return 0;
}

int dt_role_set_open(struct dt_role_set **result, struct dt_options *options, struct dt_error *err)
{
    static char *shown[] = {"dt-launch", "--roles", NULL, NULL};
    *result = NULL;
    if (!options->roles)
        return 0;
    char *text =
        refuse_together(options, err) ? NULL : dt_text_file("--roles", options->roles, err);
    struct dt_role_set *set = text ? calloc(1, sizeof *set) : NULL;
    int failed = !set || dt_roles_parse(&set->roles, text, options->roles, variable, err);
    free(text);
    if (failed) {
        free(set);
        return -1;
    }
    set->path = options->roles;
    shown[2] = (char *)options->roles;
    options->program = shown;
    options->nproc = 1; /* an agent a node; how many processes it has is settled later */
    *result = set;
    return 0;
}

void dt_role_set_close(struct dt_role_set *set)
{
    if (!set)
        return;
    dt_place_names_free(set->names, set->node_count);
    free(set->here);
    dt_roles_fini(&set->roles);
    free(set);
}

/* ---- nodes --------------------------------------------------------------------------------- */

static int count_roles(const struct dt_role_set *set, int node)
{
    int count = 0;
    for (size_t i = 0; i < set->roles.count; i++)
        count += dt_role_index(&set->roles.items[i], node) >= 0;
    return count;
}

int dt_role_set_settle(struct dt_role_set *set, struct dt_place *place, struct dt_error *err)
{
    set->node_count = place->node_count;
    if (dt_roles_place(&set->roles, place->node_count, set->path, err) ||
        !(set->names = dt_place_names(place, true, err)))
        return -1;
    place->rank = place->world_size = 0;
    for (int node = 0; node < place->node_count; node++) {
        int count = count_roles(set, node);
        place->rank += node < place->node_rank ? count : 0;
        place->world_size += count;
    }
    set->here = calloc(set->roles.count, sizeof *set->here);
    if (!set->here)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < set->roles.count; i++) {
        if (dt_role_index(&set->roles.items[i], place->node_rank) >= 0)
            set->here[set->count++] = (int)i;
    }
    place->processes = place->local_world_size = set->count;
    return 0;
}

/* ---- processes ----------------------------------------------------------------------------- */

struct command {
    char **words;
    size_t count;
    bool failed;
};

static void add(struct command *command, char *word /* taken over */)
{
    char **grown = reallocarray(command->words, command->count + 2, sizeof *grown);
    if (grown)
        command->words = grown;
    if (!grown || !word) {
        free(word);
        command->failed = true;
        return;
    }
    grown[command->count++] = word;
    grown[command->count] = NULL;
}

static void __attribute__((format(printf, 2, 3)))
add_format(struct command *command, const char *format, ...)
{
    char *word;
    va_list args;
    va_start(args, format);
    if (vasprintf(&word, format, args) < 0)
        word = NULL;
    va_end(args);
    add(command, word);
}

static int add_expanded(struct command *command, const struct dt_role_set *set, char *const *words,
                        struct dt_error *err)
{
    for (; *words; words++) {
        char *word = dt_roles_expand(&set->roles, *words, set->names, set->path, err);
        if (!word)
            return -1;
        add(command, word);
    }
    return 0;
}

/* The world of the role: its own nodes, its own port. */
static int add_world(struct command *command, const struct dt_role_set *set, int number,
                     const struct dt_place *place, struct dt_error *err)
{
    const struct dt_role *role = &set->roles.items[number];
    if (role->node_count == 1) {
        add_format(command, "--platform=alone");
        return 0;
    }
    const char *first = set->names[role->nodes[0]];
    if (!first)
        return dt_error_set(err,
                            "%s:%zu: role %s begins on node %d, whose name is not known on this "
                            "platform (under Slurm it is)",
                            set->path, role->line, role->name, role->nodes[0]);
    long long job = place->job >= 0 ? place->job : 0, step = place->step >= 0 ? place->step : 0;
    add_format(command, "--platform=plain");
    add_format(command, "--nnodes=%d", role->node_count);
    add_format(command, "--node-rank=%d", dt_role_index(role, place->node_rank));
    add_format(command, "--master-addr=%s", first);
    add_format(command, "--master-port=%lld",
               PORT_FIRST + (job * 101 + step + (number + 1LL) * PORT_APART) % PORT_COUNT);
    return 0;
}

/* A role starts when those above it are ready that others wait for. */
static int add_waits(struct command *command, const struct dt_role_set *set, int number,
                     struct dt_error *err)
{
    for (int i = 0; i < number; i++) {
        const struct dt_role *other = &set->roles.items[i];
        if (!other->ready)
            continue;
        char *url = dt_roles_expand(&set->roles, other->ready, set->names, set->path, err);
        if (!url)
            return -1;
        add_format(command, "--wait-for=%s,%g", url, other->ready_s);
        free(url);
    }
    return 0;
}

/* What the role's own dt-launch must not take for its own. */
static void clean_environ(struct dt_environ *env)
{
    static const char *const names[] = {"MASTER_ADDR",
                                        "MASTER_PORT",
                                        "JAX_COORDINATOR_ADDRESS",
                                        "SLURM_DT_SETTINGS",
                                        "DT_VALIDATE",
                                        "_SLURM_SPANK_OPTION_dt_dt_validate",
                                        "SLURM_SPANK__SLURM_SPANK_OPTION_dt_dt_validate"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        dt_environ_unset(env, names[i]);
    dt_environ_unset_prefix(env, "TORCHELASTIC_");
    dt_environ_unset_prefix(env, "OMPI_COMM_WORLD_");
    dt_environ_unset_prefix(env, "PET_");
}

int dt_role_set_worker(const struct dt_role_set *set, const struct dt_place *place, int index,
                       struct dt_worker *worker, struct dt_error *err)
{
    int number = set->here[index];
    const struct dt_role *role = &set->roles.items[number];
    struct command command = {0};
    add_format(&command, "dt-launch");
    int result = add_world(&command, set, number, place, err) ||
                         add_waits(&command, set, number, err) ||
                         add_expanded(&command, set, role->options, err)
                     ? -1
                     : 0;
    add_format(&command, "--");
    if (result == 0)
        result = add_expanded(&command, set, role->program, err);
    worker->argv = command.words;
    worker->path = strdup("/proc/self/exe");
    worker->role = role->name;
    worker->ends_job = number == set->roles.end && role->nodes[0] == place->node_rank;
    clean_environ(&worker->env);
    if (result == 0 && (command.failed || !worker->path || worker->env.failed))
        return dt_error_set(err, "out of memory");
    return result;
}
