/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the ranks' output goes through us, where it is kept, and what is shown of it. */
#ifndef DT_LAUNCH_STREAMS_H
#define DT_LAUNCH_STREAMS_H

#include "loop.h"

/* Do the options about ranks fit this job? */
int dt_streams_check(const struct dt_options *options, const struct dt_place *place,
                     struct dt_error *err);

/* Settle once what the options say of ranks, and make the directory of the logs. */
int dt_streams_prepare(struct loop *loop, struct dt_error *err);
void dt_streams_fini(struct loop *loop);

/* For an attempt: output, pipes, files. */
int dt_streams_open(struct loop *loop, struct dt_error *err);

/* The loop: send folded lines to the lead, or take those of a member. */
void dt_streams_relay(struct loop *loop);
void dt_streams_take(struct loop *loop, const struct dt_link_message *message);
/* Nothing that our ranks wrote is still to be told to the lead. */
bool dt_streams_told(const struct loop *loop);

#endif
