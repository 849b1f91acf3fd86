/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hang*.c and straggler.c. */
#ifndef DT_LAUNCH_HANG_INTERNAL_H
#define DT_LAUNCH_HANG_INTERNAL_H

#include "hang.h"
#include "hang/hang.h"
#include "hang_look.h"
#include "hang_wires.h"
#include "loop.h"
#include "straggler.h"

/* What the lead knows of a node. */
struct node_pulse {
    bool heard;
    double moved, stirred; /* CLOCK_MONOTONIC of the lead, seconds */
    int dying;             /* rank; -1: none */
};

struct seen {
    struct dt_hang_rank rank;
    char *own; /* its ends of connections to the store */
};

struct dt_hang {
    struct loop *loop;
    double timeout;
    struct dt_progress *progress; /* one for each worker */
    struct dt_family family;
    double interval, next_look, next_pulse;
    /* a question that was asked, and its answers (the lead's) */
    long long query;
    bool dump;
    double answer_at; /* Python has had time to answer; 0: nothing to do */
    double report_by; /* 0: nobody was asked */
    int told;
    struct seen *seen;
    size_t seen_count;
    struct dt_wires wires;
    /* the lead */
    struct node_pulse *nodes;
    double alarm_after; /* of silence */
    double alarmed;     /* when there was a report; 0: something has moved since */
    int given_up;       /* rank; -1: none */
    struct dt_straggler *straggler;
};

/* hang_answer.c: looking at our own ranks, and telling the lead. */
void dt_hang_ask_own(struct dt_hang *hang, long long query, bool dump);
void dt_hang_answer(struct dt_hang *hang);
void dt_hang_keep(struct dt_hang *hang, struct seen *seen); /* takes it over */
void dt_hang_forget(struct dt_hang *hang);
void dt_hang_give_up(struct dt_hang *hang, int rank);
int dt_hang_dying(const struct dt_hang *hang); /* a rank of ours that can not die; -1: none */

/* hang_report.c: the lead's answers as a report. */
void dt_hang_tell(struct dt_hang *hang, double quiet_s);

#endif
