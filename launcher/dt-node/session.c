/* SPDX-License-Identifier: Apache-2.0 */
/* One step on one node, in the order of docs/ARCHITECTURE.md: request, facts, report, verdict,
 * "checked", masks, plan, "planned". The plugin must hear something in every case but one: when it
 * has closed its pipe, nobody listens. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "drain.h"
#include "engine.h"
#include "inspect/reuse.h"
#include "link.h"
#include "planner.h"
#include "readback.h"
#include "remember.h"
#include "report/detail.h"
#include "report/message.h"

#define PLAN_FD         3
#define CONNECT_SECONDS 5.0

struct session {
    struct dt_request request;
    struct engine engine;
    struct link link;
    bool linked; /* link is in use: validation was asked for */
    enum dt_level level;
    bool fresh;       /* nothing of the job's earlier steps is to be reused */
    json_t *measured; /* by one of them; NULL */
    struct dt_decision decision;
    json_t *verdict; /* holds the decision's strings */
    struct dt_proposals drains;
    struct dt_topology topology;
    bool has_topology;
    struct dt_error topology_failed;
    char **masks;
    pid_t *pids; /* of the local tasks */
    bool bound;  /* the plan binds them */
    double started;
};

/* How a session ended before its plan. */
struct failure {
    int code;
    bool quiet; /* the gather has told the user */
    struct dt_error err;
};

static int fail(struct failure *failure, int code)
{
    failure->code = code;
    return -1;
}

static void answer(const char *line)
{
    size_t len = strlen(line);
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the plugin is gone */
        line += n;
        len -= (size_t)n;
    }
}

static int answer_failure(const char *what, const struct failure *failure)
{
    char *line = NULL;
    if (asprintf(&line, "%s fail %d %s %s\n", what, failure->code,
                 failure->quiet ? "quiet" : "loud", failure->err.text) >= 0)
        answer(line);
    free(line);
    return failure->code;
}

/* "deep", "deep,fresh" */
static int take_level(struct session *s)
{
    char *word = strdup(s->request.validate);
    char *comma = word ? strchr(word, ',') : NULL;
    s->fresh = comma && strcmp(comma + 1, "fresh") == 0;
    if (s->fresh)
        *comma = '\0';
    int rc = word ? dt_level_parse(word, &s->level) : -1;
    free(word);
    return rc;
}

static int understand(struct session *s, struct failure *f)
{
    const struct dt_request *r = &s->request;
    if (take_level(s) < 0) {
        dt_error_set(&f->err, "--dt-validate=%s: this dt-node does not know that level",
                     r->validate);
        return fail(f, DT_EXIT_USAGE);
    }
    if (s->level != DT_LEVEL_OFF && !r->rendezvous) {
        dt_error_set(&f->err, "validation was asked for, but srun sent no address of dt-gather "
                              "(SLURM_DT_RENDEZVOUS); start the step with srun");
        return fail(f, DT_EXIT_UNVALIDATED);
    }
    return 0;
}

static int start_link(struct session *s, struct failure *f)
{
    char step[64];
    const struct dt_request *r = &s->request;
    snprintf(step, sizeof step, "%lld.%lld", r->job, r->step);
    struct dt_hello hello = {.node = r->node_name,
                             .step = step,
                             .node_id = r->node_id,
                             .node_count = r->node_count,
                             .tasks = r->total_tasks,
                             .het_group = r->het_size ? r->het_group : -1,
                             .het_size = r->het_size};
    s->linked = true;
    if (link_start(&s->link, r->rendezvous, &hello, STDIN_FILENO, &f->err) < 0)
        return fail(f, DT_EXIT_HELPER);
    return 0;
}

static void pump(struct session *s)
{
    if (s->linked)
        link_pump(&s->link);
}

static const char *job_gpus(const struct dt_request *r)
{
    const char *gpus = dt_request_getenv(r, "SLURM_STEP_GPUS");
    return gpus ? gpus : dt_request_getenv(r, "SLURM_JOB_GPUS");
}

static int look(struct session *s, const char *config, struct failure *f)
{
    struct dt_request *r = &s->request;
    if (engine_load(&s->engine, NULL, config, planner_wants(r->env), &f->err) < 0)
        return fail(f, DT_EXIT_CONFIG);
    pump(s);
    if (s->level >= DT_LEVEL_DEEP && !s->fresh)
        s->measured = dt_reuse_load(&s->engine.root, &s->engine.conf, r->job);
    struct dt_facts_request facts = {.measured = s->measured,
                                     .node_name = r->node_name,
                                     .uid = r->uid,
                                     .gid = r->gid,
                                     .groups = r->groups,
                                     .group_count = r->group_count,
                                     .cwd = r->cwd,
                                     .tmpdir = dt_request_getenv(r, "TMPDIR"),
                                     .job = r->job,
                                     .job_gpus = job_gpus(r),
                                     .nodes = dt_request_getenv(r, "SLURM_STEP_NODELIST"),
                                     .memlock = r->memlock,
                                     .nofile = r->nofile,
                                     .level = (int)s->level};
    int code = engine_collect(&s->engine, &facts, r->environ, &f->err);
    if (code)
        return fail(f, code);
    pump(s);
    if (engine_plan_env(&s->engine, &f->err) < 0)
        return fail(f, DT_EXIT_HELPER);
    return 0;
}

static double connect_deadline(const struct session *s)
{
    double half = s->request.timeout_s / 2;
    return s->started + (half < CONNECT_SECONDS ? half : CONNECT_SECONDS);
}

static double verdict_deadline(const struct session *s)
{
    return s->started + s->request.timeout_s + 1;
}

static int take_verdict(struct session *s, struct failure *f)
{
    if (link_wait_message(&s->link, &s->verdict, verdict_deadline(s), &f->err) < 0)
        return -1;
    return dt_decision_from_json(&s->decision, s->verdict, &f->err);
}

static json_t *make_report(const struct session *s)
{
    const char *env = s->engine.env.summary;
    struct dt_report_message message = {.facts = &s->engine.facts,
                                        .checks = &s->engine.checks,
                                        .env = env ? env : "",
                                        .port = s->request.port,
                                        .took_us = (long)((link_now() - s->started) * 1e6),
                                        .drains = &s->drains};
    return dt_report_message(&message);
}

/* From now on dt-gather knows this node: what happens to it later is not in its table by itself. */
static int send_to_gather(struct session *s, json_t *message, struct failure *f)
{
    if (link_send(&s->link, message, verdict_deadline(s), &f->err) < 0)
        return -1;
    answer("reported\n");
    return 0;
}

/* For a report file. */
static int send_details(struct session *s, struct failure *f)
{
    if (!s->link.wants_all)
        return 0;
    json_t *details = dt_detail_message(&s->engine.facts, &s->engine.checks);
    return link_send(&s->link, details, verdict_deadline(s), &f->err);
}

/* This node can not judge itself. The gather is told, so that the others need not wait for it, and
 * tells the user. Where it can not be reached it names this node all the same, as one that never
 * connected. */
static void confess(struct session *s, struct failure *f)
{
    struct failure verdict = {0};
    if (!s->linked || !s->link.hello)
        return;
    f->quiet = true;
    if (!s->link.winner && link_wait_welcome(&s->link, connect_deadline(s), &verdict.err) < 0)
        return;
    json_t *message =
        json_pack("{s:s,s:i,s:s}", "type", "failed", "code", f->code, "reason", f->err.text);
    if (send_to_gather(s, message, &verdict) == 0 && take_verdict(s, &verdict) == 0)
        f->quiet = !s->decision.go;
}

/* Until the verdict dt-gather, or srun when dt-gather is gone, tells the user of a node that is
 * missing; its own reason is for slurmd's log. */
static int unheard(struct session *s, struct failure *f, bool quiet)
{
    f->quiet = quiet;
    dt_error_prefix(&f->err, "node %s", s->request.node_name);
    return fail(f, DT_EXIT_INCOMPLETE);
}

static int finish_checks(struct session *s, struct failure *f)
{
    if (dt_facts_set_int(&s->engine.facts, "clock.offset_us", s->link.offset_us) == 0 &&
        dt_facts_set_int(&s->engine.facts, "clock.rtt_us", s->link.rtt_us) == 0 &&
        engine_check(&s->engine, s->level, &f->err) == 0 &&
        dt_policy_propose(&s->drains, &s->engine.conf, &s->engine.checks, &f->err) == 0)
        return 0;
    return fail(f, DT_EXIT_HELPER);
}

/* Let run in spite of a failure, which may be a comparison's: nothing is kept. */
static void keep_measured(const struct session *s)
{
    if (s->level >= DT_LEVEL_DEEP && strcmp(s->request.on_fail, "warn") != 0 &&
        dt_check_worst(&s->engine.checks) != DT_FAIL)
        dt_reuse_save(&s->engine.root, &s->engine.conf, s->request.job, &s->engine.facts);
}

/* Report and hear what becomes of the job. */
static int validate(struct session *s, struct failure *f)
{
    if (link_wait_welcome(&s->link, connect_deadline(s), &f->err) < 0)
        return unheard(s, f, true);
    if (finish_checks(s, f) < 0) {
        confess(s, f);
        return -1;
    }
    if (send_details(s, f) < 0 || send_to_gather(s, make_report(s), f) < 0)
        return unheard(s, f, true);
    if (take_verdict(s, f) < 0)
        return unheard(s, f, s->link.gather_gone);
    drain_self(&s->drains, &s->engine.conf, &s->decision, s->request.node_name);
    if (s->decision.go) {
        keep_measured(s);
        return 0;
    }
    f->quiet = true;
    dt_error_set(&f->err, "%s", s->decision.reason);
    return fail(f, s->decision.code);
}

static int check(struct session *s, const char *config, struct failure *f)
{
    bool off = strcmp(s->request.validate, dt_level_name(DT_LEVEL_OFF)) == 0;
    if (!off && s->request.rendezvous && start_link(s, f) < 0)
        return -1;
    if (understand(s, f) < 0 || look(s, config, f) < 0) {
        confess(s, f);
        return -1;
    }
    return s->linked ? validate(s, f) : 0;
}

/* While Slurm forks the tasks. */
static void load_topology(struct session *s)
{
    struct engine *e = &s->engine;
    if (!planner_wants(s->request.bind))
        return;
    s->has_topology = engine_topology(e, &s->topology, &s->topology_failed) == 0;
}

static int write_plan(const struct dt_buf *plan, struct dt_error *err)
{
    size_t done = 0;
    while (done < plan->len) {
        ssize_t n = pwrite(PLAN_FD, plan->data + done, plan->len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dt_error_set(err, "the plan can not be written to descriptor %d: %s", PLAN_FD,
                                n < 0 ? strerror(errno) : "nothing was taken");
        done += (size_t)n;
    }
    return 0;
}

static int plan(struct session *s, struct failure *f)
{
    struct planner planner = {.engine = &s->engine,
                              .request = &s->request,
                              .decision = s->verdict ? &s->decision : NULL,
                              .looks = s->linked && s->level >= DT_LEVEL_FULL,
                              .topology = s->has_topology ? &s->topology : NULL,
                              .topology_failed = s->topology_failed.text,
                              .masks = s->masks};
    struct dt_buf text = DT_BUF_INIT;
    int rc = planner_write(&planner, &text, &f->err);
    if (rc == 0)
        rc = write_plan(&text, &f->err);
    s->bound = rc == 0 && strstr(text.data, " cpus ");
    dt_buf_fini(&text);
    return rc < 0 ? fail(f, DT_EXIT_APPLY) : 0;
}

static int read_masks(struct session *s, struct failure *f)
{
    size_t count = (size_t)s->request.local_tasks;
    s->pids = calloc(count, sizeof *s->pids);
    if (!s->pids) {
        dt_error_set(&f->err, "out of memory");
        return fail(f, DT_EXIT_APPLY);
    }
    int rc = dt_masks_read_pids(&s->masks, s->pids, count, STDIN_FILENO, &f->err);
    return rc < 0 ? fail(f, DT_EXIT_APPLY) : rc;
}

static int run(struct session *s, const char *config)
{
    struct failure f = {0};
    if (dt_request_read(&s->request, STDIN_FILENO, &f.err) < 0) {
        fail(&f, DT_EXIT_HELPER);
        return answer_failure("checked", &f);
    }
    if (check(s, config, &f) < 0)
        return s->link.plugin_gone ? DT_EXIT_HELPER : answer_failure("checked", &f);
    answer("checked go\n");
    load_topology(s);
    int rc = read_masks(s, &f);
    if (rc == 1)
        return DT_EXIT_HELPER; /* the plugin has ended the step */
    if (rc < 0 || plan(s, &f) < 0)
        return answer_failure("planned", &f);
    /* before the answer, upon which the plugin gives this process a short time to end */
    if (s->bound)
        readback_start(s->pids, s->request.ranks, (size_t)s->request.local_tasks,
                       s->request.node_name);
    answer("planned\n");
    remember_begin(&s->engine, &s->request);
    return 0;
}

int session_run(const char *config)
{
    struct session s = {.started = link_now(), .engine = {.root = {.fd = -1}}};
    signal(SIGPIPE, SIG_IGN);
    umask(022); /* what is cached is for all to read */
    int code = run(&s, config);
    if (s.has_topology)
        dt_topology_fini(&s.topology);
    if (s.linked)
        link_fini(&s.link);
    dt_proposals_fini(&s.drains);
    dt_masks_free(s.masks, (size_t)s.request.local_tasks);
    free(s.pids);
    free(s.decision.components);
    json_decref(s.verdict);
    json_decref(s.measured);
    engine_fini(&s.engine);
    dt_request_fini(&s.request);
    return code;
}
