/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that an answer is about: live, below a root, from a file, or by type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "check/check.h"
#include "dt-topo.h"
#include "paths.h"

static int load_table(struct subject *s, const char *type, struct dt_error *err)
{
    char *path;
    int rc;

    if (asprintf(&path, "%s/instances.conf", s->conf.data_directory) < 0)
        return dt_error_set(err, "out of memory");
    rc = type ? dt_instances_load_type(&s->instances, path, type, err)
              : dt_instances_load(&s->instances, path, err);
    free(path);
    return rc;
}

static int find_type(struct subject *s, const char *type, const struct dt_instance **instance,
                     struct dt_error *err)
{
    *instance = dt_instances_find(&s->instances, type);
    if (*instance)
        return 0;
    return dt_error_set(err, "--as: no instance type '%s' in %s/instances.conf", type,
                        s->conf.data_directory);
}

static int from_type(struct subject *s, const struct options *o, struct dt_error *err)
{
    const struct dt_instance *instance;

    if (load_table(s, NULL, err))
        return DT_EXIT_CONFIG;
    if (find_type(s, o->as, &instance, err))
        return DT_EXIT_USAGE;
    return dt_topology_of_instance(&s->topology, instance, err) ? DT_EXIT_NO_PLAN : 0;
}

static int from_file(struct subject *s, const struct options *o, struct dt_error *err)
{
    const struct dt_instance *instance = NULL;

    if (load_table(s, NULL, err))
        return DT_EXIT_CONFIG;
    if (o->as && find_type(s, o->as, &instance, err))
        return DT_EXIT_USAGE;
    return dt_topology_read(&s->topology, o->topology, &s->instances, instance, err)
               ? DT_EXIT_NO_PLAN
               : 0;
}

static int look(struct subject *s, struct dt_error *err)
{
    struct dt_facts_request request = {.root = &s->root,
                                       .conf = &s->conf,
                                       .uid = getuid(),
                                       .gid = getgid(),
                                       .memlock = DT_LIMIT_OWN,
                                       .nofile = DT_LIMIT_OWN,
                                       .level = DT_LEVEL_FAST};
    return dt_facts_collect(&s->facts, &request, err) ? DT_EXIT_HELPER : 0;
}

/* A wrong override costs the drawing nothing but a warning, as it costs a job. */
static void apply_override(struct subject *s, const struct options *o)
{
    const char *path = o->override ? o->override : s->conf.topology_override;
    struct dt_error err = {{0}};

    if (*path && dt_topology_override(&s->topology, path, &err))
        fprintf(stderr, "dt-topo: warning: %s\n", err.text);
}

static int from_machine(struct subject *s, const struct options *o, struct dt_error *err)
{
    const struct dt_instance *instance = NULL;
    const char *type;
    int code = look(s, err);

    if (code)
        return code;
    if (dt_facts_string(&s->facts, "instance.type", &type)) {
        if (load_table(s, type, err))
            return DT_EXIT_CONFIG;
        instance = dt_instances_find(&s->instances, type);
    }
    if (dt_topology_load(&s->topology, &s->root, &s->facts, instance, NULL, err))
        return DT_EXIT_NO_PLAN;
    apply_override(s, o);
    return 0;
}

int subject_load(struct subject *s, const struct options *o, struct dt_error *err)
{
    int code;

    *s = (struct subject){.root = {.fd = -1}};
    if (dt_root_init(&s->root, o->root, err))
        return DT_EXIT_USAGE;
    if (dt_conf_load(&s->conf, o->config ? o->config : DT_SYSCONFDIR "/dt.conf", o->config != NULL,
                     err))
        return DT_EXIT_CONFIG;
    if (o->topology)
        code = from_file(s, o, err);
    else if (o->as)
        code = from_type(s, o, err);
    else
        code = from_machine(s, o, err);
    s->loaded = code == 0;
    return code;
}

void subject_fini(struct subject *s)
{
    if (s->loaded)
        dt_topology_fini(&s->topology);
    dt_facts_fini(&s->facts);
    dt_instances_fini(&s->instances);
    dt_conf_fini(&s->conf);
    dt_root_fini(&s->root);
}
