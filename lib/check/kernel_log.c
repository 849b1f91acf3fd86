/* SPDX-License-Identifier: Apache-2.0 */
/* Check of the kernel's log: which Xid makes a node unfit is said by xid.conf. */
#include <string.h>
#include <strings.h>

#include "check/gpu.h"

/* Older than this, somebody may have reset the GPU since: told, but no reason to refuse the node.
 */
enum { RECENT_S = 24 * 3600 };

struct opinion {
    enum dt_result result;
    enum dt_severity severity;
    const char *next;
};

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

/* The GPU that an event is about: a message has its address without the function number. NULL: none
 * that the driver answers for. */
static const json_t *gpu_of(const struct dt_check_context *context, const json_t *event)
{
    const json_t *gpus = dt_facts_array(context->facts, "gpu.devices");
    const char *bdf = text_of(event, "bdf");
    for (size_t i = 0; *bdf && i < json_array_size(gpus); i++) {
        const json_t *gpu = json_array_get(gpus, i);
        if (strncasecmp(text_of(gpu, "bdf"), bdf, strlen(bdf)) == 0)
            return gpu;
    }
    return NULL;
}

/* Xid 154 repeats the driver's verdict over a GPU whenever it changes: the last of them holds. NULL:
 * none. Events are in the order in which they happened. */
static const json_t *last_verdict(const struct dt_check_context *context, const char *bdf)
{
    enum { VERDICT_CHANGED = 154 };
    const json_t *events = dt_facts_array(context->facts, "log.errors");
    for (size_t i = json_array_size(events); i > 0; i--) {
        const json_t *event = json_array_get(events, i - 1);
        if (json_integer_value(json_object_get(event, "code")) == VERDICT_CHANGED &&
            strcmp(text_of(event, "kind"), "xid") == 0 && strcmp(text_of(event, "bdf"), bdf) == 0)
            return event;
    }
    return NULL;
}

/* What the driver asks for as of now: by field 230, else by what it has logged since the event. -1:
 * not known. State goes before history: a GPU of which nothing is asked was reset since. */
static long long asked_now(const struct dt_check_context *context, const json_t *event)
{
    long long action;
    const json_t *gpu = gpu_of(context, event), *last;
    if (gpu && dt_gpu_number(gpu, "recovery", &action))
        return action;
    last = last_verdict(context, text_of(event, "bdf"));
    if (!last || json_integer_value(json_object_get(last, "age_s")) >
                     json_integer_value(json_object_get(event, "age_s")))
        return -1;
    return dt_xid_recovery(text_of(last, "text"));
}

/* An action that the table leaves to the driver. */
static enum dt_xid_action as_the_driver_says(long long asked)
{
    enum { NONE, RESET, REBOOT };
    return asked < 0         ? DT_XID_MONITOR
           : asked == NONE   ? DT_XID_INFO
           : asked == REBOOT ? DT_XID_REBOOT
                             : DT_XID_RESET; /* also with a drain before it, and what is new */
}

static struct opinion of_xid(const struct dt_check_context *context, const json_t *event)
{
    static const struct opinion opinions[] = {
        [DT_XID_INFO] = {DT_PASS, DT_SEVERITY_NONE, ""},
        [DT_XID_APP] = {DT_PASS, DT_SEVERITY_NONE, ""},
        [DT_XID_MONITOR] = {DT_WARN, DT_SEVERITY_MONITOR,
                            "look it up in NVIDIA's Xid catalogue; replace the instance if it "
                            "comes back"},
        [DT_XID_RESET] = {DT_FAIL, DT_SEVERITY_RESET,
                          "reset the GPU (nvidia-smi -r) or reboot; replace the instance if it "
                          "comes back"},
        [DT_XID_REBOOT] = {DT_FAIL, DT_SEVERITY_REBOOT, "reboot the node"},
        [DT_XID_REPLACE] = {DT_FAIL, DT_SEVERITY_REPLACE, "replace the instance"},
    };
    int code = (int)json_integer_value(json_object_get(event, "code"));
    enum dt_xid_action action = dt_xid_judge(context->xids, code, text_of(event, "text"));
    long long asked = asked_now(context, event);
    if (action == DT_XID_RECOVERY)
        action = as_the_driver_says(asked);
    struct opinion opinion = opinions[action];
    if (opinion.result == DT_FAIL && action < DT_XID_REPLACE && asked == 0)
        opinion = (struct opinion){DT_WARN, DT_SEVERITY_MONITOR,
                                   "the driver asks for nothing any more; replace the instance if "
                                   "it comes back"};
    return opinion;
}

/* The hardware errors for which AWS's node monitoring agent of EKS replaces an instance. */
static struct opinion of_neuron(const json_t *event)
{
    static const char *const fatal[] = {"SRAM_UNCORRECTABLE_ERROR", "NC_UNCORRECTABLE_ERROR",
                                        "HBM_UNCORRECTABLE_ERROR", "DMA_ERROR"};
    const char *what = strstr(text_of(event, "text"), "NEURON_HW_ERR=");
    what = what ? what + strlen("NEURON_HW_ERR=") : "";
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        if (strncmp(what, fatal[i], strlen(fatal[i])) == 0)
            return (struct opinion){DT_FAIL, DT_SEVERITY_REPLACE, "replace the instance"};
    }
    return (struct opinion){DT_WARN, DT_SEVERITY_MONITOR,
                            "look at dmesg on the node; replace the instance if it comes back"};
}

/* NVSwitch errors say themselves whether they are fatal: "12028, Non-fatal, Link 61". */
static struct opinion of_sxid(const json_t *event)
{
    return strstr(text_of(event, "text"), ", Fatal")
               ? (struct opinion){DT_FAIL, DT_SEVERITY_REBOOT,
                                  "reboot; replace the instance if it comes back"}
               : (struct opinion){DT_PASS, DT_SEVERITY_NONE, ""};
}

static struct opinion judge_event(const struct dt_check_context *context, const json_t *event)
{
    const char *kind = text_of(event, "kind");
    struct opinion opinion = {DT_WARN, DT_SEVERITY_MONITOR, "look at dmesg on the node"};
    if (strcmp(kind, "xid") == 0)
        opinion = of_xid(context, event);
    else if (strcmp(kind, "sxid") == 0)
        opinion = of_sxid(event);
    else if (strcmp(kind, "neuron") == 0)
        opinion = of_neuron(event);
    if (opinion.result == DT_FAIL &&
        json_integer_value(json_object_get(event, "age_s")) > RECENT_S) {
        opinion.result = DT_WARN;
        opinion.severity = DT_SEVERITY_MONITOR;
    }
    return opinion;
}

/* ---- events that say nothing of this job's devices ------------------------------------------ */

/* An SXid is of a switch, which all jobs share. */
static bool is_of_another_job(const struct dt_check_context *context, const json_t *event)
{
    return strcmp(text_of(event, "kind"), "xid") == 0 &&
           !dt_gpu_is_mine(context, text_of(event, "bdf"));
}

/* From before the last job's end: what only warns was that job's, or was told to it. */
static bool is_from_before(const struct dt_check_context *context, const json_t *event)
{
    long long now, end;
    return dt_facts_int(context->facts, "log.now_s", &now) &&
           dt_facts_int(context->facts, "history.last_end_s", &end) &&
           now - json_integer_value(json_object_get(event, "age_s")) < end;
}

/* ---- telling -------------------------------------------------------------------------------- */

static void put_age(struct dt_buf *text, long long seconds)
{
    if (seconds < 7200)
        dt_buf_printf(text, "%lld min", seconds / 60);
    else
        dt_buf_printf(text, "%lld h", seconds / 3600);
}

static void tell_event(const struct dt_check_context *context, struct dt_check_result *result,
                       const json_t *event, const struct opinion *opinion)
{
    struct dt_buf age = DT_BUF_INIT, often = DT_BUF_INIT;
    int code = (int)json_integer_value(json_object_get(event, "code"));
    bool is_xid = strcmp(text_of(event, "kind"), "xid") == 0;
    const struct dt_xid *row = is_xid ? dt_xid_find(context->xids, code) : NULL;
    put_age(&age, json_integer_value(json_object_get(event, "age_s")));
    if (row)
        dt_judge(result, opinion->result, "/dev/kmsg; %s", dt_xid_source(context->xids, row));
    else
        dt_judge(result, opinion->result, "/dev/kmsg");
    dt_judge_severity(result, opinion->severity);
    json_int_t times = json_integer_value(json_object_get(event, "times"));
    if (times > 1)
        dt_buf_printf(&often, "%lld times, the last ", (long long)times);
    dt_judge_value(result, "%s%s%s%s (%s%s ago)", text_of(event, "text"), row ? " [" : "",
                   row ? row->meaning : "", row ? "]" : "", often.data ? often.data : "",
                   age.data ? age.data : "");
    dt_judge_limit(result, "no event that needs a reset");
    dt_judge_next(result, "%s", opinion->next);
    dt_buf_fini(&age);
    dt_buf_fini(&often);
}

/* "3 harmless, 1 of another job's GPU" */
static void tell_none(struct dt_check_result *result, size_t count, size_t others, size_t before)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "%zu harmless", count - others - before);
    if (others)
        dt_buf_printf(&text, ", %zu of GPUs that this job does not have", others);
    if (before)
        dt_buf_printf(&text, ", %zu from before the last job's end", before);
    dt_judge(result, DT_PASS, "/dev/kmsg");
    dt_judge_limit(result, "no event that needs a reset");
    dt_judge_value(result, "%s", text.data ? text.data : "");
    dt_buf_fini(&text);
}

void dt_check_kernel_log(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *events = dt_facts_array(context->facts, "log.errors"), *worst = NULL;
    struct opinion verdict = {DT_PASS, DT_SEVERITY_NONE, ""};
    size_t others = 0, before = 0;
    if (!events || !context->xids) {
        dt_check_unknown(context, result, events ? "xid.conf" : "log.errors",
                         "run dmesg on the node as root");
        return;
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        struct opinion one = judge_event(context, event);
        if (one.result == DT_PASS)
            continue;
        if (is_of_another_job(context, event)) {
            others++;
        } else if (one.result == DT_WARN && is_from_before(context, event)) {
            before++;
        } else if (one.result > verdict.result ||
                   (one.result == verdict.result && one.severity >= verdict.severity)) {
            verdict = one; /* the newest of the worst */
            worst = event;
        }
    }
    if (worst)
        tell_event(context, result, worst, &verdict);
    else
        tell_none(result, json_array_size(events), others, before);
}
