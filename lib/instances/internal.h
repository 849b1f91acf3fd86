/* SPDX-License-Identifier: Apache-2.0 */
/* Between reading the instance table and judging it. */
#ifndef DT_INSTANCES_INTERNAL_H
#define DT_INSTANCES_INTERNAL_H

#include <confuse.h>

#include "base/error.h"
#include "instances/instances.h"

/* Do the numbers of one section agree with each other? `section` is where errors are located. */
int dt_instance_validate(const struct dt_instance *instance, cfg_t *section, struct dt_error *err);

/* "FILE:LINE: SECTION (ends here): sentence". libconfuse keeps a section's last line only. */
int dt_instances_error(cfg_t *section, struct dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
