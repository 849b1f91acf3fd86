/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's texts: frames for dt-gather, words, CPU lists, masks, host names. */
#include "spank_fake.h"

static void gather_frames_are_sound_json(void **state)
{
    (void)state;
    const struct gather_node node = {.name = "n\"1", .job = 7, .id = 1, .count = 2, .tasks = 4};
    const char *hello = "{\"type\":\"hello\",\"dt\":1,\"token\":\"ab\",\"node\":\"n\\\"1\","
                        "\"nodeid\":1,\"nodes\":2,\"tasks\":4,\"step\":\"7.0\","
                        "\"het_group\":-1,\"het_size\":0}";
    const char *failed = "{\"type\":\"failed\",\"code\":67,\"reason\":\"a\\\\b?c??\"}";
    struct text frames = {0};
    gather_format(&frames, &node, "ab", 67, "a\\b\nc\xc3\xa4");
    assert_false(frames.failed);
    assert_int_equal(frames.len, 8 + strlen(hello) + strlen(failed));
    assert_int_equal((unsigned char)frames.data[3], strlen(hello));
    assert_memory_equal(frames.data + 4, hello, strlen(hello));
    assert_memory_equal(frames.data + 8 + strlen(hello), failed, strlen(failed));
    text_fini(&frames);
}

static void gather_that_is_none_is_not_told(void **state)
{
    (void)state;
    const struct gather_node node = {.name = "n1", .count = 1};
    static const char *const texts[] = {"",
                                        "1",
                                        "1/127.0.0.1",
                                        "2/127.0.0.1/1/ab",
                                        "1//1/ab",
                                        "1/127.0.0.1/1/ab",
                                        "1/[::1/1/ab",
                                        "1/x,y/1/ab"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(gather_tell(texts[i], &node, 67, "reason", 200));
}

static void words_survive_both_ways(void **state)
{
    (void)state;
    const char *value = "a b%c\n\t\x7f\xc3\xa4 \"x=y\"";
    struct text text = {0};
    text_word(&text, value);
    assert_null(strpbrk(text.data, " \n\t\x7f"));
    assert_int_equal(word_decode(text.data), 0);
    assert_string_equal(text.data, value);
    text_fini(&text);
    static const char *const broken[] = {"%", "%4", "%zz", "%00", "a%2"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char word[8];
        strcpy(word, broken[i]);
        assert_int_equal(word_decode(word), -1);
    }
}

static void cpu_lists_survive_both_ways(void **state)
{
    (void)state;
    static const char *const lists[] = {"0",         "0-7,96-103", "1,3,5",
                                        "1023-1026", "4095",       "0-1,1048575"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct cpus cpus;
        struct text text = {0};
        assert_int_equal(cpus_parse(&cpus, lists[i]), 0);
        cpus_format(&text, &cpus);
        assert_string_equal(text.data, lists[i]);
        text_fini(&text);
        cpus_fini(&cpus);
    }
    static const char *const broken[] = {
        "",    "a", "1-", "-1", "3-1", "1,", ",1", "1 2", "0x3", "1048576", "99999999999999999999",
        "1--2"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct cpus cpus;
        assert_int_equal(cpus_parse(&cpus, broken[i]), -1);
    }
}

static void equal_masks_of_other_sizes_are_equal(void **state)
{
    (void)state;
    struct cpus small, own;
    assert_int_equal(cpus_of_task(&own, 0), 0);
    struct text text = {0};
    cpus_format(&text, &own);
    assert_int_equal(cpus_parse(&small, text.data), 0);
    assert_true(cpus_equal(&small, &own));
    CPU_SET_S(small.size * 8 - 1, small.size, small.set);
    CPU_CLR_S(0, small.size, small.set);
    assert_false(cpus_equal(&own, &small));
    text_fini(&text);
    cpus_fini(&small);
    cpus_fini(&own);
}

static void host_names_are_counted(void **state)
{
    (void)state;
    assert_int_equal(hostlist_count("n1"), 1);
    assert_int_equal(hostlist_count("n[1-3,007],login"), 5);
    assert_int_equal(hostlist_count("r[1-2]n[1-4]"), 8);
    assert_int_equal(hostlist_count("a,b,c"), 3);
    assert_int_equal(hostlist_count("n[1-"), 0);
    assert_int_equal(hostlist_count("n[]"), 0);
    assert_int_equal(hostlist_count(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gather_frames_are_sound_json),
        TEST(gather_that_is_none_is_not_told),
        TEST(words_survive_both_ways),
        TEST(cpu_lists_survive_both_ways),
        TEST(equal_masks_of_other_sizes_are_equal),
        TEST(host_names_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, clear_environ);
}
