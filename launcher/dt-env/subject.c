/* SPDX-License-Identifier: Apache-2.0 */
/* Making the facts that an answer is about. */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "check/check.h"
#include "with.h"
#include "paths.h"

enum { KEY_AS = 512, KEY_WITH, KEY_ROOT, KEY_CONFIG };

static const struct argp_option subject_options_table[] = {
    {"as", KEY_AS, "TYPE", 0, "Answer for this EC2 instance type instead of this machine", 1},
    {"with", KEY_WITH, "LIST", 0,
     "Take these versions as installed, as libfabric=1.22.0,nccl=2.27.5; there are libfabric, "
     "ofi-nccl, nccl, efa-installer, efa-driver, rdma-core, kernel, nvidia-driver, cuda, "
     "neuron-driver, neuron and torch",
     1},
    {"root", KEY_ROOT, "DIR", 0, "Look at the tree in DIR instead of this machine", 1},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 1},
    {0},
};

static error_t parse_subject(int key, char *arg, struct argp_state *state)
{
    struct subject_options *o = state->input;
    switch (key) {
    case KEY_AS:
        o->as = arg;
        return 0;
    case KEY_WITH:
        o->with = arg;
        return 0;
    case KEY_ROOT:
        o->root = arg;
        return 0;
    case KEY_CONFIG:
        o->config = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->as && o->root)
            argp_error(state, "--as and --root are two different machines: give one");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp subject_argp = {
    subject_options_table, parse_subject, NULL, NULL, NULL, NULL, NULL};

static char *table_path(const struct subject *s, const char *name, struct dt_error *err)
{
    char *path;
    if (asprintf(&path, "%s/%s", s->conf.data_directory, name) >= 0)
        return path;
    dt_error_set(err, "out of memory");
    return NULL;
}

static int load_tables(struct subject *s, struct dt_error *err)
{
    char *rules = table_path(s, "env-rules.conf", err);
    char *variables = table_path(s, "env-variables.conf", err);
    int rc = -1;
    if (rules && variables && dt_env_rules_load(&s->rules, rules, err) == 0 &&
        (!*s->conf.env_rules_site ||
         dt_env_rules_add_site(s->rules, s->conf.env_rules_site, err) == 0) &&
        dt_env_variables_load(&s->variables, variables, err) == 0)
        rc = 0;
    free(rules);
    free(variables);
    return rc;
}

/* "p5.49xlarge": the nearest type, or the sizes of the family. */
static int unknown_type(const struct subject *s, const char *type, struct dt_error *err)
{
    const char **names = calloc(s->instances.count + 1, sizeof *names);
    const char *near = NULL;
    for (size_t i = 0; names && i < s->instances.count; i++)
        names[i] = s->instances.items[i].name;
    if (names)
        near = nearest_word(type, names);
    if (near)
        dt_error_set(err, "--as: no instance type '%s' in instances.conf; did you mean '%s'?", type,
                     near);
    else
        dt_error_set(err, "--as: no instance type '%s' in instances.conf", type);
    free(names);
    return -1;
}

/* What is known of a machine by its type alone. */
static int facts_of_type(struct dt_facts *facts, const struct dt_instance *i)
{
    bool nvidia = i->accelerator == DT_ACCELERATOR_NVIDIA;
    bool neuron = i->accelerator == DT_ACCELERATOR_NEURON;
    int rc = dt_facts_set_string(facts, "instance.type", i->name) |
             dt_facts_set_string(facts, "instance.source", "stated") |
             dt_facts_set_int(facts, "cpu.online", i->vcpus) |
             dt_facts_set_int(facts, "numa.count", i->numa_nodes) |
             dt_facts_set_int(facts, "mem.total_mib", i->memory_mib) |
             dt_facts_set_int(facts, "efa.count", i->efas) |
             dt_facts_set_int(facts, "efa.active", i->efas) |
             dt_facts_set_int(facts, "gpu.count", nvidia ? i->accelerators : 0) |
             dt_facts_set_int(facts, "neuron.count", neuron ? i->accelerators : 0);
    if (rc == 0 && nvidia && i->accelerator_model)
        rc = dt_facts_set_string(facts, "gpu.model", i->accelerator_model);
    return rc;
}

static int state_facts(struct subject *s, const char *type, struct dt_error *err)
{
    char *path = table_path(s, "instances.conf", err);
    int rc = path ? dt_instances_load(&s->instances, path, err) : -1;
    free(path);
    if (rc < 0)
        return DT_EXIT_CONFIG;
    s->instance = dt_instances_find(&s->instances, type);
    if (!s->instance) {
        unknown_type(s, type, err);
        return DT_EXIT_USAGE;
    }
    s->facts.doc = json_object();
    if (s->facts.doc && facts_of_type(&s->facts, s->instance) == 0)
        return 0;
    dt_error_set(err, "out of memory");
    return DT_EXIT_HELPER;
}

struct dt_facts_request subject_request(const struct subject *s, char *cwd)
{
    return (struct dt_facts_request){.root = &s->root,
                                     .conf = &s->conf,
                                     .uid = getuid(),
                                     .gid = getgid(),
                                     .cwd = cwd,
                                     .memlock = DT_LIMIT_OWN,
                                     .nofile = DT_LIMIT_OWN,
                                     .level = DT_LEVEL_FAST};
}

static int look(struct subject *s, struct dt_error *err)
{
    struct dt_facts_request request = subject_request(s, NULL);
    const char *type;
    if (dt_facts_collect(&s->facts, &request, err) < 0)
        return DT_EXIT_HELPER;
    if (!dt_facts_string(&s->facts, "instance.type", &type))
        return 0;
    char *path = table_path(s, "instances.conf", err);
    int rc = path ? dt_instances_load_type(&s->instances, path, type, err) : -1;
    free(path);
    if (rc == 0)
        s->instance = dt_instances_find(&s->instances, type);
    return rc < 0 ? DT_EXIT_CONFIG : 0;
}

int subject_load(struct subject *s, const struct subject_options *o, struct dt_error *err)
{
    *s = (struct subject){.root = {.fd = -1}, .stated = o->as != NULL};
    if (dt_root_init(&s->root, o->root, err) < 0)
        return DT_EXIT_USAGE;
    if (dt_conf_load(&s->conf, o->config ? o->config : DT_SYSCONFDIR "/dt.conf", o->config != NULL,
                     err) < 0 ||
        load_tables(s, err) < 0)
        return DT_EXIT_CONFIG;
    return o->as ? state_facts(s, o->as, err) : look(s, err);
}

void subject_fini(struct subject *s)
{
    dt_facts_fini(&s->facts);
    dt_env_variables_destroy(s->variables);
    dt_env_rules_destroy(s->rules);
    dt_instances_fini(&s->instances);
    dt_conf_fini(&s->conf);
    dt_root_fini(&s->root);
}

static bool is_relevant(const struct component *c, const struct subject *s)
{
    long long count;
    bool gpu = (dt_facts_int(&s->facts, "gpu.count", &count) && count > 0) ||
               (dt_facts_int(&s->facts, "gpu.pci_count", &count) && count > 0);
    bool efa = dt_facts_int(&s->facts, "efa.count", &count) && count > 0;
    if (strcmp(c->name, "kernel") == 0)
        return true;
    if (strcmp(c->name, "nccl") == 0)
        return gpu;
    if (strcmp(c->name, "ofi-nccl") == 0)
        return gpu && efa;
    return strcmp(c->name, "libfabric") == 0 && efa;
}

char *subject_describe(const struct subject *s)
{
    struct dt_buf out = DT_BUF_INIT, missing = DT_BUF_INIT;
    const char *text;
    if (dt_facts_string(&s->facts, "instance.type", &text))
        dt_buf_puts(&out, text);
    else
        dt_buf_puts(&out, "a machine of unknown type");
    dt_buf_puts(&out, s->stated ? " (stated)" : s->root.fake ? " (tree)" : " (this machine)");
    for (const struct component *c = components; c->name; c++) {
        bool alias = c > components && strcmp(c->fact, c[-1].fact) == 0;
        if (alias)
            continue;
        if (dt_facts_string(&s->facts, c->fact, &text))
            dt_buf_printf(&out, ", %s %s", c->label, text);
        else if (is_relevant(c, s))
            dt_buf_printf(&missing, "%s%s", missing.len ? ", " : "", c->label);
    }
    if (missing.len)
        dt_buf_printf(&out, "; versions not known: %s", missing.data);
    out.failed |= missing.failed;
    dt_buf_fini(&missing);
    return dt_buf_take(&out);
}
