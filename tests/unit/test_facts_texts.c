/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from outside: kernel log, lists of CPUs, facts of another node. */
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "facts/printable.h"
#include "facts/reader.h"

static void reads_kernel_log_records(void **state)
{
    (void)state;
    json_t *event = dt_kernel_log_record("4,1234,5000000,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, "
                                         "GPU has fallen off the bus.\n K=V\n",
                                         65000000);
    assert_string_equal(json_string_value(json_object_get(event, "kind")), "xid");
    assert_int_equal(json_integer_value(json_object_get(event, "code")), 79);
    assert_int_equal(json_integer_value(json_object_get(event, "age_s")), 60);
    assert_string_equal(json_string_value(json_object_get(event, "bdf")), "0000:3b:00");
    json_decref(event);
    event = dt_kernel_log_record(
        "3,1,1,-;nvidia-nvswitch2: SXid (PCI:0000:85:00.0): 12028, Non-fatal, Link 61 x", 2);
    assert_string_equal(json_string_value(json_object_get(event, "kind")), "sxid");
    json_decref(event);
    event = dt_kernel_log_record("3,1,1,-;efa 0000:4f:00.0: Failed to submit command", 2);
    assert_string_equal(json_string_value(json_object_get(event, "bdf")), "0000:4f:00.0");
    json_decref(event);
    /* a program wrote this one (facility 1), that one is information, and these are no records */
    static const struct {
        const char *record, *kind; /* NULL: nothing to tell */
    } rows[] = {
        {"3,1,1,-;neuron:nc: NEURON_HW_ERR=HBM_UNCORRECTABLE_ERROR instance-id=i-0", "neuron"},
        {"3,1,1,-;I/O error, dev nvme1n1, sector 8 op 0x0:(READ)", "disk"},
        {"3,1,1,-;blk_update_request: I/O error, dev nvme1n1, sector 8", "disk"},
        {"2,1,1,-;mce: [Hardware Error]: Machine check events logged", "memory"},
        {"6,1,1,-;EDAC MC: Ver: 3.0.0", NULL},
        {"6,1,1,-;nvme nvme0: 2/0/0 default/read/poll queues", NULL},
        {"11,1,1,-;NEURON_HW_ERR=X", NULL}, /* a program wrote it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *other = dt_kernel_log_record(rows[i].record, 2);
        const char *kind = json_string_value(json_object_get(other, "kind"));
        if (rows[i].kind ? !kind || strcmp(kind, rows[i].kind) != 0 : other != NULL)
            fail_msg("'%s' is taken for %s", rows[i].record, kind ? kind : "nothing");
        json_decref(other);
    }
    assert_null(dt_kernel_log_record("12,1,1,-;NVRM: Xid (PCI:0000:3b:00): 79, x", 2));
    assert_null(dt_kernel_log_record("6,1,1,-;efa 0000:4f:00.0: probed", 2));
    assert_null(dt_kernel_log_record("4,1,1,-;NVRM: Xid (PCI:): , x", 2));
    assert_null(dt_kernel_log_record("", 0));
    assert_null(dt_kernel_log_record("4,,;x", 0));
}

static void tells_whose_a_process_is(void **state)
{
    (void)state;
    assert_int_equal(dt_cgroup_job("12:memory:/slurm_n1/uid_1000/job_77/step_0/task_0\n"
                                   "0::/user.slice\n"),
                     77);
    assert_int_equal(dt_cgroup_job("0::/system.slice/slurmstepd.scope/job_8/step_extern/user"), 8);
    assert_int_equal(dt_cgroup_job("0::/user.slice/user-1000.slice/session-3.scope"), 0);
    assert_int_equal(dt_cgroup_job("0::/job_"), 0);
    assert_int_equal(dt_cgroup_job("0::/job_-5/x"), 0);
    assert_int_equal(dt_cgroup_job(""), 0);
    assert_int_equal(dt_status_uid("Name:\tx\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\n"), 1000);
    assert_int_equal(dt_status_uid("Name:\tUid: 5\nGid:\t5\n"), -1);
    assert_int_equal(dt_status_uid("Name:\tx\nUid:\t-1\n"), -1);
    assert_int_equal(dt_status_uid(""), -1);
}

static void counts_lists(void **state)
{
    (void)state;
    assert_int_equal(dt_count_list("0-191"), 192);
    assert_int_equal(dt_count_list("0,2-3,8"), 4);
    assert_int_equal(dt_count_list("3-1"), -1);
    assert_int_equal(dt_count_list("0-"), -1);
    assert_int_equal(dt_count_list("0 1"), -1);
    assert_int_equal(dt_count_list("0-99999999999999999999"), -1);
}

static void takes_facts_from_outside(void **state)
{
    static const char *const bad[] = {"[]",
                                      "7",
                                      "{\"a\":{}}",
                                      "{\"a\":null}",
                                      "{\"a b\":1}",
                                      "{\"\":1}",
                                      "{\"a\":[[1]]}",
                                      "{\"a\":[{\"b\":{}}]}",
                                      "{\"a\":1.5}",
                                      "{\"a\":[{\"b c\":1}]}"};
    struct dt_facts facts;
    struct dt_error err = {0};
    const char *value;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *doc = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_non_null(doc);
        if (dt_facts_from_json(&facts, doc, &err) != -1)
            fail_msg("taken: %s", bad[i]);
        assert_true(strlen(err.text) > 0);
        json_decref(doc);
    }
    json_t *many = json_object();
    for (int i = 0; i <= DT_FACTS_KEYS_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        json_object_set_new(many, key, json_integer(i));
    }
    assert_int_equal(dt_facts_from_json(&facts, many, &err), -1);
    json_decref(many);
    json_t *doc =
        json_loads("{\"kernel.release\":\"\\u001b[2J\\u009b1m6.8\\u202e\",\"efa.count\":3,"
                   "\"efa.devices\":[{\"name\":\"a\\nb\",\"up\":true}]}",
                   0, NULL);
    assert_int_equal(dt_facts_from_json(&facts, doc, &err), 0);
    json_decref(doc);
    assert_true(dt_facts_string(&facts, "kernel.release", &value));
    assert_string_equal(value, "?[2J?1m6.8?");
    const json_t *device = json_array_get(dt_facts_array(&facts, "efa.devices"), 0);
    assert_string_equal(json_string_value(json_object_get(device, "name")), "a?b");
    dt_facts_set_int(&facts, "clock.offset_us", -5);
    long long offset;
    assert_true(dt_facts_int(&facts, "clock.offset_us", &offset) && offset == -5);
    assert_false(dt_facts_int(&facts, "kernel.release", &offset));
    assert_string_equal(dt_facts_why(&facts, "gpu.count"), "not known");
    dt_facts_fini(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_kernel_log_records),
        cmocka_unit_test(tells_whose_a_process_is),
        cmocka_unit_test(counts_lists),
        cmocka_unit_test(takes_facts_from_outside),
    };
    return cmocka_run_group_tests_name("facts_texts", tests, NULL, NULL);
}
