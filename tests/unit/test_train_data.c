/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the data, weights from a seed, and reading over the edges of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data.h"
#include "hash.h"
#include "rng.h"
#include "shard.h"

static char directory[] = "/tmp/dt-train-data-XXXXXX";

static void write_file(const char *name, size_t begin, size_t end)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = begin; i < end; i++)
        fputc((int)(i * 31 % 251), file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    write_file("a", 0, 333);
    write_file("b", 333, 333); /* empty */
    write_file("c", 333, 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (const char *name = "abc"; *name; name++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%c", directory, *name);
        unlink(path);
    }
    return rmdir(directory);
}

static int open_data(struct dt_data *data, char *const *paths, size_t count, size_t seq,
                     bool held_out, size_t vocab, struct dt_error *err)
{
    return dt_data_open(
        data, paths, count,
        &(struct dt_data_setup){.seq = seq, .vocab = vocab, .seed = 9, .held_out = held_out}, err);
}

static void test_permutation(void **state)
{
    (void)state;
    for (uint64_t count = 1; count < 300; count += 13) {
        unsigned char seen[300] = {0};
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = dt_rng_permute(i, count, 5);
            assert_true(at < count && !seen[at]);
            seen[at] = 1;
        }
    }
}

static void test_weights(void **state)
{
    (void)state;
    real one[1000], two[1000];
    dt_rng_fill(one, 0, 1000, 0.5, 1, 4);
    dt_rng_fill(two, 0, 500, 0.5, 1, 4); /* a shorter array begins alike: place counts, not order */
    assert_memory_equal(one, two, 500 * sizeof(real));
    dt_rng_fill(two, 0, 1000, 0.5, 2, 4);
    assert_memory_not_equal(one, two, sizeof one);
    double sum = 0, square = 0;
    for (int i = 0; i < 1000; i++) {
        sum += (double)one[i];
        square += (double)one[i] * (double)one[i];
    }
    assert_true(sum / 1000 > -0.06 && sum / 1000 < 0.06);
    assert_true(square / 1000 > 0.21 && square / 1000 < 0.29);
}

/* An epoch: no byte is a token twice, and windows come from all over, across the edge of files. */
static void test_epoch(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    char *paths[] = {directory};
    int tokens[16], targets[16];
    assert_int_equal(open_data(&data, paths, 1, 16, false, 256, &err), 0);
    assert_int_equal((int)data.size, 1000);
    uint64_t windows = (1000 - 17) / 16;
    unsigned char seen[1000] = {0};
    for (uint64_t n = 0; n < windows; n++) {
        uint64_t place = dt_data_place(&data, n);
        assert_true(place + 17 <= 1000);
        assert_int_equal(dt_data_read(&data, place, tokens, targets, 0, &err), 0);
        for (size_t i = 0; i < 16; i++) {
            assert_int_equal(seen[place + i]++, 0);
            assert_int_equal(tokens[i], (place + i) * 31 % 251);
            assert_int_equal(targets[i], (place + i + 1) * 31 % 251);
        }
    }
    assert_true(dt_data_place(&data, 0) != dt_data_place(&data, windows) ||
                dt_data_place(&data, 1) != dt_data_place(&data, windows + 1));
    dt_data_close(&data);
}

static void test_held_out(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    char *paths[] = {directory};
    assert_int_equal(open_data(&data, paths, 1, 16, true, 256, &err), 0);
    for (uint64_t n = 0; n < 500; n++)
        assert_true(dt_data_place(&data, n) + 17 <= data.train);
    assert_int_equal((int)dt_data_held_out(&data), (100 - 1) / 16);
    dt_data_close(&data);
}

static void test_shrunk(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    char path[128];
    int tokens[16], targets[16];
    write_file("a", 0, 400);
    snprintf(path, sizeof path, "%s/a", directory);
    char *paths[] = {path};
    assert_int_equal(open_data(&data, paths, 1, 16, false, 256, &err), 0);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(dt_data_read(&data, 200, tokens, targets, 0, &err), -1);
    assert_non_null(strstr(err.text, "shorter"));
    dt_data_close(&data);
    write_file("a", 0, 333);
}

static void test_refused(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    char *missing[] = {"/nonexistent/text"}, *device[] = {"/dev/null"}, *small[] = {directory};
    assert_int_equal(open_data(&data, missing, 1, 16, false, 256, &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/text"));
    assert_int_equal(open_data(&data, device, 1, 16, false, 256, &err), -1);
    assert_int_equal(open_data(&data, small, 1, 600, false, 256, &err), -1);
    assert_non_null(strstr(err.text, "at least 1201"));
}

static void test_hash(void **state)
{
    (void)state;
    unsigned char bytes[200] = {0};
    for (size_t length = 1; length < 200; length += 7) {
        uint64_t plain = dt_hash(bytes, length, 1);
        for (size_t i = 0; i < length; i++) {
            bytes[i] ^= 0x80;
            assert_true(dt_hash(bytes, length, 1) != plain);
            bytes[i] ^= 0x80;
        }
        assert_true(dt_hash(bytes, length + 1, 1) != plain);
    }
    /* places of two pieces of a model with their sizes as seeds: small numbers, unlike in a few bits */
    const uint64_t piece[] = {16, 544, 64, 64, 1}, other[] = {0, 560, 80, 80, 1};
    assert_true(dt_hash(piece, sizeof piece, 64) != dt_hash(other, sizeof other, 80));
}

/* Text by a tokenizer is read as a shard of the same tokens would be, its end after each file; a
 * shard beside it is not touched. */
static void test_encoded(void **state)
{
    (void)state;
    struct dt_tokenizer *tokenizer;
    struct dt_data data;
    struct dt_error err = {""};
    struct dt_tokens wanted = {0};
    static const char text[] = "The licence, and the licensee of the licence: licences of 1234 "
                               "licensees; les \xc3\xa9l\xc3\xa8ves.\n";
    char path[128];
    snprintf(path, sizeof path, "%s/a", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(
        dt_tokenizer_open(&tokenizer, "tests/fixtures/tokenizer/words.tokenizer.json", &err), 0);
    assert_int_equal(dt_tokenizer_encode(tokenizer, text, strlen(text), &wanted, &err), 0);
    assert_int_equal(dt_tokens_add(&wanted, (uint32_t)dt_tokenizer_end(tokenizer)), 0);
    struct dt_data_setup setup = {.seq = 8, .vocab = 400, .seed = 9, .tokenizer = tokenizer};
    char *paths[] = {path, path};
    assert_int_equal(dt_data_open(&data, paths, 2, &setup, &err), 0);
    assert_int_equal(data.size, 2 * wanted.count);
    for (uint64_t place = 0; place + 9 <= data.size; place++) {
        int tokens[8], targets[8];
        assert_int_equal(dt_data_read(&data, place, tokens, targets, 0, &err), 0);
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(tokens[i], wanted.list[(place + i) % wanted.count]);
            assert_int_equal(targets[i], wanted.list[(place + i + 1) % wanted.count]);
        }
    }
    dt_data_close(&data);
    dt_tokenizer_close(tokenizer);
    free(wanted.list);
}

/* A shard of `said` tokens by its header, and `count` in fact, counting up from `first`. */
static void write_shard(const char *path, int said, int count, int first)
{
    int32_t header[256] = {20240520, 1, said};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
    for (int i = first; i < first + count; i++)
        assert_int_equal(fwrite(&(uint16_t){(uint16_t)i}, 2, 1, file), 1);
    fclose(file);
}

static void test_shards(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    int tokens[16], targets[16];
    char names[3][128];
    for (int i = 0; i < 3; i++)
        snprintf(names[i], sizeof names[i], "%s/%c", directory, "abc"[i]);
    char *both[] = {names[0], names[1]}, *mixed[] = {names[0], names[2]};
    write_shard(names[0], 700, 700, 0);
    write_shard(names[1], 800, 800, 700);
    assert_int_equal(open_data(&data, both, 2, 16, false, 50257, &err), 0);
    assert_int_equal((int)data.size, 1500);
    assert_int_equal(dt_data_read(&data, 690, tokens, targets, 0, &err), 0);
    for (int i = 0; i < 16; i++) { /* across the files */
        assert_int_equal(tokens[i], 690 + i);
        assert_int_equal(targets[i], 691 + i);
    }
    dt_data_close(&data);
    assert_int_equal(open_data(&data, both, 2, 16, false, 1000, &err), 0);
    assert_int_equal(dt_data_read(&data, 983, tokens, targets, 0, &err), 0); /* 999 is the last */
    assert_int_equal(dt_data_read(&data, 984, tokens, targets, 0, &err), -1);
    assert_non_null(strstr(err.text, names[1]));
    assert_non_null(strstr(err.text, " has token 1000 at place 300, and --vocab is 1000"));
    dt_data_close(&data);
    assert_int_equal(open_data(&data, mixed, 2, 16, false, 256, &err), -1);
    assert_non_null(strstr(err.text, "is text, and the ones before are tokens of 16 bits"));
    write_shard(names[1], 801, 800, 0);
    assert_int_equal(open_data(&data, both + 1, 1, 16, false, 50257, &err), -1);
    assert_non_null(strstr(err.text, "cut short or too long"));
}

/* Llama 3's tokens have 32 bits. */
static void test_wide_shard(void **state)
{
    (void)state;
    struct dt_data data;
    struct dt_error err;
    int tokens[16], targets[16];
    char header[DT_SHARD_HEADER], name[128], *paths[] = {name};
    snprintf(name, sizeof name, "%s/a", directory);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    dt_shard_header(header, 4, 100);
    assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(fwrite(&(uint32_t){i + 100000}, 4, 1, file), 1);
    fclose(file);
    assert_int_equal(open_data(&data, paths, 1, 16, false, 128256, &err), 0);
    assert_int_equal(dt_data_read(&data, 83, tokens, targets, 0, &err), 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(tokens[i], 100083 + i);
        assert_int_equal(targets[i], 100084 + i);
    }
    dt_data_close(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_shrunk),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_wide_shard),
        cmocka_unit_test(test_encoded), /* the last: it writes the files anew */
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
