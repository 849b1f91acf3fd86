/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to know about how a rank ended: its status, its last words, its error file, and whether
 * the kernel killed it for memory. */
#ifndef DT_LAUNCH_ENDING_H
#define DT_LAUNCH_ENDING_H

#include "cause/cause.h"
#include "evidence.h"
#include "output.h"
#include "place.h"
#include "worker.h"

/* Processes that the kernel has killed for memory in our cgroup so far; -1: not known. */
long long dt_oom_kills(void);

struct dt_ending_context {
    const struct dt_place *place;
    char *const *argv;
    struct dt_output *output; /* NULL: nothing was kept */
    long long oom_kills;      /* when the ranks started */
    struct dt_kernel_log *kernel_log;
    const struct dt_extras *extras;
    const char *how; /* instead of what its status says; NULL: that */
};

/* Fill all of the failure but `flags`' DT_FAILURE_STOPPED and died_ns, which are the caller's. */
void dt_ending_describe(struct dt_failure *failure, const struct dt_worker *worker,
                        const struct dt_ending_context *context);

/* A directory with a place for each rank's error file (TORCHELASTIC_ERROR_FILE). */
struct dt_error_files {
    char *directory; /* NULL: there is none */
};
void dt_error_files_create(struct dt_error_files *files);
char *dt_error_files_path(const struct dt_error_files *files, int local_rank); /* caller frees */
void dt_error_files_remove(struct dt_error_files *files, int count);

/* Write the cause to the error file that dt-launch itself was given, in torchrun's form. */
void dt_error_file_write(const char *path, const struct dt_failure *failure);

#endif
