/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of each kind of file against what the public libraries make of the same texts
 * (tests/fixtures/tokenizer/make.py), decoding, and files that can not be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "tokenizer/read.h"

#define FIXTURES "tests/fixtures/tokenizer/"

static char directory[] = "/tmp/dt-tokenizer-XXXXXX";

static json_t *load(const char *path)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    if (!root)
        fail_msg("%s: %s", path, why.text);
    return root;
}

static struct dt_tokenizer *open_or_fail(const char *path)
{
    struct dt_error err = {""};
    struct dt_tokenizer *t;
    if (dt_tokenizer_open(&t, path, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void expect_text(const struct dt_tokenizer *t, const struct dt_tokens *tokens,
                        const char *text, size_t length)
{
    struct dt_buf back = DT_BUF_INIT;
    for (size_t i = 0; i < tokens->count; i++) {
        size_t bytes;
        const char *token = dt_tokenizer_bytes(t, tokens->list[i], i == 0, &bytes);
        dt_buf_append(&back, token, bytes);
    }
    assert_int_equal(back.len, length);
    assert_true(length == 0 || memcmp(back.data, text, length) == 0);
    dt_buf_fini(&back);
}

static void expect_cases(const struct dt_tokenizer *t, const char *kind, bool marks_are_spaces)
{
    json_t *cases = load(FIXTURES "cases.json"), *one, *wanted;
    size_t i, j;
    json_array_foreach(cases, i, one)
    {
        const char *text = json_string_value(json_object_get(one, "text"));
        json_t *list = json_object_get(one, kind);
        struct dt_tokens tokens = {0};
        assert_int_equal(dt_tokenizer_encode(t, text, strlen(text), &tokens, NULL), 0);
        if (tokens.count != json_array_size(list))
            fail_msg("%s, \"%s\": %zu tokens, and %zu are right", kind, text, tokens.count,
                     json_array_size(list));
        json_array_foreach(list, j,
                           wanted) if (tokens.list[j] != (uint32_t)json_integer_value(wanted))
            fail_msg("%s, \"%s\": token %zu is %u, and %lld is right", kind, text, j,
                     tokens.list[j], (long long)json_integer_value(wanted));
        if (!marks_are_spaces || !strstr(text, "\xe2\x96\x81"))
            expect_text(t, &tokens, text, strlen(text));
        free(tokens.list);
    }
    assert_true(i > 50);
    json_decref(cases);
}

static void expect_file(const char *path, const char *kind, int end)
{
    struct dt_tokenizer *t = open_or_fail(path);
    expect_cases(t, kind, false);
    assert_int_equal(dt_tokenizer_end(t), end);
    dt_tokenizer_close(t);
}

static void test_files(void **state)
{
    (void)state;
    expect_file(FIXTURES "words.tokenizer.json", "words", 0);
    expect_file(FIXTURES "split.tokenizer.json", "split", 0);
    expect_file(FIXTURES "vocab.json", "words", 0);
    expect_file(FIXTURES "merges.txt", "words", 0);
    struct dt_tokenizer *t = open_or_fail(FIXTURES "ranks.model");
    expect_cases(t, "ranks", false);
    assert_int_equal((size_t)dt_tokenizer_end(t) + 255,
                     dt_tokenizer_size(t)); /* the second of 256 */
    dt_tokenizer_close(t);
}

/* ---- SentencePiece's message, made from the list of pieces --------------------------------------- */

static void put_varint(struct dt_buf *buf, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        char byte = (char)(value | 0x80);
        dt_buf_append(buf, &byte, 1);
    }
    char last = (char)value;
    dt_buf_append(buf, &last, 1);
}

static void put_bytes(struct dt_buf *buf, unsigned field, const char *bytes, size_t length)
{
    put_varint(buf, field << 3 | 2);
    put_varint(buf, length);
    dt_buf_append(buf, bytes, length);
}

static void put_number(struct dt_buf *buf, unsigned field, uint64_t value)
{
    put_varint(buf, field << 3);
    put_varint(buf, value);
}

static void put_message(struct dt_buf *buf, unsigned field, struct dt_buf *inner)
{
    put_bytes(buf, field, inner->data ? inner->data : "", inner->len);
    dt_buf_fini(inner);
}

/* spaces: remove_extra_whitespaces; model: 1 unigram, 2 BPE */
static struct dt_buf pieces_message(uint64_t model, uint64_t spaces)
{
    struct dt_buf all = DT_BUF_INIT, trainer = DT_BUF_INIT, normalizer = DT_BUF_INIT;
    json_t *list = load(FIXTURES "pieces.json"), *piece;
    size_t i;
    json_array_foreach(list, i, piece)
    {
        struct dt_buf inner = DT_BUF_INIT;
        json_t *text = json_array_get(piece, 0);
        float score = (float)json_number_value(json_array_get(piece, 1));
        put_bytes(&inner, 1, json_string_value(text), json_string_length(text));
        put_varint(&inner, 2 << 3 | 5);
        dt_buf_append(&inner, &score, sizeof score);
        put_number(&inner, 3, (uint64_t)json_integer_value(json_array_get(piece, 2)));
        put_message(&all, 1, &inner);
    }
    json_decref(list);
    put_number(&trainer, 3, model);
    put_message(&all, 2, &trainer);
    put_bytes(&normalizer, 1, "identity", 8);
    put_number(&normalizer, 4, spaces);
    put_message(&all, 3, &normalizer);
    return all;
}

static void write_file(const char *name, const char *text, size_t length)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
}

static void test_pieces(void **state)
{
    (void)state;
    struct dt_buf message = pieces_message(2, 0);
    write_file("tokenizer.model", message.data, message.len);
    struct dt_tokenizer *t = open_or_fail(directory); /* finds the file in the directory */
    expect_cases(t, "pieces", true);
    assert_int_equal(dt_tokenizer_end(t), 2);
    dt_tokenizer_close(t);
    dt_buf_fini(&message);
}

/* Any bytes come back as they were. */
static void test_any_bytes(void **state)
{
    (void)state;
    char text[4096];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = (char)(random >> 24);
    }
    struct dt_buf message = pieces_message(2, 0);
    write_file("tokenizer.model", message.data, message.len);
    dt_buf_fini(&message);
    const char *const paths[] = {FIXTURES "words.tokenizer.json", FIXTURES "split.tokenizer.json",
                                 FIXTURES "vocab.json", FIXTURES "ranks.model", directory};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct dt_tokenizer *t = open_or_fail(paths[i]);
        struct dt_tokens tokens = {0};
        assert_int_equal(dt_tokenizer_encode(t, text, sizeof text, &tokens, NULL), 0);
        expect_text(t, &tokens, text, sizeof text);
        free(tokens.list);
        size_t length;
        dt_tokenizer_bytes(t, 0xffffff, false, &length); /* a number that no token has */
        assert_int_equal(length, 0);
        dt_tokenizer_close(t);
    }
}

/* ---- files that can not be used ------------------------------------------------------------------ */

static void expect_refusal(const char *name, const char *text, size_t length, const char *why)
{
    char path[128];
    struct dt_error err = {""};
    struct dt_tokenizer *t;
    write_file(name, text, length);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(dt_tokenizer_open(&t, path, &err), -1);
    assert_null(t);
    if (!strstr(err.text, why) || !strstr(err.text, name))
        fail_msg("\"%s\" does not say \"%s\" of %s", err.text, why, name);
}

static void refuse_json(const char *text, const char *why)
{
    expect_refusal("tokenizer.json", text, strlen(text), why);
}

static void test_refused_json(void **state)
{
    (void)state;
    refuse_json("{\"model\":", "line 1 is not JSON");
    refuse_json("[]", "its model is");
    refuse_json("{\"model\":{\"type\":\"Unigram\"}}", "\"BPE\" is wanted");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true}}",
                "tokenizer.model beside it");
    refuse_json("{\"model\":{\"type\":\"BPE\"},\"normalizer\":{\"type\":\"NFC\"}}",
                "tokenizer.model beside it");
    refuse_json("{\"model\":{},\"pre_tokenizer\":{\"type\":\"Metaspace\"}}", "Metaspace");
    refuse_json("{\"model\":{\"vocab\":{}},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
                "no vocabulary");
    refuse_json("{\"model\":{\"vocab\":{\"a\":-1}},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
                "has the number -1");
    refuse_json("{\"model\":{\"vocab\":{\"a\":0}},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
                "no list of merges");
    refuse_json("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]},"
                "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
                "merge number 0");
    refuse_json("{\"model\":{\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\"]]},"
                "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
                "no token for the byte 0x00");
    refuse_json("{\"model\":{\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\"]]},"
                "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{"
                "\"Regex\":\"(\"}},"
                "\"added_tokens\":[{\"id\":-4}]}",
                "added tokens");
}

static void test_refused_others(void **state)
{
    (void)state;
    expect_refusal("tokenizer.model", "IQ== 0\nIg== x\n", 14, "line 2");
    expect_refusal("tokenizer.model", "IQ== 0\nI!== 1\n", 14, "line 2");
    expect_refusal("tokenizer.model", "IQ== 0\n", 7, "no token for the byte 0x00");
    expect_refusal("tokenizer.model", "", 0, "content can not be read");
    struct dt_buf unigram = pieces_message(1, 0), spaces = pieces_message(2, 1);
    expect_refusal("tokenizer.model", unigram.data, unigram.len, "its model is of type 1");
    expect_refusal("tokenizer.model", spaces.data, spaces.len, "changes the text");
    expect_refusal("tokenizer.model", spaces.data, spaces.len / 2, "can not be read");
    dt_buf_fini(&unigram);
    dt_buf_fini(&spaces);
    struct dt_error err;
    struct dt_tokenizer *t;
    assert_int_equal(dt_tokenizer_open(&t, "/nowhere/tokenizer.json", &err), -1);
    assert_non_null(strstr(err.text, "No such file"));
    write_file("vocab.json", "{\"a\":0}", 7); /* and no merges.txt */
    char path[128];
    snprintf(path, sizeof path, "%s/vocab.json", directory);
    assert_int_equal(dt_tokenizer_open(&t, path, &err), -1);
    assert_non_null(strstr(err.text, "merges.txt can not be opened"));
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int clean(void **state)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test_teardown(test_pieces, clean),
        cmocka_unit_test_teardown(test_any_bytes, clean),
        cmocka_unit_test_teardown(test_refused_json, clean),
        cmocka_unit_test_teardown(test_refused_others, clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
