/* SPDX-License-Identifier: Apache-2.0 */
/* What the doctor says: severities, names that nothing reads, slips of the pen, NCCL's reading of
 * interface names, and each row of the short list of rules that matter most (facts 1.0). */
#include "env_scene.h"

struct doctor {
    struct dt_env_rules *rules;
    struct dt_env_variables *variables;
};

static int doctor_setup(void **state)
{
    struct doctor *d = calloc(1, sizeof(*d));
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-variables.conf");

    d->rules = load_shipped();
    if (dt_env_variables_load(&d->variables, path, &err))
        fail_msg("%s", err.text);
    shipped_drop(path);
    *state = d;
    return 0;
}

static int doctor_teardown(void **state)
{
    struct doctor *d = *state;

    dt_env_variables_destroy(d->variables);
    dt_env_rules_destroy(d->rules);
    free(d);
    return 0;
}

static void check(struct doctor *d, struct dt_env_findings *found, const char *type,
                  const char *facts, const char *env)
{
    struct scene scene;
    struct dt_error err;

    scene_init(&scene, type, facts, env);
    assert_int_equal(
        dt_env_check(found, d->rules, d->variables, &scene.facts, scene.instance, scene.env, &err),
        0);
    scene_fini(&scene);
}

static const struct dt_env_finding *about(const struct dt_env_findings *found, const char *variable)
{
    for (size_t i = 0; i < found->count; i++)
        if (!strcmp(found->items[i].variable, variable))
            return &found->items[i];
    return NULL;
}

/* The worst that is said of one variable, and words of it; severity -1: nothing. */
static void assert_said(struct doctor *d, const char *type, const char *facts, const char *env,
                        const char *variable, int severity, const char *words)
{
    struct dt_env_findings found;
    const struct dt_env_finding *f;

    check(d, &found, type, facts, env);
    f = about(&found, variable);
    if (severity < 0) {
        if (f)
            fail_msg("%s on %s '%s': %s", env, type, facts, f->message);
    } else if (!f || (int)f->severity != severity ||
               (!strstr(f->message, words) && !strstr(f->fix, words))) {
        fail_msg("%s on %s '%s': expected %s '%s', got %s '%s'", env, type, facts,
                 dt_env_severity_name((enum dt_env_severity)severity), words,
                 f ? dt_env_severity_name(f->severity) : "nothing", f ? f->message : "");
    }
    dt_env_findings_fini(&found);
}

/* Row by row of the list at the head of the facts. What it says of a job (row 12) is no matter of
 * variables. */
static void test_what_matters_most(void **state)
{
    struct doctor *d = *state;
    struct dt_env_findings found;
    const char *current = "efa.count=32 lib.libfabric=1.22.0amzn4.0 lib.ofi_nccl=1.16.3 "
                          "lib.nccl=2.27.7 kernel.release=6.8.0";

    check(d, &found, "p5", current, ""); /* 1 */
    assert_int_equal(found.worst, DT_ENV_FINE);
    assert_int_equal(found.count, 1);
    dt_env_findings_fini(&found);
    assert_said(d, "g5", "efa.count=1 lib.libfabric=1.22.0", "FI_EFA_USE_DEVICE_RDMA=1", /* 2 */
                "FI_EFA_USE_DEVICE_RDMA", DT_ENV_ABORT, "no RDMA read");
    assert_said(d, "p5", current, "FI_EFA_MTU_SIZE=1", "FI_EFA_MTU_SIZE", DT_ENV_ABORT, "1.18.0");
    assert_said(d, "p5", current, "FI_EFA_TX_IOV_LIMIT=1", "FI_EFA_TX_IOV_LIMIT", DT_ENV_ABORT, "");
    assert_said(d, "p5", current, "FI_EFA_RX_IOV_LIMIT=1", "FI_EFA_RX_IOV_LIMIT", DT_ENV_ABORT, "");
    assert_said(d, "p5", "efa.count=32 lib.libfabric=1.14.0", "FI_EFA_SHM_MAX_MEDIUM_SIZE=1",
                "FI_EFA_SHM_MAX_MEDIUM_SIZE", DT_ENV_ABORT, "abort");
    assert_said(d, "p5", current, "FI_EFA_USE_HUGE_PAGE=1 IBV_FORK_SAFE=0", /* 4 */
                "FI_EFA_USE_HUGE_PAGE", DT_ENV_ABORT, "exclude each other");
    assert_said(d, "p4d", "efa.count=4 kernel.release=5.10.0", "", "FI_EFA_FORK_SAFE", /* 5 */
                DT_ENV_FINE, "fork");
    assert_said(d, "p5", "efa.count=32 lib.nccl=2.20.5 lib.ofi_nccl=1.14.2", /* 6 */
                "NCCL_PROTO=simple NCCL_TUNER_PLUGIN=x", "NCCL_PROTO", DT_ENV_ABORT,
                "creating a communicator fails");
    assert_said(d, "p5", "efa.count=32 lib.nccl=2.21.5 lib.ofi_nccl=1.17.0", "NCCL_ALGO=ring",
                "NCCL_ALGO", DT_ENV_ABORT, "segmentation fault");
    assert_said(d, "p5", "efa.count=32 lib.nccl=2.22.3 lib.ofi_nccl=1.17.0",
                "NCCL_PROTO=simple NCCL_TUNER_PLUGIN=x", "NCCL_PROTO", DT_ENV_SLOW,
                "small messages");
    assert_said(d, "p4d", "efa.count=4 lib.ofi_nccl=1.5.0", "NCCL_PROTO=simple",
                "NCCL_PROTO", /* 7 */
                DT_ENV_FINE, "");
    assert_said(d, "p5", current, "NCCL_NET_GDR_LEVEL=LOC", "NCCL_NET_GDR_LEVEL", /* 8 */
                DT_ENV_SLOW, "GPUDirect");
    assert_said(d, "p5", "efa.count=32 lib.ofi_nccl=1.17.0", /* 9 */
                "NCCL_TUNER_PLUGIN=/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu/libnccl-ofi-tuner.so",
                "NCCL_TUNER_PLUGIN", DT_ENV_SLOW, "is gone");
    assert_said(d, "p5", "efa.count=32 net.interfaces=lo,eth0", /* 10 */
                "NCCL_SOCKET_IFNAME=^docker,lo,veth,eth", "NCCL_SOCKET_IFNAME", DT_ENV_ABORT,
                "none of the interfaces");
    assert_said(d, "p5", "efa.count=32 driver.efa=2.15.3g driver.nvidia=580.95.05", "", /* 11 */
                "(node)", DT_ENV_SLOW, "NVIDIA 580");
}

static void test_names(void **state)
{
    struct doctor *d = *state;
    const char *p5 = "efa.count=32 lib.nccl=2.27.7 lib.libfabric=2.1.0 lib.ofi_nccl=1.16.3";

    assert_said(d, "p5", p5, "NCCL_MIN_CHANNELS=4", "NCCL_MIN_CHANNELS", DT_ENV_NO_EFFECT,
                "did you mean NCCL_MIN_NCHANNELS?");
    assert_said(d, "p5", p5, "NCLL_DEBUG=INFO", "NCLL_DEBUG", DT_ENV_NO_EFFECT,
                "did you mean NCCL_DEBUG?");
    assert_said(d, "p5", p5, "nccl_debug=INFO", "nccl_debug", DT_ENV_NO_EFFECT,
                "set NCCL_DEBUG instead");
    assert_said(d, "p5", p5, "FI_PROVDER=efa", "FI_PROVDER", DT_ENV_NO_EFFECT, "FI_PROVIDER");
    assert_said(d, "p5", p5, "OMP_NUM_THREAD=4", "OMP_NUM_THREAD", DT_ENV_NO_EFFECT,
                "OMP_NUM_THREADS");
    assert_said(d, "p5", p5, "NCCL_XYZZY=1", "NCCL_XYZZY", DT_ENV_NO_EFFECT,
                "no version of NCCL is known to read this name");
    assert_said(d, "p5", p5, "NCCL_WORK_FIFO_DEPTH=1", "NCCL_WORK_FIFO_DEPTH", DT_ENV_NO_EFFECT,
                "nccl 2.27.7 does not read it");
    assert_said(d, "p5", "lib.nccl=2.21.5", "NCCL_WORK_FIFO_DEPTH=1", "NCCL_WORK_FIFO_DEPTH",
                DT_ENV_FINE, "nccl reads it");
    assert_said(d, "p5", "efa.count=32", "NCCL_WORK_FIFO_DEPTH=1", "NCCL_WORK_FIFO_DEPTH",
                DT_ENV_FINE, "");
    assert_said(d, "p5", "efa.count=32 lib.libfabric=1.18.2", "FI_EFA_USE_HUGE_PAGE=0",
                "FI_EFA_USE_HUGE_PAGE", DT_ENV_NO_EFFECT, "1.19.0");
    assert_said(d, "p5", p5, "OMPI_MCA_whatever=1", "OMPI_MCA_whatever", DT_ENV_FINE, "openmpi");
    assert_said(d, "p5", p5, "PATH=/bin", "PATH", -1, "");
    assert_said(d, "p5", p5, "SLURM_JOB_ID=1", "SLURM_JOB_ID", -1, "");
    assert_said(d, "p5", p5, "MY_NCCL_DEBUG=1", "MY_NCCL_DEBUG", -1, "");
}

static void test_order_and_texts(void **state)
{
    struct dt_env_findings found;
    const struct dt_env_finding *f;

    check(
        *state, &found, "p5", "efa.count=32 lib.libfabric=1.22.0 net.interface=ens32",
        "NCCL_P2P_DISABLE=1 FI_EFA_MTU_SIZE=1 NCCL_DEBUG=INFO NCCL_XYZZY=1 NCCL_SOCKET_IFNAME=en");
    assert_int_equal(found.worst, DT_ENV_ABORT);
    for (size_t i = 1; i < found.count; i++)
        assert_true(found.items[i - 1].severity >= found.items[i].severity);
    f = about(&found, "FI_EFA_MTU_SIZE");
    assert_int_equal(f->action, DT_ENV_REFUSE);
    assert_string_equal(f->value, "1");
    assert_string_equal(f->fix, "unset FI_EFA_MTU_SIZE");
    assert_string_equal(f->rule, "mtu-size");
    assert_non_null(strstr(f->message, ": libfabric aborts because"));
    f = about(&found, "FI_EFA_USE_HUGE_PAGE");
    assert_int_equal(f->action, DT_ENV_SET);
    assert_null(f->value);
    assert_string_equal(f->set_to, "0");
    assert_int_equal(f->severity, DT_ENV_FINE);
    f = about(&found, "NCCL_SOCKET_IFNAME");
    assert_int_equal(f->action, DT_ENV_KEEP);
    assert_string_equal(f->value, "en");
    dt_env_findings_fini(&found);
}

/* What hangs on a version that is not known is never called certain. */
static void test_unknown_is_no_abort(void **state)
{
    struct doctor *d = *state;

    assert_said(d, "g5", "efa.count=1", "FI_EFA_USE_DEVICE_RDMA=1", "FI_EFA_USE_DEVICE_RDMA",
                DT_ENV_SLOW,
                ": libfabric 1.17.0 and later aborts every rank (not certain, as the version of "
                "libfabric is not known)");
    assert_said(d, NULL, "", "FI_EFA_MTU_SIZE=1", "FI_EFA_MTU_SIZE", DT_ENV_SLOW,
                "as the number of EFA devices and the version of libfabric are not known)");
}

static void test_interface_names(void **state)
{
    static const struct {
        const char *spec, *interface;
        bool selects;
    } rows[] = {
        {"eth", "eth0", true},      {"eth0", "eth01", true},      {"=eth0", "eth01", false},
        {"=eth0", "eth0", true},    {"^docker,lo", "eth0", true}, {"^docker,lo", "docker0", false},
        {"^lo", "lowpan0", false},  {"^=lo", "lowpan0", true},    {"^=lo", "lo", false},
        {"en,eth", "eth1", true},   {"en,eth", "ib0", false},     {"eth0:1000", "eth0", true},
        {"=en,=eth", "eth", false}, {",eth", "eth0", true},       {"^", "eth0", false},
        {"=", "eth0", true},        {"eth0,", "lo", false},       {"e", "eth0", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (dt_env_nccl_selects(rows[i].spec, rows[i].interface) != rows[i].selects)
            fail_msg("'%s' on %s: expected %d", rows[i].spec, rows[i].interface, rows[i].selects);
}

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(dt_env_distance("abc", "abc", 3), 0);
    assert_int_equal(dt_env_distance("abc", "ABC", 3), 1);
    assert_int_equal(dt_env_distance("abcd", "acbd", 3), 1);
    assert_int_equal(dt_env_distance("abcd", "abd", 3), 1);
    assert_int_equal(dt_env_distance("kitten", "sitting", 5), 3);
    assert_int_equal(dt_env_distance("kitten", "sitting", 2), 3);
    assert_int_equal(dt_env_distance("a", "abcdef", 2), 3);
}

static void assert_bad_table(const char *text, const char *said)
{
    char path[] = "/tmp/dt-test-vars-XXXXXX";
    int fd = mkstemp(path);
    struct dt_env_variables *table = NULL;
    struct dt_error err = {0};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_int_equal(dt_env_variables_load(&table, path, &err), -1);
    assert_null(table);
    if (!strstr(err.text, said) || strncmp(err.text, path, strlen(path)) != 0)
        fail_msg("expected '%s' in: %s", said, err.text);
    unlink(path);
}

static void test_bad_tables(void **state)
{
    (void)state;
    assert_bad_table("NCCL_DEBUG\n", ":1: at 'NCCL_DEBUG': expected NAME COMPONENT");
    assert_bad_table("A b\n\n2X nccl\n", ":3: at '2X': expected the name");
    assert_bad_table("A nccl x..y\n", ":1: at");
    assert_bad_table("A nccl 1..2 z\n", ":1: at 'z': expected the end of the line");
    assert_bad_table("watch NCCL_* nccl\n", ":1: at 'NCCL_*': expected the name");
    assert_bad_table("A nccl\nA libfabric\n", "A is listed twice");
}

/* docs/env-rules.md is made from the rules: `make docs` makes it anew. */
static void test_document(void **state)
{
    struct doctor *d = *state;
    char *path = source_path("docs/env-rules.md"), *made = dt_env_rules_document(d->rules, false);
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    ssize_t len = file ? getdelim(&text, &room, '\0', file) : -1;

    assert_non_null(made);
    if (len < 0 || strcmp(text, made) != 0)
        fail_msg("%s is not what configs/env-rules.conf says: run make docs", path);
    fclose(file);
    free(text);
    free(made);
    free(path);
}

static void test_document_for_scdoc(void **state)
{
    struct doctor *d = *state;
    char *text = dt_env_rules_document(d->rules, true);

    assert_non_null(text);
    for (size_t i = 0; i < d->rules->count; i++)
        if (!strstr(text, d->rules->items[i].name))
            fail_msg("rule %s is not in the man page", d->rules->items[i].name);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_matters_most),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_order_and_texts),    cmocka_unit_test(test_unknown_is_no_abort),
        cmocka_unit_test(test_interface_names),    cmocka_unit_test(test_distance),
        cmocka_unit_test(test_bad_tables),         cmocka_unit_test(test_document),
        cmocka_unit_test(test_document_for_scdoc),
    };
    return cmocka_run_group_tests(tests, doctor_setup, doctor_teardown);
}
