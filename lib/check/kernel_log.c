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

/* State before history: a GPU of which the driver asks nothing was reset since, or needed none. */
static bool driver_is_content(const struct dt_check_context *context, const json_t *event)
{
    long long action;
    const json_t *gpu = gpu_of(context, event);
    return gpu && dt_gpu_number(gpu, "recovery", &action) && action == 0;
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
    bool content = driver_is_content(context, event);
    if (action == DT_XID_RECOVERY)
        action = content                                    ? DT_XID_INFO
                 : strstr(text_of(event, "text"), "(None)") ? DT_XID_INFO
                                                            : DT_XID_RESET;
    struct opinion opinion = opinions[action];
    if (opinion.result == DT_FAIL && action < DT_XID_REPLACE && content)
        opinion = (struct opinion){DT_WARN, DT_SEVERITY_MONITOR,
                                   "the driver asks for nothing any more; replace the instance if "
                                   "it comes back"};
    return opinion;
}

static struct opinion judge_event(const struct dt_check_context *context, const json_t *event)
{
    const char *kind = text_of(event, "kind");
    struct opinion opinion = {DT_WARN, DT_SEVERITY_MONITOR, "look at dmesg on the node"};
    if (strcmp(kind, "xid") == 0)
        opinion = of_xid(context, event);
    else if (strcmp(kind, "neuron") == 0)
        opinion = (struct opinion){DT_FAIL, DT_SEVERITY_REPLACE, "replace the instance"};
    /* NVSwitch errors say themselves whether they are fatal: "12028, Non-fatal, Link 61". */
    else if (strcmp(kind, "sxid") == 0 && strstr(text_of(event, "text"), ", Fatal"))
        opinion = (struct opinion){DT_FAIL, DT_SEVERITY_REBOOT,
                                   "reboot; replace the instance if it comes back"};
    else if (strcmp(kind, "sxid") == 0)
        opinion = (struct opinion){DT_PASS, DT_SEVERITY_NONE, ""};
    if (opinion.result == DT_FAIL &&
        json_integer_value(json_object_get(event, "age_s")) > RECENT_S) {
        opinion.result = DT_WARN;
        opinion.severity = DT_SEVERITY_MONITOR;
    }
    return opinion;
}

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
    struct dt_buf age = DT_BUF_INIT;
    int code = (int)json_integer_value(json_object_get(event, "code"));
    bool is_xid = strcmp(text_of(event, "kind"), "xid") == 0;
    const struct dt_xid *row = is_xid ? dt_xid_find(context->xids, code) : NULL;
    put_age(&age, json_integer_value(json_object_get(event, "age_s")));
    dt_judge(result, opinion->result, "/dev/kmsg");
    dt_judge_severity(result, opinion->severity);
    dt_judge_value(result, "%s%s%s%s (%s ago)", text_of(event, "text"), row ? " [" : "",
                   row ? row->meaning : "", row ? "]" : "", age.data ? age.data : "");
    dt_judge_limit(result, "no event that needs a reset");
    dt_judge_next(result, "%s", opinion->next);
    dt_buf_fini(&age);
}

void dt_check_kernel_log(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *events = dt_facts_array(context->facts, "log.errors"), *worst = NULL;
    struct opinion verdict = {DT_PASS, DT_SEVERITY_NONE, ""};
    if (!events || !context->xids) {
        dt_check_unknown(context, result, events ? "xid.conf" : "log.errors",
                         "run dmesg on the node as root");
        return;
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        struct opinion one = judge_event(context, event);
        if (one.result == DT_PASS || one.result < verdict.result ||
            (one.result == verdict.result && one.severity < verdict.severity))
            continue;
        verdict = one; /* the newest of the worst */
        worst = event;
    }
    if (worst) {
        tell_event(context, result, worst, &verdict);
        return;
    }
    dt_judge(result, DT_PASS, "/dev/kmsg");
    dt_judge_limit(result, "no event that needs a reset");
    dt_judge_value(result, "%zu harmless", json_array_size(events));
}
