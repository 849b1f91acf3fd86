/* SPDX-License-Identifier: Apache-2.0 */
/* --save-counters: the end of a job, for lib/history. An Epilog that fails drains the node, and what is
 * not kept is no fault of it: the exit status is 0, and the reason is told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include "history/history.h"
#include "output.h"

/* In an Epilog Slurm tells; elsewhere there is no job. */
static long long job_of_slurm(void)
{
    const char *text = getenv("SLURM_JOB_ID");
    char *end;
    errno = 0;
    long long job = text ? strtoll(text, &end, 10) : 0;
    return text && end != text && !*end && !errno && job > 0 ? job : 0;
}

static int save(struct dt_inspection *in, const struct options *o, struct dt_error *told,
                struct dt_error *err)
{
    if (dt_inspect_load(in, o->root, o->config, err) < 0)
        return -1;
    struct dt_facts_request request = {
        .root = &in->root, .conf = &in->conf, .level = DT_LEVEL_FULL};
    struct dt_history_step step = {.job = job_of_slurm()};
    return dt_facts_collect_counters(&in->facts, &request, true, err) < 0
               ? -1
               : dt_history_end(&in->root, &in->conf, &step, &in->facts, told, err);
}

void save_counters(const struct options *o)
{
    struct dt_inspection in = {.root = {.fd = -1}};
    struct dt_error told = {{0}}, err = {{0}};
    umask(022);
    const char *what = save(&in, o, &told, &err) < 0 ? err.text : told.text;
    if (*what) {
        fprintf(stderr, "dt-validate: counters: %s\n", what);
        syslog(LOG_WARNING, "counters: %s", what);
    }
    dt_inspect_fini(&in);
}
