/* SPDX-License-Identifier: Apache-2.0 */
/* Starting dt-node and dt-gather as children that can not hurt their parent: trusted files only, a
 * clean environment, no descriptor but the agreed ones, and a deadline on every word said to them.
 */
#ifndef DT_SPANK_HELPER_H
#define DT_SPANK_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "options.h"
#include "text.h"

struct helper {
    const char *name;  /* "dt-node"; borrowed */
    pid_t pid;         /* 0: not running */
    int to, from;      /* pipes: its fd 0 and fd 1; -1: closed */
    struct text heard; /* read and not yet taken as a line */
};

struct helper_start {
    const char *directory; /* of trusted helpers; the plugin's default where NULL */
    const char *name;
    char *const *argv;
    char *const *environ;
    int plan;     /* becomes fd 3; -1: none */
    bool aside;   /* not of the step: its standard error is /dev/null, and it ignores the signals
                     that a step is ended with */
    bool as_root; /* regain root first (slurmstepd's euid is the user's in user_init) */
    uid_t owner;  /* who may own the files besides root */
};

#define HELPER_INIT ((struct helper){.to = -1, .from = -1})

long long now_ms(void); /* monotonic */

int helper_start(struct helper *helper, const struct helper_start *start, struct sentence *why);

/* Until the deadline (now_ms). -1: why says that it hung, died of a signal, or ended. */
int helper_tell(struct helper *helper, const struct text *text, long long deadline,
                struct sentence *why);
int helper_ask(struct helper *helper, char **line, long long deadline, struct sentence *why);

/* Did a signal end it? Looks only, and never waits. */
bool helper_crashed(const struct helper *helper, struct sentence *why);

/* Close the pipes, give it `wait_ms` to end, then kill it (kill_late) or leave it to init. */
void helper_stop(struct helper *helper, int wait_ms, bool kill_late);

#endif
