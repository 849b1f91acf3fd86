/* SPDX-License-Identifier: Apache-2.0 */
/* dt-launch: start a training program on this node and stand by it. The order of what is settled.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "checkpoint.h"
#include "compat.h"
#include "driver.h"
#include "ending.h"
#include "options.h"
#include "place.h"
#include "pre.h"
#include "prepare.h"
#include "profile.h"
#include "role_set.h"
#include "shim.h"
#include "show.h"
#include "streams.h"
#include "supervise.h"
#include "ulimits.h"
#include "wait_for.h"

#define PRE_ONCE_S (7 * 86400.0) /* a compilation for a whole cluster may take long */

/* Wait for others to be heard, because srun ends the step at the first exit. Returns false when
 * Slurm is ending the step meanwhile; the signal is swallowed, so that our own exit code stays. */
static bool give_way(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    return sigtimedwait(&stop, NULL, &time) < 0;
}

/* An error that all ranks share is said by rank 0. */
static bool speaks(bool everywhere)
{
    const char *rank = getenv("SLURM_STEP_ID") ? getenv("SLURM_PROCID") : NULL;
    return !everywhere || !rank || !*rank || strcmp(rank, "0") == 0;
}

static int complain(bool everywhere, int code, const struct dt_error *err)
{
    if (speaks(everywhere))
        dprintf(STDERR_FILENO, "dt-launch: %s\n", err->text);
    else
        give_way(300);
    return code;
}

/* What holds for a node is said by its first task; rank 0's node first, for it may hold for all. */
static int complain_node(const struct dt_place *place, int code, const struct dt_error *err)
{
    if (place->local_rank > 0)
        give_way(600);
    else if (place->node_rank == 0 || !place->in_step || give_way(300))
        dprintf(STDERR_FILENO, "dt-launch: %s (node %s)\n", err->text, place->node_name);
    return code;
}

/* The first rank of the job tells the user what there is to tell. */
static int prepare_worker(struct dt_worker *worker, const struct dt_job *job,
                          const struct dt_master *master, const struct dt_binding *binding,
                          int index, struct dt_error *err)
{
    struct dt_injection injection;
    if (dt_injection_find(&injection, job->options->env, worker->local_rank, worker->rank == 0))
        return dt_error_set(err, "out of memory");
    int result = dt_rank_environ(&worker->env, job->place, master, &injection, binding,
                                 job->options, index, err);
    dt_injection_fini(&injection);
    worker->bind = dt_binding_target(binding, index);
    if (result == 0)
        dt_compat_apply(&worker->env, job->compat, job->options);
    if (worker->env.failed)
        return dt_error_set(err, "out of memory");
    if (result == 0)
        dt_python_hook_apply(&worker->env, job->hook, worker->rank, worker->local_rank);
    if (result == 0 && worker->error_file)
        dt_environ_set(&worker->env, "TORCHELASTIC_ERROR_FILE", "%s", worker->error_file);
    return result;
}

/* Build each rank's environment, then start them, or show them. */
static int launch(struct dt_job *job, const struct dt_master *master,
                  const struct dt_binding *binding)
{
    struct dt_error_files files = {NULL};
    struct dt_python_hook hook = {0};
    struct dt_error err = {""};
    int count = job->place->processes, ready = 0, code = DT_EXIT_HELPER;
    job->workers = calloc((size_t)count, sizeof *job->workers);
    if (!job->workers) {
        dt_error_set(&err, "out of memory");
        return complain_node(job->place, code, &err);
    }
    if (job->place->shape == DT_SHAPE_FANOUT && !job->options->dry_run)
        dt_error_files_create(&files);
    if (!job->options->dry_run)
        dt_python_hook_create(&hook, job->options);
    job->hook = &hook;
    for (; ready < count; ready++) {
        struct dt_worker *worker = &job->workers[ready];
        worker->rank = job->place->rank + ready;
        worker->local_rank = job->place->local_rank + ready;
        worker->error_file = dt_error_files_path(&files, worker->local_rank);

        if (!job->refusal && !job->roles &&
            dt_profile_command(&worker->argv, &worker->path, job->options, job->place, worker->rank,
                               &job->refusal_code, &job->late))
            job->refusal = &job->late;
        if (!job->refusal && job->options->local_rank_argument &&
            dt_shim_rank_command(&worker->argv, &worker->path, job->options, worker->local_rank,
                                 &job->refusal_code, &job->late))
            job->refusal = &job->late;
        if (prepare_worker(worker, job, master, binding, ready, &err)) {
            complain_node(job->place, code, &err);
            goto out;
        }
        if (job->roles && dt_role_set_worker(job->roles, job->place, ready, worker, &job->late)) {
            job->refusal = &job->late;
            job->refusal_code = DT_EXIT_USAGE;
        }
    }
    code = !job->options->dry_run     ? dt_supervise(job)
           : job->options->doctor < 0 ? dt_show_ranks(job)
                                      : dt_show_doctor(job);
out:
    for (int i = 0; i < ready; i++)
        dt_environ_fini(&job->workers[i].env);
    for (int i = 0; i < count; i++) {
        free(job->workers[i].error_file);
        dt_profile_free(job->workers[i].argv, job->workers[i].path);
    }
    dt_error_files_remove(&files, count);
    dt_python_hook_remove(&hook);
    job->hook = NULL;
    free(job->workers);
    return code;
}

/* One dt-launch for each node of the job; for any other kind each stands for itself. */
static struct dt_session *open_session(const struct dt_job *job, struct dt_master *master,
                                       struct dt_error *err)
{
    bool member = master->serves && job->place->node_rank > 0 && !job->options->dry_run;
    return member ? dt_session_member(job->place, master, err)
                  : dt_session_lead(job->place, master, err);
}

/* What this node alone may lack: its verdict, the program, a plan. Returns 0, or the exit code. */
static int prepare(struct dt_job *job, char **path, struct dt_binding *binding,
                   struct dt_error *err)
{
    int code = DT_EXIT_UNVALIDATED;
    if (dt_guard_verdict(job->place, err) ||
        (!job->roles && dt_program_find(job->options->program[0], path, &code, err)))
        return code;
    if (dt_streams_check(job->options, job->place, err))
        return DT_EXIT_USAGE;
    if (dt_binding_find(binding, job->options, job->place, err))
        return DT_EXIT_USAGE;
    if (dt_ulimits_check(job->options->extras.ulimits, job->options->extras.ulimit_count, err))
        return DT_EXIT_APPLY;
    if (!job->options->dry_run && dt_pre_run(job->options, job->place, &code, err))
        return code;
    if (!job->options->dry_run && dt_compat_hostfile(job->options, job->place, err))
        return DT_EXIT_USAGE;
    if (!job->options->dry_run && dt_wait_for(job->options, err))
        return DT_EXIT_HELPER;
    if (!job->options->dry_run)
        dt_prewarm(job->options, job->place);
    return 0;
}

/* One job of several nodes: what fails on one of them is told to its lead, which ends the others. */
static bool is_joint(const struct dt_options *options, const struct dt_place *place)
{
    return dt_place_serves(place, options) && place->node_count > 1 && !options->dry_run;
}

static int run_session(struct dt_job *job, struct dt_master *master,
                       const struct dt_binding *binding)
{
    struct dt_error err = {""};
    if (dt_events_open(&job->events, job->options, job->place, &err) ||
        dt_metrics_open(&job->metrics, job->options, job->place, &err))
        return complain_node(job->place, DT_EXIT_USAGE, &err);
    job->session = open_session(job, master, &err);
    int code = job->session ? launch(job, master, binding)
                            : complain_node(job->place, DT_EXIT_HELPER, &err);
    dt_session_close(job->session);
    dt_events_close(job->events, code);
    dt_metrics_close(job->metrics);
    return code;
}

/* What the command line, the environment and the files that they name say. */
struct inputs {
    struct dt_options options;
    struct dt_compat compat;
    struct dt_role_set *roles; /* NULL: one program for all */
    struct dt_place place;
    bool drive;      /* the steps are started from here */
    bool everywhere; /* a mistake is the same on all ranks */
};

static int read_inputs(struct inputs *in, const struct dt_shim *shim, struct dt_error *err)
{
    struct dt_options *options = &in->options;
    *in = (struct inputs){.everywhere = true};
    if (dt_options_parse(options, shim->argc, shim->argv, err) ||
        dt_driver_wanted(options, &in->drive, err))
        return -1;
    dt_shim_settle(shim, options);
    if (in->drive)
        return 0;
    if (dt_role_set_open(&in->roles, options, err) || dt_compat_open(&in->compat, options, err) ||
        dt_python_program(options, err) ||
        dt_place_find(&in->place, options, &in->everywhere, err) ||
        (in->roles && dt_role_set_settle(in->roles, &in->place, err)) ||
        dt_checkpoint_check(options, &in->place, err) || dt_pre_check(options, &in->place, err))
        return -1;
    return 0;
}

static void free_inputs(struct inputs *in)
{
    dt_place_fini(&in->place);
    dt_role_set_close(in->roles);
    dt_compat_close(&in->compat);
    dt_options_fini(&in->options);
}

static int prepare_and_launch(const struct inputs *in, const struct dt_keeper *keeper)
{
    struct dt_error err = {""}, refusal = {""};
    const struct dt_options *options = &in->options;
    const struct dt_place *place = &in->place;
    struct dt_master master = {.hold = -1};
    struct dt_binding binding = {0};
    struct dt_job job = {.options = options,
                         .place = place,
                         .roles = in->roles,
                         .compat = &in->compat,
                         .keeper = *keeper};
    char *path = NULL;
    int code = prepare(&job, &path, &binding, &refusal);
    if (code && !is_joint(options, place)) {
        complain_node(place, code, &refusal);
    } else if (dt_master_find(&master, place, options, &err)) {
        code = complain_node(place, DT_EXIT_USAGE, &err);
    } else {
        job.path = path;
        job.refusal = code ? &refusal : NULL;
        job.refusal_code = code;
        master.patience_s = options->extras.pre_once ? PRE_ONCE_S : 0;
        code = run_session(&job, &master, &binding);
    }
    dt_master_fini(&master);
    dt_binding_fini(&binding);
    free(path);
    return code;
}

/* The kernel's table of descriptors grows in steps, and waits for all CPUs (some 10 ms) where threads
 * share it: so it grows once, before there is a second thread. */
static void make_room_for_descriptors(void)
{
    enum { MANY = 1000 };
    int high = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, MANY);
    if (high >= 0)
        close(high);
}

int main(int argc, char **argv)
{
    struct inputs in = {.everywhere = true};
    struct dt_shim shim;
    struct dt_keeper keeper = {.starter = getppid(), .alive = -1};
    struct dt_error err = {""};
    int code;
    if (dt_shim_open(&shim, argc, argv, &err) || read_inputs(&in, &shim, &err)) {
        if (shim.tool)
            dt_shim_give_way(&shim, argv, speaks(in.everywhere), &err);
        code = complain(in.everywhere, DT_EXIT_USAGE, &err);
    } else if (in.drive) {
        code = dt_driver_run(&in.options, argv);
    } else {
        if (in.place.shape == DT_SHAPE_FANOUT && !in.options.dry_run)
            dt_keeper_split(&keeper, &in.place);
        make_room_for_descriptors(); /* a child's is small again */
        code = prepare_and_launch(&in, &keeper);
    }
    free_inputs(&in);
    dt_shim_close(&shim);
    return code;
}
