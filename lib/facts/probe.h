/* SPDX-License-Identifier: Apache-2.0 */
/* Asking something that may hang or crash (a driver, a network mount): in a child with a deadline
 * of its own. The child writes text into a pipe; the parent goes on with its own work and collects
 * the text later. A child past its deadline is killed and, if the kernel will not let it die, left
 * alone: it holds none of the parent's descriptors, so that nobody waits for it. */
#ifndef DT_FACTS_PROBE_H
#define DT_FACTS_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

#define DT_PROBE_OUTPUT_MAX (256u << 10) /* bytes; a child that says more is killed */

struct dt_probe {
    pid_t pid; /* 0: not running */
    int pidfd; /* -1: the kernel has none */
    int fd;    /* our end of the pipe */
    struct dt_buf out;
    long long deadline_us; /* CLOCK_MONOTONIC */
    long long timeout_ms;
    bool timed_out; /* set by dt_probe_finish: alive, and silent until the deadline */
};

/* Start run(out, argument) in a child. keep_fd: one descriptor that the child needs, or -1; all the
 * others are closed there, and 0 to 2 lead to /dev/null. */
int dt_probe_start(struct dt_probe *probe, void (*run)(int out, void *argument), void *argument,
                   int keep_fd, long long timeout_ms, struct dt_error *err);

/* Take what the child says for at most `ms`. True: it has ended, or said too much; dt_probe_finish then does not
 * wait. What it has said so far is in probe->out. */
bool dt_probe_wait(struct dt_probe *probe, int ms);

/* Wait for the end or the deadline, whichever is first. Returns 0 when the child ended by itself
 * with success; else -1 and a reason such as "did not answer in 500 ms". Either way *text (caller
 * frees) is what it had written, complete or not; NULL only without memory. */
int dt_probe_finish(struct dt_probe *probe, char **text, struct dt_error *err);

/* The same in this process, for what can not hang. 0: *text is what was written; caller frees. */
int dt_probe_here(char **text, void (*run)(int out, void *argument), void *argument,
                  struct dt_error *err);

/* For what runs: write all of the text, or end the process. */
void dt_probe_say(int out, const char *text);

long long dt_monotonic_us(void);

#endif
