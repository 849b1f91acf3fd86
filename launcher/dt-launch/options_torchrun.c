/* SPDX-License-Identifier: Apache-2.0 */
/* torchrun's own options, so that `srun torchrun ARGS` becomes `srun dt-launch ARGS`. What dt-launch has
 * too lies with its subject; here are the words about rendezvous and Python. Some have no meaning
 * here, since dt-launch is the rendezvous itself and waits for events instead of polling: they are
 * checked and then left. */
#include <stdlib.h>
#include <string.h>

#include "options_rows.h"

static int take_standalone(struct dt_options *o, const char *name, const char *value,
                           struct dt_error *err)
{
    bool on;
    if (dt_option_switch(name, value, &on, err))
        return -1;
    if (on)
        o->platform = DT_PLATFORM_ALONE;
    return 0;
}

/* HOST[:PORT], [V6]:PORT; "" is torchrun's default and says nothing. */
static int take_endpoint(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    const char *colon = strrchr(value, ':');
    bool v6 = *value == '[' || (colon && strchr(value, ':') != colon);
    bool port = colon && (!v6 || (colon > value && colon[-1] == ']'));
    size_t length = port ? (size_t)(colon - value) : strlen(value);
    if (port && dt_option_int(name, colon + 1, 0, 65535, &o->endpoint_port, err))
        return dt_error_set(err, "%s is \"%s\": HOST or HOST:PORT is needed", name, value);
    if (v6 && *value == '[' && length >= 2 && value[length - 1] == ']') {
        value++;
        length -= 2;
    }
    free(o->endpoint);
    o->endpoint = length ? strndup(value, length) : NULL;
    if (length && !o->endpoint)
        return dt_error_set(err, "out of memory");
    return 0;
}

static int take_backend(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    static const char *const words[] = {"c10d", "static", "etcd-v2", "etcd"};
    int choice;
    (void)o;
    return dt_option_word(name, value, words, sizeof words / sizeof *words, &choice, err);
}

static int take_id(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    (void)name;
    (void)err;
    o->run_id = value;
    return 0;
}

static int take_role(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    o->role = value;
    return *value ? 0 : dt_error_set(err, "%s is empty: a name is needed", name);
}

static int take_module(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    return dt_option_switch(name, value, &o->module, err);
}

static int take_no_python(struct dt_options *o, const char *name, const char *value,
                          struct dt_error *err)
{
    return dt_option_switch(name, value, &o->no_python, err);
}

static int take_run_path(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    return dt_option_switch(name, value, &o->run_path, err);
}

static int take_virtual(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    return dt_option_switch(name, value, &o->virtual_local_rank, err);
}

static int take_local_addr(struct dt_options *o, const char *name, const char *value,
                           struct dt_error *err)
{
    (void)name;
    (void)err;
    o->local_addr = *value ? value : NULL;
    return 0;
}

/* torchrun's ways to bind are all answered by the plan. */
static int take_numa(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    static const char *const words[] = {"node", "socket", "exclusive", "core-complex"};
    int choice;
    if (dt_option_word(name, value, words, sizeof words / sizeof *words, &choice, err))
        return -1;
    if (o->bind.by_option) /* --bind has said it more exactly */
        return 0;
    int result = dt_bind_words_parse(&o->bind, name, "auto", err);
    o->bind.by_option = true;
    return result;
}

static int take_interval(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    double seconds;
    (void)o;
    return dt_option_seconds(name, value, &seconds, err);
}

static int leave(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    (void)o;
    (void)name;
    (void)value;
    (void)err;
    return 0;
}

const struct dt_option_row dt_options_of_torchrun[] = {
    {.name = "module",
     .letter = 'm',
     .pet = true,
     .doc = "PROGRAM is a Python module: run python -u -m PROGRAM",
     .take = take_module},
    {.name = "no-python",
     .pet = true,
     .doc = "Run PROGRAM itself though its name ends in .py",
     .take = take_no_python},
    {.name = "run-path",
     .pet = true,
     .doc = "Run PROGRAM by Python's runpy.run_path",
     .take = take_run_path},
    {.name = "role", .pet = true, .value = "NAME", .doc = "ROLE_NAME (default)", .take = take_role},
    {.name = "standalone",
     .pet = true,
     .doc = "As --platform alone: the ranks of this node are a job of their own",
     .take = take_standalone},
    {.name = "virtual-local-rank",
     .pet = true,
     .doc = "Each rank sees one GPU and has LOCAL_RANK 0",
     .take = take_virtual},
    {.name = "rdzv-endpoint",
     .pet = true,
     .value = "HOST[:PORT]",
     .doc = "As --master-addr and --master-port where no platform knows node 0; of two nodes the "
            "one that has this address is node 0",
     .take = take_endpoint},
    {.name = "rdzv-id",
     .pet = true,
     .value = "ID",
     .doc = "TORCHELASTIC_RUN_ID, outside Slurm",
     .take = take_id},
    {.name = "local-addr",
     .pet = true,
     .value = "ADDR",
     .doc = "Address of this node, where it is node 0",
     .take = take_local_addr},
    {.name = "numa-binding",
     .pet = true,
     .value = "HOW",
     .doc = "As --bind=auto",
     .take = take_numa},
    {.name = "rdzv-backend", .pet = true, .value = "NAME", .take = take_backend},
    {.name = "rdzv-conf", .pet = true, .value = "TEXT", .take = leave},
    {.name = "monitor-interval", .pet = true, .value = "SECONDS", .take = take_interval},
    {.name = "start-method", .pet = true, .value = "METHOD", .take = leave},
    {.name = "event-log-handler", .pet = true, .value = "NAME", .take = leave},
    {.name = "logs-specs", .pet = true, .value = "NAME", .take = leave},
    {.name = "signals-to-handle", .pet = true, .value = "NAMES", .take = leave},
    {0},
};
