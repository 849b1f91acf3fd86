/* SPDX-License-Identifier: Apache-2.0 */
/* Whether files are in memory, asked of a few of them: to ask all takes longer than a warm program may lose by it. */
#ifndef DT_LAUNCH_IN_MEMORY_H
#define DT_LAUNCH_IN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dt_in_memory {
    int looked; /* files and directories looked at */
    int away;   /* of which so many are not in memory, or made this thread wait, be it by chance */
    uint64_t random;
};

/* Looks at the file. For a directory: at its names and, with `below`, at some of the files below it, taken at random. */
void dt_in_memory_look(struct dt_in_memory *sample, const char *path, bool below);
/* It has seen enough that is not: more looks would not change what dt_in_memory_all() says. */
bool dt_in_memory_enough(const struct dt_in_memory *sample);
bool dt_in_memory_all(const struct dt_in_memory *sample);

/* How many bytes of this part of an open file are not in memory, in whole pages; -1: the kernel does not say (before 6.5,
 * and newer ones of files that are not ours). */
off_t dt_in_memory_lacks(int fd, off_t from, off_t length);

#endif
