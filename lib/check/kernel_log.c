/* SPDX-License-Identifier: Apache-2.0 */
/* Check of the kernel's log: which Xid makes a node unfit. */
#include <string.h>

#include "check/judges.h"

/* Xid codes after which the GPU needs a reset, the node a reboot, or the instance a replacement.
 * Source: NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors), immediate actions RESET_GPU
 * and RESTART_BM; all others are the program's own or only informational. 144 to 150 need decoding
 * of their status words, and 154 repeats the driver's verdict: left out. */
static const int bad_xids[] = {46,  48,  54,  62,  64,  74,  79,  95,  109, 110, 119, 120,
                               136, 140, 142, 143, 151, 155, 156, 158, 167, 168, 169, 172};

/* Older than this, somebody may have reset the GPU since: told, but no reason to refuse the node.
 */
enum { RECENT_S = 24 * 3600 };

static bool is_bad_xid(const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "kind"));
    json_int_t code = json_integer_value(json_object_get(event, "code"));
    if (!kind || strcmp(kind, "xid") != 0)
        return false;
    for (size_t i = 0; i < sizeof bad_xids / sizeof bad_xids[0]; i++) {
        if (bad_xids[i] == code)
            return true;
    }
    return false;
}

/* NVSwitch errors say themselves whether they are fatal: "12028, Non-fatal, Link 61". */
static bool is_fatal_sxid(const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "kind"));
    const char *text = json_string_value(json_object_get(event, "text"));
    return kind && strcmp(kind, "sxid") == 0 && text && strstr(text, ", Fatal");
}

static enum dt_result judge_event(const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "kind"));
    if (is_bad_xid(event) || is_fatal_sxid(event))
        return json_integer_value(json_object_get(event, "age_s")) <= RECENT_S ? DT_FAIL : DT_WARN;
    return kind && strcmp(kind, "efa") == 0 ? DT_WARN : DT_PASS;
}

void dt_check_kernel_log(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *events = dt_facts_array(context->facts, "log.errors");
    const json_t *worst = NULL;
    enum dt_result verdict = DT_PASS;
    if (!events) {
        dt_check_unknown(context, result, "log.errors", "run dmesg on the node as root");
        return;
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        enum dt_result one = judge_event(event);
        if (one >= verdict && one > DT_PASS) { /* the newest of the worst */
            verdict = one;
            worst = event;
        }
    }
    dt_judge(result, verdict, "/dev/kmsg");
    dt_judge_limit(result, "no Xid or EFA error that needs a reset");
    if (!worst) {
        dt_judge_value(result, "%zu harmless", json_array_size(events));
        return;
    }
    const char *text = json_string_value(json_object_get(worst, "text"));
    long long hours = json_integer_value(json_object_get(worst, "age_s")) / 3600;
    dt_judge_value(result, "%s (%lld h ago)", text ? text : "an error", hours);
    if (verdict == DT_FAIL)
        dt_judge_next(
            result,
            "reset the GPU (nvidia-smi -r) or reboot; replace the instance if it comes back");
    else
        dt_judge_next(result, "look at dmesg on the node");
}
