/* SPDX-License-Identifier: Apache-2.0 */
/* srun waits for every node of its step, also for one whose slurmstepd is dead: ten minutes for the
 * start of its tasks (measured on 22.05), with a verdict on the terminal that has refused them. A
 * SIGTERM makes srun give up, with the exit code of the ranks that did end. */
#include "refused.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* for srun to end by itself, as it does when all nodes answer */

void refused_end_srun(void)
{
    struct pollfd srun = {.fd = STDIN_FILENO, .events = POLLIN};
    pid_t parent = getppid();
    if (parent <= 1 || fork() != 0)
        return;
    /* The pipe from srun says "end" or closes when srun ends, so the id is still that of srun. */
    if (poll(&srun, 1, PATIENCE_MS) == 0)
        kill(parent, SIGTERM);
    _exit(0);
}
