/* SPDX-License-Identifier: Apache-2.0 */
/* One node by hand: facts and checks on standard output, or a dry run of the plan. */
#include "standalone.h"

#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "engine.h"
#include "inspect/inspect.h"
#include "planner.h"

static int complain(const struct dt_error *err, int code)
{
    fprintf(stderr, "dt-node: %s\n", err->text);
    return code;
}

/* 0, or the exit status after a message. */
static int look(struct engine *e, const struct options *o, bool with_env)
{
    struct dt_error err;
    char *cwd = getcwd(NULL, 0);
    gid_t groups[256];
    const char *gpus;
    int count = getgroups(256, groups);
    struct dt_facts_request request = {.uid = getuid(),
                                       .gid = getgid(),
                                       .groups = groups,
                                       .group_count = count > 0 ? (size_t)count : 0,
                                       .cwd = cwd,
                                       .tmpdir = getenv("TMPDIR"),
                                       .job = dt_facts_own_job(&gpus),
                                       .job_gpus = gpus,
                                       .nodes = getenv("SLURM_STEP_NODELIST"),
                                       .memlock = DT_LIMIT_OWN,
                                       .nofile = DT_LIMIT_OWN,
                                       .level = (int)o->level};
    int code = 0;
    if (engine_load(e, o->root, o->config, with_env, &err) < 0)
        code = complain(&err, DT_EXIT_CONFIG);
    else if ((code = engine_collect(e, &request, environ, &err)) != 0)
        complain(&err, code);
    else if (engine_plan_env(e, &err) < 0)
        code = complain(&err, DT_EXIT_HELPER);
    free(cwd);
    return code;
}

static void print_facts(const struct dt_facts *facts)
{
    const char *key;
    json_t *value;
    json_object_foreach(facts->doc, key, value)
    {
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-24s %s\n", key, text ? text : json_string_value(value));
        free(text);
    }
}

static void print_checks(const struct dt_check_results *checks)
{
    for (size_t i = 0; i < checks->count; i++) {
        const struct dt_check_result *c = &checks->items[i];
        printf("%-8s %-18s %s%s%s\n", dt_result_name(c->result), c->name, c->value,
               *c->limit ? "; wanted: " : "", c->limit);
        if (*c->next)
            printf("%-27s next: %s\n", "", c->next);
    }
}

static void print_json(const struct engine *e, enum dt_result verdict)
{
    const char *name = "";
    dt_facts_string(&e->facts, "node.name", &name);
    json_t *document = json_pack("{s:i,s:s,s:s,s:O,s:o}", "schema", 1, "node", name, "verdict",
                                 dt_result_name(verdict), "facts", e->facts.doc, "checks",
                                 dt_check_results_to_json(&e->checks));
    json_dumpf(document, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(document);
}

static int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "dt-node: standard output can not be written\n");
    return DT_EXIT_HELPER;
}

int standalone_print(const struct options *o)
{
    struct engine e;
    struct dt_error err;
    int code = look(&e, o, false);
    if (code == 0 && engine_check(&e, o->level, &err) < 0)
        code = complain(&err, DT_EXIT_HELPER);
    if (code == 0) {
        enum dt_result verdict = dt_inspect_verdict(&e.checks);
        if (o->json) {
            print_json(&e, verdict);
        } else {
            print_facts(&e.facts);
            printf("\n");
            print_checks(&e.checks);
            printf("%s\n", dt_result_name(verdict));
        }
        code = finish_output(dt_inspect_exit_status(verdict));
    }
    engine_fini(&e);
    return code;
}

/* CPUs of this process, or of the whole tree that stands for a machine. */
static char *default_mask(const struct engine *e, const struct options *o)
{
    const char *all = NULL;
    char *text = NULL;
    if (o->allowed)
        return strdup(o->allowed);
    if (o->root && dt_facts_string(&e->facts, "cpu.list", &all))
        return strdup(all);
    hwloc_bitmap_t own = hwloc_bitmap_alloc();
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (unsigned cpu = 0; own && cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set))
            hwloc_bitmap_set(own, cpu);
    }
    if (own && hwloc_bitmap_list_asprintf(&text, own) < 0)
        text = NULL;
    hwloc_bitmap_free(own);
    return text;
}

static int write_plan(struct engine *e, const struct options *o, struct dt_request *request,
                      struct dt_error *err)
{
    struct dt_topology topology = {0};
    struct dt_buf plan = DT_BUF_INIT;
    struct dt_error why = {{0}};
    int rc = -1;
    char *mask = default_mask(e, o);
    char **masks = calloc((size_t)o->ranks, sizeof *masks);
    bool known = engine_topology(e, &topology, &why) == 0;
    if (!mask || !masks) {
        dt_error_set(err, "out of memory");
        goto out;
    }
    for (int i = 0; i < o->ranks; i++)
        masks[i] = mask;
    struct planner planner = {.engine = e,
                              .request = request,
                              .topology = known ? &topology : NULL,
                              .topology_failed = why.text,
                              .masks = masks,
                              .binding_only = o->binding};
    rc = planner_write(&planner, &plan, err);
    if (rc == 0)
        fwrite(plan.data, 1, plan.len, stdout);
out:
    if (known)
        dt_topology_fini(&topology);
    dt_buf_fini(&plan);
    free(masks);
    free(mask);
    return rc;
}

int standalone_plan(const struct options *o)
{
    struct engine e;
    struct dt_error err;
    const char *name = "";
    int *ranks = calloc((size_t)o->ranks, sizeof *ranks);
    int code = ranks ? look(&e, o, !o->binding) : DT_EXIT_HELPER;
    if (code == 0) {
        dt_facts_string(&e.facts, "node.name", &name);
        for (int i = 0; i < o->ranks; i++)
            ranks[i] = i;
        struct dt_request request = {.node_name = (char *)name,
                                     .node_count = 1,
                                     .het_group = -1,
                                     .local_tasks = o->ranks,
                                     .total_tasks = o->ranks,
                                     .ranks = ranks,
                                     .validate = "off",
                                     .env = (char *)o->env,
                                     .bind = (char *)o->bind,
                                     .nic = (char *)o->nic,
                                     .bound_known = o->binding,
                                     .on_fail = "abort",
                                     .environ = environ};
        if (write_plan(&e, o, &request, &err) < 0)
            code = complain(&err, DT_EXIT_APPLY);
        else
            code = finish_output(0);
    }
    if (ranks)
        engine_fini(&e);
    free(ranks);
    return code;
}
