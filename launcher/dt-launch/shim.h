/* SPDX-License-Identifier: Apache-2.0 */
/* dt-launch called as torchrun, accelerate, deepspeed or composer (srun --dt-shim puts links with these
 * names first in PATH). The tool's command line is put into dt-launch's own words; one that is not
 * wholly understood is the tool's itself, which is then looked for further down PATH. */
#ifndef DT_LAUNCH_SHIM_H
#define DT_LAUNCH_SHIM_H

#include "base/error.h"
#include "options.h"
#include "place.h"

struct dt_shim_tool; /* shim_words.h */

struct dt_shim {
    const struct dt_shim_tool *tool; /* NULL: called as dt-launch */
    char **argv; /* for dt_options_parse(): owned, but for the program's words */
    int argc;
    char *real;               /* the tool further down PATH, owned; NULL: there is none */
    char *python;             /* the interpreter of its first line, owned; NULL: not known */
    char *extra;              /* lines behind accelerate's file, owned; NULL: none */
    bool local_rank_argument; /* as DeepSpeed: --local_rank=N behind the script */
};

/* Prints and exits for --help and --version. -1: the line is not understood, *why says what of it; the
 * shim is then good for dt_shim_give_way() only. */
int dt_shim_open(struct dt_shim *shim, int argc, char **argv, struct dt_error *why);
void dt_shim_close(struct dt_shim *shim);

/* What the words alone can not tell dt_options_parse(). */
void dt_shim_settle(const struct dt_shim *shim, struct dt_options *options);

/* Run the tool itself with its own words, and say so. Comes back when there is none: *why then has the
 * sentence for the user. `tell`: this process speaks for all. */
void dt_shim_give_way(const struct dt_shim *shim, char **argv, bool tell, struct dt_error *why);

/* DeepSpeed's --local_rank=N for one rank: *argv, *path and *code as of dt_profile_command(). */
int dt_shim_rank_command(char ***argv, char **path, const struct dt_options *options,
                         int local_rank, int *code, struct dt_error *err);

#endif
