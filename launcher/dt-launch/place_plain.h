/* SPDX-License-Identifier: Apache-2.0 */
/* Private to place*.c: the adapters that need no platform. */
#ifndef DT_LAUNCH_PLACE_PLAIN_H
#define DT_LAUNCH_PLACE_PLAIN_H

#include "place.h"

int dt_place_plain(struct dt_place *place, const struct dt_options *options, struct dt_error *err);
int dt_place_alone(struct dt_place *place, const struct dt_options *options, struct dt_error *err);

#endif
