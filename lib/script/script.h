/* SPDX-License-Identifier: Apache-2.0 */
/* Which environment variables would a job script give to its programs? The script (sh, bash) is
 * read and never run: no command, no command substitution, no file that it sources.
 *
 * Understood: assignments, export, declare -x, set -a, unset, `NAME=VALUE program`, env, srun
 * --export, mpirun -x, docker -e and its kin, #SBATCH --export (in which Slurm expands nothing),
 * quotes, comments, here-documents, continued lines, ${NAME:-default} and its kin, and a shell's
 * text inside the script (bash -c '...', bash <<EOF). A value that only running the script could tell is not known, and
 * is never guessed. What stands in a branch, loop, function or subshell, or before one program, is
 * a possibility beside the others. Limits: 1 MiB of text, 4,096 settings, 16 KiB a value. */
#ifndef DT_SCRIPT_SCRIPT_H
#define DT_SCRIPT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_script_setting {
    char *name;
    char *value;  /* NULL: not known, or (removed) taken away */
    char *doubt;  /* why it is not known, or what it hangs on: "the output of $(nproc)"; or "" */
    int line;     /* 1 is the first */
    bool partial; /* not for all programs of the script: in a branch, or before one program */
    bool removed; /* `unset NAME` */
};

/* Something that could set more, and was not followed: `source env.sh`. */
struct dt_script_note {
    char *text; /* "source /fsx/env.sh" */
    int line;
};

struct dt_script {
    struct dt_script_setting *settings; /* in the order of the script */
    size_t setting_count;
    struct dt_script_note *notes;
    size_t note_count;
};

/* text need not end in NUL. err: "line 12: what is wrong". */
int dt_script_read(struct dt_script *script, const char *text, size_t len, struct dt_error *err);
void dt_script_fini(struct dt_script *script);

#endif
