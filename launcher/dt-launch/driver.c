/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's life: validate all, run a step on good nodes, learn why it ended, and so on until the program
 * has ended, its failure is final, or too few good nodes are left. Everything it does is one line. */
#include "driver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "driver_internal.h"
#include "loop.h"
#include "prepare.h"
#include "requeue.h"
#include "superior.h"

/* When the lead has told how the job ended and has left, as the last of the agents, srun has so long (s) to end: it
 * waits for ever for the slurmstepd of a dead node. Then it gets SIGTERM, by which it ends the step, and as long
 * after that SIGKILL. */
#define END_S 2.0
/* A lead that has told the cause, and stays, has so long (s) beyond --kill-grace. */
#define LEAVE_S 15.0
/* Slurm ends a job that was requeued within this time (s). */
#define REQUEUE_S 60
#define HYPERPOD  "/opt/sagemaker_cluster"

/* ---- may we? ------------------------------------------------------------------------------- */

static bool in_step(void)
{
    const char *step = getenv("SLURM_STEP_ID");
    return step && atoll(step) < DT_STEP_FIRST_OWN;
}

int dt_driver_wanted(const struct dt_options *options, bool *wanted, struct dt_error *err)
{
    const char *job = getenv("SLURM_JOB_ID");
    const struct dt_place place = {.in_step = true, .job = job ? atoll(job) : -1};
    const char *option = options->driver.nodes ? "--nodes" : "--spares";
    int unused;
    *wanted = options->driver.nodes || options->driver.wanted;
    if (!*wanted)
        return 0;
    if (in_step()) {
        *wanted = false;
        return dt_superior_present(&place, &unused)
                   ? 0
                   : dt_error_set(
                         err,
                         "%s makes dt-launch start steps by srun, but it runs in one: type "
                         "dt-launch without srun in the batch script, or drop %s",
                         option, option);
    }
    const char *nodes = getenv("SLURM_JOB_NODELIST");
    if (!job || !nodes || !*nodes)
        return dt_error_set(
            err,
            "%s needs an allocation of Slurm, and this is none: type it in a script "
            "for sbatch, or in a shell of salloc",
            option);
    if (options->nproc == DT_NPROC_UNSET && !options->per_task)
        return dt_error_set(err,
                            "%s needs --nproc-per-node, how many processes each node gets; or, for "
                            "programs of MPI, --per-task",
                            option);
    if (options->driver.owner == DT_OWNER_HYPERPOD && options->driver.spares)
        return dt_error_set(err,
                            "--spares and --restart-owner hyperpod contradict each other: either "
                            "dt-launch replaces a node, or HyperPod does");
    return 0;
}

static bool hyperpod_replaces(const struct dt_driver_options *options)
{
    struct stat st;
    if (options->owner != DT_OWNER_AUTO)
        return options->owner == DT_OWNER_HYPERPOD;
    return options->spares == 0 && stat(HYPERPOD, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- running srun -------------------------------------------------------------------------- */

static void take_signals(struct driver *driver, pid_t srun)
{
    struct signalfd_siginfo info;
    while (read(driver->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGCHLD)
            continue;
        if (dt_is_stop(number))
            driver->stopped = number;
        /* A terminal gives it to srun as well, and so does a Slurm that signals every process. */
        bool has_it = info.ssi_code == SI_KERNEL ||
                      (driver->slurm_signals_all && (pid_t)info.ssi_pid == driver->starter);
        if (srun > 0 && !has_it)
            kill(srun, number);
    }
}

/* Returns the exit code of srun. */
static int wait_for(struct driver *driver, pid_t srun)
{
    double term_at = 0, kill_at = 0;
    int status;
    while (waitpid(srun, &status, WNOHANG) != srun) {
        struct pollfd fds[] = {{.fd = driver->signals, .events = POLLIN},
                               {.fd = dt_listener_fd(driver->listener), .events = POLLIN}};
        poll(fds, 2, 1000);
        take_signals(driver, srun);
        dt_listener_work(driver->listener, &driver->told);
        double now = dt_now();
        if (driver->told.heard && term_at <= 0)
            term_at = now + driver->options->kill_grace_s + LEAVE_S;
        if (driver->told.left && kill_at <= 0 && term_at > now + END_S)
            term_at = now + END_S;
        if (term_at > 0 && now >= term_at && kill_at <= 0) {
            kill(srun, SIGTERM);
            kill_at = now + END_S;
        } else if (kill_at > 0 && now >= kill_at) {
            kill(srun, SIGKILL);
        }
    }
    dt_listener_work(driver->listener, &driver->told); /* what came last */
    return kill_at > 0 ? driver->told.code : dt_status_code(status);
}

static int run_step(struct driver *driver, int count, bool program, struct dt_error *err)
{
    char *where = program ? dt_listener_text(driver->listener, driver->restarts) : NULL;
    const struct dt_step step = {.options = driver->options,
                                 .nodes = driver->spares.chosen,
                                 .node_count = count,
                                 .driver = where,
                                 .report = driver->report[0] ? driver->report : NULL,
                                 .hyperpod = driver->hyperpod,
                                 .argv = driver->argv};
    dt_told_fini(&driver->told);
    driver->told.restarts = driver->restarts;
    pid_t srun = program && !where ? -1 : dt_step_start(&step, err);
    free(where);
    return srun < 0 ? -1 : wait_for(driver, srun);
}

/* ---- the job ------------------------------------------------------------------------------- */

static void say_step(struct driver *driver, int count)
{
    int left = dt_spares_good(&driver->spares) - count;
    char *list = dt_hostlist_compress(driver->spares.chosen, (size_t)count);
    char *bad = dt_spares_bad(&driver->spares);
    dprintf(STDERR_FILENO, "dt-launch: %s on %d node%s %s, %d spare%s%s%s\n",
            driver->restarts ? "starting again" : "starting", count, count == 1 ? "" : "s",
            list ? list : "", left, left == 1 ? "" : "s", bad && *bad ? "; left out: " : "",
            bad ? bad : "");
    free(list);
    free(bad);
}

static int too_few(struct driver *driver)
{
    char *bad = dt_spares_bad(&driver->spares);
    const struct dt_place place = {.job = driver->job};
    struct dt_error err = {""};
    dprintf(STDERR_FILENO,
            "dt-launch: %d good node(s) of this allocation are left, and %d are needed; bad: %s\n",
            dt_spares_good(&driver->spares), driver->spares.least, bad ? bad : "?");
    if (driver->options->driver.requeue && dt_requeue(&place, bad, &err)) {
        dt_driver_warn("the job can not be requeued", &err);
    } else if (driver->options->driver.requeue) {
        dprintf(STDERR_FILENO, "dt-launch: job %lld is requeued without %s\n", driver->job,
                bad ? bad : "?");
        for (int i = 0; i < REQUEUE_S && !driver->stopped; i++) {
            struct pollfd fd = {.fd = driver->signals, .events = POLLIN};
            poll(&fd, 1, 1000);
            take_signals(driver, 0);
        }
    }
    free(bad);
    return DT_EXIT_NODES;
}

/* Before the program: every node that may ever be used. Returns 0, or the exit code to end with. */
static int validate_all(struct driver *driver, struct dt_error *err)
{
    int count = dt_spares_choose(&driver->spares, true);
    int code = count < 0 ? 0 : run_step(driver, count, false, err);
    if (code <= 0 || driver->stopped)
        return driver->stopped ? DT_EXIT_SIGNAL + driver->stopped : code;
    return (code == DT_EXIT_UNFIT || code == DT_EXIT_INCOMPLETE) &&
                   dt_driver_reject_unfit(driver) > 0
               ? 0
               : code;
}

static bool may_replace(struct driver *driver)
{
    int most = dt_restarts_max(driver->options);
    driver->restarts = driver->told.restarts;
    if (driver->restarts < most) {
        driver->restarts++;
        return true;
    }
    dprintf(STDERR_FILENO, "dt-launch: no restart: all %d of --%s were used\n", most,
            driver->options->max_restarts         ? "max-restarts"
            : driver->options->driver.nodes_least ? "nodes and --spares"
                                                  : "spares");
    return false;
}

/* A rank that srun has started failed, and no node is bad. */
static bool may_repeat(struct driver *driver, int code)
{
    const struct dt_options *options = driver->options;
    double delay = 0;
    if (!options->per_task || code == DT_EXIT_CHECKPOINTED ||
        !dt_again_wanted(&driver->again, options, code, driver->restarts, &delay))
        return false;
    driver->restarts++;
    for (double until = dt_now() + delay, now; !driver->stopped && (now = dt_now()) < until;) {
        struct pollfd fd = {.fd = driver->signals, .events = POLLIN};
        poll(&fd, 1, (int)((until - now) * 1000) + 1);
        take_signals(driver, 0);
    }
    return true;
}

/* Returns the exit code, or -1 with err. */
static int run_steps(struct driver *driver, struct dt_error *err)
{
    for (;;) {
        int count = dt_spares_choose(&driver->spares, false);
        if (count < 0)
            return too_few(driver);
        say_step(driver, count);
        dt_again_begin(&driver->again, driver->options);
        int code = run_step(driver, count, true, err);
        if (code <= 0 || driver->stopped || driver->hyperpod)
            return code;
        bool refused = !driver->told.heard && (code == DT_EXIT_UNFIT || code == DT_EXIT_INCOMPLETE);
        if (dt_driver_reject(driver, code, count) == 0) {
            if (!may_repeat(driver, code) || driver->stopped)
                return code;
            continue;
        }
        if (!refused && !may_replace(driver)) /* what was refused had not begun */
            return code;
    }
}

/* ---- making ready -------------------------------------------------------------------------- */

static int open_report(struct driver *driver, struct dt_error *err)
{
    const char *own = getenv("DT_REPORT");
    driver->validates = dt_guard_asked() != NULL;
    if (!driver->validates || (own && *own))
        return 0;
    snprintf(driver->report, sizeof driver->report, "/tmp/dt-launch.report.XXXXXX");
    int fd = mkstemp(driver->report);
    if (fd < 0)
        return dt_error_set(err,
                            "a file for the report of the validation can not be made in /tmp: %s",
                            strerror(errno));
    close(fd);
    return 0;
}

static int open_signals(struct driver *driver, struct dt_error *err)
{
    sigset_t set;
    dt_signal_set(&set);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    driver->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return driver->signals < 0 ? dt_error_set(err, "signalfd: %s", strerror(errno)) : 0;
}

static int begin(struct driver *driver, struct dt_error *err)
{
    const struct dt_driver_options *options = &driver->options->driver;
    char *srun = NULL;
    int code;
    if (dt_program_find("srun", &srun, &code, err))
        return dt_error_prefix(err, "--nodes");
    free(srun);
    return dt_spares_begin(&driver->spares, getenv("SLURM_JOB_NODELIST"), options->nodelist,
                           options->exclude, options->nodes_least, options->nodes, options->spares,
                           err);
}

int dt_driver_run(const struct dt_options *options, char **argv)
{
    struct dt_error err = {""};
    const char *job = getenv("SLURM_JOB_ID");
    const struct dt_place here = {.in_step = true}; /* a batch script is a step to proctrack */
    struct driver driver = {.options = options,
                            .argv = argv,
                            .job = job ? atoll(job) : -1,
                            .starter = getppid(),
                            .slurm_signals_all = dt_loop_slurm_signals_all(&here),
                            .signals = -1};
    int code = DT_EXIT_USAGE;
    if (begin(&driver, &err) == 0) {
        driver.hyperpod = hyperpod_replaces(&options->driver);
        driver.listener = dt_listener_open(driver.job, &err);
        code =
            !driver.listener || open_signals(&driver, &err) || open_report(&driver, &err) ? -1 : 0;
        if (code == 0 && driver.validates)
            code = validate_all(&driver, &err);
        if (code == 0)
            code = run_steps(&driver, &err);
    }
    if (*err.text)
        dprintf(STDERR_FILENO, "dt-launch: %s\n", err.text);
    if (driver.report[0])
        unlink(driver.report);
    dt_told_fini(&driver.told);
    dt_listener_close(driver.listener);
    dt_again_fini(&driver.again);
    dt_spares_fini(&driver.spares);
    if (driver.signals >= 0)
        close(driver.signals);
    return code < 0 ? DT_EXIT_HELPER : code;
}
