/* SPDX-License-Identifier: Apache-2.0 */
/* dt-slurm: what dt-launch asks of Slurm's controller. It links libslurm, so that dt-launch itself
 * is static and runs where no Slurm is. A helper, not a command for users.
 *
 *   dt-slurm end-time JOB                    prints when the job's time is over, seconds since 1970
 *   dt-slurm preempted JOB                   prints "yes" if it runs, told to make way for another job
 *   dt-slurm requeue [--exclude NODES] JOB   puts the batch job back into the queue
 *   dt-slurm give-back end|requeue JOB       the same, or ends it, where Slurm says that the node of its script is lost
 *   dt-slurm drain NODES REASON              drains them
 *   dt-slurm down NODES                      prints which of the nodes are down, failing or silent
 *   dt-slurm unfit FILE                      prints which nodes a report of the validation leaves out
 *
 * It answers on standard output. Exit code 0: done; 1: Slurm refused, and why is what it printed. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "base/hostlist.h"
#include "version.h"

/* A job that was requeued is killed, and takes nodes to exclude once it is pending. */
#define TRIES    100
#define PAUSE_MS 100

static int refused(const char *what, unsigned job)
{
    printf("Slurm does not %s job %u: %s\n", what, job, slurm_strerror(errno));
    return 1;
}

static int end_time(unsigned job)
{
    time_t end = 0;
    if (slurm_get_end_time(job, &end))
        return refused("tell the end of", job);
    printf("%lld\n", (long long)end);
    return 0;
}

/* One that was cancelled is not preempted any more: it is to stay away. */
static int preempted(unsigned job)
{
    job_info_msg_t *info = NULL;
    if (slurm_load_job(&info, job, SHOW_ALL) || !info->record_count)
        return refused("tell of", job);
    const slurm_job_info_t *found = &info->job_array[0];
    bool runs = (found->job_state & JOB_STATE_BASE) == JOB_RUNNING;
    printf("%s\n", runs && found->preempt_time ? "yes" : "no");
    slurm_free_job_info_msg(info);
    return 0;
}

static int exclude(unsigned job, char *nodes)
{
    job_desc_msg_t change;
    slurm_init_job_desc_msg(&change);
    change.job_id = job;
    change.exc_nodes = nodes;
    for (int i = 0; i < TRIES; i++) {
        if (slurm_update_job(&change) == SLURM_SUCCESS)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    return refused("exclude nodes from", job);
}

/* What the job excludes already, and these. Caller frees; NULL: no memory. */
static char *join_excluded(unsigned job, const char *nodes)
{
    job_info_msg_t *info = NULL;
    struct dt_buf text = DT_BUF_INIT;
    if (slurm_load_job(&info, job, SHOW_ALL) == SLURM_SUCCESS && info->record_count &&
        info->job_array[0].exc_nodes && *info->job_array[0].exc_nodes)
        dt_buf_printf(&text, "%s,", info->job_array[0].exc_nodes);
    if (info)
        slurm_free_job_info_msg(info);
    dt_buf_puts(&text, nodes);
    return dt_buf_take(&text);
}

static int requeue(unsigned job, const char *more)
{
    char *nodes = more ? join_excluded(job, more) : NULL;
    /* From here on Slurm ends this process too, gently at first. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (slurm_requeue(job, 0))
        return refused("requeue", job);
    int result = nodes ? exclude(job, nodes) : 0;
    free(nodes);
    return result;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static bool is_down(char *name)
{
    node_info_msg_t *info = NULL;
    bool down = true; /* a node that Slurm does not know is no node to run on */
    if (slurm_load_node_single(&info, name, SHOW_ALL) == SLURM_SUCCESS && info->record_count == 1) {
        uint32_t state = info->node_array[0].node_state;
        down = (state & NODE_STATE_BASE) == NODE_STATE_DOWN ||
               state & (NODE_STATE_FAIL | NODE_STATE_NO_RESPOND);
    }
    if (info)
        slurm_free_node_info_msg(info);
    return down;
}

/* A job with --no-kill goes on without the node of its script, and nothing is left that could end it. */
static bool has_lost_script(const slurm_job_info_t *job)
{
    struct dt_hostlist nodes;
    bool there = false;
    if (dt_hostlist_parse(&nodes, job->nodes, NULL))
        return false;
    for (size_t i = 0; i < nodes.count && !there; i++)
        there = strcmp(nodes.names[i], job->batch_host) == 0;
    dt_hostlist_fini(&nodes);
    return !there || is_down(job->batch_host);
}

static bool runs(const slurm_job_info_t *job)
{
    return (job->job_state & JOB_STATE_BASE) == JOB_RUNNING && job->batch_flag && job->batch_host &&
           job->nodes;
}

static bool still_runs(unsigned job)
{
    job_info_msg_t *info = NULL;
    bool yes = slurm_load_job(&info, job, SHOW_ALL) == SLURM_SUCCESS && info->record_count &&
               runs(&info->job_array[0]);
    if (info)
        slurm_free_job_info_msg(info);
    return yes;
}

/* Where Slurm does not let a job be requeued it is ended; why stands in its comment. All nodes of the job may ask
 * for this at one moment. */
static int end_or_requeue(const slurm_job_info_t *job, bool again)
{
    char why[256];
    job_desc_msg_t change;
    snprintf(why, sizeof why, "dt-launch: node %s with the batch script was lost", job->batch_host);
    slurm_init_job_desc_msg(&change);
    change.job_id = job->job_id;
    change.comment = why;
    (void)slurm_update_job(&change);
    signal(SIGTERM, SIG_IGN); /* Slurm now ends this process, too */
    if (again && slurm_requeue(job->job_id, 0) == SLURM_SUCCESS)
        return exclude(job->job_id, job->batch_host);
    if (!still_runs(job->job_id))
        return 0;
    return slurm_kill_job(job->job_id, SIGKILL, KILL_FULL_JOB) ? refused("end", job->job_id) : 0;
}

/* Prints "no" as long as the node may still be good, "yes" when nothing is left to do. */
static int give_back(unsigned job, bool again)
{
    job_info_msg_t *info = NULL;
    if (slurm_load_job(&info, job, SHOW_ALL) || !info->record_count)
        return refused("tell of", job);
    const slurm_job_info_t *found = &info->job_array[0];
    bool good = runs(found) && !has_lost_script(found);
    int result = runs(found) && !good ? end_or_requeue(found, again) : 0;
    if (result == 0)
        printf("%s\n", good ? "no" : "yes");
    slurm_free_job_info_msg(info);
    return result;
}

static int wrong(int code, const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "dt-slurm: %s: %s\n", what, why);
    return code;
}

static int down(const char *list)
{
    struct dt_hostlist nodes;
    struct dt_error err;
    if (dt_hostlist_parse(&nodes, list, &err))
        return wrong(DT_EXIT_USAGE, list, err.text);
    size_t count = 0;
    for (size_t i = 0; i < nodes.count; i++) {
        char *name = nodes.names[i];
        if (!is_down(name))
            continue;
        nodes.names[i] = nodes.names[count];
        nodes.names[count++] = name;
    }
    char *text = count ? dt_hostlist_compress(nodes.names, count) : NULL;
    printf("%s\n", text ? text : "");
    free(text);
    dt_hostlist_fini(&nodes);
    return fflush(stdout) ? DT_EXIT_REPORT : 0;
}

static int drain(char *nodes, char *reason)
{
    update_node_msg_t change;
    slurm_init_update_node_msg(&change);
    change.node_names = nodes;
    change.node_state = NODE_STATE_DRAIN;
    change.reason = reason;
    change.reason_uid = getuid();
    if (slurm_update_node(&change) == SLURM_SUCCESS)
        return 0;
    printf("Slurm does not drain %s: %s\n", nodes, slurm_strerror(errno));
    return 1;
}

static int unfit(const char *path)
{
    json_error_t why;
    json_t *report = json_load_file(path, 0, &why);
    if (!report)
        return wrong(DT_EXIT_CONFIG, path, why.text);
    json_t *verdict = json_object_get(report, "verdict");
    const char *list = json_string_value(json_object_get(verdict, "exclude"));
    printf("%s\n", list ? list : "");
    json_decref(report);
    return fflush(stdout) ? DT_EXIT_REPORT : 0;
}

/* ---- the command line ---------------------------------------------------------------------- */

static int do_end_time(char **words, unsigned job)
{
    (void)words;
    return end_time(job);
}

static int do_preempted(char **words, unsigned job)
{
    (void)words;
    return preempted(job);
}

static int do_requeue(char **words, unsigned job)
{
    return requeue(job, strcmp(words[0], "--exclude") == 0 ? words[1] : NULL);
}

static int do_give_back(char **words, unsigned job)
{
    return give_back(job, strcmp(words[0], "requeue") == 0);
}

static int do_drain(char **words, unsigned job)
{
    (void)job;
    return drain(words[0], words[1]);
}

static int do_down(char **words, unsigned job)
{
    (void)job;
    return down(words[0]);
}

static int do_unfit(char **words, unsigned job)
{
    (void)job;
    return unfit(words[0]);
}

struct verb {
    const char *name, *first; /* first: what the first word must be; NULL: anything */
    int words, job;           /* how many, and which is a job; -1: none */
    int (*run)(char **words, unsigned job);
};

static const struct verb verbs[] = {
    {"end-time", NULL, 1, 0, do_end_time},    {"preempted", NULL, 1, 0, do_preempted},
    {"requeue", NULL, 1, 0, do_requeue},      {"requeue", "--exclude", 3, 2, do_requeue},
    {"give-back", "end", 2, 1, do_give_back}, {"give-back", "requeue", 2, 1, do_give_back},
    {"drain", NULL, 2, -1, do_drain},         {"down", NULL, 1, -1, do_down},
    {"unfit", NULL, 1, -1, do_unfit},
};

static const struct verb *find_verb(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const struct verb *verb = &verbs[i];
        if (argc - 2 == verb->words && strcmp(argv[1], verb->name) == 0 &&
            (!verb->first || strcmp(argv[2], verb->first) == 0))
            return verb;
    }
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "Usage: dt-slurm end-time JOB | preempted JOB | requeue [--exclude NODES] JOB "
                    "| give-back end|requeue JOB | drain NODES REASON | down NODES | unfit FILE\n");
    return DT_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    unsigned long job = 0;
    char *end = NULL;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("dt-slurm %s\n", DT_VERSION);
        return 0;
    }
    const struct verb *verb = find_verb(argc, argv);
    if (!verb)
        return usage();
    errno = 0;
    if (verb->job >= 0)
        job = strtoul(argv[2 + verb->job], &end, 10);
    if (verb->job >= 0 && (errno || *end || job == 0 || job > UINT32_MAX))
        return usage();
    if (verb->run != do_unfit) /* that is about a file alone */
        slurm_init(NULL);
    return verb->run(argv + 2, (unsigned)job);
}
