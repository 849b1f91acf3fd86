/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing files into memory: file systems over a network are slow for one reader that touches a page here and there,
 * as a program's start does, and quick for many that read in order. Every question to the file system, also what
 * a name is, is asked by many threads at a time. Nothing is asked where a sample of it is in memory. */
#ifndef DT_LAUNCH_READ_AHEAD_H
#define DT_LAUNCH_READ_AHEAD_H

#include <stdbool.h>

struct dt_read_ahead;

struct dt_read_ahead *dt_read_ahead_create(void); /* NULL: no memory */
void dt_read_ahead_destroy(struct dt_read_ahead *work);

/* A file, or a directory with all below it; what can not be read is passed over. Links to files are followed, those
 * to directories only where they are named here: they may lead round. */
void dt_read_ahead_add(struct dt_read_ahead *work, const char *path);
/* Only the names in a directory. */
void dt_read_ahead_list(struct dt_read_ahead *work, const char *path);

struct dt_read_ahead_sum {
    int looked; /* as a sample */
    /* all of them; 0: the sample was in memory, and nothing else was looked at */
    long long files, bytes;
    long long read; /* bytes that were not in memory, or may not have been */
};
/* Read all that was added; returns when that is done. */
void dt_read_ahead_run(struct dt_read_ahead *work, struct dt_read_ahead_sum *sum);

#endif
