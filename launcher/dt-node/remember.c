/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping what a step leaves on its node. Nothing here can change how a step begins or ends. */
#include "remember.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "behind.h"
#include "history/history.h"
#include "inspect/inspect.h"

/* For a kernel file that hangs: what may hang by its nature has a child and a deadline of its own. */
enum { LAST_RESORT_S = 10 };
/* The next job may be starting: it comes first. */
enum { END_NICE = 10 };

/* The GPUs have been asked just now. */
static int begin(const struct engine *engine, const struct dt_history_step *step)
{
    struct dt_error err;
    struct dt_facts facts;
    struct dt_root root; /* the engine's descriptor was closed */
    struct dt_facts_request request = {
        .root = &root, .conf = &engine->conf, .level = DT_LEVEL_FULL};
    if (dt_root_init(&root, NULL, &err) < 0 ||
        dt_facts_collect_counters(&facts, &request, false, &err) < 0)
        return -1;
    json_t *gpus = dt_facts_array(&engine->facts, "gpu.devices");
    if (gpus)
        json_object_set(facts.doc, "gpu.devices", gpus);
    return dt_history_begin(&root, &engine->conf, step, &facts, &err);
}

void remember_begin(const struct engine *engine, const struct dt_request *request)
{
    struct dt_history_step step = {.job = request->job, .step = request->step, .stepd = getppid()};
    if (!*engine->conf.state_directory || !behind_fork(false))
        return;
    alarm(LAST_RESORT_S);
    _exit(begin(engine, &step) < 0);
}

/* A step that failed while the hardware under it did. */
static const char *why_lost(struct dt_inspection *in, const struct options *o, struct dt_error *why)
{
    struct dt_error ignored;
    if (!o->failed || dt_history_facts(&in->facts, &in->root, &in->conf, &ignored) < 0)
        return NULL;
    return dt_history_loss(&in->facts, why) ? why->text : NULL;
}

static int end(struct dt_inspection *in, const struct options *o, struct dt_error *told,
               struct dt_error *err)
{
    struct dt_error why;
    if (dt_inspect_load(in, o->root, o->config, err) < 0)
        return DT_EXIT_CONFIG;
    if (!*in->conf.state_directory)
        return 0;
    struct dt_facts_request request = {
        .root = &in->root, .conf = &in->conf, .level = DT_LEVEL_FULL};
    if (dt_facts_collect_counters(&in->facts, &request, true, err) < 0)
        return DT_EXIT_HELPER;
    struct dt_history_step step = {.job = o->job, .step = o->step, .lost = why_lost(in, o, &why)};
    return dt_history_end(&in->root, &in->conf, &step, &in->facts, told, err) < 0 ? DT_EXIT_REPORT
                                                                                  : 0;
}

int remember_end(const struct options *o)
{
    struct dt_inspection in = {.root = {.fd = -1}};
    struct dt_error told = {{0}}, err = {{0}};
    umask(022);
    alarm(LAST_RESORT_S);
    (void)setpriority(PRIO_PROCESS, 0, END_NICE);
    int code = end(&in, o, &told, &err);
    printf("%s\n", code != 0 ? err.text : *told.text ? told.text : "saved");
    dt_inspect_fini(&in);
    return fflush(stdout) == 0 ? code : DT_EXIT_HELPER;
}
