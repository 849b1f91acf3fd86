/* SPDX-License-Identifier: Apache-2.0 */
/* Folded lines of a member's ranks on their way to the lead: the thread of the output puts them in, the loop
 * sends them. So many bytes may be on their way; who puts more in waits until the lead has taken them, and with him,
 * in the end, the ranks. Where files keep every line nobody waits long: what is too much is left out, and that is said. */
#ifndef DT_LAUNCH_RELAY_H
#define DT_LAUNCH_RELAY_H

#include <stdbool.h>

#include "base/error.h"
#include "fold/fold.h"

struct dt_relay;

/* kept: every line is in a file, too. */
struct dt_relay *dt_relay_create(bool kept, struct dt_error *err);
void dt_relay_destroy(struct dt_relay *relay);

/* The output's thread. Takes the line over; false: the relay is closed, and the line still the caller's. */
bool dt_relay_put(struct dt_relay *relay, struct dt_folded *line);

/* The loop. */
int dt_relay_fd(const struct dt_relay *relay); /* readable: there are lines */
bool dt_relay_take(struct dt_relay *relay, struct dt_folded *line);
void dt_relay_taken(struct dt_relay *relay, long long bytes); /* the lead has taken so many */
bool dt_relay_empty(struct dt_relay *relay);                  /* nothing is left to be sent */
void dt_relay_close(struct dt_relay *relay); /* the lead is gone: lines are the caller's again */

#endif
