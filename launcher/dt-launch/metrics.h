/* SPDX-License-Identifier: Apache-2.0 */
/* The job as metrics for the textfile collector of Prometheus' node_exporter, in the file of --metrics: written anew
 * now and then, whole or not at all. The lead writes them; where the file's name holds %n, which stands for the
 * node, every node does. Without the option there is no struct dt_metrics, and NULL does nothing. */
#ifndef DT_LAUNCH_METRICS_H
#define DT_LAUNCH_METRICS_H

#include "base/error.h"
#include "cause/cause.h"
#include "place.h"

struct dt_metrics;
struct loop;

/* *metrics is NULL where there is nothing to write. */
int dt_metrics_open(struct dt_metrics **metrics, const struct dt_options *options,
                    const struct dt_place *place, struct dt_error *err);
void dt_metrics_close(struct dt_metrics *metrics); /* the job has ended */

/* node: where the first failure was. */
void dt_metrics_failure(struct dt_metrics *metrics, const struct dt_failure *failure,
                        const char *node);
void dt_metrics_restart(struct dt_metrics *metrics, const char *cause);
/* Whenever there is time: how far the ranks are. */
void dt_metrics_work(struct dt_metrics *metrics, const struct loop *loop);

#endif
