/* SPDX-License-Identifier: Apache-2.0 */
/* A condition and, after a NUL, a value of a rule: parsed, checked and tried on a node. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "env/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dt_facts make_facts(void)
{
    struct dt_facts facts = {json_object()};

    dt_facts_set_int(&facts, "efa.count", 32);
    dt_facts_set_string(&facts, "instance.type", "p5.48xlarge");
    dt_facts_set_string(&facts, "lib.libfabric", "1.22.0amzn4.0");
    dt_facts_set_string(&facts, "net.interface", "ens32");
    return facts;
}

static void try_condition(const char *text, struct dt_env_names *names,
                          const struct dt_facts *facts, char *const *env)
{
    struct dt_error err = {0};
    size_t at = 0;
    struct dt_env_expr *expr = dt_env_expr_parse(text, names, &at, &err);
    struct dt_env_world world;

    if (!expr) {
        if (!*err.text || at > strlen(text))
            abort();
        return;
    }
    if (dt_env_world_init(&world, names, facts, NULL, env) == 0) {
        world.self = "1.22.0amzn4.0";
        if (dt_env_expr_eval(expr, &world) > DT_UNKNOWN)
            abort();
        dt_env_world_fini(&world);
    }
    dt_env_expr_destroy(expr);
}

static void try_template(const char *text, struct dt_env_world *world)
{
    struct dt_buf out = DT_BUF_INIT;
    struct dt_error err;

    if (dt_env_template_check(text, &err) == 0)
        dt_env_template_expand(text, world, &out);
    dt_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *const env[] = {"FI_EFA_FORK_SAFE=1", "A=1.2.3", "E=", "NCCL_SOCKET_IFNAME=^lo,=en",
                                NULL};
    static struct dt_facts facts;
    char *text = malloc(size + 2);

    if (!facts.doc)
        facts = make_facts();
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';
    struct dt_env_names names = {0};
    struct dt_env_world world;
    size_t first = strlen(text);
    try_condition(text, &names, &facts, env);
    if (dt_env_world_init(&world, &names, &facts, NULL, env) == 0)
        try_template(text + (first < size ? first + 1 : 0), &world);
    dt_env_world_fini(&world);
    dt_env_names_fini(&names);
    free(text);
    return 0;
}
