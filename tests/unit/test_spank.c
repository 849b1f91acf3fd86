/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin without Slurm: its files are included here, and Slurm's side is a fake that records
 * calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../../spank/text.c"
#include "../../spank/cpus.c"
#include "../../spank/values.c"
#include "../../spank/options.c"
#include "../../spank/apply.c"
#include "../../spank/helper.c"
#include "../../spank/gather.c"
#include "../../spank/task.c"

/* ---- the fake Slurm ----------------------------------------------------------------------------
 */

static char *registered[16];
static int registered_count;
static char logged[1024];
static char *task_environ[64];

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
    (void)spank;
    assert_true(strlen(option->name) < SPANK_OPTION_MAXLEN);
    assert_non_null(option->cb);
    assert_true(option->has_arg == 1 || option->has_arg == 2); /* 0 breaks in Slurm's own sbatch */
    registered[registered_count++] = option->name;
    return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(logged, sizeof logged, format, args);
    va_end(args);
}

const char *spank_strerror(spank_err_t error)
{
    (void)error;
    return "fake error";
}

spank_err_t spank_get_item(spank_t spank, spank_item_t which, ...)
{
    va_list args;
    (void)spank;
    va_start(args, which);
    if (which == S_TASK_ID)
        *va_arg(args, int *) = 1;
    else if (which == S_TASK_GLOBAL_ID)
        *va_arg(args, uint32_t *) = 9;
    va_end(args);
    return ESPANK_SUCCESS;
}

static char **find_variable(const char *name)
{
    char **entry = task_environ;
    while (*entry && (strncmp(*entry, name, strlen(name)) != 0 || (*entry)[strlen(name)] != '='))
        entry++;
    return entry;
}

spank_err_t spank_setenv(spank_t spank, const char *name, const char *value, int overwrite)
{
    (void)spank;
    char **entry = find_variable(name);
    if (*entry && !overwrite)
        return ESPANK_ENV_EXISTS;
    free(*entry);
    assert_true(asprintf(entry, "%s=%s", name, value) > 0);
    return ESPANK_SUCCESS;
}

spank_err_t spank_unsetenv(spank_t spank, const char *name)
{
    (void)spank;
    char **entry = find_variable(name);
    free(*entry);
    for (; *entry; entry++)
        entry[0] = entry[1];
    return ESPANK_SUCCESS;
}

spank_err_t spank_getenv(spank_t spank, const char *name, char *buf, int len)
{
    (void)spank;
    char **entry = find_variable(name);
    if (!*entry)
        return ESPANK_ENV_NOEXIST;
    snprintf(buf, (size_t)len, "%s", *entry + strlen(name) + 1);
    return ESPANK_SUCCESS;
}

static const char *variable(const char *name)
{
    char **entry = find_variable(name);
    return *entry ? *entry + strlen(name) + 1 : NULL;
}

static int clear_environ(void **state)
{
    (void)state;
    for (char **entry = task_environ; *entry; entry++) {
        free(*entry);
        *entry = NULL;
    }
    for (int i = 0; i < SETTINGS; i++)
        unsetenv(setting_variable((enum setting)i));
    logged[0] = '\0';
    return 0;
}

/* ---- text --------------------------------------------------------------------------------------
 */

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

/* ---- options -----------------------------------------------------------------------------------
 */

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
    assert_int_equal(registered_count, 7);
    assert_string_equal(registered[0], "dt-validate");
    assert_string_equal(registered[5], "dt-timeout");
    assert_string_equal(registered[6], "dt-nic");
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
    assert_string_equal(text, "1 validate=off env=explain bind=off on-fail=abort timeout=3.5 "
                              "nic=off");
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
          "--dt-validate=fats: 'fats' is unknown; it must be fast, full, deep or "
          "off (did you mean fast?)");
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

/* ---- plan --------------------------------------------------------------------------------------
 */

static char taken[1024];

static void record(const struct apply *apply, const struct plan_line *line)
{
    (void)apply;
    snprintf(taken + strlen(taken), sizeof taken - strlen(taken), "%d(%s)(%s)", line->verb,
             line->name, line->value ? line->value : "-");
}

static int apply_text(const char *text, unsigned long local, struct sentence *why)
{
    struct apply apply = {.local = local};
    taken[0] = '\0';
    int rc = plan_apply(&apply, text, strlen(text), record, why);
    return rc == PLAN_REFUSED ? apply.refused : rc;
}

static void a_rank_takes_its_own_lines(void **state)
{
    (void)state;
    struct sentence why;
    const char *plan =
        "dt-plan 1\nall set A 1%202\nall default B \nrank 0 cpus 0\nrank 1 cpus 1-2\n"
        "rank 10 cpus 3\nrank 1 memory local\nrank 1 say a%20b\nall unset C\nend\n";
    assert_int_equal(apply_text(plan, 1, &why), 0);
    assert_string_equal(taken, "0(A)(1 2)1(B)()3(1-2)(-)4(local)(-)5(a b)(-)2(C)(-)");
}

static void a_broken_plan_is_not_half_applied(void **state)
{
    (void)state;
    static const char *const plans[] = {"",
                                        "\n",
                                        "dt-plan 1\n",
                                        "dt-plan 2\nend\n",
                                        "dt-plan 1\nall set A 1\n",
                                        "dt-plan 1\nall set A 1\nall set",
                                        "dt-plan 1\nall set A 1\nall set B\nend\n",
                                        "dt-plan 1\nall set A 1\nall cpus 1\nend\n",
                                        "dt-plan 1\nall set A 1\nrank x cpus 1\nend\n",
                                        "dt-plan 1\nall set A 1\nrank 1x cpus 1\nend\n",
                                        "dt-plan 1\nall set A 1\nrank 1 dance 1\nend\n",
                                        "dt-plan 1\nall set A 1\nall set B %zz\nend\n",
                                        "dt-plan 1\nall set A 1\n\nend\n"};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct sentence why = {""};
        assert_int_equal(apply_text(plans[i], 0, &why), -1);
        assert_string_equal(taken, "");
        assert_true(strlen(why.text) > 10);
    }
    struct sentence why;
    assert_int_equal(apply_text("dt-refused 67\n", 0, &why), 67);
}

/* task_apply as it runs in a task: in a child, so that masks and exits are the child's. */
static int run_task(const char *plan, int fail_code, void (*look)(void))
{
    int fd = memfd_create("plan", 0);
    assert_int_equal(write(fd, plan, strlen(plan)), strlen(plan));
    pid_t pid = fork();
    if (pid == 0) {
        static struct plugin plugin;
        plugin.remote.plan = fd;
        plugin.remote.fail_code = fail_code;
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        task_apply(&plugin, NULL);
        if (look)
            look();
        _exit(0);
    }
    close(fd);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void look_at_task(void)
{
    bool good = variable("A") && strcmp(variable("A"), "1 2") == 0 && !variable("GONE") &&
                strcmp(variable("MINE"), "old") == 0;
    struct cpus cpus;
    good = good && cpus_of_task(&cpus, 0) == 0 && CPU_COUNT_S(cpus.size, cpus.set) == 1;
    _exit(good ? 42 : 41);
}

static void a_task_gets_what_the_plan_says(void **state)
{
    (void)state;
    struct cpus own;
    size_t first = 0;
    char plan[256];
    spank_setenv(NULL, "GONE", "x", 1);
    spank_setenv(NULL, "MINE", "old", 1);
    assert_int_equal(cpus_of_task(&own, 0), 0);
    while (!CPU_ISSET_S(first, own.size, own.set))
        first++;
    cpus_fini(&own);
    snprintf(plan, sizeof plan,
             "dt-plan 1\nall set A 1%%202\nall default MINE new\nall unset GONE\nrank 1 cpus %zu\n"
             "rank 1 say hello\nend\n",
             first);
    assert_int_equal(run_task(plan, 0, look_at_task), 42);
}

static void look_at_env(void)
{
    bool good = variable("DT_ENV_APPLIED") &&
                strcmp(variable("DT_ENV_APPLIED"), "NEW,MINE,-GONE,RANKED") == 0 &&
                strcmp(variable("IMAGE"), "its own") == 0 &&
                strcmp(variable("MINE"), "admin") == 0 && strcmp(variable("RANKED"), "one") == 0 &&
                !variable("GONE") && !variable("NEVER");
    _exit(good ? 42 : 41);
}

/* What another plugin has set after dt-node made the plan, such as the ENV of an image, stays. */
static void what_was_really_set_is_named(void **state)
{
    (void)state;
    spank_setenv(NULL, "GONE", "x", 1);
    spank_setenv(NULL, "MINE", "old", 1);
    spank_setenv(NULL, "IMAGE", "its own", 1);
    assert_int_equal(
        run_task("dt-plan 1\nall set DT_ENV_APPLIED \nall env-default NEW 1\n"
                 "all env-default IMAGE 2\nall env-set MINE admin\n"
                 "all env-unset GONE\nall env-unset NEVER\n"
                 "rank 0 env-default RANKED zero\nrank 1 env-default RANKED one\nend\n",
                 0, look_at_env),
        42);
}

static void look_for_nothing_applied(void)
{
    _exit(variable("DT_ENV_APPLIED") && !*variable("DT_ENV_APPLIED") ? 42 : 41);
}

static void nothing_set_is_said_too(void **state)
{
    (void)state;
    assert_int_equal(
        run_task("dt-plan 1\nall set DT_ENV_APPLIED \nend\n", 0, look_for_nothing_applied), 42);
}

static void a_task_ends_rather_than_run_half_bound(void **state)
{
    (void)state;
    assert_int_equal(run_task("dt-plan 1\nend\n", 0, NULL), 0);
    assert_int_equal(run_task("dt-plan 1\nrank 1 cpus 99999\nend\n", 0, NULL), DT_EXIT_APPLY);
    assert_int_equal(run_task("dt-plan 1\nrank 1 cpus x\nend\n", 0, NULL), DT_EXIT_APPLY);
    assert_int_equal(run_task("dt-plan 1\nrank 1 memory tape 0\nend\n", 0, NULL), DT_EXIT_APPLY);
    assert_int_equal(run_task("dt-plan 1\nrank 1 memory bind x\nend\n", 0, NULL), DT_EXIT_APPLY);
    assert_int_equal(run_task("dt-plan 1\n", 0, NULL), DT_EXIT_HELPER);
    assert_int_equal(run_task("", 0, NULL), DT_EXIT_HELPER);
    assert_int_equal(run_task("dt-refused 67\n", 0, NULL), 67);
    assert_int_equal(run_task("dt-plan 1\nend\n", 65, NULL), 65);
}

/* ---- helpers -----------------------------------------------------------------------------------
 */

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/dt-test-spank-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char path[96];
    snprintf(path, sizeof path, "%s/helper", directory);
    unlink(path);
    return rmdir(directory);
}

static int start(struct helper *helper, const char *script, mode_t mode, struct sentence *why)
{
    char path[96];
    snprintf(path, sizeof path, "%s/helper", directory);
    FILE *file = fopen(path, "we");
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    chmod(path, mode);
    char *argv[] = {(char *)"helper", NULL}, *environ_[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    struct helper_start how = {.directory = directory,
                               .name = "helper",
                               .argv = argv,
                               .environ = environ_,
                               .plan = -1,
                               .owner = getuid()};
    return helper_start(helper, &how, why);
}

static void a_helper_answers(void **state)
{
    (void)state;
    struct helper helper;
    struct sentence why;
    struct text text = {0};
    char *line;
    setenv("SECRET", "1", 1);
    assert_int_equal(start(&helper, "read a; echo \"$a$SECRET\"; echo two", 0755, &why), 0);
    text_puts(&text, "one\n");
    assert_int_equal(helper_tell(&helper, &text, now_ms() + 5000, &why), 0);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + 5000, &why), 0);
    assert_string_equal(line, "one");
    free(line);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + 5000, &why), 0);
    assert_string_equal(line, "two");
    free(line);
    text_fini(&text);
    helper_stop(&helper, 1000, true);
}

static void ask_fails(const char *script, int ms, const char *expected)
{
    struct helper helper;
    struct sentence why;
    char *line;
    assert_int_equal(start(&helper, script, 0755, &why), 0);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + ms, &why), -1);
    if (!strstr(why.text, expected))
        fail_msg("'%s' lacks '%s'", why.text, expected);
    helper_stop(&helper, 0, true);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void a_helper_that_fails_is_named(void **state)
{
    (void)state;
    ask_fails("sleep 60", 50, "did not answer in 0.1 s and was killed");
    ask_fails("kill -SEGV $$", 5000, "killed by signal 11");
    ask_fails("exit 3", 5000, "ended with code 3");
    ask_fails("exec 1>&-; sleep 60", 5000, "stopped answering");
    ask_fails("head -c 100000 /dev/zero", 5000, "more than 65536 bytes");
}

static void a_helper_that_others_can_write_is_not_started(void **state)
{
    (void)state;
    struct helper helper;
    struct sentence why;
    assert_int_equal(start(&helper, "echo", 0777, &why), -1);
    assert_non_null(strstr(why.text, "writable by everyone"));
    assert_int_equal(start(&helper, "echo", 0775, &why), -1);
    assert_non_null(strstr(why.text, "writable by its group"));
    chmod(directory, 0777);
    assert_int_equal(start(&helper, "echo", 0755, &why), -1);
    assert_non_null(strstr(why.text, directory));
    chmod(directory, 0700);
    if (getuid() == 0) {
        assert_int_equal(chown(directory, 12345, 0), 0);
        assert_int_equal(start(&helper, "echo", 0755, &why), -1);
        assert_non_null(strstr(why.text, "owned by uid 12345"));
        assert_int_equal(chown(directory, 0, 0), 0);
    }
}

#define TEST(name)   cmocka_unit_test_setup(name, clear_environ)
#define HELPER(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gather_frames_are_sound_json),
        TEST(gather_that_is_none_is_not_told),
        TEST(words_survive_both_ways),
        TEST(cpu_lists_survive_both_ways),
        TEST(equal_masks_of_other_sizes_are_equal),
        TEST(host_names_are_counted),
        TEST(all_options_are_registered),
        TEST(no_value_is_the_same_in_every_spelling),
        TEST(later_sources_win_each_setting_on_its_own),
        TEST(admins_mistakes_are_logged_and_left_out),
        TEST(wrong_values_get_a_sentence),
        TEST(bind_takes_a_mode_and_a_policy),
        TEST(settings_of_strangers_are_refused),
        TEST(our_words_on_a_command_line),
        TEST(a_rank_takes_its_own_lines),
        TEST(a_broken_plan_is_not_half_applied),
        TEST(a_task_gets_what_the_plan_says),
        TEST(what_was_really_set_is_named),
        TEST(nothing_set_is_said_too),
        TEST(a_task_ends_rather_than_run_half_bound),
        HELPER(a_helper_answers),
        HELPER(a_helper_that_fails_is_named),
        HELPER(a_helper_that_others_can_write_is_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, clear_environ);
}
