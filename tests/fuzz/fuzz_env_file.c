/* SPDX-License-Identifier: Apache-2.0 */
/* A whole rules file, and the same as the admin's own beside a good one: refused with a sentence that
 * names file and line, or used; and never half of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *copy_of(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text) {
        memcpy(text, data, size);
        text[size] = '\0';
    }
    return text;
}

static void use(const struct dt_env_rules *rules)
{
    static char *const env[] = {"FI_EFA_FORK_SAFE=1", "A=1.2.3", "E=", "NCCL_IB_HCA=x", NULL};
    struct dt_facts facts = {json_object()};
    struct dt_env_findings findings;
    struct dt_env_plan plan;

    dt_facts_set_int(&facts, "efa.count", 32);
    dt_facts_set_string(&facts, "lib.libfabric", "1.22.0amzn4.0");
    if (dt_env_plan(&plan, rules, &facts, NULL, env, NULL) == 0)
        dt_env_plan_fini(&plan);
    if (dt_env_check(&findings, rules, NULL, &facts, NULL, env, NULL) == 0)
        dt_env_findings_fini(&findings);
    free(dt_env_rules_document(rules, false));
    json_decref(facts.doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "rule \"a\" { when = 'efa.count' action = warn variable = A "
                               "reason = r source = s }";
    struct dt_env_rules *rules = calloc(1, sizeof(*rules));
    struct dt_error err = {0};
    char *text = copy_of(data, size);

    if (!rules || !text || dt_env_rules_parse(rules, "good", strdup(good), false, &err))
        abort();
    if (dt_env_rules_parse(rules, "FILE", text, size % 2, &err)) {
        if (rules->count != 1 || strncmp(err.text, "FILE:", 5) != 0)
            abort();
    }
    use(rules);
    dt_env_rules_destroy(rules);
    return 0;
}
