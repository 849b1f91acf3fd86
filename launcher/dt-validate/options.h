/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-validate. */
#ifndef DT_VALIDATE_OPTIONS_H
#define DT_VALIDATE_OPTIONS_H

#include <stdbool.h>

#include "check/check.h"

enum task { TASK_RUN, TASK_LIST, TASK_LIST_SCDOC, TASK_EXPLAIN, TASK_SELFTEST, TASK_SAVE_COUNTERS };

/* For whom the node is looked at; decides what is printed and what the exit status means. */
enum caller { CALLER_PERSON, CALLER_PROLOG, CALLER_HEALTHCHECK, CALLER_NAGIOS, CALLER_CRON };

/* In which form the results are told. */
enum form { FORM_TEXT, FORM_JSON, FORM_JUNIT, FORM_PROMETHEUS };

struct options {
    enum task task;
    enum caller caller;
    enum form form;
    const char *output;  /* file that is replaced by what would be printed; NULL: print */
    const char *root;    /* NULL: this machine */
    const char *config;  /* NULL: the installed one, if it is there */
    const char *profile; /* instead of dt.conf's; NULL: that */
    const char *learn;   /* file for a profile of this node; NULL: none is made */
    bool learn_anyway;   /* though the node does not pass */
    const char *explain; /* check to explain */
    bool all;
    enum dt_level level;           /* that the facts need: a check that is named may raise it */
    struct dt_check_choice choice; /* owned */
};

/* Exits on --help and on a usage error (64). Strings point into argv. */
void options_parse(struct options *options, int argc, char **argv);

#endif
