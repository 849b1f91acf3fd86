/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory that killed ranks leave in /dev/shm: it stays until the node is booted, fills the memory of the next
 * attempt, and with names that are always the same stops it. Removed is what all of this holds for: a library has
 * made up the name, for a name that a program has chosen may be there to be found again; it is of our user, and
 * younger than dt-launch; one of our processes was seen to use it; none that lives does. So a bystander's
 * segments stay. The list is memory that agent and keeper share: whichever of them is left removes them. */
#ifndef DT_LAUNCH_SHM_H
#define DT_LAUNCH_SHM_H

#include <stdbool.h>

struct dt_shm;

/* Before the keeper splits off. NULL: no memory; then nothing is removed. */
struct dt_shm *dt_shm_create(void);
/* See which segments our descendants use: every 2 s at most, or now when they are about to be killed. */
void dt_shm_look(struct dt_shm *shm, bool now);
/* None of ours lives any more: remove what they have left, and say so in one line. */
void dt_shm_clean(struct dt_shm *shm, const char *node);

#endif
