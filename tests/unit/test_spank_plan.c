/* SPDX-License-Identifier: Apache-2.0 */
/* A rank takes its lines of the plan, all of them or none. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "spank_fake.h"

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

static bool own_nproc_is_unlimited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

/* What a rank finds where its program would run ends it, unless that is only to be told. */
static void a_rank_looks_before_it_starts(void **state)
{
    (void)state;
    assert_int_equal(run_task("dt-plan 1\nall look shm 0\nall look nproc 1\n"
                              "all look device /dev/null\nall look node /dev/null\n"
                              "all look future x\nend\n",
                              0, NULL),
                     0);
    assert_int_equal(run_task("dt-plan 1\nall look shm 99999999999\nend\n", 0, NULL), 65);
    assert_int_equal(run_task("dt-plan 1\nall look nproc 999999999999\nend\n", 0, NULL),
                     own_nproc_is_unlimited() ? 0 : 65);
    assert_int_equal(run_task("dt-plan 1\nall look device /dev/null/x\nend\n", 0, NULL), 65);
    assert_int_equal(run_task("dt-plan 1\nall look node /dev/nvidia-none\nend\n", 0, NULL), 65);
    assert_int_equal(run_task("dt-plan 1\nall look mode warn\nall look node /none\nend\n", 0, NULL),
                     0);
    assert_int_equal(run_task("dt-plan 1\nall look library libnone.so\nend\n", 0, NULL), 0);
    assert_int_equal(run_task("dt-plan 1\nall look shm\nend\n", 0, NULL), 67); /* no plan */
}

/* The libraries that a rank would find, by its LD_LIBRARY_PATH. */
static void a_driver_library_of_another_driver_is_refused(void **state)
{
    char dir[] = "/tmp/dt-look-XXXXXX", name[128], link[128];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof name, "%s/libcuda.so.550.54.15", dir);
    snprintf(link, sizeof link, "%s/libcuda.so.1", dir);
    close(open(name, O_CREAT | O_WRONLY, 0644));
    assert_int_equal(symlink(name, link), 0);
    spank_setenv(NULL, "LD_LIBRARY_PATH", dir, 1);
    struct look look = {.warn = false};
    look_take(&look, "driver", "550.90.07", dir);
    assert_int_equal(look.wrong.len + look.doubtful.len, 0);
    look_take(&look, "driver", "570.172.08", dir);
    assert_non_null(
        strstr(look.wrong.data, "is of driver 550.54.15, and the kernel module of 570"));
    look_take(&look, "library", "libcuda.so.1", dir);
    assert_int_equal(look.doubtful.len, 0);
    look_take(&look, "library", "libnone.so", "relative:/none:");
    assert_non_null(strstr(look.doubtful.data, "there is no libnone.so"));
    look_fini(&look);
    assert_int_equal(run_task("dt-plan 1\nall look driver 570.172.08\nend\n", 0, NULL), 65);
    unlink(link);
    unlink(name);
    rmdir(dir);
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

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return fd >= 0 && close(fd) == 0 && good;
}

enum { GOOD = 0, BAD = 1, NOT_HERE = 77 };

/* In a child with /sys/fs/cgroup of its own, which allows 64 MiB, by v2's file or by v1's. */
static int look_in_a_cgroup(const char *file)
{
    struct look look = {.given_mib = 1000};
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("test", "/sys/fs/cgroup", "tmpfs", 0, "size=1m") < 0)
        return NOT_HERE;
    look_take(&look, "memory", "50", NULL);
    if (look.doubtful.len > 0) /* no limit */
        return BAD;
    if (mkdir("/sys/fs/cgroup/memory", 0755) < 0 || !put(file, "67108864\n"))
        return NOT_HERE;
    look.given_mib = 128; /* half of it */
    look_take(&look, "memory", "50", NULL);
    look.given_mib = 0; /* Slurm does not part memory */
    look_take(&look, "memory", "50", NULL);
    if (look.doubtful.len > 0)
        return BAD;
    look.given_mib = 1000;
    look_take(&look, "memory", "50", NULL);
    return look.doubtful.len > 0 && look.wrong.len == 0 &&
                   strcmp(look.doubtful.data, "the cgroup allows 64 MiB of memory, and Slurm gave "
                                              "the step 1000 MiB here") == 0
               ? GOOD
               : BAD;
}

static bool has_line(const char *part)
{
    char text[4096] = "";
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strstr(text, part);
}

static void a_small_cgroup_is_told_of(void **state)
{
    static const char *const rows[][2] = {
        {"0::", "/sys/fs/cgroup/memory.max"},
        {":memory:", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}};
    size_t tried = 0;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int status = -1;
        if (!has_line(rows[i][0]))
            continue;
        pid_t pid = fork();
        if (pid == 0)
            _exit(look_in_a_cgroup(rows[i][1]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NOT_HERE)
            continue;
        assert_int_equal(WEXITSTATUS(status), GOOD);
        tried++;
    }
    if (tried == 0)
        skip();
}

/* In a child that has one CPU of its mask left, on a machine with as many CPUs as /proc/stat says:
 * what the cpuset keeps back is told, once, what a mask does only of a rank that nobody bound. */
static int look_at_cpus(void)
{
    char stat_file[] = "/tmp/dt-stat-XXXXXX", expected[128];
    struct cpus mask, after;
    struct look look = {.step_cpus = 1 << 20, .rank_cpus = 2};
    int fd = mkstemp(stat_file);
    if (fd < 0 || cpus_of_task(&mask, 0) != 0)
        return NOT_HERE;
    for (int i = 0; i < 4000; i++)
        dprintf(fd, "cpu%d 1 2 3\n", i);
    int all = CPU_COUNT_S(mask.size, mask.set);
    keep_first(&mask);
    close(fd);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        sched_setaffinity(0, mask.size, mask.set) < 0 ||
        mount(stat_file, "/proc/stat", NULL, MS_BIND, NULL) < 0)
        return unlink(stat_file), NOT_HERE;
    unlink(stat_file);
    snprintf(expected, sizeof expected,
             "the cpuset has %d of the 4000 CPUs that Slurm gave the step", all);
    look_take(&look, "cpus", "step", NULL);
    look_take(&look, "cpus", "rank", NULL);
    bool good = look.doubtful.data && strstr(look.doubtful.data, expected) &&
                !strchr(look.doubtful.data, ';') && look.wrong.len == 0;
    good = good && cpus_of_task(&after, 0) == 0 && cpus_equal(&mask, &after);
    look = (struct look){.step_cpus = (unsigned)all, .rank_cpus = 1};
    look_take(&look, "cpus", "step", NULL);
    look_take(&look, "cpus", "rank", NULL);
    good = good && look.doubtful.len == 0; /* a mask is no cpuset */
    look.rank_cpus = 2;
    look_take(&look, "cpus", "rank", NULL);
    good = good && look.doubtful.len > 0 &&
           strstr(look.doubtful.data, "has 1 of the 2 CPUs that Slurm gave each rank,");
    return good ? GOOD : BAD;
}

static void few_cpus_are_told_of(void **state)
{
    int status = -1;
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(look_at_cpus());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_HERE)
        skip();
    assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* Slurm's word reaches the look, and more CPUs than the machine has are nobody's loss. */
static void no_cpus_are_missed_that_are_not_there(void **state)
{
    (void)state;
    struct look look = {.warn = false};
    spank_setenv(NULL, "SLURM_CPUS_ON_NODE", "96", 1);
    know_given(&look, NULL);
    assert_int_equal(look.step_cpus, 96);
    look.step_cpus = look.rank_cpus = 1 << 20;
    look_take(&look, "cpus", "step", NULL);
    assert_int_equal(look.few_cpus, held_cpus() < online_cpus());
    look_fini(&look);
    assert_int_equal(run_task("dt-plan 1\nall look cpus step\nall look cpus rank\nend\n", 0, NULL),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_cgroup_is_told_of),
        cmocka_unit_test(few_cpus_are_told_of),
        TEST(no_cpus_are_missed_that_are_not_there),
        TEST(a_rank_takes_its_own_lines),
        TEST(a_broken_plan_is_not_half_applied),
        TEST(a_task_gets_what_the_plan_says),
        TEST(what_was_really_set_is_named),
        TEST(nothing_set_is_said_too),
        TEST(a_task_ends_rather_than_run_half_bound),
        TEST(a_rank_looks_before_it_starts),
        TEST(a_driver_library_of_another_driver_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, clear_environ);
}
