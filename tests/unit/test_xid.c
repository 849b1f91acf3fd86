/* SPDX-License-Identifier: Apache-2.0 */
/* The Xid table: the one that is shipped, decoding of NVLink 5, and wrong tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "xid/xid.h"
#include "shipped.h"

static struct dt_xids shipped;

static int load(void **state)
{
    struct dt_error err = {0};
    (void)state;
    char *path = shipped_copy("configs/xid.conf");
    int rc = dt_xids_load(&shipped, path, &err);
    shipped_drop(path);
    if (rc < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    dt_xids_fini(&shipped);
    return 0;
}

static void the_catalogue_is_there(void **state)
{
    static const struct {
        int code;
        enum dt_xid_action action;
    } rows[] = {
        {13, DT_XID_APP},      {31, DT_XID_APP},    {43, DT_XID_APP},     {45, DT_XID_APP},
        {46, DT_XID_RESET},    {48, DT_XID_RESET},  {54, DT_XID_REPLACE}, {62, DT_XID_RESET},
        {63, DT_XID_MONITOR},  {64, DT_XID_RESET},  {74, DT_XID_RESET},   {79, DT_XID_REPLACE},
        {94, DT_XID_APP},      {95, DT_XID_RESET},  {106, DT_XID_INFO},   {109, DT_XID_RESET},
        {110, DT_XID_RESET},   {119, DT_XID_RESET}, {120, DT_XID_RESET},  {136, DT_XID_RESET},
        {140, DT_XID_RESET},   {143, DT_XID_RESET}, {151, DT_XID_REBOOT}, {154, DT_XID_RECOVERY},
        {155, DT_XID_RESET},   {156, DT_XID_RESET}, {158, DT_XID_RESET},  {168, DT_XID_REBOOT},
        {173, DT_XID_MONITOR}, {2, DT_XID_INFO}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(dt_xid_judge(&shipped, rows[i].code, "NVRM: Xid"), rows[i].action);
    assert_true(shipped.code_count > 150);
    assert_int_equal(shipped.rule_count, 91);
    assert_string_equal(dt_xid_find(&shipped, 79)->meaning, "GPU has fallen off the bus");
    assert_null(dt_xid_find(&shipped, 9999));
    assert_int_equal(dt_xid_judge(&shipped, 9999, ""), DT_XID_MONITOR);
}

static void each_row_has_its_source(void **state)
{
    (void)state;
    for (size_t i = 0; i < shipped.code_count; i++) {
        const char *source = dt_xid_source(&shipped, &shipped.codes[i]);
        assert_non_null(strstr(source, shipped.codes[i].code == 173 ? "gpud" : "NVIDIA"));
    }
    assert_int_equal(shipped.source_count, 5);
}

/* Drivers' words differ, and "(None)" stands in each of these: the number behind "to" counts. */
static void recovery_is_read_from_the_text(void **state)
{
#define CHANGED "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from "
    (void)state;
    assert_int_equal(dt_xid_recovery(CHANGED "0x0 (None) to 0x1 (GPU Reset Required)"), 1);
    assert_int_equal(dt_xid_recovery(CHANGED "0x0 (None) to 0x2 (Node Reboot Required)"), 2);
    assert_int_equal(dt_xid_recovery(CHANGED "0x0 (None) to 0x2 (OS Reboot)"), 2);
    assert_int_equal(dt_xid_recovery(CHANGED "0x1 (GPU Reset Required) to 0x0 (None)"), 0);
    assert_int_equal(dt_xid_recovery(CHANGED "0x0 (None)"), -1);
    assert_int_equal(dt_xid_recovery("NVRM: Xid (PCI:0000:3b:00): 154, x to 0xffffffff"), -1);
    assert_int_equal(dt_xid_recovery(""), -1);
}

#define LINE(code, rest) "NVRM: Xid (PCI:0009:01:00): " code ", " rest

static void nvlink_is_decoded(void **state)
{
    static const struct {
        int code;
        const char *text;
        enum dt_xid_action action;
    } rows[] = {
        {149,
         LINE("149", "NETIR_LINK_EVT  Fatal   XC0 i0 Link 01 (0x004505c6 0x00000000 0x00000000)"),
         DT_XID_RESET},
        {149, LINE("149", "NETIR_LINK_DOWN Fatal XC0 i0 Link 01 [0x004505c6 0x00000000]"),
         DT_XID_RESET},
        /* subcode 38: a program's doing */
        {149, LINE("149", "NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x026001c6 0x00000000)"),
         DT_XID_INFO},
        {149, LINE("149", "NETIR_BER_EVENT Non-fatal XC0 i0 Link 3 (0x00000226 0x00000003)"),
         DT_XID_INFO},
        /* 0x3 has a row of its own, beside 0x1 which asks for a reset */
        {149, LINE("149", "NETIR_MFDE_EVENT Fatal XC0 i0 Link 3 (0x00000246 0x00000003)"),
         DT_XID_INFO},
        {149, LINE("149", "NETIR_MFDE_EVENT Fatal XC0 i0 Link 3 (0x00000246 0x00000001)"),
         DT_XID_RESET},
        {144, LINE("144", "SAW_MVB Non-fatal XC0 i0 Link 3 (0x00000021 0x00000001)"), DT_XID_INFO},
        {144, LINE("144", "SAW_MVB Fatal XC0 i0 Link 3 (0x00000021 0x00000002)"), DT_XID_RESET},
        /* two bits at once: the worse counts */
        {144, LINE("144", "SAW_MVB Fatal XC0 i0 Link 3 (0x00000021 0x00000003)"), DT_XID_RESET},
        {145, LINE("145", "RLW_REMAP Non-fatal XC0 i0 Link 3 (0x00000082 0x00000001)"),
         DT_XID_RECOVERY},
        /* what no row describes is to be looked at */
        {144, LINE("144", "NEW_UNIT Fatal XC0 i0 Link 3 (0x00000021 0x00000002)"), DT_XID_MONITOR},
        {144, LINE("144", "SAW_MVB Fatal XC0 i0 Link 3"), DT_XID_MONITOR},
        {144, LINE("144", ""), DT_XID_MONITOR},
        {144, "", DT_XID_MONITOR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum dt_xid_action action = dt_xid_judge(&shipped, rows[i].code, rows[i].text);
        if (action != rows[i].action)
            fail_msg("'%s' asks for %d, wanted %d", rows[i].text, action, rows[i].action);
    }
}

static void wrong_tables_are_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "t: there is no row in it"},
        {"# only words\n", "t: there is no row in it"},
        {"source s\nxid 79 REPLACE X M\nxid 79 RESET X M\n", "t: Xid 79 has two rows"},
        {"source s\nxid 79 REPLACE X M\nunused 70-80\n", "t: Xid 79 has two rows"},
        {"xid 79 EXPLODE X M\n", "t:1: expected INFO, APP"},
        {"\nxid seven RESET X M\n", "t:2: expected the number of an Xid, not 'seven'"},
        {"xid\n", "t:1: expected the number of an Xid, not ''"},
        {"xid 0 RESET X M\n", "not '0'"},
        {"xid 99999 RESET X M\n", "not '99999'"},
        {"xid 79 RESET X\n", "a row needs NVIDIA's action and the mnemonic"},
        {"sxid 79\n", "t:1: expected source, xid, unused or nvlink, not 'sxid'"},
        {"source s\nnvlink 149 A 01 01 0x0 IGNORE\n", "expected 32 times 0, 1 or -, not '01'"},
        {"source s\nnvlink 149 A -------------------------------- -------------------------------- "
         "zero "
         "IGNORE\n",
         "expected the error status as a 0x number, not 'zero'"},
        {"source s\nnvlink 149 A -------------------------------- -------------------------------- "
         "0x0 "
         "FORGET\n",
         "expected RESET_GPU, IGNORE or XID_154_EVAL, not 'FORGET'"},
        {"source s\nnvlink 149\n", "a row needs its unit"},
        {"xid 79 REPLACE X M\n", "t:1: 'source TEXT' must stand above the first row"},
        {"nvlink 149 A x x 0x0 IGNORE\n", "'source TEXT' must stand above"},
        {"source\n", "t:1: expected where the rows below are from behind 'source'"},
        {"source   \n", "t:1: expected where the rows below are from"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_xids xids;
        struct dt_error err = {0};
        char *text = strdup(rows[i].text);
        assert_int_equal(dt_xids_parse(&xids, "t", text, &err), -1);
        if (!strstr(err.text, rows[i].error))
            fail_msg("'%s' gives '%s', wanted '%s'", rows[i].text, err.text, rows[i].error);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_catalogue_is_there),         cmocka_unit_test(each_row_has_its_source),
        cmocka_unit_test(recovery_is_read_from_the_text), cmocka_unit_test(nvlink_is_decoded),
        cmocka_unit_test(wrong_tables_are_refused),
    };
    return cmocka_run_group_tests_name("xid", tests, load, unload);
}
