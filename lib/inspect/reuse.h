/* SPDX-License-Identifier: Apache-2.0 */
/* What a step of a job has measured on its node (level deep), for the job's later steps there: in
 * cache-directory, for reuse-seconds of dt.conf. Only measurements, which take time and disturb others:
 * what is read takes longer to keep than to read, and may have changed. Only of a step that was let
 * run, with no check that failed. Another boot, job, version of dt, dt.conf or table: measured anew. */
#ifndef DT_INSPECT_REUSE_H
#define DT_INSPECT_REUSE_H

#include <jansson.h>

#include "base/root.h"
#include "conf/conf.h"
#include "facts/facts.h"

/* Facts for dt_facts_request.measured, with measured.age_s; NULL: nothing to reuse. Caller
 * json_decref's. */
json_t *dt_reuse_load(const struct dt_root *root, const struct dt_conf *conf, long long job);

/* Keeps those that were measured just now. Best effort. */
void dt_reuse_save(const struct dt_root *root, const struct dt_conf *conf, long long job,
                   const struct dt_facts *facts);

#endif
