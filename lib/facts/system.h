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

#endif
