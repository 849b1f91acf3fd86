/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ranks, and folding of lines: what is told as one, in which order, and that no line is lost. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fold/fold.h"
#include "fold/numbers.h"

enum { WORLD = 16, WINDOW = 1000 };

/* ---- sets ---------------------------------------------------------------------------------- */

static char *words(const char *list, int size, bool exact)
{
    struct dt_ranks ranks;
    struct dt_error err;
    struct dt_buf text = DT_BUF_INIT;
    assert_int_equal(dt_ranks_init(&ranks, size), 0);
    assert_int_equal(dt_ranks_parse(&ranks, "--ranks", list, &err), 0);
    if (exact)
        dt_ranks_list(&ranks, &text);
    else
        dt_ranks_words(&ranks, &text);
    dt_ranks_fini(&ranks);
    char *taken = dt_buf_take(&text);
    assert_non_null(taken);
    return taken;
}

static void is(const char *list, int size, bool exact, const char *expected)
{
    char *text = words(list, size, exact);
    assert_string_equal(text, expected);
    free(text);
}

static void test_sets(void **state)
{
    (void)state;
    is("0,8-15", 16, true, "0,8-15");
    is("3,1,2,2", 64, true, "1-3");
    is("all", 130, true, "0-129");
    is("63-64", 130, true, "63-64");
    is("0-16,18-511", 512, false, "0-511 except 17");
    is("0-16,18-511", 512, true, "0-16,18-511");
    is("0-3,5,7", 8, false, "0-3,5,7");        /* no shorter with except */
    is("8-16,18-31", 32, false, "8-16,18-31"); /* nor where it does not begin at 0 */
    is("0", 1, false, "0");
}

static void test_bad_sets(void **state)
{
    static const char *const bad[] = {"",   "-",    "1-",  "2-1",         "a",  "1,",
                                      ",1", "1,,2", "1 2", "99999999999", "16", "3-16"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dt_ranks ranks;
        struct dt_error err = {""};
        assert_int_equal(dt_ranks_init(&ranks, WORLD), 0);
        assert_int_equal(dt_ranks_parse(&ranks, "--ranks", bad[i], &err), -1);
        assert_int_equal(strncmp(err.text, "--ranks is \"", 12), 0);
        dt_ranks_fini(&ranks);
    }
}

static void test_one_rank_is_no_range(void **state)
{
    char text[DT_RANKS_SPAN];
    struct dt_ranks one;
    struct dt_error err = {""};
    (void)state;
    assert_string_equal(dt_ranks_span(text, 2, 2), "rank 2");
    assert_string_equal(dt_ranks_span(text, 2, 3), "ranks 2 to 3");
    dt_ranks_span(text, LLONG_MIN, LLONG_MAX); /* what a stranger may say */
    assert_int_equal(dt_ranks_init(&one, 1), 0);
    assert_int_equal(dt_ranks_parse(&one, "--ranks", "3", &err), -1);
    assert_string_equal(err.text, "--ranks is \"3\", but there is only rank 0");
    dt_ranks_fini(&one);
}

static void test_set_operations(void **state)
{
    struct dt_ranks a, b;
    (void)state;
    assert_int_equal(dt_ranks_init(&a, 200) | dt_ranks_init(&b, 200), 0);
    dt_ranks_add(&a, 0);
    dt_ranks_add(&a, 199);
    dt_ranks_add(&a, 200); /* is no rank of this set */
    assert_int_equal(a.count, 2);
    assert_int_equal(dt_ranks_next(&a, 1), 199);
    assert_int_equal(dt_ranks_next(&a, 200), -1);
    dt_ranks_add(&b, 70);
    assert_false(dt_ranks_cover(&a, &b));
    dt_ranks_join(&a, &b);
    assert_true(dt_ranks_cover(&a, &b));
    dt_ranks_remove(&a, 70);
    dt_ranks_remove(&a, 70);
    assert_int_equal(a.count, 2);
    assert_false(dt_ranks_cover(&a, &b));
    dt_ranks_fini(&a);
    dt_ranks_fini(&b);
}

/* ---- folding ------------------------------------------------------------------------------- */

static struct dt_fold *make(bool numbers)
{
    struct dt_ranks all;
    struct dt_error err;
    assert_int_equal(dt_ranks_init(&all, WORLD), 0);
    assert_int_equal(dt_ranks_parse(&all, "all", "all", &err), 0);
    struct dt_fold *fold = dt_fold_create(&all, numbers, WINDOW);
    dt_ranks_fini(&all);
    assert_non_null(fold);
    return fold;
}

static void add(struct dt_fold *fold, const char *list, const char *text, long long now)
{
    struct dt_ranks ranks;
    struct dt_error err;
    assert_int_equal(dt_ranks_init(&ranks, WORLD), 0);
    assert_int_equal(dt_ranks_parse(&ranks, "", list, &err), 0);
    assert_int_equal(dt_fold_add(fold, 1, &ranks, text, strlen(text), now), 0);
    dt_ranks_fini(&ranks);
}

/* The next line as "[RANKS] TEXT"; NULL: none. */
static void next_is(struct dt_fold *fold, long long now, bool flush, const char *expected)
{
    struct dt_folded line;
    bool there = dt_fold_next(fold, now, flush, &line);
    if (!expected) {
        if (there)
            fail_msg("a line came too early: %s", line.text);
        return;
    }
    assert_true(there);
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "[");
    dt_ranks_words(&line.ranks, &text);
    dt_buf_printf(&text, "] %s", line.text);
    char *whole = dt_buf_take(&text);
    assert_string_equal(whole, expected);
    free(whole);
    dt_folded_fini(&line);
}

static void test_complete_leaves_at_once(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    add(fold, "0-14", "ready", 5);
    next_is(fold, 6, false, NULL);
    assert_int_equal(dt_fold_due(fold), 5 + WINDOW);
    add(fold, "15", "ready", 7);
    next_is(fold, 7, false, "[0-15] ready");
    assert_int_equal(dt_fold_due(fold), 0);
    dt_fold_destroy(fold);
}

static void test_window_and_the_one_that_is_missing(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    add(fold, "0-8,10-15", "ready", 5);
    next_is(fold, 4 + WINDOW, false, NULL);
    next_is(fold, 5 + WINDOW, false, "[0-15 except 9] ready");
    add(fold, "9", "ready", 6 + WINDOW);
    next_is(fold, 7 + WINDOW, true, "[9] ready");
    dt_fold_destroy(fold);
}

static void test_who_has_ended_is_not_waited_for(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    add(fold, "0-14", "bye", 1);
    dt_fold_leave(fold, 15);
    next_is(fold, 2, false, "[0-14] bye");
    dt_fold_destroy(fold);
}

/* Rank 1 is ahead: it says B before rank 0 says A and B. Rank 0's A must not come after its B. */
static void test_order_of_a_rank_is_kept(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    add(fold, "1", "B", 1);
    add(fold, "0", "A", 2);
    add(fold, "0", "B", 3); /* B can wait behind A */
    next_is(fold, 4, true, "[0] A");
    next_is(fold, 4, true, "[0-1] B");
    next_is(fold, 4, true, NULL);
    add(fold, "1", "B", 5);
    add(fold, "1", "C", 5); /* now it can not: C of rank 1 would be before its B */
    add(fold, "0", "A", 6);
    add(fold, "0", "B", 7);
    next_is(fold, 8, true, "[1] B");
    next_is(fold, 8, true, "[1] C");
    next_is(fold, 8, true, "[0] A");
    next_is(fold, 8, true, "[0] B");
    dt_fold_destroy(fold);
}

/* A line of each rank's own does not part the lines after it. */
static void test_lines_between(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    for (int rank = 0; rank < 3; rank++) {
        char list[2] = {(char)('0' + rank), '\0'}, own[16];
        snprintf(own, sizeof own, "rank %d", rank);
        add(fold, list, "hello", 1);
        add(fold, list, own, 1);
        add(fold, list, "ready", 1);
    }
    next_is(fold, 2, true, "[0-2] hello");
    next_is(fold, 2, true, "[0] rank 0");
    next_is(fold, 2, true, "[1] rank 1");
    next_is(fold, 2, true, "[2] rank 2");
    next_is(fold, 2, true, "[0-2] ready");
    next_is(fold, 2, true, NULL);
    dt_fold_destroy(fold);
}

static void test_the_same_line_twice(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    add(fold, "0", "tick", 1);
    add(fold, "0", "tick", 1);
    add(fold, "1", "tick", 1);
    add(fold, "1", "tick", 1);
    next_is(fold, 2, true, "[0-1] tick");
    next_is(fold, 2, true, "[0-1] tick");
    next_is(fold, 2, true, NULL);
    dt_fold_destroy(fold);
}

static void test_numbers(void **state)
{
    (void)state;
    struct dt_fold *fold = make(true);
    add(fold, "0", "step 10 loss 7.21 on p5-0 (-1e-3, 5%)", 1);
    add(fold, "1", "step 10 loss 7.19 on p5-0 (-2e-3, 5%)", 1);
    add(fold, "2", "step 10 loss 7.30 on p5-1 (-2e-3, 5%)", 1); /* another word */
    add(fold, "3", "step 10 loss 7.2..7.24 on p5-0 (-1e-3, 5%)", 1);
    next_is(fold, 2, true,
            "[0-1,3] step 10 loss 7.19..7.207..7.24 on p5-0 (-2e-3..-0.00133333..-1e-3, 5%)");
    next_is(fold, 2, true, "[2] step 10 loss 7.30 on p5-1 (-2e-3, 5%)");
    /* what a program writes as a range stays as it is; what another node has made of three ranks counts three times */
    add(fold, "0", "rows 5..5 of 1..2..3", 1);
    next_is(fold, 2, true, "[0] rows 5..5 of 1..2..3");
    add(fold, "0-2", "loss 7.0..7.2..7.3", 1);
    add(fold, "3", "loss 7.6", 1);
    next_is(fold, 2, true, "[0-3] loss 7.0..7.3..7.6");
    add(fold, "0-1", "10 GiB", 1);
    add(fold, "2", "13 GiB", 1);
    next_is(fold, 2, true, "[0-2] 10..11..13 GiB");
    add(fold, "0", "99999999999999999999999", 1);
    add(fold, "1", "1", 1);
    next_is(fold, 2, true, "[0-1] 1..5e+22..99999999999999999999999");
    dt_fold_destroy(fold);
    fold = make(false);
    add(fold, "0", "step 1", 1);
    add(fold, "1", "step 2", 1);
    next_is(fold, 2, true, "[0] step 1");
    next_is(fold, 2, true, "[1] step 2");
    dt_fold_destroy(fold);
}

static void test_streams_stay_apart(void **state)
{
    (void)state;
    struct dt_fold *fold = make(false);
    struct dt_ranks one;
    assert_int_equal(dt_ranks_init(&one, WORLD), 0);
    dt_ranks_add(&one, 4);
    assert_int_equal(dt_fold_add(fold, 1, &one, "x", 1, 0), 0);
    assert_int_equal(dt_fold_add(fold, 2, &one, "x", 1, 0), 0);
    struct dt_folded line;
    for (int stream = 1; stream <= 2; stream++) {
        assert_true(dt_fold_next(fold, 0, true, &line));
        assert_int_equal(line.stream, stream);
        dt_folded_fini(&line);
    }
    dt_ranks_fini(&one);
    dt_fold_destroy(fold);
}

/* Random lines of random ranks: each rank's lines come out once each, in their order. */
static void test_nothing_is_lost(void **state)
{
    enum { LINES = 20000 };
    unsigned long long random = 88172645463325252u;
    int said[WORLD] = {0}, heard[WORLD] = {0};
    (void)state;
    struct dt_fold *fold = make(false);
    for (int i = 0; i < LINES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int rank = (int)(random % WORLD);
        char list[8], text[16];
        snprintf(list, sizeof list, "%d", rank);
        snprintf(text, sizeof text, "line %d", said[rank]++);
        add(fold, list, text, i);
        struct dt_folded line;
        while (dt_fold_next(fold, i, i == LINES - 1, &line)) {
            for (int r = dt_ranks_next(&line.ranks, 0); r >= 0;
                 r = dt_ranks_next(&line.ranks, r + 1))
                assert_int_equal(atoi(line.text + 5), heard[r]++);
            dt_folded_fini(&line);
        }
    }
    for (int rank = 0; rank < WORLD; rank++)
        assert_int_equal(said[rank], heard[rank]);
    dt_fold_destroy(fold);
}

static void test_bounded(void **state)
{
    int out = 0;
    (void)state;
    struct dt_fold *fold = make(false);
    for (int i = 0; i < DT_FOLD_PENDING_MAX + 10; i++) {
        char text[16];
        struct dt_folded line;
        snprintf(text, sizeof text, "%d", i);
        add(fold, "0", text, 0);
        while (dt_fold_next(fold, 0, false, &line)) {
            assert_int_equal(atoi(line.text), out++);
            dt_folded_fini(&line);
        }
    }
    assert_int_equal(out, 10);
    dt_fold_destroy(fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_one_rank_is_no_range),
        cmocka_unit_test(test_set_operations),
        cmocka_unit_test(test_complete_leaves_at_once),
        cmocka_unit_test(test_window_and_the_one_that_is_missing),
        cmocka_unit_test(test_who_has_ended_is_not_waited_for),
        cmocka_unit_test(test_order_of_a_rank_is_kept),
        cmocka_unit_test(test_lines_between),
        cmocka_unit_test(test_the_same_line_twice),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_streams_stay_apart),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
