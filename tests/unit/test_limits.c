/* SPDX-License-Identifier: Apache-2.0 */
/* Limits are data, and each of them decides: a number of dt.conf, counters.conf, xid.conf or
 * instances.conf that is shifted by the least that counts has to change a verdict. None that is
 * shipped may be there in name only, and none new may come without a row here. */
#include "check_node.h"
#include "compare/compare.h"
#include "shipped.h"

static enum dt_result result_of(const struct dt_check_context *context, const char *check,
                                enum dt_severity *severity)
{
    struct dt_check_results results;
    struct dt_error err;
    if (dt_check_run(&results, context, &err) != 0)
        fail_msg("%s", err.text);
    const struct dt_check_result *result = named(&results, check);
    enum dt_result verdict = result->result;
    if (severity)
        *severity = result->severity;
    dt_check_results_fini(&results);
    return verdict;
}

/* ---- dt.conf ---- */

struct setting {
    const char *name, *check;
    long long stricter;        /* what to add to the default, so that it asks for more */
    const char *edge, *beyond; /* facts: the last that is good, and the first that is not */
};

#define EVENT(seconds) "{'imds.events':[{'code':'instance-stop','in_s':" seconds "}]}"
#define LOST(ago)      "{'job':7,'step':0,'ago_s':" ago ",'why':'the node went down under it'}"
#define THREE(ago)     "{'history.lost':[" LOST(ago) "," LOST(ago) "," LOST(ago) "]}"

static const struct setting settings[] = {
    {"min-nofile", "nofile", 1, "{'limit.nofile':65536}", "{'limit.nofile':65535}"},
    {"min-memlock-mib", "memlock", 1, "{'limit.memlock':17179869184}",
     "{'limit.memlock':17179869183}"},
    {"min-shm-percent", "shm", 1, "{'shm.size_mib':204800}", "{'shm.size_mib':204799}"},
    {"min-hugepages-mib", "hugepages", 1, "{'hugepages.free_mib':1024}",
     "{'hugepages.free_mib':1023}"},
    {"min-memory-percent", "memory", 1, "{'mem.total_mib':1992294}", "{'mem.total_mib':1992293}"},
    {"min-free-mib", "fs-space", 1, "{'fs.space':[{'path':'/','free_mib':512}]}",
     "{'fs.space':[{'path':'/','free_mib':511}]}"},
    {"min-free-files", "fs-space", 1,
     "{'fs.space':[{'path':'/','free_mib':900,'free_files':1000}]}",
     "{'fs.space':[{'path':'/','free_mib':900,'free_files':999}]}"},
    {"max-swap-mib", "swap", -1, "{'swap.used_mib':1024}", "{'swap.used_mib':1025}"},
    {"min-huge-free-percent", "memory-fragments", 1, "{'mem.free_huge_mib':475000}",
     "{'mem.free_huge_mib':474999}"},
    {"max-shm-left-mib", "shm-left", -1, "{'shm.left_mib':1024}", "{'shm.left_mib':1025}"},
    {"max-zombies", "processes", -1, "{'process.zombies':19}", "{'process.zombies':20}"},
    {"max-stuck-processes", "processes", -1, "{'process.stuck':19}", "{'process.stuck':20}"},
    {"lemon-losses", "lemon", -1, "{'history.lost':[" LOST("5") "," LOST("5") "]}", THREE("5")},
    {"lemon-days", "lemon", 1, THREE("604801"), THREE("604800")},
    {"maintenance-hours", "maintenance", 1, EVENT("86400"), EVENT("86399")},
};

/* What no check of one node is held against, and where it is tried instead. */
static const char *const elsewhere[] = {
    "max-clock-offset-ms", "fresh-boot-minutes", "deep-slower-percent", /* below: between nodes */
    "min-nproc",                               /* tests/cluster/inside.bats */
    "probe-timeout-ms",                        /* tests/cli/validate.bats */
    "reuse-seconds",                           /* test_reuse.c */
    "drain-max-nodes",     "drain-in-minutes", /* test_policy.c */
};

static void load_conf(struct dt_conf *to, const char *name, long long value)
{
    struct dt_error err;
    char text[128] = "";
    if (name)
        snprintf(text, sizeof text, "%s = %lld\n", name, value);
    if (dt_conf_parse(to, "dt.conf", text, strlen(text), &err) != 0)
        fail_msg("%s", err.text);
}

static enum dt_result judge_setting(const struct setting *setting, long long value,
                                    const char *text)
{
    struct dt_conf changed;
    load_conf(&changed, setting->name, value);
    struct dt_facts facts = {.doc = with_fault(text)};
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &changed, .level = DT_LEVEL_DEEP};
    enum dt_result result = result_of(&context, setting->check, NULL);
    dt_facts_fini(&facts);
    dt_conf_fini(&changed);
    return result;
}

/* The default as dt.conf shows it: "#NAME = NUMBER". -1: the name of no number. */
static bool shown_default(const char *line, char name[64], long long *value)
{
    return sscanf(line, "#%63[a-z-] = %lld", name, value) == 2;
}

static const struct setting *setting_named(const char *name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    }
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        if (strcmp(elsewhere[i], name) == 0)
            return NULL;
    }
    fail_msg("%s of dt.conf has no row in this test", name);
    return NULL;
}

static void each_number_of_dt_conf_decides(void **state)
{
    char *path = source_path("configs/dt.conf"), name[64], line[512];
    FILE *file = fopen(path, "re");
    size_t tried = 0;
    long long value;
    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        const struct setting *s = shown_default(line, name, &value) ? setting_named(name) : NULL;
        if (!s)
            continue;
        enum dt_result good = judge_setting(s, value, s->edge);
        enum dt_result bad = judge_setting(s, value, s->beyond);
        if (good >= bad || judge_setting(s, value + s->stricter, s->edge) != bad ||
            judge_setting(s, value - s->stricter, s->beyond) != good)
            fail_msg("%s = %lld may be shifted, and %s does not change", name, value, s->check);
        tried++;
    }
    assert_int_equal(tried, sizeof settings / sizeof settings[0]);
    fclose(file);
    free(path);
}

/* The worst that is said of the last of three nodes. */
static enum dt_result compared(const struct dt_conf *with, const char *key, long long others,
                               long long last)
{
    struct dt_facts facts[3];
    struct dt_compare_node nodes[3];
    struct dt_findings findings = {0};
    struct dt_error err;
    enum dt_result worst = DT_PASS;
    for (size_t i = 0; i < 3; i++) {
        facts[i].doc =
            json_pack("{s:s,s:I}", "instance.type", "p5.48xlarge", key, i < 2 ? others : last);
        nodes[i] = (struct dt_compare_node){.name = "node", .facts = &facts[i]};
    }
    assert_int_equal(dt_compare(&findings, nodes, 3, with, &err), 0);
    for (size_t i = 0; i < findings.count; i++) {
        assert_int_equal(findings.items[i].node, 2);
        worst = findings.items[i].result.result;
    }
    dt_findings_fini(&findings);
    for (size_t i = 0; i < 3; i++)
        dt_facts_fini(&facts[i]);
    return worst;
}

static void each_number_between_nodes_decides(void **state)
{
    static const char *const speeds[] = {"mem.bandwidth_mb_s", "cpu.speed"};
    struct dt_conf with;
    (void)state;
    for (int more = -1; more <= 1; more++) {
        load_conf(&with, "max-clock-offset-ms", 100 + more);
        assert_int_equal(compared(&with, "clock.offset_us", 0, 100000),
                         more < 0 ? DT_FAIL : DT_PASS);
        assert_int_equal(compared(&with, "clock.offset_us", 0, 100001),
                         more > 0 ? DT_PASS : DT_FAIL);
        dt_conf_fini(&with);
        load_conf(&with, "fresh-boot-minutes", 10 + more);
        assert_int_equal(compared(&with, "boot.uptime_s", 900000, 600),
                         more > 0 ? DT_WARN : DT_PASS);
        assert_int_equal(compared(&with, "boot.uptime_s", 900000, 599),
                         more < 0 ? DT_PASS : DT_WARN);
        dt_conf_fini(&with);
        load_conf(&with, "deep-slower-percent", 15 + more);
        for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
            assert_int_equal(compared(&with, speeds[i], 100000, 85000),
                             more < 0 ? DT_WARN : DT_PASS);
            assert_int_equal(compared(&with, speeds[i], 100000, 84999),
                             more > 0 ? DT_PASS : DT_WARN);
        }
        dt_conf_fini(&with);
    }
}

/* ---- counters.conf ---- */

/* The worst that the checks of what has grown say of one counter. */
static enum dt_result judge_growth(const struct dt_growth_limits *limits, const char *counter,
                                   long long by, long long in_s)
{
    static const char *const checks[] = {"gpu-ecc-growth",  "gpu-pcie-replay", "nvlink-growth",
                                         "efa-retransmits", "link-flaps",      "edac-growth",
                                         "nvme-media",      "ena-allowances"};
    struct dt_check_results results;
    struct dt_error err;
    enum dt_result worst = DT_PASS;
    struct dt_facts facts = {.doc = good_facts()};
    json_object_set_new(facts.doc, "history.kept", json_string(counter));
    json_object_set_new(facts.doc, "history.growth",
                        json_pack("[{s:s,s:s,s:I,s:I,s:s}]", "counter", counter, "device", "x",
                                  "by", (json_int_t)by, "in_s", (json_int_t)in_s, "when", "job"));
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .growth = limits, .level = DT_LEVEL_DEEP};
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        enum dt_result one = named(&results, checks[i])->result;
        worst = one > worst ? one : worst;
    }
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
    return worst == DT_SKIP ? DT_PASS : worst;
}

enum { PROBES = 4, MANY = 100000 };

/* One unit of time and many, each with the most that is good, and one more. */
static void probe(const struct dt_growth_limits *limits, const struct dt_growth_limit *was,
                  enum dt_result verdicts[PROBES])
{
    long long unit = was->unit_s ? was->unit_s : 60, times = was->unit_s ? MANY : 1;
    verdicts[0] = judge_growth(limits, was->counter, was->amount, unit);
    verdicts[1] = judge_growth(limits, was->counter, was->amount + 1, unit);
    verdicts[2] = judge_growth(limits, was->counter, was->amount * times, unit * MANY);
    verdicts[3] = judge_growth(limits, was->counter, was->amount * times + 1, unit * MANY);
}

static void each_limit_of_counters_conf_decides(void **state)
{
    static const long long units[] = {0, 1, 60, 86400};
    struct dt_growth_limits limits;
    struct dt_error err;
    char *path = shipped_copy("configs/counters.conf");
    (void)state;
    assert_int_equal(dt_growth_limits_load(&limits, path, &err), 0);
    assert_true(limits.count >= 15);
    for (size_t i = 0; i < limits.count; i++) {
        struct dt_growth_limit *row = &limits.items[i], was = *row;
        enum dt_result bad = was.fails ? DT_FAIL : DT_WARN, verdicts[PROBES], changed[PROBES];
        const enum dt_result expected[PROBES] = {DT_PASS, bad, DT_PASS, bad};
        probe(&limits, &was, verdicts);
        if (memcmp(verdicts, expected, sizeof expected) != 0)
            fail_msg("no check judges by 'limit %s %lld'", was.counter, was.amount);
        for (int more = -1; more <= 1; more += 2) {
            row->amount = was.amount + more;
            probe(&limits, &was, changed);
            if (memcmp(verdicts, changed, sizeof changed) == 0)
                fail_msg("%s %lld may be %lld", was.counter, was.amount, row->amount);
        }
        row->amount = was.amount;
        for (size_t u = 0; was.amount > 0 && u < sizeof units / sizeof units[0]; u++) {
            row->unit_s = units[u];
            probe(&limits, &was, changed);
            if (units[u] != was.unit_s && memcmp(verdicts, changed, sizeof changed) == 0)
                fail_msg("%s %lld may be in %lld s instead of in %lld s", was.counter, was.amount,
                         units[u], was.unit_s);
        }
        row->unit_s = was.unit_s;
        row->fails = !was.fails;
        probe(&limits, &was, changed);
        if (memcmp(verdicts, changed, sizeof changed) == 0)
            fail_msg("%s may be WARN or FAIL", was.counter);
        row->fails = was.fails;
    }
    dt_growth_limits_fini(&limits);
    shipped_drop(path);
}

/* ---- xid.conf ---- */

struct opinion {
    enum dt_result result;
    enum dt_severity severity;
};

/* An hour ago, of a GPU whose driver does not tell what it asks for now. */
static struct opinion judge_xid(const struct dt_xids *xids, int code, const char *text)
{
    struct opinion opinion;
    struct dt_facts facts = {.doc = good_facts()};
    json_object_set_new(facts.doc, "log.errors",
                        json_pack("[{s:s,s:i,s:s,s:i,s:s}]", "kind", "xid", "code", code, "bdf",
                                  "0000:ee:00", "age_s", 3600, "text", text));
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .xids = xids, .level = DT_LEVEL_DEEP};
    opinion.result = result_of(&context, "kernel-log", &opinion.severity);
    dt_facts_fini(&facts);
    return opinion;
}

static const enum dt_xid_action actions[] = {DT_XID_INFO, DT_XID_MONITOR, DT_XID_RESET,
                                             DT_XID_REBOOT, DT_XID_REPLACE};

/* To a program's own error and to nothing the answer is the same: the node is not to blame. */
static bool alike(enum dt_xid_action a, enum dt_xid_action b)
{
    return a == b || (a <= DT_XID_APP && b <= DT_XID_APP);
}

static void assert_decides(const struct dt_xids *xids, int code, const char *text,
                           enum dt_xid_action *action)
{
    struct opinion is = judge_xid(xids, code, text);
    enum dt_xid_action was = *action;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        *action = actions[i];
        struct opinion changed = judge_xid(xids, code, text);
        if (!alike(actions[i], was) && changed.result == is.result &&
            changed.severity == is.severity)
            fail_msg("the action of Xid %d may be %d instead of %d: %s", code, actions[i], was,
                     text);
    }
    *action = was;
}

static void each_row_of_xid_conf_decides(void **state)
{
    struct dt_xids xids;
    struct dt_error err;
    char *path = shipped_copy("configs/xid.conf"), text[160];
    size_t judged = 0;
    (void)state;
    assert_int_equal(dt_xids_load(&xids, path, &err), 0);
    for (size_t i = 0; i < xids.code_count; i++) {
        enum dt_xid_action *action = &xids.codes[i].action;
        snprintf(text, sizeof text, "NVRM: Xid (PCI:0000:ee:00): %d, text", xids.codes[i].code);
        if (*action == DT_XID_DECODE || *action == DT_XID_RECOVERY)
            continue; /* below; and by its text, test_xid.c */
        assert_decides(&xids, xids.codes[i].code, text, action);
        judged++;
    }
    assert_true(judged > 100);
    shipped_drop(path);
    dt_xids_fini(&xids);
}

/* Of the rows that fit a message the worst counts: one that is made the worst is heard. */
static void each_nvlink_row_of_xid_conf_decides(void **state)
{
    struct dt_xids xids;
    struct dt_error err;
    char *path = shipped_copy("configs/xid.conf"), text[256];
    (void)state;
    assert_int_equal(dt_xids_load(&xids, path, &err), 0);
    assert_true(xids.rule_count > 80);
    for (size_t i = 0; i < xids.rule_count; i++) {
        struct dt_xid_rule *rule = &xids.rules[i];
        enum dt_xid_action was = rule->action;
        snprintf(text, sizeof text,
                 "NVRM: Xid (PCI:0000:ee:00): %d, %.*s Fatal XC0 i0 Link 01 (0x%08x 0x%08x)",
                 rule->code, (int)strcspn(rule->units, "/"), rule->units, rule->bits[0],
                 rule->status);
        rule->action = DT_XID_REPLACE;
        struct opinion loud = judge_xid(&xids, rule->code, text);
        if (was != DT_XID_REPLACE && loud.severity != DT_SEVERITY_REPLACE)
            fail_msg("no message meets the row of %s, Xid %d", rule->units, rule->code);
        rule->action = was;
    }
    shipped_drop(path);
    dt_xids_fini(&xids);
}

/* ---- instances.conf ---- */

struct number {
    const char *check;
    size_t offset;
    bool is_long;
    long long step;  /* what is to be noticed, in percent of the number; 0: one */
    const char *key; /* the fact: as many as the table says; LIST/MEMBER: of all in the list */
};

#define NUMBER(check, field, key)                                                                  \
    {                                                                                              \
        check, offsetof(struct dt_instance, field), false, 0, key                                  \
    }
#define SIZE(check, field, percent, key)                                                           \
    {                                                                                              \
        check, offsetof(struct dt_instance, field), true, percent, key                             \
    }

static const struct number numbers[] = {
    NUMBER("cpu-count", vcpus, "cpu.online"),
    NUMBER("numa-count", numa_nodes, "numa.count"),
    NUMBER("efa-count", efas, "efa.count"),
    NUMBER("gpu-count", accelerators, "gpu.count"),
    NUMBER("neuron-count", accelerators, "neuron.count"),
    NUMBER("nvlink", nvlinks, "gpu.devices/nvlinks_up"),
    /* the driver tells rates in steps */
    {"efa-rate", offsetof(struct dt_instance, efa_gbps), false, 100, "efa.devices/gbps"},
    SIZE("memory", memory_mib, 6, "mem.total_mib"),
    SIZE("gpu-memory", accelerator_memory_mib, 12, "gpu.devices/memory_mib"),
    SIZE("local-storage", local_storage_gb, 12, "nvme.devices/gb"),
};

static long long get_number(const struct dt_instance *type, const struct number *number)
{
    const char *at = (const char *)type + number->offset;
    return number->is_long ? *(const long long *)(const void *)at : *(const int *)(const void *)at;
}

static void set_number(struct dt_instance *type, const struct number *number, long long value)
{
    char *at = (char *)type + number->offset;
    if (number->is_long)
        *(long long *)(void *)at = value;
    else
        *(int *)(void *)at = (int)value;
}

static void put_fact(json_t *doc, const char *key, long long value)
{
    const char *slash = strchr(key, '/');
    char list[64];
    if (!slash) {
        json_object_set_new(doc, key, json_integer(value));
        return;
    }
    snprintf(list, sizeof list, "%.*s", (int)(slash - key), key);
    json_t *items = json_object_get(doc, list);
    for (size_t i = 0; i < json_array_size(items); i++)
        json_object_set_new(json_array_get(items, i), slash + 1, json_integer(value));
}

/* A node that has as much as the table's row says, judged by a row that may say something else. */
static enum dt_result judge_number(const struct dt_instance *type, const struct number *number,
                                   long long has, long long says)
{
    struct dt_instance changed = *type;
    struct dt_facts facts = {.doc = good_facts()};
    put_fact(facts.doc, number->key, has);
    if (strcmp(number->check, "gpu-count") == 0)
        put_fact(facts.doc, "gpu.pci_count", has);
    set_number(&changed, number, says);
    struct dt_check_context context = {
        .facts = &facts, .instance = &changed, .conf = &conf, .level = DT_LEVEL_DEEP};
    enum dt_result result = result_of(&context, number->check, NULL);
    dt_facts_fini(&facts);
    return result;
}

static void each_number_of_instances_conf_decides(void **state)
{
    struct dt_instances table;
    struct dt_error err;
    char *path = shipped_copy("configs/instances.conf");
    size_t tried[sizeof numbers / sizeof numbers[0]] = {0};
    (void)state;
    assert_int_equal(dt_instances_load(&table, path, &err), 0);
    for (size_t i = 0; i < table.count * (sizeof numbers / sizeof numbers[0]); i++) {
        const struct dt_instance *type = &table.items[i % table.count];
        const struct number *number = &numbers[i / table.count];
        long long says = get_number(type, number);
        long long step = number->step ? says * number->step / 100 : 1;
        if (judge_number(type, number, says, says) != DT_PASS)
            continue; /* the type has none, or it is not judged there */
        if (judge_number(type, number, says, says + step) == DT_PASS)
            fail_msg("%s of %s may be more than %lld", number->key, type->name, says);
        long long less = says > step ? says - step : says / 2 - 1; /* no step of EFA's driver */
        bool threads_off = type->threads_per_core > 1 && less == type->cores; /* no fault */
        if (less > 0 && !threads_off &&
            (judge_number(type, number, less, says) != DT_FAIL ||
             judge_number(type, number, less, less) != DT_PASS))
            fail_msg("%s of %s may be less than %lld", number->key, type->name, says);
        tried[i / table.count]++;
    }
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) {
        if (tried[i] < 3)
            fail_msg("%s was tried on %zu types", numbers[i].key, tried[i]);
    }
    dt_instances_fini(&table);
    shipped_drop(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_of_dt_conf_decides),
        cmocka_unit_test(each_number_between_nodes_decides),
        cmocka_unit_test(each_limit_of_counters_conf_decides),
        cmocka_unit_test(each_row_of_xid_conf_decides),
        cmocka_unit_test(each_nvlink_row_of_xid_conf_decides),
        cmocka_unit_test(each_number_of_instances_conf_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
