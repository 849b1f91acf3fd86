/* SPDX-License-Identifier: Apache-2.0 */
/* Private to dt-launch's loop: the state of the event loop. */
#ifndef DT_LAUNCH_LOOP_H
#define DT_LAUNCH_LOOP_H

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "arrival.h"
#include "checkpoint.h"
#include "ending.h"
#include "hang.h"
#include "output.h"
#include "restart.h"
#include "superior.h"
#include "supervise.h"

struct loop {
    struct dt_job *job;
    struct dt_output *output;  /* NULL: ranks have our own descriptors */
    struct dt_ranks shown;     /* whose output is shown */
    const char *log_directory; /* NULL: nothing is kept */
    struct dt_relay *relay;    /* to the lead; NULL: we are it, or nothing is folded */
    sigset_t old_mask;
    struct rlimit old_files;
    long long oom_kills;
    int poll;    /* epoll: signals, session, pidfds */
    int signals; /* signalfd */
    pid_t starter;
    bool keeper_lost;             /* killed, so that we must end too */
    struct dt_superior *superior; /* NULL: no driver has started the step */
    bool superior_lost; /* and its node, with which nobody is left who could end the job */
    int left;           /* processes of this attempt that could not be ended; -1: not tried yet */
    bool slurm_signals_all;
    int running;
    bool stopping;   /* a stop signal came from outside */
    bool ending;     /* the ranks are being ended, for whatever reason */
    double ended_at; /* when the last of ours ended */
    double deadline; /* of the next step against the remaining ranks; 0: none */
    bool termed;     /* they have had SIGTERM */
    long long termed_ns;
    /* the first failure of the job */
    struct dt_failure *failures;
    size_t failure_count;
    bool decided;
    bool muted; /* nobody is to be blamed */
    double quiet_until, decide_by;
    int code;      /* what the job ends with, once decided */
    bool reported; /* a member has told the lead that it is done */
    bool lead_lost;
    struct {
        double began, next, at; /* s; when the line was last made */
        long long steps;
    } status;
    struct dt_prewarm_list *files_read; /* by rank 0; NULL: not asked for, or it is not ours */
    struct dt_arrival arrival;
    struct dt_hang *hang;
    struct dt_kernel_log kernel_log;
    const struct dt_worker *first_dead; /* of ours, that failed; NULL: none */
    struct dt_checkpoint checkpoint;    /* begins anew by itself */
    struct dt_restarts restarts;        /* stays over the attempts; what stands above is of one */
};

static inline void dt_close_once(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* supervise_events.c */
void dt_loop_kill(struct loop *loop, int number);
void dt_loop_watch(struct loop *loop);     /* until the job needs this node's ranks no more */
void dt_loop_terminate(struct loop *loop); /* SIGTERM now, SIGKILL after the grace */
/* supervise.c */
void dt_loop_empty(struct loop *loop); /* no rank runs: end what they have left, once */

/* signals.c */
void dt_signal_set(sigset_t *set); /* SIGCHLD and those that are passed on */
int dt_loop_open_signals(struct loop *loop, struct dt_error *err);
bool dt_loop_slurm_signals_all(const struct dt_place *place);
void dt_loop_on_signal(struct loop *loop, const struct signalfd_siginfo *info);
bool dt_is_stop(int number);

/* hear.c: what the session brings. */
void dt_loop_hear(struct loop *loop);

/* The lead names the first of those failures that it knows of so long (s) after the first. */
#define DT_DECIDE_S 1.0

/* decide.c: whose fault it was. */
void dt_loop_begin_ending(struct loop *loop, int status);         /* status: of waitpid, or 0 */
void dt_loop_keep(struct loop *loop, struct dt_failure *failure); /* takes it over */
void dt_loop_on_failure(struct loop *loop, const struct dt_worker *worker, long long died_ns);
/* What is no rank's end fails the job: a hang, or ranks that can not be started. Takes the failure over. */
void dt_loop_blame(struct loop *loop, struct dt_failure *failure);
void dt_loop_refuse(struct loop *loop, int code, const struct dt_error *err);
/* A rank of ours that does not end by itself any more. how: as in dt_worker_describe. */
void dt_loop_give_up(struct loop *loop, const struct dt_worker *worker, const char *how);
/* The job has done what it was for: end what still runs, and well. */
void dt_loop_finish(struct loop *loop);
/* Decide when it is time; returns whether there is nothing left to wait for. */
bool dt_loop_settled(struct loop *loop);
double dt_loop_next_decision(const struct loop *loop); /* 0: none */
int dt_loop_exit_code(const struct loop *loop);

/* restart.c: whether there is another attempt. */
void dt_loop_restarts_begin(struct loop *loop);
void dt_loop_restarts_end(struct loop *loop);
/* The lead, when the first failure is known: decide, say so, and tell the members. */
bool dt_loop_follow(struct loop *loop, const struct dt_failure *first);
void dt_loop_tell_driver(const struct loop *loop, enum dt_follow follow,
                         const struct dt_failure *failure);
/* The lead, while one is pending: whether there is nothing left to wait for. It then starts, or was given
 * up, and why was said. */
bool dt_loop_restart_settled(struct loop *loop);
void dt_loop_restart_cancel(struct loop *loop, const char *why);
double dt_loop_restart_next(const struct loop *loop); /* when to look again (s) */
/* restart_progress.c: the highest step that this node has seen in this attempt; 0: none. */
long long dt_loop_steps(const struct loop *loop);
/* Between two attempts. */
void dt_loop_restart(struct loop *loop);

#endif
