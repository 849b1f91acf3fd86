/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are threads of one process, on the real shared-window engine: what MPI does for
 * dt-train (memory that all see, groups), done here with malloc and a barrier. */
#ifndef TRAIN_RANKS_H
#define TRAIN_RANKS_H

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "comm_window.h"

enum { RANKS_MOST = 8 };

/* What the threads of one group share; the last to leave frees it. */
struct ranks_group {
    pthread_barrier_t barrier;
    void *given[RANKS_MOST];
    int size;
};

struct ranks_member {
    struct ranks_group *group;
    int rank;
    void *taken[128];
    size_t count;
};

static int ranks_take(void *context, size_t bytes, void **bases)
{
    struct ranks_member *m = context;
    void *mine = aligned_alloc(DT_ALIGN, (bytes + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN);
    memset(mine, 0, bytes);
    m->taken[m->count++] = mine;
    m->group->given[m->rank] = mine;
    pthread_barrier_wait(&m->group->barrier);
    memcpy(bases, m->group->given, (size_t)m->group->size * sizeof *bases);
    pthread_barrier_wait(&m->group->barrier);
    return 0;
}

static void ranks_close(void *context)
{
    struct ranks_member *m = context;
    int last = pthread_barrier_wait(&m->group->barrier);
    for (size_t i = 0; i < m->count; i++)
        free(m->taken[i]);
    pthread_barrier_wait(&m->group->barrier);
    if (last == PTHREAD_BARRIER_SERIAL_THREAD) {
        pthread_barrier_destroy(&m->group->barrier);
        free(m->group);
    }
    free(m);
}

static int ranks_split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err);

static int ranks_open(struct dt_comm *comm, struct ranks_group *group, int rank, int size,
                      struct dt_error *err)
{
    static struct dt_comm_operations operations;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct ranks_member *m = calloc(1, sizeof *m);
    *m = (struct ranks_member){.group = group, .rank = rank};
    int rc = dt_comm_window_open(comm, rank, size,
                                 &(struct dt_window_memory){ranks_take, ranks_close, m}, err);
    pthread_mutex_lock(&lock);
    if (!operations.split) { /* once: others read it without the lock */
        operations = dt_comm_window_operations;
        operations.split = ranks_split;
    }
    pthread_mutex_unlock(&lock);
    comm->operations = &operations;
    return rc;
}

static struct ranks_group *ranks_group_new(int size)
{
    struct ranks_group *group = calloc(1, sizeof *group);
    group->size = size;
    pthread_barrier_init(&group->barrier, NULL, (unsigned)size);
    return group;
}

/* The lowest of a color makes the group and tells the others of it. */
static int ranks_split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err)
{
    int colors[RANKS_MOST], rank = 0, size = 0, lowest = -1;
    struct ranks_group *groups[RANKS_MOST], *mine = NULL;
    if (comm->operations->allgather(comm, &color, colors, sizeof color, err) < 0)
        return -1;
    for (int r = 0; r < comm->size; r++) {
        if (colors[r] != color)
            continue;
        lowest = lowest < 0 ? r : lowest;
        rank += r < comm->rank;
        size++;
    }
    if (lowest == comm->rank)
        mine = ranks_group_new(size);
    if (comm->operations->allgather(comm, &mine, groups, sizeof(struct ranks_group *), err) < 0)
        return -1;
    return ranks_open(part, groups[lowest], rank, size, err);
}

struct ranks_thread {
    struct ranks_group *group;
    int rank;
    void (*body)(struct dt_comm *comm, void *context);
    void *context;
};

static void *ranks_main(void *argument)
{
    const struct ranks_thread *thread = argument;
    struct dt_comm comm;
    struct dt_error err;
    omp_set_num_threads(1);
    if (ranks_open(&comm, thread->group, thread->rank, thread->group->size, &err) < 0)
        abort();
    thread->body(&comm, thread->context);
    comm.operations->close(&comm);
    return NULL;
}

/* Run body once in each of `size` ranks. */
static void ranks_run(int size, void (*body)(struct dt_comm *comm, void *context), void *context)
{
    pthread_t threads[RANKS_MOST];
    struct ranks_thread arguments[RANKS_MOST];
    struct ranks_group *group = ranks_group_new(size);
    for (int r = 0; r < size; r++) {
        arguments[r] = (struct ranks_thread){group, r, body, context};
        if (pthread_create(&threads[r], NULL, ranks_main, &arguments[r]) != 0)
            abort();
    }
    for (int r = 0; r < size; r++)
        pthread_join(threads[r], NULL);
}

#endif
