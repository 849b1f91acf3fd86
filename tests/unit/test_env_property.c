/* SPDX-License-Identifier: Apache-2.0 */
/* Over random nodes and users: dt itself never makes a program abort, and what would abort by the
 * user's doing is refused. What aborts is written apart from the rules on purpose, after the sources
 * of libfabric, NCCL and aws-ofi-nccl. */
#include "env_scene.h"

#include <strings.h>

static void plan_scene(struct dt_env_plan *plan, const struct dt_env_rules *rules,
                       const struct scene *scene)
{
    struct dt_error err = {0};
    if (dt_env_plan(plan, rules, &scene->facts, scene->instance, scene->env, &err))
        fail_msg("%s", err.text);
}

static const char *pick(unsigned *seed, const char *const *choices, size_t count)
{
    return choices[(size_t)rand_r(seed) % count];
}
#define PICK(seed, ...)                                                                            \
    pick(seed, (const char *const[]){__VA_ARGS__},                                                 \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void random_scene(struct scene *scene, unsigned *seed)
{
    struct dt_buf facts = DT_BUF_INIT, env = DT_BUF_INIT;
    size_t type = (size_t)rand_r(seed) % (TYPE_COUNT + 1);

    dt_buf_puts(&facts, PICK(seed, "", "efa.count=0 ", "efa.count=1 ", "efa.count=32 "));
    dt_buf_puts(&facts, PICK(seed, "", "gpu.count=0 ", "gpu.count=8 ", "neuron.count=16 "));
    dt_buf_puts(&facts, PICK(seed, "", "lib.libfabric=1.13.0 ", "lib.libfabric=1.16.1amzn3.0 ",
                             "lib.libfabric=1.17.0 ", "lib.libfabric=1.18.2 ",
                             "lib.libfabric=1.22.0amzn4.0 ", "lib.libfabric=2.1.0 "));
    dt_buf_puts(&facts,
                PICK(seed, "", "lib.ofi_nccl=1.5.0-aws ", "lib.ofi_nccl=1.9.0-aws ",
                     "lib.ofi_nccl=1.14.2 ", "lib.ofi_nccl=1.16.3 ", "lib.ofi_nccl=1.17.3 "));
    dt_buf_puts(&facts, PICK(seed, "", "lib.nccl=2.18.3 ", "lib.nccl=2.19.3-1+cuda12.2 ",
                             "lib.nccl=2.20.5 ", "lib.nccl=2.27.7 "));
    dt_buf_puts(&facts, PICK(seed, "", "kernel.release=5.4.0 ", "kernel.release=6.8.0-1015-aws "));
    dt_buf_puts(&facts, PICK(seed, "", "net.interface=ens32 "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_EFA_USE_HUGE_PAGE=1 ", "FI_EFA_USE_HUGE_PAGE=true "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_EFA_FORK_SAFE=1 ", "FI_EFA_FORK_SAFE=0 "));
    dt_buf_puts(&env, PICK(seed, "", "", "RDMAV_FORK_SAFE=1 ", "IBV_FORK_SAFE=1 "));
    dt_buf_puts(&env, PICK(seed, "", "", "RDMAV_HUGEPAGES_SAFE=1 "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_EFA_USE_DEVICE_RDMA=1 ", "FI_EFA_USE_DEVICE_RDMA=0 "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_PROVIDER=tcp ", "NCCL_PROTO=LL128 "));
    dt_buf_puts(&env, PICK(seed, "", "", "NCCL_TUNER_PLUGIN=x NCCL_ALGO=ring "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_EFA_MTU_SIZE=1 ", "FI_EFA_TX_MIN_CREDITS=0 "));
    dt_buf_puts(&env, PICK(seed, "", "", "", "FI_EFA_TX_IOV_LIMIT=1 ", "FI_EFA_RX_IOV_LIMIT=1 "));
    dt_buf_puts(&env, PICK(seed, "", "", "", "FI_EFA_SHM_MAX_MEDIUM_SIZE=1 ", "FI_EFA_IFACE= "));
    dt_buf_puts(&env, PICK(seed, "", "", "", "OFI_NCCL_PROTOCOL=RDMA ", "NCCL_NVLS_ENABLE=1 "));
    dt_buf_puts(&env, PICK(seed, "", "", "FI_EFA_SET_CUDA_SYNC_MEMOPS=1 ", "NVSHMEM_HOME=/x "));
    dt_buf_puts(&facts, PICK(seed, "", "container=0 ", "rank.cores=4 ", "torch.libuv=0 "));
    dt_buf_puts(&facts, PICK(seed, "", "blas.name=openblas-openmp ", "net.interfaces=lo,ens32 "));
    dt_buf_puts(&facts, PICK(seed, "", "cpu.isa=avx2 ",
                             "cpu.isa=avx512_bf16 cpu.openblas_coretype=COOPERLAKE "));
    scene_init(scene, type < TYPE_COUNT ? types[type].name : NULL, facts.data ? facts.data : "",
               env.data ? env.data : "");
    dt_buf_fini(&facts);
    dt_buf_fini(&env);
}

static const char *planned(const struct dt_env_plan *plan, const char *variable)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].action == DT_ENV_SET && !strcmp(plan->items[i].variable, variable))
            return plan->items[i].value;
    return NULL;
}

static bool says_yes(const char *text)
{
    return text && (!strcasecmp(text, "1") || !strcasecmp(text, "true") ||
                    !strcasecmp(text, "yes") || !strcasecmp(text, "on"));
}

/* What libfabric's source calls abort() or refuses to open for, after our settings; written apart
 * from the rules on purpose. */
static void check_no_abort(const struct scene *scene, const struct dt_env_plan *plan)
{
    static const char *const never[] = {"FI_EFA_MTU_SIZE",     "FI_EFA_TX_IOV_LIMIT",
                                        "FI_EFA_RX_IOV_LIMIT", "FI_EFA_SHM_MAX_MEDIUM_SIZE",
                                        "RDMAV_FORK_SAFE",     "IBV_FORK_SAFE",
                                        "RDMAV_HUGEPAGES_SAFE"};
    struct dt_env_names none = {0};
    struct dt_env_world world;
    const char *rdma = planned(plan, "FI_EFA_USE_DEVICE_RDMA");
    const char *huge = planned(plan, "FI_EFA_USE_HUGE_PAGE");
    bool we_fork_safe = planned(plan, "FI_EFA_FORK_SAFE") != NULL;
    long long efas = -1;

    assert_int_equal(dt_env_world_init(&world, &none, &scene->facts, scene->instance, scene->env),
                     0);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_null(planned(plan, never[i]));
    if (says_yes(rdma))
        assert_true(scene->instance && scene->instance->rdma_read);
    assert_false(says_yes(huge));
    if (we_fork_safe) {
        assert_false(says_yes(dt_env_user(&world, "FI_EFA_USE_HUGE_PAGE")));
        assert_null(dt_env_user(&world, "RDMAV_HUGEPAGES_SAFE"));
    }
    if (!dt_facts_int(&scene->facts, "efa.count", &efas) || efas == 0)
        assert_null(planned(plan, "FI_PROVIDER"));
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].action == DT_ENV_SET)
            assert_null(dt_env_user(&world, plan->items[i].variable));
    dt_env_world_fini(&world);
}

static size_t refusals(const struct dt_env_rules *rules, const struct scene *scene,
                       char *const *env)
{
    struct dt_env_world world;
    struct dt_env_hits hits;
    size_t count = 0;

    assert_int_equal(dt_env_world_init(&world, &rules->names, &scene->facts, scene->instance, env),
                     0);
    assert_int_equal(dt_env_judge(&hits, rules, &world), 0);
    for (size_t i = 0; i < hits.count; i++)
        count += hits.items[i].action == DT_ENV_REFUSE;
    dt_env_hits_fini(&hits);
    dt_env_world_fini(&world);
    return count;
}

/* With what dt sets put into the environment no rule refuses more than it did before. */
static void check_no_new_refusal(const struct dt_env_rules *rules, const struct scene *scene,
                                 const struct dt_env_plan *plan)
{
    char *env[96], *made[64];
    size_t count = 0, own = 0;

    while (scene->env[count]) {
        env[count] = scene->env[count];
        count++;
    }
    for (size_t i = 0; i < plan->count && own < 64; i++) {
        if (plan->items[i].action != DT_ENV_SET)
            continue;
        assert_true(asprintf(&made[own], "%s=%s", plan->items[i].variable, plan->items[i].value) >
                    0);
        env[count++] = made[own++];
    }
    env[count] = NULL;
    assert_true(refusals(rules, scene, env) <= refusals(rules, scene, scene->env));
    while (own > 0)
        free(made[--own]);
}

/* ---- what aborts --------------------------------------------------------------------------------- */

/* The environment that the program would have, and what is installed. */
struct world {
    const struct scene *scene;
    char *env[96], *made[64];
    size_t own;
    const char *libfabric, *nccl, *plugin, *kernel; /* NULL: not known */
    bool efa, nvidia, neuron;
};

static const char *value(const struct world *w, const char *name)
{
    size_t len = strlen(name);

    for (char *const *entry = w->env; *entry; entry++)
        if (!strncmp(*entry, name, len) && (*entry)[len] == '=')
            return *entry + len + 1;
    return NULL;
}

/* Is the version known, and low <= version < high? "" for no bound. */
static bool between(const char *version, const char *low, const char *high)
{
    return version && (!*low || dt_version_compare(version, low) >= 0) &&
           (!*high || dt_version_compare(version, high) < 0);
}

static bool is_positive(const struct scene *scene, const char *fact)
{
    long long number;
    return dt_facts_int(&scene->facts, fact, &number) && number > 0;
}

static void world_init(struct world *w, const struct scene *scene, const struct dt_env_plan *plan)
{
    size_t count = 0;

    *w = (struct world){.scene = scene};
    dt_facts_string(&scene->facts, "lib.libfabric", &w->libfabric);
    dt_facts_string(&scene->facts, "lib.nccl", &w->nccl);
    dt_facts_string(&scene->facts, "lib.ofi_nccl", &w->plugin);
    dt_facts_string(&scene->facts, "kernel.release", &w->kernel);
    w->efa = is_positive(scene, "efa.count");
    w->neuron = !is_positive(scene, "gpu.count") &&
                (is_positive(scene, "neuron.count") ||
                 (scene->instance && scene->instance->accelerator == DT_ACCELERATOR_NEURON));
    w->nvidia =
        !w->neuron && (is_positive(scene, "gpu.count") ||
                       (scene->instance && scene->instance->accelerator == DT_ACCELERATOR_NVIDIA));
    for (char *const *entry = scene->env; *entry; entry++)
        w->env[count++] = *entry;
    for (size_t i = 0; plan && i < plan->count; i++) {
        if (plan->items[i].action != DT_ENV_SET)
            continue;
        assert_true(
            asprintf(&w->made[w->own], "%s=%s", plan->items[i].variable, plan->items[i].value) > 0);
        w->env[count++] = w->made[w->own++];
    }
}

static void world_fini(struct world *w)
{
    while (w->own > 0)
        free(w->made[--w->own]);
}

static bool fork_safe(const struct world *w)
{
    return value(w, "FI_EFA_FORK_SAFE") || value(w, "RDMAV_FORK_SAFE") || value(w, "IBV_FORK_SAFE");
}

static bool chosen(const struct world *w)
{
    return value(w, "NCCL_ALGO") || value(w, "NCCL_PROTO");
}

/* The reason why libfabric would abort(); NULL: it would not. */
static const char *libfabric_aborts(const struct world *w)
{
    const struct dt_instance *i = w->scene->instance;
    const char *credits = value(w, "FI_EFA_TX_MIN_CREDITS"), *iface = value(w, "FI_EFA_IFACE");

    if (!w->efa)
        return NULL;
    if (value(w, "FI_EFA_MTU_SIZE") && between(w->libfabric, "1.18.0", ""))
        return "FI_EFA_MTU_SIZE";
    if ((value(w, "FI_EFA_TX_IOV_LIMIT") || value(w, "FI_EFA_RX_IOV_LIMIT")) &&
        between(w->libfabric, "1.19.0", ""))
        return "FI_EFA_..._IOV_LIMIT";
    if (value(w, "FI_EFA_SHM_MAX_MEDIUM_SIZE") && between(w->libfabric, "1.14.0", "1.19.1"))
        return "FI_EFA_SHM_MAX_MEDIUM_SIZE";
    if (says_yes(value(w, "FI_EFA_USE_DEVICE_RDMA")) && i && !i->rdma_read &&
        between(w->libfabric, "1.17.0", ""))
        return "FI_EFA_USE_DEVICE_RDMA";
    if (says_yes(value(w, "FI_EFA_USE_HUGE_PAGE")) && fork_safe(w) &&
        between(w->libfabric, "1.19.0", ""))
        return "FI_EFA_USE_HUGE_PAGE with a fork-safe variable";
    if (credits && atoi(credits) <= 0)
        return "FI_EFA_TX_MIN_CREDITS";
    return iface && !*iface && between(w->libfabric, "2.0.0", "") ? "FI_EFA_IFACE" : NULL;
}

static const char *nccl_aborts(const struct world *w)
{
    const struct dt_instance *i = w->scene->instance;
    bool ordered = i && (!strncmp(i->name, "p5", 2) || !strncmp(i->name, "p6", 2));
    const char *proto = value(w, "NCCL_PROTO"), *protocol = value(w, "OFI_NCCL_PROTOCOL");

    if (!w->nvidia)
        return NULL;
    if (value(w, "NCCL_TUNER_PLUGIN") && chosen(w) && between(w->nccl, "2.19", "2.21") &&
        between(w->plugin, "1.8.0", "1.17.0"))
        return "an algorithm or protocol beside the first tuner";
    if (!w->efa)
        return NULL;
    if (proto && strcasestr(proto, "ll") && i && !ordered)
        return "NCCL_PROTO";
    if (protocol && !strcasecmp(protocol, "RDMA") && i && !i->rdma_write &&
        between(w->plugin, "1.7.0", ""))
        return "OFI_NCCL_PROTOCOL";
    return says_yes(value(w, "FI_EFA_SET_CUDA_SYNC_MEMOPS")) && between(w->nccl, "2.19.0", "") &&
                   between(w->libfabric, "1.16.0", "1.19.1")
               ? "FI_EFA_SET_CUDA_SYNC_MEMOPS"
               : NULL;
}

/* A data loader forks; EFA is open; nothing makes that safe, and nothing forbids what would. */
static bool fork_aborts(const struct world *w)
{
    return w->efa && (w->nvidia || w->neuron) && between(w->kernel, "", "5.13") && !fork_safe(w) &&
           !says_yes(value(w, "FI_EFA_USE_HUGE_PAGE")) && !value(w, "RDMAV_HUGEPAGES_SAFE");
}

static const char *aborts(const struct world *w)
{
    const char *reason = libfabric_aborts(w);
    return reason ? reason : nccl_aborts(w);
}

static bool refuses_one(const struct dt_env_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].action == DT_ENV_REFUSE)
            return true;
    return false;
}

static void check_result(const struct scene *scene, const struct dt_env_plan *plan, size_t *bad)
{
    struct world before, after;

    world_init(&before, scene, NULL);
    world_init(&after, scene, plan);
    if (aborts(&after) && !refuses_one(plan))
        fail_msg("%s would abort, and nothing is refused: %s", aborts(&after), plan->summary);
    if (aborts(&after) && !aborts(&before))
        fail_msg("%s would abort by what dt sets: %s", aborts(&after), plan->summary);
    if (fork_aborts(&after))
        fail_msg("a fork would abort: %s", plan->summary);
    *bad += aborts(&after) != NULL;
    world_fini(&before);
    world_fini(&after);
}

static void test_never_an_abort(void **state)
{
    struct dt_env_rules *rules = load_shipped();
    unsigned seed = 20;
    size_t bad = 0;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct scene scene;
        struct dt_env_plan plan;
        random_scene(&scene, &seed);
        plan_scene(&plan, rules, &scene);
        check_no_abort(&scene, &plan);
        check_no_new_refusal(rules, &scene, &plan);
        check_result(&scene, &plan, &bad);
        dt_env_plan_fini(&plan);
        scene_fini(&scene);
    }
    assert_in_range(bad, 300, 2700); /* of both kinds there were many */
    dt_env_rules_destroy(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_never_an_abort)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
