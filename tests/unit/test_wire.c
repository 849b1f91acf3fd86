/* SPDX-License-Identifier: Apache-2.0 */
/* Rendezvous text, token, frames and messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/message.h"
#include "wire/wire.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

static void rendezvous_survives_a_round_trip(void **state)
{
    (void)state;
    const char *text = "1/10.0.0.5,[fd00::5],127.0.0.1/40123/" TOKEN;
    struct dt_rendezvous r;
    struct dt_error err = {0};
    assert_int_equal(dt_rendezvous_parse(&r, text, &err), 0);
    assert_string_equal(r.addresses[1], "fd00::5");
    assert_null(r.addresses[3]);
    assert_int_equal(r.port, 40123);
    char *again = dt_rendezvous_format(&r);
    assert_string_equal(again, text);
    free(again);
    dt_rendezvous_fini(&r);
}

static void bad_rendezvous_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1",
        "2/10.0.0.5/1/" TOKEN,
        "1/10.0.0.5/1/" TOKEN "/",
        "1//1/" TOKEN,
        "1/host/1/" TOKEN,
        "1/fd00::5/1/" TOKEN,
        "1/[10.0.0.5]/1/" TOKEN,
        "1/10.0.0.5/0/" TOKEN,
        "1/10.0.0.5/65536/" TOKEN,
        "1/10.0.0.5/-1/" TOKEN,
        "1/10.0.0.5/1/0123",
        "1/10.0.0.5/1/" TOKEN "0",
        "1/10.0.0.5/1/0123456789ABCDEF0123456789ABCDEF",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dt_rendezvous r;
        struct dt_error err = {0};
        if (dt_rendezvous_parse(&r, bad[i], &err) != -1)
            fail_msg("'%s' was accepted", bad[i]);
        assert_non_null(strstr(err.text, "rendezvous text"));
        assert_null(strstr(err.text, TOKEN)); /* a secret never goes into a message */
        assert_null(r.addresses);
    }
}

static void tokens_are_random_and_compared_whole(void **state)
{
    (void)state;
    char a[DT_TOKEN_HEX + 1], b[DT_TOKEN_HEX + 1];
    struct dt_error err = {0};
    assert_int_equal(dt_token_create(a, &err), 0);
    assert_int_equal(dt_token_create(b, &err), 0);
    assert_false(dt_token_equal(a, b));
    assert_true(dt_token_equal(a, a));
    assert_false(dt_token_equal(a, ""));
    memcpy(b, a, sizeof b);
    b[31] = b[31] == '0' ? '1' : '0';
    assert_false(dt_token_equal(a, b));
}

static void frames_come_out_whole_however_cut(void **state)
{
    (void)state;
    struct dt_error err = {0};
    unsigned char *bytes;
    size_t len;
    json_t *in = json_pack("{s:s,s:[i,i]}", "type", "x", "n", 1, 2);
    assert_int_equal(dt_frame_encode(in, &bytes, &len, &err), 0);
    for (size_t step = 1; step <= 2 * len; step++) {
        unsigned char twice[512];
        memcpy(twice, bytes, len);
        memcpy(twice + len, bytes, len);
        struct dt_frames frames;
        dt_frames_init(&frames, DT_WIRE_HELLO_MAX);
        int got = 0;
        for (size_t at = 0; at < 2 * len; at += step) {
            size_t n = at + step > 2 * len ? 2 * len - at : step;
            assert_int_equal(dt_frames_feed(&frames, twice + at, n, &err), 0);
            json_t *out;
            int rc;
            while ((rc = dt_frames_next(&frames, &out, &err)) == 1) {
                assert_true(json_equal(in, out));
                json_decref(out);
                got++;
            }
            assert_int_equal(rc, 0);
        }
        assert_int_equal(got, 2);
        dt_frames_fini(&frames);
    }
    free(bytes);
    json_decref(in);
}

static void what_is_no_frame_is_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"GET / HTTP/1.1\r\n", 16},
        {"\x40\0\0\0", 4},
        {"\0\0\0\0", 4},
        {"\0\0\x10\x01", 4},
        {"\0\0\0\2[]", 6},
        {"\0\0\0\2{", 6},
        {"\0\0\0\3\"a\"", 7},
        {"\0\0\0\x0f{\"a\":1,\"a\":2}  ", 19},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dt_frames frames;
        struct dt_error err = {0};
        json_t *out = NULL;
        dt_frames_init(&frames, DT_WIRE_HELLO_MAX);
        int rc = dt_frames_feed(&frames, bad[i].bytes, bad[i].len, &err);
        if (rc == 0)
            rc = dt_frames_next(&frames, &out, &err);
        if (rc != -1)
            fail_msg("case %zu was accepted", i);
        assert_non_null(strstr(err.text, "a frame"));
        dt_frames_fini(&frames);
    }
}

static void too_long_a_message_is_not_sent(void **state)
{
    (void)state;
    struct dt_error err = {0};
    char *text = malloc(DT_WIRE_FRAME_MAX + 1);
    memset(text, 'x', DT_WIRE_FRAME_MAX);
    text[DT_WIRE_FRAME_MAX] = '\0';
    json_t *object = json_pack("{s:s}", "a", text);
    unsigned char *bytes;
    size_t len;
    assert_int_equal(dt_frame_encode(object, &bytes, &len, &err), -1);
    assert_non_null(strstr(err.text, "does not fit"));
    json_decref(object);
    free(text);
}

static void hellos_are_judged(void **state)
{
    (void)state;
    struct dt_hello in = {TOKEN, "p5-3", "12.0", 2, 4, 8, -1, 0}, out;
    struct dt_error err = {0};
    json_t *object = dt_hello_to_json(&in);
    assert_int_equal(dt_hello_from_json(&out, object, &err), 0);
    assert_string_equal(out.node, "p5-3");
    assert_int_equal(out.tasks, 8);
    static const struct {
        const char *key;
        int value;
    } bad[] = {{"dt", 2},          {"nodeid", 4}, {"nodeid", -1},   {"nodes", 0},
               {"nodes", 1 << 20}, {"tasks", -1}, {"het_group", 0}, {"het_size", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *copy = json_copy(object);
        json_object_set_new(copy, bad[i].key, json_integer(bad[i].value));
        if (dt_hello_from_json(&out, copy, &err) != -1)
            fail_msg("%s=%d was accepted", bad[i].key, bad[i].value);
        json_decref(copy);
    }
    json_object_del(object, "token");
    assert_int_equal(dt_hello_from_json(&out, object, &err), -1);
    json_decref(object);
}

static void decisions_survive_a_round_trip(void **state)
{
    (void)state;
    struct dt_component components[] = {{2, 16}, {1, 3}};
    struct dt_decision in = {.go = true,
                             .reason = "all good",
                             .master_addr = "10.0.0.7",
                             .master_port = 40001,
                             .components = components,
                             .component_count = 2,
                             .drain = "dt-[1-2]",
                             .shared = "nvlink,efa-port"};
    struct dt_decision out;
    struct dt_error err = {0};
    json_t *object = dt_decision_to_json(&in);
    assert_int_equal(dt_decision_from_json(&out, object, &err), 0);
    assert_true(out.go);
    assert_string_equal(out.master_addr, "10.0.0.7");
    assert_int_equal(out.components[1].tasks, 3);
    assert_string_equal(out.drain, "dt-[1-2]");
    assert_string_equal(out.shared, "nvlink,efa-port");
    free(out.components);
    /* whoever says nothing of drains consents to none */
    json_object_del(object, "drain");
    assert_int_equal(dt_decision_from_json(&out, object, &err), 0);
    assert_string_equal(out.drain, "");
    free(out.components);
    json_object_set_new(object, "code", json_integer(65)); /* go, yet a code */
    assert_int_equal(dt_decision_from_json(&out, object, &err), -1);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendezvous_survives_a_round_trip),
        cmocka_unit_test(bad_rendezvous_texts_are_refused),
        cmocka_unit_test(tokens_are_random_and_compared_whole),
        cmocka_unit_test(frames_come_out_whole_however_cut),
        cmocka_unit_test(what_is_no_frame_is_refused_at_once),
        cmocka_unit_test(too_long_a_message_is_not_sent),
        cmocka_unit_test(hellos_are_judged),
        cmocka_unit_test(decisions_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
