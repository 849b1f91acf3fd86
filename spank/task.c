/* SPDX-License-Identifier: Apache-2.0 */
/* The task, as the user, last before exec: read the plan and do this rank's lines. A rank that can
 * not have what the plan says ends here, with one sentence: half-bound jobs are found weeks later.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apply.h"
#include "plugin.h"

/* From linux/mempolicy.h, which not all distributions ship for users. */
enum { POLICY_PREFERRED = 1, POLICY_BIND = 2, POLICY_INTERLEAVE = 3, POLICY_LOCAL = 4 };
enum { POLICY_PREFERRED_MANY = 5 }; /* Linux 5.15 */

static void __attribute__((format(printf, 3, 4), noreturn))
end_task(int code, const struct apply *apply, const char *format, ...)
{
    char text[768];
    va_list args;
    int len = snprintf(text, sizeof text, "dt: rank %s: ", apply->rank_name);
    va_start(args, format);
    vsnprintf(text + len, sizeof text - (size_t)len - 1, format, args);
    va_end(args);
    text_printable(text);
    size_t end = strlen(text); /* the last byte was kept free */
    text[end++] = '\n';
    if (write(STDERR_FILENO, text, end) < 0)
        _exit(code);
    _exit(code);
}

/* false: there is one already, and it stays. */
static bool set_variable(const struct apply *apply, const char *name, const char *value,
                         bool overwrite)
{
    spank_err_t rc = spank_setenv(apply->spank, name, value, overwrite);
    if (rc != ESPANK_SUCCESS && rc != ESPANK_ENV_EXISTS)
        end_task(DT_EXIT_APPLY, apply, "%s could not be set: %s", name, spank_strerror(rc));
    return rc == ESPANK_SUCCESS;
}

static void say_line(const char *line)
{
    /* One write, so that the lines of ranks do not mix. */
    struct text text = {0};
    text_printf(&text, "%s\n", line);
    if (!text.failed && write(STDERR_FILENO, text.data, text.len) < 0)
        text.failed = true; /* a rank without stderr runs all the same */
    text_fini(&text);
}

static void tell_changed_mask(const char *before, const char *now)
{
    struct text line = {0};
    text_printf(&line,
                "dt:   bind: stood back: another plugin changed the CPUs of this node's ranks, of "
                "the first from %s to %s; what it did stays",
                before, now);
    if (!line.failed)
        say_line(line.data);
    text_fini(&line);
}

static void bind_cpus(const struct apply *apply, const char *list)
{
    struct cpus wanted, real;
    if (cpus_parse(&wanted, list) < 0)
        end_task(DT_EXIT_APPLY, apply, "the plan's CPU list '%s' is none", list);
    if (sched_setaffinity(0, wanted.size, wanted.set) < 0)
        end_task(DT_EXIT_APPLY, apply, "can not be bound to CPUs %s: %s", list, strerror(errno));
    if (cpus_of_task(&real, 0) != 0 || !cpus_equal(&wanted, &real))
        end_task(DT_EXIT_APPLY, apply,
                 "was bound to CPUs %s, and the kernel gave others (a cpuset in the way?)", list);
    cpus_fini(&wanted);
    cpus_fini(&real);
}

/* Between Slurm, for whose mask the plan was made, and us another plugin may have bound the rank. Its
 * word stays; what dt would say of the binding would be wrong. */
static void compare_mask(const struct apply *apply, const char *list)
{
    struct cpus planned, real;
    if (cpus_parse(&planned, list) < 0)
        end_task(DT_EXIT_APPLY, apply, "the plan's CPU list '%s' is none", list);
    int error = cpus_of_task(&real, 0);
    if (error)
        end_task(DT_EXIT_APPLY, apply, "its CPU mask can not be read: %s", strerror(-error));
    if (!cpus_equal(&planned, &real)) {
        struct text now = {0};
        cpus_format(&now, &real);
        apply->bound->stood_back = true;
        set_variable(apply, "DT_BIND_CPUS", now.data ? now.data : "", true);
        if (apply->local == 0)
            tell_changed_mask(list, now.data ? now.data : "others");
        text_fini(&now);
    }
    cpus_fini(&planned);
    cpus_fini(&real);
}

/* Somebody has chosen a policy: --mem-bind, numactl around slurmd, another plugin. */
static bool has_policy(void)
{
    int mode = 0;
    return syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode != 0;
}

static long set_policy(int mode, const struct cpus *nodes)
{
    /* The kernel takes the number of bits, and reads one less. */
    return syscall(SYS_set_mempolicy, mode, nodes ? (void *)nodes->set : NULL,
                   nodes ? nodes->size * 8 + 1 : 0);
}

/* Kernels before 5.15 prefer one node at most: the first of the list. */
static void keep_first(struct cpus *nodes)
{
    bool kept = false;
    for (size_t node = 0; node < nodes->size * 8; node++) {
        if (kept)
            CPU_CLR_S(node, nodes->size, nodes->set);
        kept = kept || CPU_ISSET_S(node, nodes->size, nodes->set);
    }
}

static void bind_memory(const struct apply *apply, const char *policy, const char *list)
{
    struct cpus nodes = {0};
    long rc = -1;
    if (has_policy()) {
        apply->bound->memory_kept = true;
        return;
    }
    if (strcmp(policy, "local") != 0 && cpus_parse(&nodes, list) < 0)
        end_task(DT_EXIT_APPLY, apply, "the plan's memory node list '%s' is none", list);
    if (strcmp(policy, "local") == 0) {
        rc = set_policy(POLICY_LOCAL, NULL);
    } else if (strcmp(policy, "bind") == 0) {
        rc = set_policy(POLICY_BIND, &nodes);
    } else if (strcmp(policy, "interleave") == 0) {
        rc = set_policy(POLICY_INTERLEAVE, &nodes);
    } else if (strcmp(policy, "preferred") == 0) {
        bool many = CPU_COUNT_S(nodes.size, nodes.set) > 1;
        rc = set_policy(many ? POLICY_PREFERRED_MANY : POLICY_PREFERRED, &nodes);
        if (rc < 0 && many && errno == EINVAL) {
            keep_first(&nodes);
            rc = set_policy(POLICY_PREFERRED, &nodes);
        }
    } else {
        end_task(DT_EXIT_APPLY, apply, "the plan's memory policy '%s' is unknown", policy);
    }
    /* A kernel without NUMA has one kind of memory: any preference holds. */
    if (rc < 0 && errno != ENOSYS)
        end_task(DT_EXIT_APPLY, apply, "memory policy %s %s was refused: %s", policy, list,
                 strerror(errno));
    cpus_fini(&nodes);
}

/* What the image of a container brought along stays as the user's own does, so only here is it
 * known what dt has really done. */
static void note(const struct apply *apply, const char *mark, const char *name)
{
    text_printf(apply->noted, "%s%s%s", apply->noted->len ? "," : "", mark, name);
}

static void apply_env(const struct apply *apply, enum plan_verb verb, const char *name,
                      const char *value)
{
    char old[1];
    if (verb != PLAN_ENV_UNSET) {
        if (set_variable(apply, name, value, verb == PLAN_ENV_SET))
            note(apply, "", name);
    } else if (spank_getenv(apply->spank, name, old, sizeof old) != ESPANK_ENV_NOEXIST) {
        spank_unsetenv(apply->spank, name);
        note(apply, "-", name);
    }
}

static void take_look(const struct apply *apply, const char *kind, const char *argument)
{
    char path[4096]; /* one that is longer is not searched */
    bool has = spank_getenv(apply->spank, "LD_LIBRARY_PATH", path, sizeof path) == ESPANK_SUCCESS;
    look_take(apply->look, kind, argument, has ? path : NULL);
}

/* What Slurm gave, to compare with. The variable is slurmstepd's, which sets it for each task. */
static void know_given(struct look *look, spank_t spank)
{
    uint64_t mib = 0; /* the types that spank_get_item wants */
    uint32_t cpus = 0;
    char text[32];
    if (spank_get_item(spank, S_STEP_ALLOC_MEM, &mib) == ESPANK_SUCCESS)
        look->given_mib = mib;
    if (spank_get_item(spank, S_STEP_CPUS_PER_TASK, &cpus) == ESPANK_SUCCESS)
        look->rank_cpus = cpus;
    if (spank_getenv(spank, "SLURM_CPUS_ON_NODE", text, sizeof text) == ESPANK_SUCCESS)
        look->step_cpus = strtoull(text, NULL, 10);
}

/* All ranks of a node see the same, and the first one speaks for them. */
static void end_look(const struct apply *apply, const char *node)
{
    struct look *look = apply->look;
    struct text line = {0};
    bool refused = look->wrong.len && !look->warn;
    if (look->wrong.len || look->doubtful.len)
        text_printf(&line, "dt: node %s, seen from where the program runs: %s%s%s%s",
                    node ? node : "?", look->wrong.data ? look->wrong.data : "",
                    look->wrong.len && look->doubtful.len ? "; " : "",
                    look->doubtful.data ? look->doubtful.data : "",
                    refused ? "; the program is not started" : "");
    if (apply->local == 0 && line.data && !line.failed) {
        text_printable(line.data);
        say_line(line.data);
    }
    text_fini(&line);
    look_fini(look);
    if (refused)
        _exit(DT_EXIT_UNFIT);
}

static void take(const struct apply *apply, const struct plan_line *line)
{
    const char *name = line->name ? line->name : "", *value = line->value ? line->value : "";
    switch (line->verb) {
    case PLAN_SET:
        set_variable(apply, name, value, true);
        break;
    case PLAN_DEFAULT:
        set_variable(apply, name, value, false);
        break;
    case PLAN_UNSET:
        spank_unsetenv(apply->spank, name);
        break;
    case PLAN_ENV_SET:
    case PLAN_ENV_DEFAULT:
    case PLAN_ENV_UNSET:
        apply_env(apply, line->verb, name, value);
        break;
    case PLAN_FOUND:
        compare_mask(apply, name);
        break;
    case PLAN_CPUS:
        if (!apply->bound->stood_back)
            bind_cpus(apply, name);
        break;
    case PLAN_MEMORY:
        if (!apply->bound->stood_back)
            bind_memory(apply, name, value);
        break;
    case PLAN_BIND_SET:
    case PLAN_BIND_DEFAULT:
        if (!apply->bound->stood_back)
            set_variable(apply, name, value, line->verb == PLAN_BIND_SET);
        break;
    case PLAN_LOOK:
        take_look(apply, name, value);
        break;
    case PLAN_SAY:
        say_line(name);
        break;
    }
}

/* dt-node sees one component of a het step; Slurm counts ranks and nodes over all of them. */
static void count_over_components(const struct apply *apply)
{
    static const char *const pairs[][2] = {{"RANK", "SLURM_PROCID"},
                                           {"WORLD_SIZE", "SLURM_NTASKS"},
                                           {"NODE_RANK", "SLURM_NODEID"},
                                           {"GROUP_RANK", "SLURM_NODEID"}};
    char value[64], old[64];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (spank_getenv(apply->spank, pairs[i][0], old, sizeof old) == ESPANK_SUCCESS &&
            spank_getenv(apply->spank, pairs[i][1], value, sizeof value) == ESPANK_SUCCESS)
            set_variable(apply, pairs[i][0], value, true);
    }
}

static const char *map_plan(const struct apply *apply, int fd, size_t *len)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
        end_task(DT_EXIT_HELPER, apply, "there is no plan of dt-node");
    *len = (size_t)st.st_size;
    void *plan = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (plan == MAP_FAILED)
        end_task(DT_EXIT_APPLY, apply, "the plan can not be read: %s", strerror(errno));
    return plan;
}

void task_apply(struct plugin *plugin, spank_t spank)
{
    const struct remote *remote = &plugin->remote;
    struct text noted = {0};
    struct bound bound = {0};
    struct look look = {.warn = false};
    struct apply apply = {.spank = spank, .noted = &noted, .bound = &bound, .look = &look};
    struct sentence why;
    int local = 0;
    uint32_t global = 0;
    size_t len;

    if (remote->fail_code)
        _exit(remote->fail_code);
    spank_get_item(spank, S_TASK_ID, &local);
    know_given(&look, spank);
    spank_get_item(spank, S_TASK_GLOBAL_ID, &global);
    snprintf(apply.rank_name, sizeof apply.rank_name, "%u", global);
    apply.local = (unsigned long)local;
    const char *plan = map_plan(&apply, remote->plan, &len);
    int code = plan_apply(&apply, plan, len, take, &why);
    if (code == PLAN_REFUSED)
        _exit(apply.refused); /* slurmstepd has said why */
    if (code < 0)
        end_task(DT_EXIT_HELPER, &apply, "%s", why.text);
    munmap((void *)plan, len);
    if (noted.failed)
        end_task(DT_EXIT_APPLY, &apply, "out of memory");
    if (noted.data)
        set_variable(&apply, "DT_ENV_APPLIED", noted.data, true);
    text_fini(&noted);
    if (bound.memory_kept)
        set_variable(&apply, "DT_BIND_MEMORY", "kept", true);
    if (remote->components)
        count_over_components(&apply);
    end_look(&apply, remote->node_name);
}
