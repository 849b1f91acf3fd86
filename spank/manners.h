/* SPDX-License-Identifier: Apache-2.0 */
/* What the user has bound by other means: Slurm's own options and variables, and programs that bind.
 * A node can not tell them from Slurm's automatic choices, so srun finds them and sends them along. */
#ifndef DT_SPANK_MANNERS_H
#define DT_SPANK_MANNERS_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

enum { MANNERS_VARIABLES = 6 };

/* Variables as they were before srun wrote its own into the environment. */
struct manners_environ {
    char *values[MANNERS_VARIABLES]; /* NULL: not set */
    char *step;                      /* "12.0": srun was started by a task of that step */
};

void manners_read_environ(struct manners_environ *environ);
void manners_environ_fini(struct manners_environ *environ);

/* What srun was told. */
struct manners {
    char *const *words; /* srun's own options, not those of the program */
    size_t count;
    const char *program; /* its argv[0]; NULL: not known */
    const struct manners_environ *environ;
    bool bind_asked; /* by the user of this step: then --cpu-bind=none forbids nothing */
};

/* One word for each thing that is bound, with who did it: "cpus=--cpu-bind=cores gpus=..."; "-" for
 * nothing. Values are percent-encoded. */
void manners_format(struct text *text, const struct manners *manners);

/* The same as lines of the request: "bound cpus --cpu-bind=cores". None for a text that manners_format
 * did not make, so that it counts as not known. */
void manners_request(struct text *request, const char *text);

#endif
