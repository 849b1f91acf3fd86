/* SPDX-License-Identifier: Apache-2.0 */
/* Who has not arrived. While some ranks wait in the store and others have not even connected, the lead asks
 * all nodes and says which they are: after 10, 20, 40 ... seconds (--missing-after). */
#ifndef DT_LAUNCH_ARRIVAL_H
#define DT_LAUNCH_ARRIVAL_H

#include "base/buf.h"
#include "session.h"
#include "worker.h"

struct dt_arrival {
    double began, next;
    double answer_by; /* 0: nobody was asked */
    long long query;
    int told, missing;
    struct dt_buf text;
};

void dt_arrival_begin(struct dt_arrival *arrival, double after_s);
void dt_arrival_fini(struct dt_arrival *arrival);

/* The lead, at least once a second. */
void dt_arrival_work(struct dt_arrival *arrival, struct dt_session *session,
                     const struct dt_worker *workers, int count);
/* A member was asked. */
void dt_arrival_answer(struct dt_session *session, long long query, const struct dt_worker *workers,
                       int count);
/* The lead hears an answer (rank or told); `node` is the name of the node. */
void dt_arrival_hear(struct dt_arrival *arrival, const struct dt_link_message *message,
                     const char *node);

#endif
