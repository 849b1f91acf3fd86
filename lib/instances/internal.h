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

/* Where the section `instance "TYPE" { ... }` stands in the text: [*begin, *end). Returns 1: found,
 * 0: not there, -1: the text is not as expected, and the parser should say what is wrong with it.
 */
int dt_instances_locate(const char *text, const char *type, size_t *begin, size_t *end);

#endif
