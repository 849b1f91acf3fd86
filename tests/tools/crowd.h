/* SPDX-License-Identifier: Apache-2.0 */
/* A crowd of nodes for one dt-gather: what its processes share. crowd.c starts dt-gather and the
 * processes and prints the numbers; crowd_nodes.c is the nodes of one process. */
#ifndef DT_TESTS_CROWD_H
#define DT_TESTS_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/wire.h"

/* Where all processes wait for each other. */
enum crowd_meeting {
    CROWD_READY,    /* all reports are made */
    CROWD_WELCOMED, /* "together" only: all nodes are welcome */
    CROWD_MEETINGS
};

struct crowd {
    const char *report;           /* file: what dt-node --print --json gave for one node */
    int nodes;                    /* all together */
    int odd;                      /* this one has another kernel; -1: none */
    int sick;                     /* so many fail a check, each with a value of its own */
    int at_a_time;                /* not yet welcome, of one process */
    int late_s;                   /* the last node reports so late; 0: as the others */
    bool together;                /* all report at one moment; else each as soon as it is welcome */
    bool detail;                  /* dt-gather writes a report file: all facts go ahead */
    struct dt_rendezvous address; /* of dt-gather */
    int ready_fd;                 /* pipe: a process says that it has come to a meeting */
    int go_fd[CROWD_MEETINGS];    /* pipes: it goes on when it has read a byte */
};

/* Of one process, in memory that all see. Times in ms, CLOCK_MONOTONIC; 0: not yet. */
struct crowd_tally {
    double started, first_report, last_report, first_verdict, last_verdict;
    int answered, go, lost; /* lost: nodes without a report, as the verdict has it */
    int tried_again;        /* connections that were closed before the welcome */
    size_t report_bytes;    /* of the reports, detail included */
    size_t wire_bytes;      /* all that went in both directions */
};

/* Nodes first to first + count - 1: connect, say hello, report, wait for the verdict. A failure
 * ends the process with a sentence. */
void crowd_nodes(const struct crowd *crowd, int first, int count, struct crowd_tally *tally);

void __attribute__((noreturn)) crowd_die(const char *what, const char *why);
double crowd_now_ms(void);

#endif
