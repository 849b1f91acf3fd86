/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: how the kernel runs the machine, devices beside GPUs and EFA, disks. */
#ifndef DT_FACTS_SYSTEM_H
#define DT_FACTS_SYSTEM_H

#include "facts/reader.h"

void dt_read_system(struct dt_reader *reader);         /* system.c, at every level */
void dt_read_neuron_errors(struct dt_reader *reader);  /* neuron.c, at every level */
void dt_read_disks(struct dt_reader *reader);          /* disks.c, from level full on */
void dt_read_efa_gids(struct dt_reader *reader);       /* system.c, from level full on */
void dt_read_fabric_manager(struct dt_reader *reader); /* system.c, from level full on */
void dt_read_mounted(struct dt_reader *reader);        /* mounts.c: dt.conf's required-mounts */
void dt_read_mount_table(struct dt_reader *reader);    /* mounts.c, at every level */
void dt_read_placement(struct dt_reader *reader);      /* placement.c, when devices are read */
void dt_read_kernel(struct dt_reader *reader);         /* kernel.c, at every level */
void dt_read_memory_state(struct dt_reader *reader);   /* memory_state.c, from level full on */
void dt_read_processes(struct dt_reader *reader);      /* process_state.c, full */
void dt_read_links(struct dt_reader *reader);          /* links.c, from level full on */
void dt_probe_resolve(int out, void *reader);          /* resolve.c: in a child */
void dt_read_resolve(struct dt_reader *reader, const char *text, const char *failure);
void dt_probe_space(int out, void *reader); /* space.c: in a child */
void dt_read_space(struct dt_reader *reader, const char *lines, const char *failure);

/* The text of /proc/buddyinfo: free memory, and what of it huge pages can be made of. */
void dt_buddy_count(const char *text, long page_kib, long huge_kib, long long *free_mib,
                    long long *huge_mib);

#endif
