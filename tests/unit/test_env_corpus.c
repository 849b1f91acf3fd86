/* SPDX-License-Identifier: Apache-2.0 */
/* What public training scripts set, and what the doctor says of it: every known-bad assignment is
 * found, none of the known-good ones is called bad. With --table the findings are printed, and what
 * loading and evaluating the rules takes: `make bench-env`. */
#include "env_scene.h"

#include <ctype.h>
#include <time.h>

#define CONTEXTS_MAX 32

struct context {
    char *name, *type, *facts;
};

struct corpus {
    struct dt_env_rules *rules;
    struct dt_env_variables *variables;
    struct context contexts[CONTEXTS_MAX];
    size_t context_count, cases, bad, wrong;
    bool table, quiet;
};

static char *trim(char *text)
{
    char *end;

    while (isspace((unsigned char)*text))
        text++;
    end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return text;
}

/* Cut at '|'; missing fields are "". */
static void split(char *line, char *fields[3])
{
    char *rest = line;

    for (int i = 0; i < 3; i++)
        fields[i] = rest ? trim(strsep(&rest, "|")) : (char *)"";
}

static const struct context *context_named(const struct corpus *c, const char *name)
{
    for (size_t i = 0; i < c->context_count; i++)
        if (!strcmp(c->contexts[i].name, name))
            return &c->contexts[i];
    fail_msg("the corpus has no context %s", name);
    return NULL;
}

static size_t split_env(char *text, char **env, size_t room)
{
    size_t count = 0;
    char *rest = text;

    while (rest && count + 1 < room) {
        char *word = trim(strsep(&rest, ";"));
        if (*word)
            env[count++] = word;
    }
    env[count] = NULL;
    return count;
}

/* The finding that is expected; or, of a good one, the worst that is said of the user's values. */
static const struct dt_env_finding *pick_finding(const struct dt_env_findings *found,
                                                 const char *severity, const char *who)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct dt_env_finding *f = &found->items[i];
        if (!f->value || (!*who && f->severity == DT_ENV_FINE))
            continue;
        if (!*who || (!strcmp(dt_env_severity_name(f->severity), severity) &&
                      !strcmp(*f->rule ? f->rule : "(name)", who)))
            return f;
    }
    return NULL;
}

static void judge_case(struct corpus *c, char *fields[3])
{
    const struct context *context = context_named(c, fields[0]);
    char *env[32], *shown = strdup(fields[1]), *rest = fields[2];
    const char *severity = strsep(&rest, " "), *who = rest ? rest : "";
    const struct dt_env_finding *f;
    struct dt_env_findings found;
    struct dt_error err = {0};
    struct scene scene;
    bool good = !strcmp(severity, "good");

    scene_init(&scene, context->type, context->facts, "");
    split_env(fields[1], env, 32);
    if (dt_env_check(&found, c->rules, c->variables, &scene.facts, scene.instance, env, &err))
        fail_msg("%s", err.text);
    f = pick_finding(&found, severity, who);
    c->cases++;
    c->bad += !good;
    if (good == (f != NULL)) {
        c->wrong++;
        if (!c->quiet)
            print_error("%s | %s: expected %s %s, got %s\n", context->name, shown, severity, who,
                        f ? f->message : "nothing");
    }
    if (c->table)
        printf("%-7s %-9s %-27s %s\n", context->name,
               f ? dt_env_severity_name(f->severity) : "fine",
               f ? (*f->rule ? f->rule : "(name)") : "", shown);
    dt_env_findings_fini(&found);
    scene_fini(&scene);
    free(shown);
}

static void read_line(struct corpus *c, char *line)
{
    struct context *context;
    char *fields[3];

    line = trim(line);
    if (!*line || *line == '#')
        return;
    split(line, fields);
    if (strncmp(fields[0], "context ", 8) != 0) {
        judge_case(c, fields);
        return;
    }
    assert_true(c->context_count < CONTEXTS_MAX);
    context = &c->contexts[c->context_count++];
    context->name = strdup(trim(fields[0] + 8));
    context->type = strdup(fields[1]);
    context->facts = strdup(fields[2]);
}

static void corpus_init(struct corpus *c, bool table)
{
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-variables.conf");

    *c = (struct corpus){.rules = load_shipped(), .table = table};
    if (dt_env_variables_load(&c->variables, path, &err))
        fail_msg("%s", err.text);
    shipped_drop(path);
}

static void corpus_fini(struct corpus *c)
{
    for (size_t i = 0; i < c->context_count; i++) {
        free(c->contexts[i].name);
        free(c->contexts[i].type);
        free(c->contexts[i].facts);
    }
    dt_env_variables_destroy(c->variables);
    dt_env_rules_destroy(c->rules);
}

static void run_corpus(struct corpus *c)
{
    char *path = source_path("bench/env/corpus.txt"), *line = NULL;
    FILE *file = fopen(path, "re");
    size_t room = 0;

    if (!file)
        fail_msg("%s can not be read", path);
    while (getline(&line, &room, file) >= 0)
        read_line(c, line);
    fclose(file);
    free(line);
    free(path);
}

static bool want_table;

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Times are told and fail nothing: a busy machine is not a fault of the rules. */
static void print_limit(const char *what, double us, double limit)
{
    printf("%s: %.0f us, limit %.0f us: %s\n", what, us, limit, us <= limit ? "pass" : "OVER");
}

/* Best of many: what the work takes when nobody disturbs. */
static void print_times(void)
{
    double load = 1e9, plan_us = 1e9;
    char *env[129] = {NULL};
    struct scene scene;

    scene_init(&scene, "p5",
               "efa.count=32 gpu.count=8 lib.libfabric=1.22.0amzn4.0 lib.ofi_nccl=1.16.3 "
               "lib.nccl=2.27.7 kernel.release=6.8.0 net.interface=ens32",
               "");
    for (int i = 0; i < 128; i++)
        env[i] = i % 2 ? (char *)"SLURM_JOB_CPUS_PER_NODE=192" : (char *)"NCCL_DEBUG=INFO";
    for (int i = 0; i < 50; i++) {
        double start = now_us(), middle;
        struct dt_env_rules *rules = load_shipped();
        struct dt_env_plan plan;
        middle = now_us();
        load = middle - start < load ? middle - start : load;
        assert_int_equal(dt_env_plan(&plan, rules, &scene.facts, scene.instance, env, NULL), 0);
        plan_us = now_us() - middle < plan_us ? now_us() - middle : plan_us;
        dt_env_plan_fini(&plan);
        dt_env_rules_destroy(rules);
    }
    scene_fini(&scene);
    print_limit("\nrules, loaded and checked", load, 2000);
    print_limit("rules, evaluated for one rank", plan_us, 200);
}

static void test_corpus(void **state)
{
    struct corpus c;

    (void)state;
    corpus_init(&c, want_table);
    if (want_table)
        printf("%-7s %-9s %-27s %s\n", "WHERE", "SEVERITY", "RULE", "ASSIGNMENTS");
    run_corpus(&c);
    if (want_table)
        printf("\n%zu cases: %zu known bad, %zu known good, %zu judged wrongly: %s\n", c.cases,
               c.bad, c.cases - c.bad, c.wrong, c.wrong ? "FAIL" : "pass");
    if (want_table)
        print_times();
    fflush(stdout);
    corpus_fini(&c);
    assert_true(c.cases > 90);
    assert_int_equal(c.wrong, 0);
}

/* What `make bench-env` fails for. */
static void test_wrong_verdicts_count(void **state)
{
    static const struct {
        const char *line;
        size_t wrong;
    } rows[] = {
        {"there | FI_EFA_MTU_SIZE=8900 | abort mtu-size", 0},
        {"there | FI_EFA_MTU_SIZE=8900 | good", 1},
        {"there | FI_EFA_MTU_SIZE=8900 | slow mtu-size", 1},
        {"there | FI_EFA_MTU_SIZE=8900 | abort iface-empty", 1},
        {"there | NCCL_DEBUG=INFO | abort mtu-size", 1},
        {"there | NCCL_DEBUG=INFO | good", 0},
    };
    char context[] = "context there | p5 | efa.count=32 gpu.count=8 lib.libfabric=2.1.0";
    struct corpus c;

    (void)state;
    corpus_init(&c, false);
    c.quiet = true;
    read_line(&c, context);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *line = strdup(rows[i].line);
        c.wrong = 0;
        read_line(&c, line);
        free(line);
        if (c.wrong != rows[i].wrong)
            fail_msg("%s: %zu wrong, expected %zu", rows[i].line, c.wrong, rows[i].wrong);
    }
    corpus_fini(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus),
                                       cmocka_unit_test(test_wrong_verdicts_count)};

    want_table = argc > 1 && !strcmp(argv[1], "--table");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
