/* SPDX-License-Identifier: Apache-2.0 */
/* Asking dt-node for a plan, and keeping each rank's part of it. */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/buf.h"
#include "helper.h"
#include "plan/plan.h"

/* ---- the question -------------------------------------------------------------------------- */

static int ask(const char *path, const struct dt_bind_words *words, int ranks,
               struct dt_buf *answer, struct dt_error *err)
{
    char number[16];
    const char *argv[20] = {"dt-node", "--plan", "--binding", "--ranks", number};
    const char *const pairs[][2] = {{"--memory", words->memory},
                                    {"--gpus", words->gpus},
                                    {"--nic", words->nic},
                                    {"--reserve", words->reserve},
                                    {"--loaders", words->loaders}};
    const char *config = getenv("DT_BIND_CONFIG");
    struct dt_environ env;
    size_t count = 5;
    int rc = -1;
    snprintf(number, sizeof number, "%d", ranks);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!*pairs[i][1])
            continue;
        argv[count++] = pairs[i][0];
        argv[count++] = pairs[i][1];
    }
    if (config && *config) {
        argv[count++] = "--config";
        argv[count++] = config;
    }
    if (words->explain)
        argv[count++] = "--explain";
    dt_environ_init(&env, environ);
    dt_binding_environ(&env);
    struct dt_helper helper = {
        .path = path, .argv = (char *const *)argv, .env = env.items, .speaks = true};
    if (env.failed)
        dt_error_set(err, "out of memory");
    else
        rc = dt_helper_run(&helper, answer, err);
    dt_environ_fini(&env);
    return rc;
}

/* ---- the answer ---------------------------------------------------------------------------- */

struct reading {
    struct dt_binding *binding;
    struct dt_bits own; /* CPUs that this process may use */
    bool memory_kept;
    bool in_step, first_node;
};

static void put(struct dt_environ *env, const char *name, const char *value)
{
    dt_environ_set(env, name, "%s", value);
}

static int take_variable(struct reading *reading, const struct dt_plan_line *line, size_t rank)
{
    struct dt_binding *b = reading->binding;
    bool fallback = line->verb == DT_PLAN_DEFAULT || line->verb == DT_PLAN_BIND_DEFAULT;
    const char *value = line->value;
    if (!reading->in_step && strncmp(line->name, "SLURM_", 6) == 0)
        return 0; /* an srun below would take it for the user's wish */
    if (reading->memory_kept && strcmp(line->name, "DT_BIND_MEMORY") == 0)
        value = "kept";
    put(fallback ? &b->defaults[rank] : &b->variables[rank], line->name, value);
    return 0;
}

/* The plan must be for the mask that this process has. */
static int take_found(const struct reading *reading, const char *list, struct dt_error *err)
{
    struct dt_bits found;
    if (dt_bits_parse(&found, list, reading->own.bytes, err))
        return -1;
    bool same = memcmp(found.words, reading->own.words, found.bytes) == 0;
    dt_bits_fini(&found);
    return same ? 0 : dt_error_set(err, "the plan is for CPUs %s, which are not those here", list);
}

static void say(const struct reading *reading, const char *text)
{
    /* what is the matter with a node is said by it, all else once */
    if (reading->first_node || strncmp(text, "dt: warning", 11) == 0)
        dprintf(STDERR_FILENO, "%s\n", text);
}

static int take_one(struct reading *reading, const struct dt_plan_line *line, size_t rank,
                    struct dt_error *err)
{
    struct dt_bind_target *target = &reading->binding->targets[rank];
    switch (line->verb) {
    case DT_PLAN_FOUND:
        return take_found(reading, line->name, err);
    case DT_PLAN_CPUS:
        return dt_bind_target_cpus(target, line->name, reading->own.bytes, err);
    case DT_PLAN_MEMORY:
        return reading->memory_kept ? 0
                                    : dt_bind_target_memory(target, line->name, line->value, err);
    case DT_PLAN_SET:
    case DT_PLAN_DEFAULT:
    case DT_PLAN_BIND_SET:
    case DT_PLAN_BIND_DEFAULT:
        return take_variable(reading, line, rank);
    case DT_PLAN_SAY:
        say(reading, line->name);
        return 0;
    default:
        return dt_error_set(err,
                            "the plan holds more than a binding ('%s'); install all of dt from "
                            "the same release",
                            line->name);
    }
}

static int take(void *argument, const struct dt_plan_line *line, struct dt_error *err)
{
    struct reading *reading = argument;
    size_t count = reading->binding->count;
    if (!line->all && line->rank >= count)
        return dt_error_set(err, "the plan has a rank %zu of %zu", line->rank, count);
    if (!line->all)
        return take_one(reading, line, line->rank, err);
    for (size_t rank = 0; rank < count; rank++) {
        if (take_one(reading, line, rank, err))
            return -1;
    }
    return 0;
}

static int make_room(struct dt_binding *b, size_t count, struct dt_error *err)
{
    b->count = count;
    b->targets = calloc(count, sizeof *b->targets);
    b->variables = calloc(count, sizeof *b->variables);
    b->defaults = calloc(count, sizeof *b->defaults);
    return b->targets && b->variables && b->defaults ? 0 : dt_error_set(err, "out of memory");
}

static int check(const struct dt_binding *b, struct dt_error *err)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->variables[i].failed || b->defaults[i].failed)
            return dt_error_set(err, "out of memory");
    }
    return 0;
}

static int plan(struct dt_binding *b, const struct dt_bind_words *words,
                const struct dt_place *place, bool memory_kept, const char *path,
                struct dt_error *err)
{
    struct dt_buf answer = DT_BUF_INIT;
    struct reading reading = {.binding = b,
                              .memory_kept = memory_kept,
                              .in_step = place->in_step,
                              .first_node = place->node_rank == 0};
    int rc = -1;
    if (dt_bits_own_cpus(&reading.own, err) == 0 &&
        make_room(b, (size_t)place->processes, err) == 0 &&
        ask(path, words, place->processes, &answer, err) == 0 &&
        dt_plan_read(answer.data ? answer.data : "", answer.len, take, &reading, err) == 0)
        rc = check(b, err);
    dt_bits_fini(&reading.own);
    dt_buf_fini(&answer);
    if (rc)
        dt_binding_fini(b);
    return rc;
}

/* ---- whether at all ------------------------------------------------------------------------ */

/* A program that binds itself, and fails where its CPUs are not in the mask that it finds. */
static const char *binder(char *const *program)
{
    static const char *const names[] = {"numactl", "taskset", "hwloc-bind", "likwid-pin"};
    const char *slash = strrchr(program[0], '/');
    const char *name = slash ? slash + 1 : program[0];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0)
            return names[i];
    }
    return NULL;
}

static bool stands_back(const struct dt_options *options, const struct dt_place *place)
{
    const char *who = binder(options->program);
    if (who && place->node_rank == 0)
        dprintf(STDERR_FILENO, "dt-launch: bind: stood back: %s binds each rank itself\n", who);
    return who != NULL;
}

static bool keeps_memory(const struct dt_place *place)
{
    bool kept = dt_memory_is_chosen(getenv("DT_BIND_MEMORY"));
    if (kept && place->node_rank == 0)
        dprintf(STDERR_FILENO, "dt-launch: bind: the memory policy that dt-launch was started with "
                               "is left alone\n");
    return kept;
}

int dt_binding_find(struct dt_binding *binding, const struct dt_options *options,
                    const struct dt_place *place, struct dt_error *err)
{
    struct dt_error why = {""};
    *binding = (struct dt_binding){0};
    if (!options->bind.wanted)
        return 0;
    if (place->shape == DT_SHAPE_TASK) {
        if (!options->bind.by_option)
            return 0; /* the plugin's business */
        return dt_error_set(err, "--bind needs --nproc-per-node: with a task for each rank, it is "
                                 "srun --dt-bind that binds");
    }
    if (place->processes < 2 || stands_back(options, place))
        return 0; /* one rank has all of it */
    char *path = dt_beside("dt-node");
    if (!path) {
        if (place->node_rank == 0)
            dprintf(STDERR_FILENO,
                    "dt-launch: warning: --bind: dt-node is neither beside dt-launch "
                    "nor in ../libexec/dt, so the ranks are not bound\n");
        return 0;
    }
    if (plan(binding, &options->bind, place, keeps_memory(place), path, &why))
        dprintf(STDERR_FILENO, "dt-launch: warning: --bind: the ranks on %s are not bound: %s\n",
                place->node_name, why.text);
    free(path);
    return 0;
}

void dt_binding_fini(struct dt_binding *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->targets)
            dt_bind_target_fini(&b->targets[i]);
        if (b->variables)
            dt_environ_fini(&b->variables[i]);
        if (b->defaults)
            dt_environ_fini(&b->defaults[i]);
    }
    free(b->targets);
    free(b->variables);
    free(b->defaults);
    *b = (struct dt_binding){0};
}

/* ---- a rank -------------------------------------------------------------------------------- */

static void apply(struct dt_environ *env, const struct dt_environ *items, bool overwrite)
{
    for (size_t i = 0; i < items->count; i++) {
        const char *value = strchr(items->items[i], '=') + 1;
        char *name = strndup(items->items[i], (size_t)(value - items->items[i]) - 1);
        env->failed = env->failed || !name;
        if (name && (overwrite || !dt_environ_get(env, name)))
            dt_environ_set(env, name, "%s", value);
        free(name);
    }
}

void dt_binding_apply(struct dt_environ *env, const struct dt_binding *binding, int index)
{
    dt_binding_forget_threads(env);
    if (binding->count == 0)
        return;
    apply(env, &binding->variables[index], true);
    apply(env, &binding->defaults[index], false);
}

const struct dt_bind_target *dt_binding_target(const struct dt_binding *binding, int index)
{
    return binding->count ? &binding->targets[index] : NULL;
}
