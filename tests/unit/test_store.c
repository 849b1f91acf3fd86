/* SPDX-License-Identifier: Apache-2.0 */
/* The rendezvous store: both dialects of the protocol byte by byte, waiting, queues, limits. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"

enum { SET = 1, CAS, GET, ADD, CHECK, WAIT, COUNT, DELETE, APPEND, MGET, MSET, CANCEL, PING };
enum { PUSH = 14, POP, QLEN };
enum { OLD = -1 }; /* in the old dialect a code is one less, but for DELETE */

static const char hello[] = {0, (char)0xce, (char)0xf7, (char)0x85, 0x3c};

static void put64(struct dt_buf *to, uint64_t n)
{
    n = htole64(n);
    dt_buf_append(to, &n, 8);
}

static void put(struct dt_buf *to, const char *text)
{
    put64(to, strlen(text));
    dt_buf_puts(to, text);
}

static void op(struct dt_buf *to, int code)
{
    dt_buf_append(to, &(char){(char)code}, 1);
}

static int feed(struct dt_store_client *client, struct dt_buf *bytes)
{
    struct dt_error err = {""};
    int result = dt_store_feed(client, bytes->data, bytes->len, &err);
    assert_true(result == 0 || err.text[0]);
    dt_buf_fini(bytes);
    return result;
}

/* What the client was sent. */
static void sent(struct dt_store_client *client, const void *bytes, size_t len)
{
    struct dt_buf *out = dt_store_output(client);
    assert_int_equal(out->len, len);
    if (len)
        assert_memory_equal(out->data, bytes, len);
    dt_buf_clear(out);
}

static void sent64(struct dt_store_client *client, uint64_t n)
{
    n = htole64(n);
    sent(client, &n, 8);
}

static void sent_text(struct dt_store_client *client, const char *text)
{
    struct dt_buf want = DT_BUF_INIT;
    put(&want, text);
    sent(client, want.data, want.len);
    dt_buf_fini(&want);
}

static void set(struct dt_store_client *client, int shift, const char *key, const char *value)
{
    struct dt_buf b = DT_BUF_INIT;
    op(&b, SET + shift);
    put(&b, key);
    put(&b, value);
    assert_int_equal(feed(client, &b), 0);
}

static void ask(struct dt_store_client *client, int code, const char *key)
{
    struct dt_buf b = DT_BUF_INIT;
    op(&b, code);
    put(&b, key);
    assert_int_equal(feed(client, &b), 0);
}

static void add(struct dt_store_client *client, int shift, const char *key, int64_t n)
{
    struct dt_buf b = DT_BUF_INIT;
    op(&b, ADD + shift);
    put(&b, key);
    put64(&b, (uint64_t)n);
    assert_int_equal(feed(client, &b), 0);
}

static void wait2(struct dt_store_client *client, int code, const char *a, const char *b)
{
    struct dt_buf text = DT_BUF_INIT;
    op(&text, code);
    put64(&text, b ? 2 : 1);
    put(&text, a);
    if (b)
        put(&text, b);
    assert_int_equal(feed(client, &text), 0);
}

static struct dt_store_client *join_new(struct dt_store *store)
{
    struct dt_store_client *client = dt_store_join(store, store);
    struct dt_error err;
    assert_int_equal(dt_store_feed(client, hello, sizeof hello, &err), 0);
    return client;
}

static void values(void **state)
{
    (void)state;
    for (int shift = 0; shift >= OLD; shift--) {
        struct dt_store *store = dt_store_create(64u << 20);
        struct dt_store_client *c = shift ? dt_store_join(store, NULL) : join_new(store);
        set(c, shift, "k", "value");
        sent(c, "", 0);
        ask(c, GET + shift, "k");
        sent_text(c, "value");
        set(c, shift, "k", "");
        ask(c, GET + shift, "k");
        sent_text(c, "");
        add(c, shift, "n", 5);
        sent64(c, 5);
        add(c, shift, "n", -7);
        sent64(c, (uint64_t)-2);
        ask(c, GET + shift, "n");
        sent_text(c, "-2");
        struct dt_buf b = DT_BUF_INIT;
        op(&b, COUNT + shift);
        assert_int_equal(feed(c, &b), 0);
        sent64(c, 2);
        ask(c, DELETE, "k"); /* 8 in both */
        sent64(c, 1);
        ask(c, DELETE, "k");
        sent64(c, 0);
        assert_int_equal(dt_store_key_count(store), 1);
        dt_store_destroy(store);
    }
}

static void compare_and_set(void **state)
{
    (void)state;
    static const struct {
        const char *expected, *desired, *answer;
    } steps[] = {{"x", "y", "x"}, {"", "a", "a"}, {"b", "c", "a"}, {"a", "c", "c"}, {"", "d", "c"}};
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *c = join_new(store);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct dt_buf b = DT_BUF_INIT;
        op(&b, CAS);
        put(&b, "k");
        put(&b, steps[i].expected);
        put(&b, steps[i].desired);
        assert_int_equal(feed(c, &b), 0);
        sent_text(c, steps[i].answer);
    }
    dt_store_destroy(store);
}

static void waiting(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *a = join_new(store), *b = join_new(store), *old;
    old = dt_store_join(store, NULL);
    set(a, 0, "there", "1");
    wait2(a, WAIT, "there", NULL);
    sent(a, "\0", 1);
    wait2(a, WAIT, "one", "two");
    wait2(b, WAIT, "two", "two");
    wait2(old, WAIT + OLD, "two", "there");
    assert_string_equal(dt_store_waits_for(a), "one");
    assert_string_equal(dt_store_waits_for(b), "two");
    while (dt_store_touched(store))
        ;
    set(old, OLD, "one", "");
    assert_null(dt_store_touched(store));
    assert_string_equal(dt_store_waits_for(a), "two");
    add(old, OLD, "two", 1);
    dt_buf_clear(dt_store_output(old)); /* the sum and its own wake */
    int touched = 0;
    while (dt_store_touched(store))
        touched++;
    assert_int_equal(touched, 3);
    sent(a, "\0", 1);
    sent(b, "\0", 1);
    assert_null(dt_store_waits_for(a));
    wait2(a, CHECK, "one", "none");
    sent(a, "\1", 1);
    wait2(a, CHECK, "one", "two");
    sent(a, "\0", 1);
    dt_store_destroy(store);
}

static void waiters_that_leave(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *a = join_new(store), *b = join_new(store), *c = join_new(store);
    size_t empty = dt_store_bytes(store);
    wait2(a, WAIT, "x", "y");
    wait2(b, WAIT, "x", "y");
    wait2(c, WAIT, "x", NULL);
    dt_store_leave(b);
    struct dt_buf text = DT_BUF_INIT;
    op(&text, CANCEL);
    assert_int_equal(feed(a, &text), 0);
    sent(a, "\1", 1);
    assert_null(dt_store_waits_for(a));
    set(a, 0, "x", "1");
    sent(a, "", 0);
    sent(c, "\0", 1);
    ask(a, DELETE, "x");
    assert_int_equal(dt_store_bytes(store), empty); /* nothing is kept for those who left */
    dt_store_destroy(store);
}

static void queues(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *a = join_new(store), *b = join_new(store), *c = join_new(store);
    wait2(a, WAIT, "q", NULL);
    wait2(b, WAIT, "q", NULL);
    for (int i = 0; i < 2; i++) {
        struct dt_buf text = DT_BUF_INIT;
        op(&text, PUSH);
        put(&text, "q");
        put(&text, i ? "second" : "first");
        assert_int_equal(feed(c, &text), 0);
        sent(a, "\0", i ? 0 : 1); /* the first is for the one that waited longest */
        sent(b, "\0", i ? 1 : 0);
    }
    ask(c, QLEN, "q");
    sent64(c, 2);
    struct dt_buf want = DT_BUF_INIT;
    put64(&want, 2);
    put(&want, "first");
    ask(a, POP, "q");
    sent(a, want.data, want.len);
    dt_buf_fini(&want);
    ask(a, POP, "q");
    dt_buf_clear(dt_store_output(a));
    ask(a, POP, "q");
    sent64(a, 0);
    dt_store_destroy(store);
}

static void many_keys_and_pieces(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *c = join_new(store);
    struct dt_buf b = DT_BUF_INIT, want = DT_BUF_INIT;
    op(&b, MSET);
    put64(&b, 2);
    put(&b, "a");
    put(&b, "1");
    put(&b, "b");
    put(&b, "22");
    op(&b, APPEND);
    put(&b, "b");
    put(&b, "3");
    op(&b, MGET);
    put64(&b, 3);
    put(&b, "b");
    put(&b, "none");
    put(&b, "a");
    op(&b, PING);
    dt_buf_puts(&b, "ABCD");
    put(&want, "223");
    put(&want, "");
    put(&want, "1");
    dt_buf_puts(&want, "ABCD");
    struct dt_error err;
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(dt_store_feed(c, b.data + i, 1, &err), 0);
    sent(c, want.data, want.len);
    assert_true(dt_store_spoke(c));
    dt_buf_fini(&b);
    dt_buf_fini(&want);
    dt_store_destroy(store);
}

static void refused(const char *bytes, size_t len, const char *why)
{
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *c = dt_store_join(store, NULL);
    struct dt_error err = {""};
    assert_int_equal(dt_store_feed(c, bytes, len, &err), -1);
    if (!strstr(err.text, why))
        fail_msg("no \"%s\" in: %s", why, err.text);
    dt_store_destroy(store);
}

static void what_is_no_protocol(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\n", 16, "command 71");
    refused("\x07\0\0\0\0\0\0\0\0", 9, "command 7");
    refused("\0\xce\xf7\x85\x3c\x11", 6, "command 17");
    refused("\0\xce\xf7\x85\x3c\0aaaa", 10, "VALIDATE");
    refused("\0\xff\xff\xff\xff\xff\xff\xff\xff", 9, "a key of 18446744073709551615 bytes");
    refused("\0\1\0\0\0\0\0\0\0k\xff\xff\xff\0\0\0\0\0", 18, "a value of 16777215 bytes");
    refused("\4\xff\xff\xff\xff\0\0\0\0", 9, "4294967295 keys");
    refused("\0\1\0\0\0\0\0\0\0k\1\0\0\0\0\0\0\0x"
            "\3\1\0\0\0\0\0\0\0k\1\0\0\0\0\0\0\0",
            37, "no number");
}

static void a_counter_that_is_full(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *c = join_new(store);
    add(c, 0, "n", INT64_MAX);
    struct dt_buf b = DT_BUF_INIT;
    op(&b, ADD);
    put(&b, "n");
    put64(&b, 1);
    assert_int_equal(feed(c, &b), -1);
    dt_store_destroy(store);
}

/* A stranger can not make the store take more memory than its limit. */
static void a_full_store(void **state)
{
    (void)state;
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client *c = join_new(store);
    struct dt_buf b = DT_BUF_INIT;
    struct dt_error err = {""};
    static char megabytes[DT_STORE_VALUE_MAX];
    int result = 0, i = 0;
    for (; result == 0 && i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        op(&b, SET);
        put(&b, key);
        put64(&b, sizeof megabytes);
        assert_int_equal(dt_store_feed(c, b.data, b.len, &err), 0);
        dt_buf_fini(&b);
        result = dt_store_feed(c, megabytes, sizeof megabytes, &err);
    }
    assert_int_equal(result, -1);
    assert_non_null(strstr(err.text, "full"));
    assert_in_range(i, 4, 8);
    dt_store_destroy(store);
}

static void ten_thousand_at_a_barrier(void **state)
{
    (void)state;
    enum { COUNT_ALL = 10000 };
    struct dt_store *store = dt_store_create(64u << 20);
    struct dt_store_client **all = calloc(COUNT_ALL, sizeof *all);
    for (int i = 0; i < COUNT_ALL; i++) {
        all[i] = join_new(store);
        add(all[i], 0, "count", 1);
        wait2(all[i], WAIT, "go", NULL);
    }
    while (dt_store_touched(store))
        ;
    set(all[17], 0, "go", "1");
    int touched = 0;
    while (dt_store_touched(store))
        touched++;
    assert_int_equal(touched, COUNT_ALL);
    free(all);
    dt_store_destroy(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(compare_and_set),
        cmocka_unit_test(waiting),
        cmocka_unit_test(waiters_that_leave),
        cmocka_unit_test(queues),
        cmocka_unit_test(many_keys_and_pieces),
        cmocka_unit_test(what_is_no_protocol),
        cmocka_unit_test(a_counter_that_is_full),
        cmocka_unit_test(a_full_store),
        cmocka_unit_test(ten_thousand_at_a_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
