/* SPDX-License-Identifier: Apache-2.0 */
/* Calling lib/ in order. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "facts/overlay.h"
#include "history/history.h"
#include "inspect/inspect.h"
#include "paths.h"

int engine_load(struct engine *e, const char *root, const char *config, bool with_env,
                struct dt_error *err)
{
    *e = (struct engine){.root = {.fd = -1}, .config = config, .with_env = with_env};
    if (dt_root_init(&e->root, root, err) < 0)
        return -1;
    return dt_conf_load(&e->conf, config ? config : DT_SYSCONFDIR "/dt.conf", config != NULL, err);
}

void engine_fini(struct engine *e)
{
    dt_env_plan_fini(&e->env);
    free(e->env_origin);
    free(e->question.answer);
    dt_nccl_environ_free(e->user_env, e->job_env);
    dt_nccl_settings_fini(&e->nccl);
    dt_check_results_fini(&e->checks);
    dt_facts_fini(&e->facts);
    if (e->rules)
        dt_env_rules_destroy(e->rules);
    dt_instances_fini(&e->instances);
    dt_conf_fini(&e->conf);
    dt_root_fini(&e->root);
}

int engine_collect(struct engine *e, struct dt_facts_request *request, char *const *variables,
                   struct dt_error *err)
{
    struct dt_error rules_err = {{0}};
    request->root = &e->root;
    request->conf = &e->conf;
    engine_ask_env(e, request, variables);
    request->question = e->with_env ? &e->question : NULL;
    struct dt_facts_run *run = dt_facts_start(request, err);
    if (!run)
        return DT_EXIT_HELPER;
    /* While the children run. */
    int rules_rc = e->with_env ? engine_load_rules(e, &rules_err) : 0;
    if (dt_facts_finish(run, &e->facts, err) < 0)
        return DT_EXIT_HELPER;
    if (rules_rc < 0) {
        *err = rules_err;
        return DT_EXIT_CONFIG;
    }
    if (dt_history_facts(&e->facts, &e->root, &e->conf, err) < 0)
        return DT_EXIT_HELPER;
    if (dt_facts_overlay(&e->facts, &e->root, err) < 0 ||
        dt_inspect_find_instance(&e->instances, &e->instance, &e->facts, &e->conf, err) < 0)
        return DT_EXIT_CONFIG;
    if (e->with_env && engine_user_env(e, err) < 0)
        return DT_EXIT_HELPER;
    return 0;
}

int engine_topology(struct engine *e, struct dt_topology *topology, struct dt_error *err)
{
    if (dt_topology_load(topology, &e->root, &e->facts, e->instance, e->conf.cache_directory, err) <
        0)
        return -1;
    err->text[0] = '\0';
    if (*e->conf.topology_override)
        dt_topology_override(topology, e->conf.topology_override, err);
    return 0;
}

int engine_check(struct engine *e, enum dt_level level, struct dt_error *err)
{
    struct dt_check_context context = {.facts = &e->facts,
                                       .instance = e->instance,
                                       .conf = &e->conf,
                                       .env = e->rules ? &e->env : NULL,
                                       .env_warning = e->rules_warning.text,
                                       .env_origin = e->env_origin,
                                       .level = level};
    return dt_inspect_run_checks(&e->checks, &context, err);
}
