/* SPDX-License-Identifier: Apache-2.0 */
/* The history as facts. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "history/internal.h"

enum { GROWTH_MAX = 512 }; /* what has grown, of all devices: a fact has a bounded size */

struct growing {
    json_t *list;
    const char *when;
};

static int add(void *argument, const struct dt_history_growth *growth)
{
    const struct growing *g = argument;
    if (json_array_size(g->list) >= GROWTH_MAX)
        return 0;
    return json_array_append_new(g->list,
                                 json_pack("{s:s,s:s,s:I,s:I,s:s}", "counter", growth->name,
                                           "device", growth->device, "by", (json_int_t)growth->by,
                                           "in_s", (json_int_t)growth->seconds, "when", g->when));
}

static int add_growth(struct dt_facts *facts, const struct dt_history *history,
                      const struct dt_history_now *now)
{
    struct growing growing = {json_array(), "job"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < history->grew_count; i++) {
        const struct dt_history_counter *c = &history->grew[i];
        struct dt_history_growth growth = {c->name, c->device, c->value,
                                           c->seconds > 0 ? c->seconds : 1};
        rc = add(&growing, &growth);
    }
    growing.when = "since";
    if (rc == 0)
        rc = dt_history_grown(history, facts, now, add, &growing);
    if (rc == 0)
        return json_object_set_new(facts->doc, "history.growth", growing.list);
    json_decref(growing.list);
    return -1;
}

/* The names of the counters that have a base, each once: few, whatever the number of devices. */
static int add_kept(struct dt_facts *facts, const struct dt_history *history)
{
    struct dt_buf names = DT_BUF_INIT;
    for (size_t i = 0; i < history->counter_count; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = strcmp(history->counters[k].name, history->counters[i].name) == 0;
        if (!again)
            dt_buf_printf(&names, "%s%s", names.len ? " " : "", history->counters[i].name);
    }
    char *text = dt_buf_take(&names);
    int rc = text ? dt_facts_set_string(facts, "history.kept", text) : -1;
    free(text);
    return rc;
}

static int add_lost(struct dt_facts *facts, const struct dt_history *history,
                    const struct dt_history_now *now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < history->lost_count; i++) {
        const struct dt_history_job *job = &history->lost[i];
        long long ago = now->wall_s > job->wall_s ? now->wall_s - job->wall_s : 0;
        if (json_array_append_new(list, json_pack("{s:I,s:I,s:I,s:s}", "job", (json_int_t)job->job,
                                                  "step", (json_int_t)job->step, "ago_s",
                                                  (json_int_t)ago, "why", job->reason)) < 0) {
            json_decref(list);
            return -1;
        }
    }
    return json_object_set_new(facts->doc, "history.lost", list);
}

static int add_end(struct dt_facts *facts, const struct dt_history *history,
                   const struct dt_history_now *now)
{
    if (history->end_s < 0)
        return 0;
    long long ago = now->boot_s > history->end_s ? now->boot_s - history->end_s : 0;
    return dt_facts_set_int(facts, "history.last_end_s", history->end_s) == 0 &&
                   dt_facts_set_int(facts, "history.last_end_age_s", ago) == 0
               ? 0
               : -1;
}

static int add_known(struct dt_facts *facts, const struct dt_history *history,
                     const struct dt_history_now *now)
{
    if (add_lost(facts, history, now) < 0 || add_end(facts, history, now) < 0)
        return -1;
    if (history->counter_count == 0)
        return dt_facts_set_string(facts, "why.history.growth",
                                   "no job has begun or ended here since the node booted");
    return add_kept(facts, history) < 0 ? -1 : add_growth(facts, history, now);
}

int dt_history_facts(struct dt_facts *facts, const struct dt_root *root, const struct dt_conf *conf,
                     struct dt_error *err)
{
    struct dt_history history;
    struct dt_history_now now;
    struct dt_error why = {{0}};
    int rc;
    if (dt_history_look(&history, &now, root, conf, &why))
        rc = add_known(facts, &history, &now);
    else
        rc = dt_facts_set_string(facts, "why.history.growth", why.text);
    dt_history_fini(&history);
    return rc < 0 ? dt_error_set(err, "out of memory") : 0;
}
