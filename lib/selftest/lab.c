/* SPDX-License-Identifier: Apache-2.0 */
/* One machine: its tree is written, broken, looked at as dt-node would, compared with a healthy
 * machine of its type, and removed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/whole.h"
#include "compare/compare.h"
#include "inspect/inspect.h"
#include "selftest/internal.h"

struct peer {
    char *type;
    struct dt_facts facts;
};

struct dt_selftest_lab {
    const struct dt_selftest_options *options;
    char *tree;    /* where the machine stands */
    char *profile; /* of the type's healthy machine: a file */
    bool profiled; /* machines are held to it now */
    struct dt_env_rules *rules;
    struct peer *peers; /* healthy machines, made when they are first asked for */
    size_t peer_count;
};

/* Like a settled site's, with everything configured that some check needs. */
static const struct {
    const char *name, *line;
} settings[] = {
    {"cache-directory", "cache-directory = \"\"\n"},
    {"required-mounts", "required-mounts = {\"/fsx\"}\n"},
    {"required-modules", "required-modules = {\"ena\"}\n"},
    {"required-processes", "required-processes = {\"slurmd\"}\n"},
    {"writable-paths", "writable-paths = {\"/scratch\"}\n"},
    /* Children that answer do so at once; on a machine with much else to do that may take a while. */
    {"probe-timeout-ms", "probe-timeout-ms = 10000\n"},
};

static int load_conf(struct dt_conf *conf, const struct dt_selftest_lab *lab,
                     const struct dt_fault *fault, struct dt_error *err)
{
    const char *own = fault && fault->conf ? fault->conf : "";
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "data-directory = \"%s\"\n%s", lab->options->data_directory, own);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (!strstr(own, settings[i].name))
            dt_buf_puts(&text, settings[i].line);
    }
    if (lab->profiled)
        dt_buf_printf(&text, "profile = \"%s\"\n", lab->profile);
    size_t len = text.len;
    char *whole = dt_buf_take(&text);
    int rc = whole ? dt_conf_parse(conf, "dt.conf of the selftest", whole, len, err)
                   : dt_error_set(err, "out of memory");
    free(whole);
    return rc;
}

/* ---- making the machine ---- */

static int write_machine(const struct dt_selftest_lab *lab, const char *type,
                         const struct dt_fault *fault, struct dt_error *err)
{
    struct dt_instances table;
    char *path = NULL;
    if (asprintf(&path, "%s/instances.conf", lab->options->data_directory) < 0)
        return dt_error_set(err, "out of memory");
    int rc = dt_instances_load_type(&table, path, type, err);
    free(path);
    if (rc < 0)
        return -1;
    const struct dt_instance *instance = dt_instances_find(&table, type);
    rc = instance ? dt_personality_write(lab->tree, instance, fault ? "sick" : "healthy",
                                         lab->options->nvml, err)
                  : dt_error_set(err, "the instance table has no type %s", type);
    if (rc == 0)
        rc = dt_personality_settle(lab->tree, instance, err);
    dt_instances_fini(&table);
    if (rc == 0 && fault && !fault->variable)
        rc = dt_fault_plant(lab->tree, fault, err);
    return rc;
}

/* ---- looking at it ---- */

static int make_env_plan(struct dt_env_plan *plan, const struct dt_selftest_lab *lab,
                         const struct dt_inspection *in, const struct dt_fault *fault,
                         struct dt_error *err)
{
    char *variable = fault && fault->variable ? strdup(fault->variable) : NULL;
    char *environment[] = {variable, NULL};
    int rc = fault && fault->variable && !variable
                 ? dt_error_set(err, "out of memory")
                 : dt_env_plan(plan, lab->rules, &in->facts, in->instance, environment, err);
    free(variable);
    return rc;
}

/* Facts from level full on, as what level deep measures would be this machine's own: a tree brings it
 * in dt-facts.json. Judged at level deep. */
static int look(struct dt_inspection *in, const struct dt_selftest_lab *lab,
                const struct dt_fault *fault, struct dt_error *err)
{
    struct dt_facts_request request = {.uid = getuid(),
                                       .gid = getgid(),
                                       .memlock = DT_LIMIT_OWN,
                                       .nofile = DT_LIMIT_OWN,
                                       .level = DT_LEVEL_FULL};
    struct dt_check_context context = {.level = DT_LEVEL_DEEP};
    struct dt_env_plan plan = {0};
    *in = (struct dt_inspection){.root = {.fd = -1}};
    if (dt_root_init(&in->root, lab->tree, err) < 0 || load_conf(&in->conf, lab, fault, err) < 0 ||
        dt_inspect_collect(in, &request, err) != 0 || make_env_plan(&plan, lab, in, fault, err) < 0)
        return -1;
    context.env = &plan;
    int rc = dt_inspect_check(in, &context, err);
    dt_env_plan_fini(&plan);
    return rc;
}

/* A healthy machine of the type; NULL: err says why. */
static const struct dt_facts *peer_of(struct dt_selftest_lab *lab, const char *type,
                                      struct dt_error *err)
{
    for (size_t i = 0; i < lab->peer_count; i++) {
        if (strcmp(lab->peers[i].type, type) == 0)
            return &lab->peers[i].facts;
    }
    struct peer *more = realloc(lab->peers, (lab->peer_count + 1) * sizeof *more);
    if (!more) {
        dt_error_set(err, "out of memory");
        return NULL;
    }
    lab->peers = more;
    struct peer *peer = &more[lab->peer_count];
    *peer = (struct peer){.type = strdup(type)};
    struct dt_inspection in = {.root = {.fd = -1}};
    int rc = peer->type ? write_machine(lab, type, NULL, err) : dt_error_set(err, "out of memory");
    if (rc == 0)
        rc = look(&in, lab, NULL, err);
    if (rc == 0) {
        peer->facts = in.facts; /* taken over */
        in.facts = (struct dt_facts){0};
        lab->peer_count++;
    } else {
        free(peer->type);
    }
    dt_inspect_fini(&in);
    if (dt_personality_remove(lab->tree, rc == 0 ? err : NULL) < 0)
        rc = -1;
    return rc == 0 ? &lab->peers[lab->peer_count - 1].facts : NULL;
}

/* ---- filling in the row ---- */

static int put_result(const struct dt_selftest *test, struct dt_selftest_row *row,
                      const struct dt_check_result *result, bool compares, struct dt_error *err)
{
    for (size_t i = 0; i < test->column_count; i++) {
        if (test->columns[i].compares != compares ||
            strcmp(test->columns[i].name, result->name) != 0)
            continue;
        if (compares && result->result < row->results[i])
            return 0; /* one node may be named twice */
        row->results[i] = result->result;
        free(row->messages[i]);
        row->messages[i] = result->result > DT_SKIP ? strdup(result->value) : NULL;
        return 0;
    }
    return dt_error_set(err, "%s '%s' is in no list of them",
                        compares ? "the comparison" : "the check", result->name);
}

/* The machine beside two healthy ones of its type: who is found odd is found by name. */
static int compare(const struct dt_selftest *test, struct dt_selftest_row *row,
                   const struct dt_facts *peer, const struct dt_inspection *in,
                   struct dt_error *err)
{
    const struct dt_compare_node nodes[] = {
        {"healthy-1", peer}, {"healthy-2", peer}, {"subject", &in->facts}};
    struct dt_findings findings;
    int rc = dt_compare(&findings, nodes, 3, &in->conf, err);
    for (size_t i = 0; rc == 0 && i < findings.count; i++) {
        const struct dt_finding *finding = &findings.items[i];
        if (finding->node == 2)
            rc = put_result(test, row, &finding->result, true, err);
        else
            rc = dt_error_set(err, "the comparison blames the healthy nodes: %s",
                              finding->result.message);
    }
    dt_findings_fini(&findings);
    return rc;
}

/* As dt-validate --learn would. The profile sees most of the faults, which are for other checks to find:
 * so healthy machines and the fault that is its own are held to it, and no others. */
static int learn(struct dt_selftest_lab *lab, const struct dt_facts *peer,
                 const struct dt_fault *fault, struct dt_error *err)
{
    struct dt_whole file;
    lab->profiled = !fault || dt_selftest_lists(fault->found_by, "profile");
    char *text = lab->profiled ? dt_profile_learn(peer) : NULL;
    if (!lab->profiled)
        return 0;
    int rc = text ? dt_whole_open(&file, lab->profile) : -ENOMEM;
    if (rc == 0)
        rc = dt_whole_write(&file, text, strlen(text));
    if (text)
        rc = dt_whole_close(&file, rc == 0) < 0 || rc < 0 ? -EIO : 0;
    free(text);
    return rc == 0 ? 0 : dt_error_set(err, "%s can not be written", lab->profile);
}

static int fill_row(struct dt_selftest_lab *lab, const struct dt_selftest *test,
                    struct dt_selftest_row *row, struct dt_error *err)
{
    struct dt_inspection in = {.root = {.fd = -1}};
    const struct dt_facts *peer = peer_of(lab, row->type, err);
    if (!peer)
        return -1;
    int rc = write_machine(lab, row->type, row->fault, err);
    if (rc == 0)
        rc = learn(lab, peer, row->fault, err);
    if (rc == 0)
        rc = look(&in, lab, row->fault, err);
    if (lab->profiled)
        unlink(lab->profile);
    lab->profiled = false;
    for (size_t i = 0; i < test->column_count; i++)
        row->results[i] = DT_SKIP;
    for (size_t i = 0; rc == 0 && i < in.checks.count; i++)
        rc = put_result(test, row, &in.checks.items[i], false, err);
    if (rc == 0)
        rc = compare(test, row, peer, &in, err);
    dt_inspect_fini(&in);
    if (dt_personality_remove(lab->tree, rc == 0 ? err : NULL) < 0)
        rc = -1;
    return rc;
}

void dt_selftest_lab_try(struct dt_selftest_lab *lab, const struct dt_selftest *test,
                         struct dt_selftest_row *row)
{
    struct dt_error err = {{0}};
    if (fill_row(lab, test, row, &err) < 0 && asprintf(&row->trouble, "%s", err.text) < 0)
        abort(); /* in a child: the parent says that it died */
}

struct dt_selftest_lab *dt_selftest_lab_open(const struct dt_selftest_options *options,
                                             const char *directory, struct dt_error *err)
{
    char *rules = NULL;
    struct dt_selftest_lab *lab = calloc(1, sizeof *lab);
    if (!lab || asprintf(&lab->tree, "%s/tree", directory) < 0 ||
        asprintf(&lab->profile, "%s/profile.conf", directory) < 0 ||
        asprintf(&rules, "%s/env-rules.conf", options->data_directory) < 0) {
        dt_error_set(err, "out of memory");
        dt_selftest_lab_close(lab);
        return NULL;
    }
    lab->options = options;
    int rc = dt_env_rules_load(&lab->rules, rules, err);
    free(rules);
    if (rc < 0) {
        dt_selftest_lab_close(lab);
        return NULL;
    }
    unsetenv("DT_FAKE_NVML"); /* each tree has its own */
    return lab;
}

void dt_selftest_lab_close(struct dt_selftest_lab *lab)
{
    if (!lab)
        return;
    for (size_t i = 0; i < lab->peer_count; i++) {
        dt_facts_fini(&lab->peers[i].facts);
        free(lab->peers[i].type);
    }
    if (lab->rules)
        dt_env_rules_destroy(lab->rules);
    free(lab->peers);
    free(lab->tree);
    free(lab->profile);
    free(lab);
}
