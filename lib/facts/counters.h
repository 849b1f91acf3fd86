/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: the fact "counters". */
#ifndef DT_FACTS_COUNTERS_H
#define DT_FACTS_COUNTERS_H

#include "facts/reader.h"

/* Those of EFA devices, from level full on, are of the devices in efa.devices: dt_read_efa first. */
void dt_read_counters(struct dt_reader *reader);
/* smart.c: those of NVMe devices, onto the list. */
void dt_read_smart(struct dt_reader *reader, json_t *list);

#endif
