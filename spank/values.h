/* SPDX-License-Identifier: Apache-2.0 */
/* What a value of a setting may be, and the sentence for one that it may not. */
#ifndef DT_SPANK_VALUES_H
#define DT_SPANK_VALUES_H

#include "options.h"

/* value NULL: given without one. place: what the user typed ("--dt-bind", "DT_BIND"). On success
 * *out is the value in its one spelling, the caller's to free. */
int value_normalize(enum setting setting, const char *value, const char *place, char **out,
                    struct sentence *why);

int value_ports(const char *text); /* "LO-HI" */

#endif
