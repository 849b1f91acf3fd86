/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's options: what is registered, which source wins, what wrong values are told. */
#include "spank_fake.h"

static int ignore(int val, const char *value, int remote)
{
    (void)val, (void)value, (void)remote;
    return 0;
}

static void all_options_are_registered(void **state)
{
    (void)state;
    registered_count = 0;
    options_register(NULL, ignore);
    assert_int_equal(registered_count, 8);
    assert_string_equal(registered[0], "dt-validate");
    assert_string_equal(registered[3], "dt-shim");
    assert_string_equal(registered[7], "dt-nic");
}

static void no_value_is_the_same_in_every_spelling(void **state)
{
    (void)state;
    static const char *const none[] = {NULL, "", "(null)"};
    for (size_t i = 0; i < 3; i++) {
        struct options options = {0};
        struct sentence why;
        assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_VALIDATE, none[i], &why), 0);
        assert_string_equal(options_value(&options, SETTING_VALIDATE), "fast");
        assert_string_equal(options_value(&options, SETTING_ENV), "auto");
        assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_REPORT, none[i], &why), -1);
        options_fini(&options);
    }
}

static void later_sources_win_each_setting_on_its_own(void **state)
{
    (void)state;
    struct options options = {0};
    struct sentence why;
    char *admin[] = {(char *)"validate=deep", (char *)"timeout=20", (char *)"env=explain",
                     (char *)"helpers=/opt/dt"};
    options_read_admin(&options, 4, admin);
    assert_string_equal(options_value(&options, SETTING_VALIDATE), "deep");
    setenv("DT_VALIDATE", "full", 1);
    setenv("DT_TIMEOUT", "3.5", 1);
    assert_int_equal(options_read_variables(&options, &why), 0);
    assert_string_equal(options_value(&options, SETTING_VALIDATE), "full");
    /* twice, as Slurm may call it: from the variable of sbatch, then from the command line */
    assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_VALIDATE, "fast", &why), 0);
    assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_VALIDATE, "off", &why), 0);
    char *text = options_format(&options);
    assert_string_equal(text, "1 validate=off env=explain bind=off shim=off on-fail=abort "
                              "timeout=3.5 nic=off");
    assert_string_equal(options.helpers, "/opt/dt");
    struct options there = {0};
    assert_int_equal(options_parse(&there, text, &why), 0);
    char *again = options_format(&there);
    assert_string_equal(again, text);
    free(again);
    free(text);
    options_fini(&there);
    options_fini(&options);
}

static void a_level_and_fresh_come_in_any_order(void **state)
{
    static const char *const rows[][2] = {{"deep,fresh", "deep,fresh"},
                                          {"fresh,deep", "deep,fresh"},
                                          {"fresh", "fast,fresh"},
                                          {"full", "full"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options options = {0};
        struct sentence why;
        assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_VALIDATE, rows[i][0], &why),
                         0);
        assert_string_equal(options_value(&options, SETTING_VALIDATE), rows[i][1]);
        assert_false(options_off(&options, SETTING_VALIDATE));
        options_fini(&options);
    }
}

static void admins_mistakes_are_logged_and_left_out(void **state)
{
    (void)state;
    struct options options = {0};
    static const char *const wrong[] = {
        "validat=fast",     "validate=quick",     "helpers=bin", "timeout=0",
        "gather-ports=9-1", "gather-ports=80-90", "report=/x",   "x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *argv[] = {(char *)wrong[i]};
        options.admin_read = false;
        logged[0] = '\0';
        options_read_admin(&options, 1, argv);
        assert_non_null(strstr(logged, "left out"));
    }
    assert_false(options_active(&options));
    assert_false(options_given(&options));
    assert_null(options.helpers);
    options_fini(&options);
}

static void wrong(enum setting setting, const char *value, const char *const expected)
{
    struct options options = {0};
    struct sentence why;
    assert_int_equal(options_take(&options, SOURCE_OPTION, setting, value, &why), -1);
    if (!strstr(why.text, expected))
        fail_msg("'%s' lacks '%s'", why.text, expected);
    assert_null(strpbrk(why.text, "\n\033"));
    assert_null(options.given[SOURCE_OPTION][setting]);
    options_fini(&options);
}

static void wrong_values_get_a_sentence(void **state)
{
    (void)state;
    wrong(SETTING_VALIDATE, "fats",
          "--dt-validate=fats: 'fats' is unknown; it must be fast, full, deep, off or "
          "fresh (did you mean fast?)");
    wrong(SETTING_VALIDATE, "deep,", "'' is unknown");
    wrong(SETTING_VALIDATE, "deep,fast", "give one level (fast, full, deep or off), and fresh");
    wrong(SETTING_VALIDATE, "fresh,fresh", "give one level");
    wrong(SETTING_VALIDATE, "off,fresh", "does not go with off");
    wrong(SETTING_VALIDATE, "\033[2J\n", "--dt-validate=");
    wrong(SETTING_ENV, "on", "auto, explain or off");
    wrong(SETTING_BIND, "auto,off", "one mode");
    wrong(SETTING_BIND, "local,bind", "one memory policy");
    wrong(SETTING_BIND, "auto,", "must be");
    wrong(SETTING_ON_FAIL, "stop", "abort or warn");
    static const char *const seconds[] = {"0",   "0.09", "601", "-1",   "1e3",
                                          "nan", "inf",  "10s", "0x10", " 1"};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        wrong(SETTING_TIMEOUT, seconds[i], "from 0.1 to 600");
    setenv("DT_BIND", "nono", 1);
    struct options options = {0};
    struct sentence why;
    assert_int_equal(options_read_variables(&options, &why), -1);
    assert_non_null(strstr(why.text, "DT_BIND=nono"));
    options_fini(&options);
}

static void bind_takes_a_mode_and_a_policy(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"auto", "auto"},
                                           {"local", "auto,local"},
                                           {"interleave,explain", "explain,interleave"},
                                           {"off", "off"},
                                           {"explain", "explain"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct options options = {0};
        struct sentence why;
        assert_int_equal(options_take(&options, SOURCE_OPTION, SETTING_BIND, pairs[i][0], &why), 0);
        assert_string_equal(options_value(&options, SETTING_BIND), pairs[i][1]);
        assert_int_equal(options_active(&options), strcmp(pairs[i][0], "off") != 0);
        options_fini(&options);
    }
}

static void settings_of_strangers_are_refused(void **state)
{
    (void)state;
    struct options options = {0};
    struct sentence why;
    assert_int_equal(options_parse(&options, "", &why), -1);
    assert_int_equal(options_parse(&options, "2 validate=fast", &why), -1);
    assert_int_equal(options_parse(&options, "1 validate=x", &why), -1);
    assert_int_equal(options_parse(&options, "1 timeout=1;rm", &why), -1);
    assert_int_equal(options_parse(&options, "1 something=else", &why), 0);
    options_fini(&options);
}

static void our_words_on_a_command_line(void **state)
{
    (void)state;
    assert_true(options_word("--dt-validate"));
    assert_true(options_word("--dt-bind=auto"));
    assert_true(options_word("--dt-val")); /* getopt takes what is unique */
    assert_false(options_word("--dt-"));
    assert_false(options_word("--dt-steps=3"));
    assert_false(options_word("--nodes=2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_options_are_registered),
        TEST(no_value_is_the_same_in_every_spelling),
        TEST(later_sources_win_each_setting_on_its_own),
        TEST(a_level_and_fresh_come_in_any_order),
        TEST(admins_mistakes_are_logged_and_left_out),
        TEST(wrong_values_get_a_sentence),
        TEST(bind_takes_a_mode_and_a_policy),
        TEST(settings_of_strangers_are_refused),
        TEST(our_words_on_a_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, clear_environ);
}
