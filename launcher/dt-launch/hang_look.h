/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank of this node does at this moment, for the report of a hang. */
#ifndef DT_LAUNCH_HANG_LOOK_H
#define DT_LAUNCH_HANG_LOOK_H

#include "base/buf.h"
#include "hang/hang.h"
#include "hang_stacks.h"
#include "output.h"
#include "progress.h"
#include "worker.h"

struct dt_look {
    const struct dt_python_hook *hook;
    struct dt_output *output; /* for a traceback that a rank has ended with */
    const char *node_name;
    int node, port; /* MASTER_PORT */
};

/* Fill all but `key` and `odd`. own: its ends of connections to the store. */
void dt_look_at(struct dt_hang_rank *rank, struct dt_buf *own, const struct dt_look *look,
                const struct dt_worker *worker, const struct dt_progress *progress);

/* All threads of its working process, with their kernel stacks and Python's, for a file. */
void dt_look_dump(struct dt_buf *text, const struct dt_look *look, const struct dt_worker *worker);

/* Is the last thing that it said on standard error a whole Python traceback? */
bool dt_look_has_died(struct dt_output *output, const struct dt_worker *worker);

#endif
