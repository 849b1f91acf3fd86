/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: the fact "counters". */
#ifndef DT_FACTS_COUNTERS_H
#define DT_FACTS_COUNTERS_H

#include "facts/reader.h"

/* Those of EFA devices, from level full on, are of the devices in efa.devices: dt_read_efa first. */
void dt_read_counters(struct dt_reader *reader);
/* smart.c: those of NVMe devices, onto the list. */
void dt_read_smart(struct dt_reader *reader, json_t *list);
/* allowances.c: those of a network device that EC2 has a limit for, onto the list. Asked of the device:
 * from level full on. */
void dt_read_allowances(struct dt_reader *reader, json_t *list, const char *interface);

#endif
