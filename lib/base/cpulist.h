/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's lists of CPUs ("0-3,8") in files of sysfs. */
#ifndef DT_BASE_CPULIST_H
#define DT_BASE_CPULIST_H

#include <sched.h>
#include <stdbool.h>

#include "base/root.h"

/* CPUs past CPU_SETSIZE are left out. false: no such file, an empty one (memory without CPUs has such a
 * list), or no list. */
bool dt_cpus_read(const struct dt_root *root, cpu_set_t *cpus, const char *path);

#endif
