/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed attempt is followed by: by its cause, by how many restarts there were, and by whether the
 * training got any further. Pure: the same for the agents of a step and for the driver of its job.
 *
 * Restarting helps where the cause is gone the next time: a signal, a lost peer, a hang. It does not
 * where memory was too small, or where a program fails in the same way twice. A node that is lost or has
 * a broken accelerator must be replaced, which only the driver can.
 */
#ifndef DT_CAUSE_RESTART_H
#define DT_CAUSE_RESTART_H

#include <stdbool.h>

#include "base/buf.h"
#include "cause/cause.h"

enum dt_follow {
    DT_FOLLOW_STOP,
    DT_FOLLOW_RESTART, /* on the same nodes */
    DT_FOLLOW_REPLACE, /* without the node of the failure */
};

/* The exit code by which programs for NVIDIA's ft_launcher say that no restart shall follow. */
#define DT_EXIT_NO_RESTART 93

/* The back-off before a restart: none before the first, then 1, 2, 4 ... s. */
#define DT_RESTART_DELAY_MAX 60.0
/* An attempt that lived so long (s) begins the back-off anew. */
#define DT_RESTART_STEADY 600.0
/* An attempt of which nothing else is known got further if it lived so long (s). */
#define DT_RESTART_ALIVE 60.0

struct dt_history {
    int max;            /* restarts that are allowed in all */
    int done;           /* that were made */
    int in_a_row;       /* of these, since the last attempt that was steady */
    bool progressed;    /* this attempt got further than those before it */
    const char *before; /* dt_restart_signature of the failure before this one; NULL: none */
};

/* `why` gets half a sentence that gives the reason; empty when restarts were not asked for. */
enum dt_follow dt_restart_decide(const struct dt_history *history, const struct dt_failure *failure,
                                 struct dt_buf *why);

/* Seconds to wait before the next restart. */
double dt_restart_delay(const struct dt_history *history);

/* How it failed, without what differs by chance: "exit code 1, ValueError: boom". Caller frees;
 * NULL: no memory. */
char *dt_restart_signature(const struct dt_failure *failure);

#endif
