/* SPDX-License-Identifier: Apache-2.0 */
/* slurmstepd: dt-node is started once per node, and told the tasks' masks when all are forked.
 * Nothing fails here: what went wrong is said once and remembered, and the tasks end with its code.
 * Failing here would drain the node or end the job with exit code 0 (measured on Slurm 22.05). */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "gather.h"
#include "plugin.h"

#define FIRST_SPECIAL_STEP 0xfffffffau /* interactive, batch, extern and what may come */
#define PLAN_MS            2000
#define TELL_MS            1000
#define STEP_END_MS        2000

bool stepd_is_training_step(spank_t spank)
{
    uint32_t step = FIRST_SPECIAL_STEP;
    return spank_get_item(spank, S_JOB_STEPID, &step) == ESPANK_SUCCESS &&
           step < FIRST_SPECIAL_STEP;
}

/* Remember the code. 0: it had failed before, and that was told. */
static int remember(struct remote *remote, int code)
{
    remote->on = false;
    if (remote->fail_code)
        return 0;
    remote->fail_code = code > 0 && code < 256 ? code : DT_EXIT_HELPER;
    return remote->fail_code;
}

/* The sentence names the node; dt-node's own do so already. */
static const char *naming(const struct remote *remote, const char *sentence, struct text *line)
{
    if (strncmp(sentence, "node ", strlen("node ")) != 0)
        text_printf(line, "node %s: ", remote->node_name ? remote->node_name : "?");
    text_puts(line, sentence);
    return line->failed ? sentence : line->data;
}

/* Nobody else tells the user. */
static void fail(struct remote *remote, int code, const char *sentence)
{
    struct text line = {0};
    if (remember(remote, code))
        slurm_spank_log("dt: %s", naming(remote, sentence, &line));
    text_fini(&line);
}

/* dt-gather's table tells the user, or srun's plugin where dt-gather is gone; slurmd's log has the
 * node's own words. */
static void fail_quietly(struct remote *remote, int code, const char *sentence)
{
    struct text line = {0};
    if (remember(remote, code))
        slurm_info("dt: %s", naming(remote, sentence, &line));
    text_fini(&line);
}

/* The tasks are forked already and have their own copy of us: the plan carries the bad news to
 * them. */
static void refuse_in_plan(const struct remote *remote)
{
    char text[32];
    int len = snprintf(text, sizeof text, "dt-refused %d\n", remote->fail_code);
    if (ftruncate(remote->plan, 0) < 0 || pwrite(remote->plan, text, (size_t)len, 0) != len)
        slurm_error("dt: the plan can not be written: %s", strerror(errno));
}

static char *node_name(void)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = '\0';
    return strdup(host);
}

/* A port that nobody else is given while the step lasts: bound, not listening, SO_REUSEADDR, so
 * that the program can bind it as well. 0 where there is none. */
static int reserve_port(int *descriptor)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        close(fd);
        return 0;
    }
    *descriptor = fd;
    return ntohs(address.sin_port);
}

/* Was validation wanted by someone whose srun had no plugin? */
static bool asked_elsewhere(const struct remote *remote, char **job_environ)
{
    const char *option = environ_get(job_environ, "SLURM_SPANK__SLURM_SPANK_OPTION_dt_dt_validate");
    const char *variable = environ_get(job_environ, "DT_VALIDATE");
    return remote->asked || (option && strcmp(option, "off") != 0) ||
           (variable && *variable && strcmp(variable, "off") != 0);
}

/* What dt-node said went wrong. */
struct refusal {
    int code;
    bool quiet; /* the user is told by others */
    const char *sentence;
};

/* "checked go", "checked fail CODE quiet|loud TEXT", "planned", "planned fail ...". 0: go on. */
static int take_answer(struct refusal *refusal, char *line, const char *verb, bool go)
{
    char *rest = line, *word = strsep(&rest, " ");
    char *second = strsep(&rest, " ");
    if (strcmp(word, verb) == 0 && (go ? second && strcmp(second, "go") == 0 : !second))
        return 0;
    if (strcmp(word, verb) == 0 && second && strcmp(second, "fail") == 0 && rest) {
        refusal->code = atoi(strsep(&rest, " "));
        char *how = strsep(&rest, " ");
        refusal->quiet = how && strcmp(how, "quiet") == 0;
        if (rest && !strchr(rest, ' '))
            word_decode(rest);
        if (rest)
            text_printable(rest);
        refusal->sentence = rest ? rest : "dt-node refused without a reason";
        return -1;
    }
    *refusal = (struct refusal){
        DT_EXIT_HELPER, false,
        "dt-node answered something that this plugin does not understand; install both from the "
        "same release"};
    return -1;
}

static int start_node(struct plugin *plugin, struct sentence *why)
{
    struct remote *remote = &plugin->remote;
    char *argv[] = {(char *)"dt-node", NULL, NULL, NULL};
    if (plugin->options.config) {
        argv[1] = (char *)"--config";
        argv[2] = plugin->options.config;
    }
    remote->plan = memfd_create("dt-plan", MFD_CLOEXEC);
    if (remote->plan < 0) {
        snprintf(why->text, sizeof why->text, "no memory file for the plan: %s", strerror(errno));
        return -1;
    }
    /* slurmd's own, never the job's: where libslurm finds slurmctld, for dt-drain */
    struct text slurm_conf = {0};
    const char *slurmds = getenv("SLURM_CONF");
    if (slurmds)
        text_printf(&slurm_conf, "SLURM_CONF=%s", slurmds);
    char *node_environ[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
                            slurm_conf.failed ? NULL : slurm_conf.data, NULL};
    struct helper_start start = {.directory = plugin->options.helpers,
                                 .name = "dt-node",
                                 .argv = argv,
                                 .environ = node_environ,
                                 .plan = remote->plan,
                                 .as_root = true,
                                 .owner = 0};
    int rc = helper_start(&remote->node, &start, why);
    text_fini(&slurm_conf);
    return rc;
}

static unsigned item(spank_t spank, spank_item_t which)
{
    uint32_t value = 0;
    spank_get_item(spank, which, &value);
    return value;
}

/* A failure that dt-node has not told dt-gather, because it is gone, or never was. dt-gather then
 * hears it from us, names this node in its table and refuses the others at once. Where it can not be
 * told, it still names a node that it has not heard of ("no connection"), and when it is gone itself
 * srun's plugin says so. Only of a node that had reported nobody else would tell. */
static void tell_gather(struct remote *remote, spank_t spank, const char *rendezvous,
                        const struct refusal *refusal)
{
    struct gather_node node = {.name = remote->node_name ? remote->node_name : "?",
                               .job = item(spank, S_JOB_ID),
                               .step = item(spank, S_JOB_STEPID),
                               .id = item(spank, S_JOB_NODEID),
                               .count = item(spank, S_JOB_NNODES),
                               .tasks = item(spank, S_JOB_TOTAL_TASK_COUNT),
                               .component = remote->component,
                               .components = remote->components};
    if (rendezvous && gather_tell(rendezvous, &node, refusal->code, refusal->sentence, TELL_MS))
        fail_quietly(remote, refusal->code, refusal->sentence);
    else if (rendezvous && !remote->reported)
        fail_quietly(remote, DT_EXIT_INCOMPLETE, refusal->sentence);
    else
        fail(remote, refusal->code, refusal->sentence);
}

/* Its first answer but "reported", which only says that dt-gather knows this node now. */
static int ask_checked(struct remote *remote, char **line, long long deadline, struct sentence *why)
{
    for (;;) {
        if (helper_ask(&remote->node, line, deadline, why) < 0)
            return -1;
        if (strcmp(*line, "reported") != 0)
            return 0;
        remote->reported = true;
        free(*line);
        *line = NULL;
    }
}

static void check_node(struct plugin *plugin, spank_t spank, const char *rendezvous,
                       char **job_environ)
{
    struct remote *remote = &plugin->remote;
    struct text request = {0};
    struct sentence why;
    struct refusal refusal = {.code = DT_EXIT_HELPER, .sentence = why.text};
    char *line = NULL;
    double seconds = strtod(options_value(&plugin->options, SETTING_TIMEOUT), NULL);
    long long deadline = now_ms() + (long long)(seconds * 1000) + 2000;

    remote->masks = calloc(remote->tasks + 1, sizeof *remote->masks);
    remote->pids = calloc(remote->tasks + 1, sizeof *remote->pids);
    int port = reserve_port(&remote->port);
    request_format(&request, plugin, spank, port, rendezvous, job_environ);
    if (!remote->masks || !remote->pids || request.failed) {
        refusal.sentence = "out of memory";
        tell_gather(remote, spank, rendezvous, &refusal);
    } else if (start_node(plugin, &why) < 0 ||
               helper_tell(&remote->node, &request, deadline, &why) < 0 ||
               ask_checked(remote, &line, deadline, &why) < 0) {
        tell_gather(remote, spank, rendezvous, &refusal);
    } else if (take_answer(&refusal, line, "checked", true) == 0) {
        remote->on = true;
    } else if (refusal.quiet) {
        fail_quietly(remote, refusal.code, refusal.sentence);
    } else {
        tell_gather(remote, spank, rendezvous, &refusal);
    }
    free(line);
    text_fini(&request);
    if (!remote->on)
        helper_stop(&remote->node, 100, true);
}

/* The token and the settings are for us, not for the program; so is a SLURM_KILL_BAD_EXIT of ours.
 */
static void clean_environment(spank_t spank, bool kill_is_ours)
{
    static const char *const ours[] = {VARIABLE_SETTINGS, VARIABLE_RENDEZVOUS, VARIABLE_COMPONENTS,
                                       VARIABLE_KILL, VARIABLE_BOUND};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        spank_unsetenv(spank, ours[i]);
    if (kill_is_ours)
        spank_unsetenv(spank, "SLURM_KILL_BAD_EXIT");
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

void stepd_user_init(struct plugin *plugin, spank_t spank)
{
    struct remote *remote = &plugin->remote;
    struct sentence why;
    char **job_environ = NULL;
    if (spank_get_item(spank, S_JOB_ENV, &job_environ) != ESPANK_SUCCESS || !job_environ)
        return;
    char *settings = copy(environ_get(job_environ, VARIABLE_SETTINGS));
    char *rendezvous = copy(environ_get(job_environ, VARIABLE_RENDEZVOUS));
    if (!settings && !asked_elsewhere(remote, job_environ))
        goto out;

    remote->node_name = node_name();
    remote->bound = copy(environ_get(job_environ, VARIABLE_BOUND));
    request_component(remote, spank, job_environ);
    spank_get_item(spank, S_JOB_LOCAL_TASK_COUNT, &remote->tasks);
    clean_environment(spank, environ_get(job_environ, VARIABLE_KILL) != NULL);
    spank_get_item(spank, S_JOB_ENV, &job_environ); /* may have moved */
    if (!settings) {
        fail(remote, DT_EXIT_UNVALIDATED,
             "validation was asked for, but srun did not start it: the plugin is missing in the "
             "plugstack.conf of the machine where srun ran");
    } else if (options_parse(&plugin->options, settings, &why) < 0) {
        fail(remote, DT_EXIT_USAGE, why.text);
    } else if (!options_off(&plugin->options, SETTING_VALIDATE) && !rendezvous) {
        fail(remote, DT_EXIT_UNVALIDATED,
             "validation was asked for, but SLURM_DT_RENDEZVOUS did not reach this node");
    } else {
        remote->shim = !options_off(&plugin->options, SETTING_SHIM);
        if (options_active(&plugin->options))
            check_node(plugin, spank, rendezvous, job_environ);
    }
out:
    free(settings);
    free(rendezvous);
}

/* Look the plan over here, so that a broken one is told of once and not by every rank. */
static void check_plan(struct remote *remote)
{
    struct apply apply = {.local = 0};
    struct sentence why;
    struct stat st;
    if (fstat(remote->plan, &st) < 0 || st.st_size <= 0) {
        fail(remote, DT_EXIT_HELPER, "dt-node said 'planned' and wrote no plan");
        return;
    }
    size_t len = (size_t)st.st_size;
    void *plan = mmap(NULL, len, PROT_READ, MAP_PRIVATE, remote->plan, 0);
    if (plan == MAP_FAILED) {
        fail(remote, DT_EXIT_HELPER, "the plan can not be read");
        return;
    }
    if (plan_apply(&apply, plan, len, NULL, &why) != 0)
        fail(remote, DT_EXIT_HELPER, why.text);
    munmap(plan, len);
}

/* All masks are known: let dt-node make the plan. */
static void ask_plan(struct remote *remote)
{
    struct text masks = {0};
    struct sentence why;
    struct refusal refusal;
    char *line = NULL;
    long long deadline = now_ms() + PLAN_MS;
    for (uint32_t task = 0; task < remote->tasks; task++) {
        text_printf(&masks, "mask %u ", task);
        cpus_format(&masks, &remote->masks[task]);
        text_printf(&masks, " %d\n", (int)remote->pids[task]);
    }
    text_puts(&masks, "end\n");
    if (helper_tell(&remote->node, &masks, deadline, &why) < 0 ||
        helper_ask(&remote->node, &line, deadline, &why) < 0)
        fail(remote, DT_EXIT_HELPER, why.text);
    else if (take_answer(&refusal, line, "planned", false) < 0)
        fail(remote, refusal.code, refusal.sentence);
    else
        check_plan(remote);
    free(line);
    text_fini(&masks);
    /* Its work is done; slurmstepd waits for its children by any pid, so leave none behind. */
    helper_stop(&remote->node, 100, true);
    if (remote->fail_code)
        refuse_in_plan(remote);
    else
        remote->ran = true;
}

void stepd_task_post_fork(struct plugin *plugin, spank_t spank)
{
    struct remote *remote = &plugin->remote;
    int task = -1, error;
    pid_t pid = 0;
    struct sentence why;
    if (spank_get_item(spank, S_TASK_ID, &task) != ESPANK_SUCCESS || task < 0 ||
        (uint32_t)task >= remote->tasks || remote->masks[task].set)
        return;
    spank_get_item(spank, S_TASK_PID, &pid);
    remote->pids[task] = pid;
    error = cpus_of_task(&remote->masks[task], pid);
    if (error) {
        snprintf(why.text, sizeof why.text, "the CPU mask of task %d can not be read: %s", task,
                 strerror(-error));
        fail(remote, DT_EXIT_APPLY, why.text);
        helper_stop(&remote->node, 0, true);
        refuse_in_plan(remote);
    } else if (++remote->forked == remote->tasks) {
        ask_plan(remote);
    }
}

void stepd_task_exit(struct plugin *plugin, spank_t spank)
{
    int status = 0;
    if (spank_get_item(spank, S_TASK_EXIT_STATUS, &status) == ESPANK_SUCCESS && status)
        plugin->remote.task_failed = true;
}

/* 0: dt-node has answered with a line. */
static int ask_end(const struct plugin *plugin, char *step, long long deadline, char **line,
                   struct sentence *why)
{
    struct helper node = HELPER_INIT;
    struct text config = {0};
    char *argv[6] = {(char *)"dt-node", (char *)"--step-end", step};
    char *node_environ[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C", NULL};
    size_t count = 3;
    if (plugin->remote.task_failed)
        argv[count++] = (char *)"--failed";
    if (plugin->options.config) {
        text_printf(&config, "--config=%s", plugin->options.config);
        argv[count++] = config.data;
    }
    struct helper_start start = {.directory = plugin->options.helpers,
                                 .name = "dt-node",
                                 .argv = argv,
                                 .environ = node_environ,
                                 .plan = -1,
                                 .aside = true,
                                 .as_root = true,
                                 .owner = 0};
    int rc = helper_start(&node, &start, why);
    if (rc == 0)
        rc = helper_ask(&node, line, deadline, why);
    helper_stop(&node, 100, true);
    text_fini(&config);
    return rc;
}

/* dt-node keeps what the step leaves on the node: counters, and that it has ended. Its tasks are gone,
 * and srun knows; what goes wrong is for slurmd's log. A step that is killed may take dt-node with it,
 * since that is slurmstepd's child: so it is asked twice. */
static void keep_end(const struct plugin *plugin, spank_t spank)
{
    struct sentence why;
    char step[32], *line = NULL;
    long long deadline = now_ms() + STEP_END_MS;
    snprintf(step, sizeof step, "%u.%u", item(spank, S_JOB_ID), item(spank, S_JOB_STEPID));
    int rc = ask_end(plugin, step, deadline, &line, &why);
    if (rc < 0 && now_ms() < deadline)
        rc = ask_end(plugin, step, deadline, &line, &why);
    if (rc < 0)
        slurm_info("dt: what step %s left on this node is not kept: %s", step, why.text);
    else if (line && strcmp(line, "saved") != 0)
        slurm_info("dt: what step %s left on this node: %s", step, line);
    free(line);
}

void stepd_exit(struct plugin *plugin, spank_t spank)
{
    struct remote *remote = &plugin->remote;
    helper_stop(&remote->node, 0, true);
    if (remote->ran)
        keep_end(plugin, spank);
    for (uint32_t task = 0; remote->masks && task < remote->tasks; task++)
        cpus_fini(&remote->masks[task]);
    free(remote->masks);
    free(remote->pids);
    free(remote->node_name);
    free(remote->bound);
    if (remote->plan >= 0)
        close(remote->plan);
    if (remote->port >= 0)
        close(remote->port);
    *remote = (struct remote){.plan = -1, .port = -1, .node = HELPER_INIT};
}
