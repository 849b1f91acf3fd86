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

static void try_condition(const char *text, const struct dt_env_world *world)
{
    struct dt_error err;
    struct dt_env_expr *expr = dt_env_expr_parse(text, &err);

    if (expr && dt_env_expr_eval(expr, world) > DT_UNKNOWN)
        abort();
    if (!expr && !*err.text)
        abort();
    dt_env_expr_destroy(expr);
}

static void try_template(const char *text, const struct dt_env_world *world)
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
    struct dt_env_world world = {&facts, NULL, env};
    size_t first = strlen(text);
    try_condition(text, &world);
    try_template(text + (first < size ? first + 1 : 0), &world);
    free(text);
    return 0;
}
