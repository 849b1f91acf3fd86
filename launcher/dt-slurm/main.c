/* SPDX-License-Identifier: Apache-2.0 */
/* dt-slurm: what dt-launch asks of Slurm's controller. It links libslurm, so that dt-launch itself
 * is static and runs where no Slurm is. A helper, not a command for users.
 *
 *   dt-slurm end-time JOB                    prints when the job's time is over, seconds since 1970
 *   dt-slurm requeue [--exclude NODES] JOB   puts the batch job back into the queue
 *
 * It answers on standard output. Exit code 0: done; 1: Slurm refused, and why is what it printed. */
#include <errno.h>
#include <signal.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "version.h"

/* A job that was requeued is killed, and takes nodes to exclude once it is pending. */
#define TRIES    100
#define PAUSE_MS 100

static int refused(const char *what, unsigned job)
{
    printf("Slurm does not %s job %u: %s\n", what, job, slurm_strerror(errno));
    return 1;
}

static int end_time(unsigned job)
{
    time_t end = 0;
    if (slurm_get_end_time(job, &end))
        return refused("tell the end of", job);
    printf("%lld\n", (long long)end);
    return 0;
}

static int exclude(unsigned job, char *nodes)
{
    job_desc_msg_t change;
    slurm_init_job_desc_msg(&change);
    change.job_id = job;
    change.exc_nodes = nodes;
    for (int i = 0; i < TRIES; i++) {
        if (slurm_update_job(&change) == SLURM_SUCCESS)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    return refused("exclude nodes from", job);
}

static int requeue(unsigned job, char *nodes)
{
    /* From here on Slurm ends this process too, gently at first. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (slurm_requeue(job, 0))
        return refused("requeue", job);
    return nodes ? exclude(job, nodes) : 0;
}

static int usage(void)
{
    fprintf(stderr, "Usage: dt-slurm end-time JOB | dt-slurm requeue [--exclude NODES] JOB\n");
    return DT_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char *nodes = NULL, *end;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("dt-slurm %s\n", DT_VERSION);
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "requeue") == 0 && strcmp(argv[2], "--exclude") == 0)
        nodes = argv[3];
    else if (argc != 3)
        return usage();
    errno = 0;
    unsigned long job = strtoul(argv[argc - 1], &end, 10);
    if (errno || *end || job == 0 || job > UINT32_MAX)
        return usage();
    slurm_init(NULL);
    if (strcmp(argv[1], "end-time") == 0 && !nodes)
        return end_time((unsigned)job);
    return strcmp(argv[1], "requeue") == 0 ? requeue((unsigned)job, nodes) : usage();
}
