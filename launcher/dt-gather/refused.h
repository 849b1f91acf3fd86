/* SPDX-License-Identifier: Apache-2.0 */
/* What is left to do after a step was refused because of a node that is gone. */
#ifndef DT_GATHER_REFUSED_H
#define DT_GATHER_REFUSED_H

/* Sees to it that srun ends, in a process of its own, so that dt-gather can end. */
void refused_end_srun(void);

#endif
