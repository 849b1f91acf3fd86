/* SPDX-License-Identifier: Apache-2.0 */
/* One stream of one rank in a file, DIR/RANK.out or DIR/RANK.err, which begins anew when it is full; the one
 * before stays as .1. */
#ifndef DT_LAUNCH_LOG_FILE_H
#define DT_LAUNCH_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_log_file {
    char *path;
    int fd; /* -1: it failed, and what comes is not kept */
    long long size, limit;
};

/* Make the directory with all above it. */
int dt_log_directory(const char *path, struct dt_error *err);

/* Appends to a file that is there. limit: bytes, 0: none. */
int dt_log_file_open(struct dt_log_file *file, const char *directory, int rank, const char *ending,
                     long long limit, struct dt_error *err);
/* What can not be written is told once, on standard error; a full disk must not end a job. */
void dt_log_file_write(struct dt_log_file *file, const char *bytes, size_t length);
void dt_log_file_close(struct dt_log_file *file);

#endif
