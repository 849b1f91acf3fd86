/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the memory of one NUMA node is, with all of its cores at work: a node with a memory channel
 * fewer, or a throttled socket, stands out. Not a benchmark. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "facts/probe.h"
#include "facts/speed.h"

enum { MEASURE_US = 200000 };

/* One for all threads. `stop` is written by the first of them between two barriers, and read by all
 * behind the second. */
struct triad {
    pthread_barrier_t barrier;
    size_t elements; /* of one array of one thread */
    long long best_us;
    bool stop, failed;
};

struct worker {
    struct triad *triad;
    pthread_t thread;
    int cpu;
    bool leads;
};

static double *reserve(const struct worker *worker)
{
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(worker->cpu, &own);
    size_t bytes = 3 * worker->triad->elements * sizeof(double);
    double *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sched_setaffinity(0, sizeof own, &own) < 0 || memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    /* Pages are there before the clock runs, and, as this thread touches them first, near to it. */
    for (size_t i = 0; i < 3 * worker->triad->elements; i++)
        memory[i] = 1.0;
    return memory;
}

static void add(double *restrict a, const double *restrict b, const double *restrict c,
                size_t count)
{
    for (size_t i = 0; i < count; i++)
        a[i] = b[i] + 3.0 * c[i];
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct triad *triad = worker->triad;
    double *memory = reserve(worker);
    if (!memory)
        __atomic_store_n(&triad->failed, true, __ATOMIC_RELAXED);
    long long start = 0, begin = 0;
    for (;;) {
        pthread_barrier_wait(&triad->barrier);
        if (triad->stop || !memory || __atomic_load_n(&triad->failed, __ATOMIC_RELAXED))
            break;
        begin = dt_monotonic_us();
        start = start ? start : begin;
        add(memory, memory + triad->elements, memory + 2 * triad->elements, triad->elements);
        __asm__ volatile("" : : "r"(memory) : "memory");
        pthread_barrier_wait(&triad->barrier);
        if (!worker->leads)
            continue;
        long long now = dt_monotonic_us(), took = now - begin > 0 ? now - begin : 1;
        /* The best round: interruptions only ever make a round slower. */
        if (triad->best_us == 0 || took < triad->best_us)
            triad->best_us = took;
        triad->stop = now - start >= MEASURE_US;
    }
    if (memory)
        munmap(memory, 3 * triad->elements * sizeof(double));
    return NULL;
}

static long long measure(struct triad *triad, struct worker *workers, const cpu_set_t *cpus,
                         size_t count)
{
    size_t started = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && started < count; cpu++) {
        struct worker *worker = &workers[started];
        if (!CPU_ISSET(cpu, cpus))
            continue;
        *worker = (struct worker){.triad = triad, .cpu = cpu, .leads = started == 0};
        if (pthread_create(&worker->thread, NULL, run, worker) != 0)
            return -1;
        started++;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (triad->failed || triad->best_us == 0)
        return -1;
    return (long long)(24 * triad->elements * count) / triad->best_us; /* bytes a us: MB/s */
}

/* Where threads could not be made, those that were wait in vain until the process ends: what they use is
 * not given back. */
long long dt_measure_triad(const cpu_set_t *cpus, size_t bytes)
{
    size_t count = (size_t)CPU_COUNT(cpus);
    struct triad *triad = calloc(1, sizeof *triad);
    struct worker *workers = calloc(count + 1, sizeof *workers);
    if (!triad || !workers || count == 0 || bytes / count < 3 * sizeof(double) ||
        pthread_barrier_init(&triad->barrier, NULL, (unsigned)count) != 0) {
        free(triad);
        free(workers);
        return -1;
    }
    triad->elements = bytes / count / 3 / sizeof(double);
    long long rate = measure(triad, workers, cpus, count);
    if (rate > 0) {
        pthread_barrier_destroy(&triad->barrier);
        free(triad);
        free(workers);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): on purpose, see above */
    return rate;
}
