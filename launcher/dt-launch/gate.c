/* SPDX-License-Identifier: Apache-2.0 */
/* A lock that the rank holds, and a thread with a small stack that waits for it. */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

#define FIRST_FD    100 /* in the rank: out of the way of numbers that scripts use */
#define STACK_BYTES 65536

struct dt_gate {
    int fd;
    bool watched;
    pthread_t thread;
    atomic_llong left_ns;
};

static struct flock whole(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

struct dt_gate *dt_gate_create(void)
{
    struct dt_gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return NULL;
    gate->fd = memfd_create("dt-launch", MFD_CLOEXEC);
    if (gate->fd >= 0)
        return gate;
    free(gate);
    return NULL;
}

void dt_gate_hold(const struct dt_gate *gate)
{
    struct flock lock = whole();
    int fd = fcntl(gate->fd, F_DUPFD, FIRST_FD); /* stays open over exec */
    close(gate->fd);
    if (fd >= 0)
        fcntl(fd, F_SETLK, &lock);
}

static void *wait_for(void *argument)
{
    struct dt_gate *gate = argument;
    struct flock lock = whole();
    int result;
    /* Where we may: on a busy machine the order of the times is then that of the events. */
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    while ((result = fcntl(gate->fd, F_SETLKW, &lock)) != 0 && errno == EINTR)
        ;
    if (result == 0)
        atomic_store(&gate->left_ns, dt_now_ns());
    return NULL;
}

void dt_gate_watch(struct dt_gate *gate)
{
    pthread_attr_t attributes;
    sigset_t all, old; /* signals are the main thread's */
    sigfillset(&all);
    if (pthread_attr_init(&attributes))
        return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    gate->watched = pthread_create(&gate->thread, &attributes, wait_for, gate) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
}

long long dt_gate_left(const struct dt_gate *gate)
{
    return gate ? atomic_load(&gate->left_ns) : 0;
}

void dt_gate_destroy(struct dt_gate *gate)
{
    struct timespec until;
    if (!gate)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (gate->watched && pthread_timedjoin_np(gate->thread, NULL, &until))
        return;
    close(gate->fd);
    free(gate);
}
