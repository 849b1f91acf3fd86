/* SPDX-License-Identifier: Apache-2.0 */
/* The admin's own rules, and what becomes of a job when a rules file is wrong. */
#include "env_scene.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD(name)  "rule \"" name "\" {\nwhen = 'efa.count > 0'\n"
#define TAIL        "reason = r\nsource = s\n}\n"
#define SHIPPED     HEAD("a") "action = set-if-unset\nvariable = A\nvalue = 1\n" TAIL
#define SHIPPED_TWO SHIPPED HEAD("b") "action = warn\nvariable = B\n" TAIL

struct files {
    char dir[64], shipped[96], site[96], keep[96];
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, 0644), 0);
}

static void files_init(struct files *f, const char *shipped, const char *site)
{
    strcpy(f->dir, "/tmp/dt-test-site-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->shipped, sizeof f->shipped, "%s/env-rules.conf", f->dir);
    snprintf(f->site, sizeof f->site, "%s/site.conf", f->dir);
    snprintf(f->keep, sizeof f->keep, "%s/keep", f->dir);
    assert_int_equal(mkdir(f->keep, 0755), 0);
    write_file(f->shipped, shipped);
    write_file(f->site, site);
}

static void files_fini(struct files *f)
{
    static const char *const kept[] = {"env-rules.good", "env-rules-site.good"};
    char path[160];

    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", f->keep, kept[i]);
        unlink(path);
    }
    unlink(f->shipped);
    unlink(f->site);
    rmdir(f->keep);
    assert_int_equal(rmdir(f->dir), 0); /* nothing else was left there */
}

/* The plan of a node with EFA, in one line. */
static void assert_summary(const struct dt_env_rules *rules, const char *env, const char *summary)
{
    struct scene scene;
    struct dt_env_plan plan;
    struct dt_error err;

    scene_init(&scene, "p5", "efa.count=32 lib.libfabric=1.22.0", env);
    assert_int_equal(dt_env_plan(&plan, rules, &scene.facts, scene.instance, scene.env, &err), 0);
    assert_string_equal(plan.summary, summary);
    dt_env_plan_fini(&plan);
    scene_fini(&scene);
}

static struct dt_env_rules *load_both(const struct files *f)
{
    struct dt_env_rules *rules;
    struct dt_error err = {0};

    if (dt_env_rules_load(&rules, f->shipped, &err) || dt_env_rules_add_site(rules, f->site, &err))
        fail_msg("%s", err.text);
    return rules;
}

static void assert_site(const char *site, const char *env, const char *summary)
{
    struct files f;
    struct dt_env_rules *rules;

    files_init(&f, SHIPPED_TWO, site);
    rules = load_both(&f);
    assert_summary(rules, env, summary);
    dt_env_rules_destroy(rules);
    files_fini(&f);
}

static void test_actions_of_the_admin(void **state)
{
    (void)state;
    assert_site("", "A=9 B=1", "env: 1 kept (A), 1 warning (B)");
    assert_site(HEAD("s") "action = set\nvariable = A\nvalue = 5\n" TAIL, "A=9",
                "env: 1 overwritten (A=5)");
    assert_site(HEAD("s") "action = set\nvariable = A\nvalue = 5\n" TAIL, "",
                "env: 1 overwritten (A=5)");
    assert_site(HEAD("s") "action = unset\nvariable = 'A B'\n" TAIL, "A=9 B=1",
                "env: 2 taken away (A, B)");
    assert_site(HEAD("s") "action = unset\nvariable = 'B*'\n" TAIL, "B=1 BX=2 C=3",
                "env: 1 set (A=1), 2 taken away (B, BX)");
    assert_site(HEAD("s") "action = set-if-unset\nvariable = A\nvalue = 7\n" TAIL, "",
                "env: 1 set (A=7)");
    assert_site("rule \"a\" { action = off }\n", "", "env: nothing to set on this node");
    assert_site(HEAD("a") "action = set-if-unset\nvariable = A\nvalue = 8\n" TAIL, "",
                "env: 1 set (A=8)");
}

/* What the admin forces is what the other rules see. */
static void test_forced_values_are_judged(void **state)
{
    struct files f;
    struct dt_env_rules *rules;
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-rules.conf");

    (void)state;
    files_init(&f, "", HEAD("s") "action = unset\nvariable = FI_EFA_FORK_SAFE\n" TAIL);
    assert_int_equal(dt_env_rules_load(&rules, path, &err), 0);
    assert_summary(rules, "FI_EFA_USE_HUGE_PAGE=1 FI_EFA_FORK_SAFE=1",
                   "env: 1 refused (FI_EFA_USE_HUGE_PAGE)");
    assert_int_equal(dt_env_rules_add_site(rules, f.site, &err), 0);
    assert_summary(rules, "FI_EFA_USE_HUGE_PAGE=1 FI_EFA_FORK_SAFE=1",
                   "env: 1 taken away (FI_EFA_FORK_SAFE), 1 kept (FI_EFA_USE_HUGE_PAGE)");
    dt_env_rules_destroy(rules);
    shipped_drop(path);
    files_fini(&f);
}

/* Nor can the admin's own file bring dt to add what a rule refuses. */
static void test_nothing_is_added_that_is_refused(void **state)
{
    struct files f;
    struct dt_env_rules *rules;
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-rules.conf");

    (void)state;
    files_init(&f, "",
               HEAD("s") "action = set-if-unset\nvariable = FI_EFA_MTU_SIZE\nvalue = 8900\n" TAIL);
    assert_int_equal(dt_env_rules_load(&rules, path, &err), 0);
    assert_int_equal(dt_env_rules_add_site(rules, f.site, &err), 0);
    assert_summary(rules, "", "env: 1 set (FI_EFA_USE_HUGE_PAGE=0)");
    dt_env_rules_destroy(rules);
    shipped_drop(path);
    files_fini(&f);
}

static void test_words_of_the_admin_only(void **state)
{
    static const char *const wrong[] = {
        HEAD("x") "action = set\nvariable = A\nvalue = 5\n" TAIL,
        HEAD("x") "action = unset\nvariable = A\n" TAIL,
        HEAD("x") "action = off\nvariable = A\n" TAIL,
    };
    struct dt_env_rules *rules;
    struct dt_error err;
    struct files f;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        files_init(&f, wrong[i], "");
        assert_int_equal(dt_env_rules_load(&rules, f.shipped, &err), -1);
        assert_non_null(
            strstr(err.text, ":3: rule \"x\": action is set, unset or off, which only"));
        files_fini(&f);
    }
}

static void test_wrong_site_file_changes_nothing(void **state)
{
    struct files f;
    struct dt_env_rules *rules;
    struct dt_error err;

    (void)state;
    files_init(&f, SHIPPED,
               HEAD("good") "action = set\nvariable = A\nvalue = 5\n" TAIL
                            "rule \"bad\" {\nwhen = 'efa.count &&\n   efa.cuont'\n}\n");
    assert_int_equal(dt_env_rules_load(&rules, f.shipped, &err), 0);
    assert_int_equal(dt_env_rules_add_site(rules, f.site, &err), -1);
    assert_non_null(strstr(err.text, "site.conf:9: rule \"bad\": action is '', expected one of"));
    assert_summary(rules, "", "env: 1 set (A=1)");
    dt_env_rules_destroy(rules);
    files_fini(&f);
}

/* The line is that of the word, also inside a condition of several lines. */
static void test_line_of_the_word(void **state)
{
    struct files f;
    struct dt_env_rules *rules;
    struct dt_error err;

    (void)state;
    files_init(&f,
               "# head\nrule \"bad\" {\n    action = warn\n    when = 'efa.count &&\n"
               "            efa.cuont > 1'\n}\n",
               "");
    assert_int_equal(dt_env_rules_load(&rules, f.shipped, &err), -1);
    assert_non_null(
        strstr(err.text, "env-rules.conf:5: rule \"bad\": condition, at 'efa.cuont' (column"));
    files_fini(&f);
}

static void test_which_facts_rules_use(void **state)
{
    struct files f;
    struct dt_env_rules *rules;
    struct dt_error err;

    (void)state;
    files_init(
        &f, SHIPPED,
        "rule \"v\" {\nwhen = 'missing($X) || !(gpu.count == 8)'\naction = set\nvariable = B\n"
        "value = 'x${rank.local}/x'\n" TAIL);
    assert_int_equal(dt_env_rules_load(&rules, f.shipped, &err), 0);
    assert_true(dt_env_rules_use(rules, "efa.count"));
    assert_false(dt_env_rules_use(rules, "efa.active"));
    assert_false(dt_env_rules_use(rules, "rank.local"));
    assert_false(dt_env_rules_use(rules, "gpu.count"));
    if (dt_env_rules_add_site(rules, f.site, &err))
        fail_msg("%s", err.text);
    assert_true(dt_env_rules_use(rules, "rank.local"));
    assert_false(dt_env_rules_use(rules, "rank.loca"));
    assert_true(dt_env_rules_use(rules, "gpu.count"));
    dt_env_rules_destroy(rules);
    files_fini(&f);
}

/* ---- kept -------------------------------------------------------------------------------------- */

static void assert_kept(const struct files *f, const char *said, const char *summary)
{
    struct dt_env_rules *rules;
    struct dt_error warning, err;

    assert_int_equal(dt_env_rules_load_kept(&rules, f->shipped, f->site, f->keep, &warning, &err),
                     0);
    if (said ? !strstr(warning.text, said) : *warning.text != '\0')
        fail_msg("warning: '%s', expected '%s'", warning.text, said ? said : "");
    assert_summary(rules, "", summary);
    dt_env_rules_destroy(rules);
}

static void test_the_last_good_rules_stand_in(void **state)
{
    struct files f;

    (void)state;
    files_init(&f, SHIPPED, HEAD("s") "action = set\nvariable = C\nvalue = 5\n" TAIL);
    assert_kept(&f, NULL, "env: 1 set (A=1), 1 overwritten (C=5)");
    write_file(f.shipped, "rule a {\n");
    assert_kept(&f, "env-rules.conf:2: at the end of the file",
                "env: 1 set (A=1), 1 overwritten (C=5)");
    assert_kept(&f, "the last rules that were right are used",
                "env: 1 set (A=1), 1 overwritten (C=5)");
    write_file(f.site, "rul \"s\" {\n");
    assert_kept(&f, "site.conf:1: at 'rul'", "env: 1 set (A=1), 1 overwritten (C=5)");
    write_file(f.shipped, SHIPPED);
    write_file(f.site, "");
    assert_kept(&f, NULL, "env: 1 set (A=1)");
    files_fini(&f);
}

static void assert_copy(const struct files *f, const char *text, ino_t *inode)
{
    char path[512], have[4096] = "";
    struct stat st;
    FILE *file;

    snprintf(path, sizeof path, "%s/env-rules.good", f->keep);
    assert_int_equal(stat(path, &st), 0);
    *inode = st.st_ino;
    assert_non_null(file = fopen(path, "r"));
    assert_true(fread(have, 1, sizeof have - 1, file) > 0);
    fclose(file);
    assert_string_equal(have, text);
}

/* At every launch the file is read, and its copy only looked at. */
static void test_a_copy_is_made_once(void **state)
{
    struct timespec later_on[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 1}};
    struct files f;
    ino_t first, second, third;

    (void)state;
    files_init(&f, SHIPPED, "");
    assert_kept(&f, NULL, "env: 1 set (A=1)");
    assert_copy(&f, SHIPPED, &first);
    assert_kept(&f, NULL, "env: 1 set (A=1)");
    assert_copy(&f, SHIPPED, &second);
    assert_int_equal(first, second);
    /* what is written later may have the same size */
    char *later = strdup(SHIPPED);
    *strchr(later, '1') = '2';
    write_file(f.shipped, later);
    assert_int_equal(utimensat(AT_FDCWD, f.shipped, later_on, 0), 0);
    assert_kept(&f, NULL, "env: 1 set (A=2)");
    assert_copy(&f, later, &third);
    /* a copy that others may write is made anew */
    char path[512];
    snprintf(path, sizeof path, "%s/env-rules.good", f.keep);
    assert_int_equal(chmod(path, 0666), 0);
    assert_kept(&f, NULL, "env: 1 set (A=2)");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    free(later);
    files_fini(&f);
}

static void test_without_a_good_copy(void **state)
{
    struct files f;

    (void)state;
    files_init(&f, "rule a {\n", "rul\n");
    assert_kept(&f, "the job goes on without rules", "env: nothing to set on this node");
    assert_kept(&f, "the job goes on without the admin's rules",
                "env: nothing to set on this node");
    rmdir(f.keep); /* nowhere to keep a copy: no reason to fail */
    write_file(f.shipped, SHIPPED);
    assert_kept(&f, "site.conf:1", "env: 1 set (A=1)");
    files_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions_of_the_admin),
        cmocka_unit_test(test_forced_values_are_judged),
        cmocka_unit_test(test_nothing_is_added_that_is_refused),
        cmocka_unit_test(test_words_of_the_admin_only),
        cmocka_unit_test(test_wrong_site_file_changes_nothing),
        cmocka_unit_test(test_line_of_the_word),
        cmocka_unit_test(test_which_facts_rules_use),
        cmocka_unit_test(test_the_last_good_rules_stand_in),
        cmocka_unit_test(test_a_copy_is_made_once),
        cmocka_unit_test(test_without_a_good_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
