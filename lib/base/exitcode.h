/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of dt's own. They are the same for every command and for srun when the plugin refuses a
 * job, so that a script can tell "the cluster is sick" (65, 66) from "I typed it wrong" (64, 78) and
 * from the program's own code. Documented in README.md and dt(7); tests/cli/exitcodes.bats holds the
 * three equal. */
#ifndef DT_BASE_EXITCODE_H
#define DT_BASE_EXITCODE_H

enum dt_exit {
    DT_EXIT_OK = 0,
    DT_EXIT_USAGE = 64,       /* bad option, argument or DT_* variable */
    DT_EXIT_UNFIT = 65,       /* validation found at least one unfit node */
    DT_EXIT_INCOMPLETE = 66,  /* a node did not report, or was lost before the verdict */
    DT_EXIT_HELPER = 67,      /* a helper of dt crashed, hung, or could not be started */
    DT_EXIT_UNVALIDATED = 68, /* validation was asked for and no verdict is here */
    DT_EXIT_APPLY = 69,       /* environment or binding could not be applied to a rank */
    DT_EXIT_HUNG = 70,        /* nothing moved in the job any more, and --on-hang asked to end it */
    DT_EXIT_NO_PLAN = 71,     /* dt-topo: no topology could be read, or no plan be made of it */
    DT_EXIT_REPORT = 73,      /* the report file could not be written */
    DT_EXIT_NODES = 74,       /* dt-launch: fewer good nodes are left than the job needs */
    DT_EXIT_CHECKPOINTED = 75,    /* the job was saved before its time was over; to be run again */
    DT_EXIT_CONFIG = 78,          /* configuration or data file missing, foreign-owned or wrong */
    DT_EXIT_NOT_EXECUTABLE = 126, /* program found, can not be run (as shells do) */
    DT_EXIT_NOT_FOUND = 127,      /* program not found (as shells do) */
    DT_EXIT_SIGNAL = 128,         /* + signal number: the program died of that signal */
};

#endif
