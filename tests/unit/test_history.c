/* SPDX-License-Identifier: Apache-2.0 */
/* What a node remembers: the text both ways, damage, other machines and boots, counters that grow or
 * begin anew, steps that end and steps that do not, and two of them at once. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fnv.h"
#include "facts_tree.h"
#include "history/history.h"
#include "history/limits.h"
#include "shipped.h"

static struct tree tree;
static struct dt_root root;
static struct dt_conf conf = {.state_directory = (char *)"/var/lib/dt"};
static struct dt_error err, told;

static int steps[256]; /* by job: the one that began last */

static int setup(void **state)
{
    (void)state;
    memset(steps, 0, sizeof steps);
    strcpy(tree.path, "/tmp/dt-test-history.XXXXXX");
    assert_non_null(mkdtemp(tree.path));
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "first-boot\n");
    tree_file(&tree, "sys/devices/virtual/dmi/id/board_asset_tag", "i-0123456789\n");
    tree_file(&tree, "proc/77/stat",
              "77 (slurm) stepd) S 1 77 77 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242 9");
    return dt_root_init(&root, tree.path, &err);
}

static int teardown(void **state)
{
    (void)state;
    dt_root_fini(&root);
    tree_remove(&tree, "");
    return 0;
}

static struct dt_facts facts_of(const char *text)
{
    char *json = strdup(text);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    struct dt_facts facts = {.doc = json_loads(json, 0, NULL)};
    free(json);
    assert_non_null(facts.doc);
    return facts;
}

#define DROPS(n) "{'counters':[{'kind':'efa','device':'rdmap1s0','rx_drops':" n "}]}"

static void begin(long long job, const char *counters)
{
    struct dt_facts facts = facts_of(counters);
    struct dt_history_step step = {.job = job, .step = ++steps[job], .stepd = 77};
    if (dt_history_begin(&root, &conf, &step, &facts, &err) < 0)
        fail_msg("%s", err.text);
    dt_facts_fini(&facts);
}

static void end(long long job, const char *counters, const char *lost)
{
    struct dt_facts facts = facts_of(counters);
    struct dt_history_step step = {.job = job, .step = steps[job], .lost = lost};
    if (dt_history_end(&root, &conf, &step, &facts, &told, &err) < 0)
        fail_msg("%s", err.text);
    dt_facts_fini(&facts);
}

/* The facts of a validation that reads these counters. */
static json_t *look(const char *counters)
{
    struct dt_facts facts = facts_of(counters);
    assert_int_equal(dt_history_facts(&facts, &root, &conf, &err), 0);
    return facts.doc;
}

static void assert_why(json_t *facts, const char *text)
{
    const char *why = json_string_value(json_object_get(facts, "why.history.growth"));
    if (!why || !strstr(why, text))
        fail_msg("why: %s; wanted: %s", why ? why : "(none)", text);
    assert_null(json_object_get(facts, "history.growth"));
    json_decref(facts);
}

/* The one counter that grew: by how much, and when; 0: none did. */
static void assert_grew(json_t *facts, long long by, const char *when)
{
    const json_t *list = json_object_get(facts, "history.growth"), *one = json_array_get(list, 0);
    assert_non_null(list);
    assert_int_equal(json_array_size(list), by ? 1 : 0);
    if (by) {
        assert_int_equal(json_integer_value(json_object_get(one, "by")), by);
        assert_string_equal(json_string_value(json_object_get(one, "when")), when);
        assert_true(json_integer_value(json_object_get(one, "in_s")) >= 1);
    }
    json_decref(facts);
}

static size_t count_lost(const char *reason)
{
    json_t *facts = look("{}");
    const json_t *list = json_object_get(facts, "history.lost");
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++)
        assert_non_null(
            strstr(json_string_value(json_object_get(json_array_get(list, i), "why")), reason));
    json_decref(facts);
    return count;
}

static void nothing_is_known_before_the_first_job(void **state)
{
    (void)state;
    assert_why(look(DROPS("5")), "no job has ended here yet");
    conf.state_directory = (char *)"";
    assert_why(look(DROPS("5")), "state-directory of dt.conf is \"\"");
    conf.state_directory = (char *)"/var/lib/dt";
    /* a node that has never told its counters */
    end(1, "{}", NULL);
    assert_why(look(DROPS("5")), "no job has begun or ended here since");
}

static void growth_is_told_of_the_last_job_and_since(void **state)
{
    (void)state;
    begin(1, DROPS("10"));
    assert_grew(look(DROPS("10")), 0, "");
    end(1, DROPS("13"), NULL);
    assert_grew(look(DROPS("13")), 3, "job");
    /* two steps of one job add up, another job begins anew */
    begin(1, DROPS("13"));
    end(1, DROPS("17"), NULL);
    assert_grew(look(DROPS("17")), 7, "job");
    begin(2, DROPS("17"));
    end(2, DROPS("17"), NULL);
    assert_grew(look(DROPS("17")), 0, "");
    assert_grew(look(DROPS("19")), 2, "since");
    json_t *facts = look("{}");
    assert_true(json_is_integer(json_object_get(facts, "history.last_end_s")));
    assert_true(json_integer_value(json_object_get(facts, "history.last_end_age_s")) < 60);
    assert_string_equal(json_string_value(json_object_get(facts, "history.kept")), "efa.rx_drops");
    json_decref(facts);
}

/* Side by side on a shared node: what grew under both is told, and none of it is lost. */
static void steps_that_overlap_add_up(void **state)
{
    (void)state;
    begin(1, DROPS("10"));
    begin(2, DROPS("14"));
    end(1, DROPS("16"), NULL);
    assert_grew(look(DROPS("16")), 6, "job");
    end(2, DROPS("17"), NULL);
    assert_grew(look(DROPS("17")), 7, "job");
    begin(3, DROPS("17"));
    assert_grew(look(DROPS("17")), 0, "");
}

/* The hardware's failures are told; those of programs, and of the job before, are none. */
static void losses_are_of_the_hardware(void **state)
{
#define GREW(counter, when)                                                                        \
    "{'history.growth':[{'counter':'" counter "','device':'d','by':1,'when':'" when "'}]}"
    static const struct {
        const char *facts, *says;
    } rows[] = {
        {"{}", NULL},
        {"{'history.growth':[]}", NULL},
        {GREW("gpu.recovery", "since"), "d: the driver asks for recovery"},
        {GREW("gpu.recovery", "job"), NULL}, /* of the job before */
        {GREW("gpu.ecc_uncorrected", "since"), "d: uncorrected errors in its memory"},
        {GREW("gpu.lost", "since"), "a GPU was lost"},
        {GREW("edac.ue_count", "since"), "d: uncorrected errors in the node's memory"},
        {GREW("gpu.ecc_corrected", "since"), NULL},
        {GREW("efa.retrans_pkts", "since"), NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dt_facts facts = facts_of(rows[i].facts);
        struct dt_error why = {{0}};
        assert_int_equal(dt_history_loss(&facts, &why), rows[i].says != NULL);
        assert_string_equal(why.text, rows[i].says ? rows[i].says : "");
        dt_facts_fini(&facts);
    }
#undef GREW
}

/* What the driver had asked for before the step began is no new loss. */
static void a_gpu_that_was_sick_before_is_no_new_loss(void **state)
{
#define ASKS(n) "{'gpu.devices':[{'bdf':'b','recovery':" n "}],'gpu.lost':[]}"
    struct dt_error why;
    (void)state;
    begin(1, ASKS("0"));
    struct dt_facts facts = {.doc = look(ASKS("1"))};
    assert_true(dt_history_loss(&facts, &why));
    dt_facts_fini(&facts);
    end(1, ASKS("1"), NULL);
    begin(2, ASKS("1"));
    facts.doc = look(ASKS("1"));
    assert_false(dt_history_loss(&facts, &why));
    dt_facts_fini(&facts);
    end(2, ASKS("0"), NULL);
    begin(3, ASKS("0"));
    facts.doc = look("{'gpu.devices':[],'gpu.lost':[{'bdf':'b','reason':'fell off'}]}");
    assert_true(dt_history_loss(&facts, &why));
    dt_facts_fini(&facts);
#undef ASKS
}

/* Its begin is written by a process that was left behind. */
static void a_step_may_end_before_its_begin_is_written(void **state)
{
    (void)state;
    end(7, DROPS("5"), NULL);
    steps[7] = -1;
    begin(7, DROPS("5"));
    tree_remove(&tree, "proc/77"); /* or after its slurmstepd is gone */
    begin(8, DROPS("5"));
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "second-boot\n");
    assert_int_equal(count_lost(""), 0);
}

static void a_counter_that_begins_anew_has_not_grown(void **state)
{
    (void)state;
    end(1, DROPS("1000"), NULL);
    assert_grew(look(DROPS("999")), 0, "");
    assert_grew(look(DROPS("0")), 0, "");
    end(2, DROPS("4"), NULL); /* less than there was: no growth, and the new base */
    assert_grew(look(DROPS("6")), 2, "since");
    /* no base, no growth; and a device that is gone for once keeps its base */
    assert_grew(look("{'counters':[{'kind':'efa','device':'other','rx_drops':9}]}"), 0, "");
    end(3, "{'counters':[{'kind':'net','device':'eth0','carrier_changes':9}]}", NULL);
    assert_grew(look(DROPS("5")), 1, "since");
}

static void gpus_are_counted_by_their_address(void **state)
{
    (void)state;
    end(1, "{'gpu.devices':[{'bdf':'0000:53:00.0','pcie_replay':1,'ecc_corrected':0}]}", NULL);
    json_t *facts =
        look("{'gpu.devices':[{'bdf':'0000:53:00.0','pcie_replay':9,'ecc_corrected':0}]}");
    const json_t *one = json_array_get(json_object_get(facts, "history.growth"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "counter")), "gpu.pcie_replay");
    assert_string_equal(json_string_value(json_object_get(one, "device")), "0000:53:00.0");
    assert_grew(facts, 8, "since");
}

static void a_boot_begins_anew_and_tells_what_was_lost(void **state)
{
    (void)state;
    end(1, DROPS("5"), NULL);
    begin(2, DROPS("5"));
    begin(3, DROPS("5"));
    end(3, DROPS("5"), NULL);
    assert_int_equal(count_lost(""), 0);
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "second-boot\n");
    assert_why(look(DROPS("500")), "no job has begun or ended here since");
    assert_int_equal(count_lost("the node went down under it"), 1); /* 2 ran, 1 and 3 had ended */
    json_t *facts = look("{}");
    assert_null(json_object_get(facts, "history.last_end_s"));
    json_decref(facts);
    /* once, however often it is looked at and written, over another boot too */
    begin(4, DROPS("500"));
    end(4, DROPS("500"), NULL);
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "third-boot\n");
    assert_int_equal(count_lost("the node went down under it"), 1);
}

static void a_stepd_that_was_killed_is_no_loss(void **state)
{
    (void)state;
    begin(2, DROPS("5"));
    /* the same process id, started later: another process */
    tree_file(&tree, "proc/77/stat", "77 (sh) S 1 77 77 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9999 9");
    end(3, DROPS("5"), NULL);
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "second-boot\n");
    assert_int_equal(count_lost(""), 0);
}

static void a_job_that_failed_with_its_hardware_is_lost_once(void **state)
{
    (void)state;
    end(5, DROPS("0"), "GPU 0000:53:00.0 asks\nfor a reset");
    end(5, DROPS("0"), "again");
    assert_int_equal(count_lost("GPU 0000:53:00.0 asks?for a reset"), 1);
    for (int job = 100; job < 100 + 2 * DT_HISTORY_LOST_MAX; job++)
        end(job, "{}", "the same");
    assert_int_equal(count_lost("the same"), DT_HISTORY_LOST_MAX);
}

static char *read_file(size_t *len)
{
    char path[128], *text = calloc(1, DT_HISTORY_FILE_MAX);
    snprintf(path, sizeof path, "%s/var/lib/dt/history", tree.path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    *len = fread(text, 1, DT_HISTORY_FILE_MAX, file);
    fclose(file);
    return text;
}

static void write_bytes(const char *text, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/var/lib/dt/history", tree.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void every_damage_is_seen_and_started_anew(void **state)
{
    (void)state;
    size_t len;
    begin(1, DROPS("5"));
    end(1, DROPS("6"), "lost");
    char *good = read_file(&len);
    for (size_t i = 0; i < len; i++) {
        good[i] ^= 1;
        write_bytes(good, len);
        good[i] ^= 1;
        json_t *facts = look(DROPS("6"));
        assert_null(json_object_get(facts, "history.growth"));
        json_decref(facts);
    }
    for (size_t cut = 0; cut < len; cut++) {
        write_bytes(good, cut);
        json_t *facts = look(DROPS("6"));
        assert_null(json_object_get(facts, "history.growth"));
        json_decref(facts);
    }
    write_bytes(good, len / 2);
    assert_why(look(DROPS("6")), "state-directory /var/lib/dt/history: its checksum is wrong");
    /* what begins leaves it to be told by what ends */
    struct dt_facts none = facts_of("{}");
    struct dt_history_step step = {.job = 2, .stepd = 77};
    assert_int_equal(dt_history_begin(&root, &conf, &step, &none, &err), -1);
    assert_string_equal(err.text, "state-directory /var/lib/dt/history: its checksum is wrong");
    dt_facts_fini(&none);
    end(2, DROPS("7"), NULL);
    assert_string_equal(told.text, "what the node remembered is started anew: state-directory "
                                   "/var/lib/dt/history: its checksum is wrong");
    assert_grew(look(DROPS("8")), 1, "since");
    assert_int_equal(count_lost(""), 0);
    end(2, DROPS("7"), NULL);
    assert_string_equal(told.text, "");
    free(good);
}

/* An image that was made of a used node. */
static void another_machines_history_is_not_ours(void **state)
{
    (void)state;
    end(1, DROPS("5"), "lost");
    tree_file(&tree, "sys/devices/virtual/dmi/id/board_asset_tag", "i-0999999999\n");
    assert_why(look(DROPS("6")), "it is of another machine, i-0123456789");
    end(2, DROPS("6"), NULL);
    assert_int_equal(count_lost(""), 0);
}

static void untrusted_places_are_refused(void **state)
{
    (void)state;
    char path[128];
    struct dt_facts facts = facts_of("{}");
    end(1, DROPS("5"), NULL);
    snprintf(path, sizeof path, "%s/var/lib/dt/history", tree.path);
    assert_int_equal(chmod(path, 0666), 0);
    assert_why(look(DROPS("5")), "writable by no one else");
    *strrchr(path, '/') = '\0';
    assert_int_equal(chmod(path, 0777), 0);
    assert_why(look(DROPS("5")), "state-directory /var/lib/dt: it must belong to root");
    assert_int_equal(
        dt_history_end(&root, &conf, &(struct dt_history_step){.job = 1}, &facts, &told, &err), -1);
    assert_non_null(strstr(err.text, "state-directory /var/lib/dt: it must belong to root"));
    dt_facts_fini(&facts);
}

static void a_lock_that_is_held_costs_half_a_second_and_is_told(void **state)
{
    (void)state;
    char path[128];
    struct dt_facts facts = facts_of("{}");
    end(1, DROPS("5"), NULL);
    snprintf(path, sizeof path, "%s/var/lib/dt/lock", tree.path);
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(
        dt_history_end(&root, &conf, &(struct dt_history_step){.job = 2}, &facts, &told, &err), -1);
    assert_non_null(strstr(err.text, "another step has held it for too long"));
    close(fd);
    dt_facts_fini(&facts);
}

/* Each of many processes adds its own losses: none is overwritten. */
static void steps_that_end_at_once_lose_nothing(void **state)
{
    enum { PROCESSES = 6, EACH = 5 };
    (void)state;
    end(1, DROPS("0"), NULL);
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() == 0) {
            struct dt_facts facts = facts_of("{}");
            for (int i = 0; i < EACH; i++) {
                struct dt_history_step step = {.job = 1000 + p * EACH + i, .lost = "one of many"};
                while (dt_history_end(&root, &conf, &step, &facts, &told, &err) < 0)
                    ; /* a busy machine may hold the lock for long */
            }
            _exit(0);
        }
    }
    for (int p = 0; p < PROCESSES; p++)
        assert_true(wait(NULL) > 0);
    assert_int_equal(count_lost("one of many"), PROCESSES * EACH);
}

/* Text that has a right checksum and is wrong all the same. */
static int parse_body(const char *body, struct dt_history *history)
{
    char text[512];
    snprintf(text, sizeof text, "%s", body);
    size_t len = strlen(text);
    unsigned long long sum = dt_fnv(DT_FNV_START, text, len);
    len += (size_t)snprintf(text + len, sizeof text - len, "end %016llx\n", sum);
    return dt_history_parse(history, text, len, &err);
}

static void texts_are_taken_to_the_letter(void **state)
{
#define HEAD "dt-history 1\nmachine m\nboot b\n"
    static const struct {
        const char *body, *says;
    } wrong[] = {
        {"dt-history 2\nmachine m\nboot b\n", "of another version"},
        {"history\n", "does not begin"},
        {"dt-history 1\nmachine m\n", "does not say of which machine and boot"},
        {HEAD "boot b\n", "line 4: not as dt writes it"},
        {HEAD "machine\n", "line 4: not as dt writes it"},
        {HEAD "ended 1 2 3\n", "line 4"},
        {HEAD "ended 1 2 3 4 5\n", "line 4"},
        {HEAD "ended 1 2 -3 4\n", "line 4"},
        {HEAD "ended 1 2 03 4\n", "line 4"},
        {HEAD "ended 1 2 99999999999999999999 4\n", "line 4"},
        {HEAD "ended 1 2 3 4\nended 1 2 3 4\n", "line 5"},
        {HEAD "counter a.b d 1\n", "line 4"},
        {HEAD "counter a.b  1 2\n", "line 4"},
        {HEAD "grew a.b d 1 2 3\n", "line 4"},
        {HEAD "running 1 2 3 4\n", "line 4"},
        {HEAD "lost 1 2 3\n", "line 4"},
        {HEAD "lost 1 2 3 \n", "line 4"},
        {HEAD "lost 1 2 3 a\tb\n", "line 4"},
        {HEAD "\n", "line 4: of an unknown kind"},
        {HEAD "more\n", "line 4: of an unknown kind"},
        {HEAD "counter a.b d 1 2", "no end"},
    };
    struct dt_history h;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse_body(wrong[i].body, &h) == 0 || !strstr(err.text, wrong[i].says))
            fail_msg("%s: '%s', wanted: %s", wrong[i].body, err.text, wrong[i].says);
    }
    assert_int_equal(parse_body(HEAD "ended 1 2 3 4\ncounter a.b d 1 2\ngrew a.b d 3 4\n"
                                     "running 1 2 3 4 5\nlost 1 2 3 the node went down\n",
                                &h),
                     0);
    assert_int_equal(h.end_job, 3);
    assert_int_equal(h.grew[0].value, 3);
    assert_int_equal(h.running[0].pid_start, 5);
    assert_string_equal(h.lost[0].reason, "the node went down");
    char *text = dt_history_format(&h);
    dt_history_fini(&h);
    assert_int_equal(dt_history_parse(&h, text, strlen(text), &err), 0);
    assert_int_equal(h.counters[0].seconds, 2);
    dt_history_fini(&h);
    free(text);
#undef HEAD
}

static void shipped_limits_are_right(void **state)
{
    struct dt_growth_limits limits;
    (void)state;
    char *path = shipped_copy("configs/counters.conf");
    if (dt_growth_limits_load(&limits, path, &err) < 0)
        fail_msg("%s", err.text);
    const struct dt_growth_limit *limit = dt_growth_limit_find(&limits, "efa.retrans_pkts");
    assert_non_null(limit);
    assert_int_equal(limit->amount, 1000);
    assert_int_equal(limit->unit_s, 1);
    assert_false(limit->fails);
    assert_null(dt_growth_limit_find(&limits, "efa.tx_pkts"));
    dt_growth_limits_fini(&limits);
    shipped_drop(path);
}

static void mistakes_in_limits_are_named_with_their_line(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"# nothing\n", "t: there is no row in it"},
        {"limits a.b 1 total WARN\n", "t:1: expected limit, not 'limits'"},
        {"\nlimit ab 1 total WARN\n", "t:2: expected a counter such as efa.rx_drops, not 'ab'"},
        {"limit\n", "t:1: expected a counter"},
        {"limit a.b many total WARN\n", "t:1: expected a number of errors, not 'many'"},
        {"limit a.b -1 total WARN\n", "not '-1'"},
        {"limit a.b 1 per-week WARN\n", "expected total, per-second, per-minute or per-day"},
        {"limit a.b 1 total\n", "expected WARN or FAIL, not ''"},
        {"limit a.b 1 total UNKNOWN\n", "not 'UNKNOWN'"},
        {"limit a.b 1 total WARN x\n", "there is more behind the row: 'x'"},
        {"limit a.b 1 total WARN\nlimit a.b 2 total WARN\n", "t:2: there is a limit already"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct dt_growth_limits limits;
        char *text = strdup(wrong[i].text);
        assert_int_equal(dt_growth_limits_parse(&limits, "t", text, &err), -1);
        if (!strstr(err.text, wrong[i].says))
            fail_msg("%s: %s, wanted: %s", wrong[i].text, err.text, wrong[i].says);
        free(text);
    }
}

int main(void)
{
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_TREE(nothing_is_known_before_the_first_job),
        IN_TREE(growth_is_told_of_the_last_job_and_since),
        IN_TREE(steps_that_overlap_add_up),
        IN_TREE(a_gpu_that_was_sick_before_is_no_new_loss),
        IN_TREE(a_step_may_end_before_its_begin_is_written),
        IN_TREE(a_counter_that_begins_anew_has_not_grown),
        cmocka_unit_test(losses_are_of_the_hardware),
        IN_TREE(gpus_are_counted_by_their_address),
        IN_TREE(a_boot_begins_anew_and_tells_what_was_lost),
        IN_TREE(a_stepd_that_was_killed_is_no_loss),
        IN_TREE(a_job_that_failed_with_its_hardware_is_lost_once),
        IN_TREE(every_damage_is_seen_and_started_anew),
        IN_TREE(another_machines_history_is_not_ours),
        IN_TREE(untrusted_places_are_refused),
        IN_TREE(a_lock_that_is_held_costs_half_a_second_and_is_told),
        IN_TREE(steps_that_end_at_once_lose_nothing),
        cmocka_unit_test(texts_are_taken_to_the_letter),
        cmocka_unit_test(shipped_limits_are_right),
        cmocka_unit_test(mistakes_in_limits_are_named_with_their_line),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
