/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: what level deep measures of one NUMA node. Both functions are only ever called in
 * a child (measure.c) that is bound to the node: they take its cores and its memory. */
#ifndef DT_FACTS_SPEED_H
#define DT_FACTS_SPEED_H

#include <sched.h>
#include <stddef.h>

/* bandwidth.c: the triad a[i] = b[i] + s * c[i] by one thread on each of these CPUs, over arrays of
 * `bytes` in all. Returns MB/s (10^6 bytes; 24 bytes an element, as STREAM counts), the best round in
 * 200 ms; -1: no memory or no threads. */
long long dt_measure_triad(const cpu_set_t *cpus, size_t bytes);

/* cpu_speed.c: a fixed loop on the CPU that the caller is bound to, the best of 50 ms. Returns units
 * of work a second: a unit is 1000 turns of one 64-bit multiply and add, one xor and shift, and one
 * double multiply and add, each turn needing the result of the one before. */
long long dt_measure_cpu(void);

#endif
