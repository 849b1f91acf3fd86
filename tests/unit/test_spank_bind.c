/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's part in binding: who else binds, the words of --dt-bind, and when a task stands back.
 * Slurm's side is a fake. */
#include <fcntl.h>
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
#include "../../spank/look.c"
#include "../../spank/manners.c"
#include "../../spank/task.c"

/* ---- the fake Slurm -------------------------------------------------------------------------- */

static char *task_environ[32];

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
    (void)spank, (void)option;
    return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
    (void)format;
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
    char **entry = find_variable(name);
    (void)spank;
    if (*entry && !overwrite)
        return ESPANK_ENV_EXISTS;
    free(*entry);
    assert_true(asprintf(entry, "%s=%s", name, value) > 0);
    return ESPANK_SUCCESS;
}

spank_err_t spank_unsetenv(spank_t spank, const char *name)
{
    (void)spank, (void)name;
    return ESPANK_SUCCESS;
}

spank_err_t spank_getenv(spank_t spank, const char *name, char *buf, int len)
{
    char **entry = find_variable(name);
    (void)spank;
    if (!*entry)
        return ESPANK_ENV_NOEXIST;
    snprintf(buf, (size_t)len, "%s", *entry + strlen(name) + 1);
    return ESPANK_SUCCESS;
}

static bool is_set(const char *name, const char *value)
{
    char **entry = find_variable(name);
    return *entry ? value && strcmp(*entry + strlen(name) + 1, value) == 0 : !value;
}

/* ---- who else binds -------------------------------------------------------------------------- */

/* srun's words, "NAME=VALUE" of its environment, the program; what goes to the nodes. */
static const struct wish {
    const char *words[4], *variables[4], *program;
    bool asked;
    const char *found;
} wishes[] = {
    {{"-N1", "-n8"}, {NULL}, "python", true, "-"},
    {{"--cpu-bind=cores"}, {NULL}, "python", true, "cpus=--cpu-bind=cores"},
    {{"--cpu-b", "v,map_cpu:1,0"}, {NULL}, NULL, true, "cpus=--cpu-bind=map_cpu:1,0"},
    {{"--cpu_bind=rank"}, {NULL}, NULL, true, "cpus=--cpu-bind=rank"},
    {{"--cpu-bind=verbose"}, {NULL}, NULL, true, "-"},
    {{"--cpu-bind=quiet,none"}, {NULL}, NULL, true, "-"},
    {{"--cpu-bind=none"}, {NULL}, NULL, false, "cpus=--cpu-bind=none"},
    {{"--cpu-bind=cores", "--cpu-bind=sockets"}, {NULL}, NULL, true, "cpus=--cpu-bind=sockets"},
    {{"--cpu-freq=high", "--cpus-per-task=4", "--gpus=8"}, {NULL}, NULL, true, "-"},
    {{NULL}, {"SLURM_CPU_BIND=rank"}, NULL, true, "cpus=SLURM_CPU_BIND=rank"},
    {{"--cpu-bind=none"}, {"SLURM_CPU_BIND=rank"}, NULL, true, "-"},
    {{NULL},
     {"SLURM_CPU_BIND=quiet,mask_cpu:0x1", "SLURM_CPU_BIND_TYPE=mask_cpu:", "SLURM_STEP_ID=0",
      "SLURM_JOB_ID=12"},
     NULL,
     true,
     "cpus=SLURM_CPU_BIND,%20inherited%20from%20step%2012.0%20around%20this%20srun%20(unset%20it%20"
     "to%20let%20dt%20bind),"},
    {{"--mem-bind=local"}, {NULL}, NULL, true, "memory=--mem-bind=local"},
    {{"--mem-bind=none"}, {NULL}, NULL, true, "-"},
    {{"--gpus-per-task=1"}, {NULL}, NULL, true, "gpus=--gpus-per-task=1"},
    {{"--gpus-per-task=1", "--gpu-bind=none"}, {NULL}, NULL, true, "-"},
    {{"--gpu-bind=closest", "--gpus-per-task=1"}, {NULL}, NULL, true, "gpus=--gpu-bind=closest"},
    {{NULL}, {"SLURM_NTASKS_PER_GPU=2"}, NULL, true, "gpus=SLURM_NTASKS_PER_GPU=2"},
    {{NULL}, {NULL}, "/usr/bin/numactl", true, "program=/usr/bin/numactl"},
    {{"--cpu-bind=cores", "--gpu-bind=single:1"},
     {NULL},
     "taskset",
     true,
     "cpus=--cpu-bind=cores gpus=--gpu-bind=single:1 program=taskset"},
};

static void clear_variables(void)
{
    static const char *const names[] = {"SLURM_CPU_BIND", "SLURM_CPU_BIND_TYPE", "SLURM_STEP_ID",
                                        "SLURM_JOB_ID", "SLURM_NTASKS_PER_GPU"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    for (size_t i = 0; i < BINDERS; i++)
        unsetenv(binders[i].variable);
}

static void others_that_bind_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        const struct wish *w = &wishes[i];
        struct manners_environ before = {0};
        struct manners manners = {.words = (char *const *)w->words,
                                  .program = w->program,
                                  .environ = &before,
                                  .bind_asked = w->asked};
        struct text text = {0};
        clear_variables();
        for (size_t v = 0; v < 4 && w->variables[v]; v++)
            putenv((char *)w->variables[v]);
        while (manners.count < 4 && w->words[manners.count])
            manners.count++;
        manners_read_environ(&before);
        manners_format(&text, &manners);
        assert_string_equal(text.data, w->found);
        text_fini(&text);
        manners_environ_fini(&before);
    }
    clear_variables();
}

static void the_request_has_a_line_for_each(void **state)
{
    struct text text = {0};
    (void)state;
    manners_request(&text, "cpus=--cpu-bind=map_cpu:1,0 program=taskset");
    assert_string_equal(text.data, "bound cpus --cpu-bind=map_cpu:1,0\nbound program taskset\n");
    text_fini(&text);
    manners_request(&text, "-");
    assert_string_equal(text.data, "bound - -\n");
    text_fini(&text);
}

/* A user can write SLURM_DT_BOUND; root reads the request. */
static void a_text_of_the_users_adds_no_line_of_its_own(void **state)
{
    struct text text = {0};
    (void)state;
    manners_request(&text, "cpus=x\nend");
    manners_request(&text, "cpus\nrendezvous=1/10.0.0.1/1/0");
    manners_request(&text, "gpus=\x7f");
    assert_int_equal(text.len, 0);
}

/* ---- words of --dt-bind and --dt-nic --------------------------------------------------------- */

static void words_of_bind(void **state)
{
    static const char *const good[][2] = {
        {"reserve=2", "auto,reserve=2"},
        {"gpus=own,explain,bind", "explain,gpus=own,bind"},
        {"loaders=4,reserve=1,interleave,auto", "auto,loaders=4,reserve=1,interleave"}};
    static const char *const bad[] = {
        "reserve=",  "reserve=x",         "reserve=-1", "reserve=999999", "reserve=1,reserve=2",
        "gpus=mine", "gpus=all,gpus=own", "loaders"};
    struct sentence why;
    char *out;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(value_normalize(SETTING_BIND, good[i][0], "--dt-bind", &out, &why), 0);
        assert_string_equal(out, good[i][1]);
        free(out);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.text[0] = '\0';
        assert_int_equal(value_normalize(SETTING_BIND, bad[i], "--dt-bind", &out, &why), -1);
        assert_non_null(strstr(why.text, "--dt-bind="));
    }
    assert_int_equal(value_normalize(SETTING_NIC, "narrow", "--dt-nic", &out, &why), 0);
    free(out);
    assert_int_equal(value_normalize(SETTING_NIC, "all", "--dt-nic", &out, &why), -1);
    assert_non_null(strstr(why.text, "plan, narrow or off"));
    assert_int_equal(value_normalize(SETTING_NIC, NULL, "--dt-nic", &out, &why), -1);
}

/* ---- a task ---------------------------------------------------------------------------------- */

static int run_task(const char *plan, void (*before)(void), void (*look)(void))
{
    int fd = memfd_create("plan", 0), status;
    assert_int_equal(write(fd, plan, strlen(plan)), strlen(plan));
    pid_t pid = fork();
    if (pid == 0) {
        static struct plugin plugin;
        int null = open("/dev/null", O_WRONLY);
        plugin.remote.plan = fd;
        dup2(null, 2);
        if (before)
            before();
        task_apply(&plugin, NULL);
        look();
    }
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static char own_mask[4096], *first_cpu;

static int read_own_mask(void **state)
{
    struct cpus own;
    struct text text = {0};
    (void)state;
    assert_int_equal(cpus_of_task(&own, 0), 0);
    cpus_format(&text, &own);
    snprintf(own_mask, sizeof own_mask, "%s", text.data);
    first_cpu = strndup(own_mask, strspn(own_mask, "0123456789"));
    cpus_fini(&own);
    text_fini(&text);
    return 0;
}

static int free_own_mask(void **state)
{
    (void)state;
    free(first_cpu);
    return 0;
}

static int mask_weight(void)
{
    struct cpus cpus;
    if (cpus_of_task(&cpus, 0) != 0)
        return -1;
    int weight = CPU_COUNT_S(cpus.size, cpus.set);
    cpus_fini(&cpus);
    return weight;
}

static char *plan_for(const char *found)
{
    char *plan = NULL;
    assert_true(asprintf(&plan,
                         "dt-plan 1\nrank 1 found %s\nrank 1 cpus %s\nrank 1 bind-set DT_BIND_CPUS "
                         "%s\nrank 1 bind-default OMP_NUM_THREADS 1\nall bind-set SLURM_CPU_BIND "
                         "new\nrank 1 set DT_BIND_GPUS g\nend\n",
                         found, first_cpu, first_cpu) > 0);
    return plan;
}

static void look_bound(void)
{
    _exit(mask_weight() == 1 && is_set("DT_BIND_CPUS", first_cpu) &&
                  is_set("OMP_NUM_THREADS", "1") && is_set("SLURM_CPU_BIND", "new") &&
                  is_set("DT_BIND_GPUS", "g")
              ? 42
              : 41);
}

static void a_task_with_the_mask_of_the_plan_is_bound(void **state)
{
    char *plan = plan_for(own_mask);
    (void)state;
    assert_int_equal(run_task(plan, NULL, look_bound), 42);
    free(plan);
}

static int weight_before;

static void look_untouched(void)
{
    _exit(mask_weight() == weight_before && is_set("DT_BIND_CPUS", own_mask) &&
                  is_set("OMP_NUM_THREADS", NULL) && is_set("SLURM_CPU_BIND", NULL) &&
                  is_set("DT_BIND_GPUS", "g")
              ? 42
              : 41);
}

/* The plan was made for a mask that the task has no more. */
static void a_task_bound_by_another_plugin_is_left_alone(void **state)
{
    char *plan = plan_for("1000-1003");
    (void)state;
    weight_before = mask_weight();
    assert_int_equal(run_task(plan, NULL, look_untouched), 42);
    free(plan);
}

static void choose_interleave(void)
{
    unsigned long nodes = 1;
    if (syscall(SYS_set_mempolicy, POLICY_INTERLEAVE, &nodes, 64) < 0)
        _exit(43); /* a kernel without NUMA */
}

static void look_interleaved(void)
{
    int mode = 0;
    syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0);
    _exit(mode == POLICY_INTERLEAVE && is_set("DT_BIND_MEMORY", "kept") ? 42 : 41);
}

static void a_memory_policy_that_is_there_stays(void **state)
{
    int code =
        run_task("dt-plan 1\nrank 1 memory local\nrank 1 bind-set DT_BIND_MEMORY local\nend\n",
                 choose_interleave, look_interleaved);
    (void)state;
    if (code == 43)
        skip();
    assert_int_equal(code, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_that_bind_are_found),
        cmocka_unit_test(the_request_has_a_line_for_each),
        cmocka_unit_test(a_text_of_the_users_adds_no_line_of_its_own),
        cmocka_unit_test(words_of_bind),
        cmocka_unit_test(a_task_with_the_mask_of_the_plan_is_bound),
        cmocka_unit_test(a_task_bound_by_another_plugin_is_left_alone),
        cmocka_unit_test(a_memory_policy_that_is_there_stays),
    };
    return cmocka_run_group_tests(tests, read_own_mask, free_own_mask);
}
