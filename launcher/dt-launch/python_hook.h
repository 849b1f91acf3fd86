/* SPDX-License-Identifier: Apache-2.0 */
/* A module that the ranks' Python interpreters import at their start: a sitecustomize that they find through
 * PYTHONPATH, and that imports the one which it hides, if there is one. With it Python writes where it
 * is when it is asked (--python-stacks, hang_stacks.h), and processes that Python forks or starts, such as the
 * workers of a DataLoader, ignore the signal to save (--checkpoint-signal): Slurm may give it to
 * every process, and it would kill them before the rank has saved; rank 0 writes down what it imports (--prewarm last).
 * Other programs find a variable more. */
#ifndef DT_LAUNCH_PYTHON_HOOK_H
#define DT_LAUNCH_PYTHON_HOOK_H

#include <stdbool.h>

#include "environ.h"
#include "options.h"

struct dt_python_hook {
    char *directory; /* owned; NULL: nothing is asked of Python, or it can not be done here */
    bool stacks;
    int shielded; /* signal; 0: none */
    bool imports; /* rank 0 writes down which files its Python imports */
};

/* What can not be had is said. */
void dt_python_hook_create(struct dt_python_hook *hook, const struct dt_options *options);
void dt_python_hook_remove(struct dt_python_hook *hook);
/* In the environment of a rank. */
void dt_python_hook_apply(struct dt_environ *env, const struct dt_python_hook *hook, int rank,
                          int local_rank);
/* The file of imports, and of a rank's stacks; the caller frees it. NULL: there is none. */
char *dt_python_hook_imports(const struct dt_python_hook *hook);
char *dt_python_hook_stacks(const struct dt_python_hook *hook, int local_rank);

#endif
