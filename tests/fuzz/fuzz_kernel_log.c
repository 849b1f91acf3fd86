/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel tells in text: records of its log, in which programs' names stand too, judged with
 * the table of Xid codes; and whose a process is. Never a crash, never an answer out of range. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check/judges.h"
#include "facts/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char table[] = "source s\nxid 48 RESET X M a\nxid 79 REPLACE X M b\n"
                            "xid 149 DECODE X M c\nxid 154 RECOVERY X M d\n"
                            "nvlink 149 NETIR_LINK_EVT ------000100----------0111000110 "
                            "------000100-------------0010001 0x0 RESET_GPU A B\n";

static void judge(json_t *events)
{
    struct dt_xids xids;
    struct dt_error err;
    struct dt_facts facts = {.doc = json_pack("{s:O,s:[s],s:i,s:i}", "log.errors", events,
                                              "job.gpus", "0000:3b:00.0", "log.now_s", 1000,
                                              "history.last_end_s", 500)};
    struct dt_check_context context = {.facts = &facts, .xids = &xids, .level = DT_LEVEL_FULL};
    struct dt_check_result result = {.name = "kernel-log", .result = DT_UNKNOWN};
    char *copy = strdup(table);
    if (facts.doc && copy && dt_xids_parse(&xids, "table", copy, &err) == 0) {
        dt_check_kernel_log(&context, &result);
        if (result.result == DT_UNKNOWN || dt_judge_finish(&result) < 0)
            abort();
        dt_check_result_fini(&result);
        dt_xids_fini(&xids);
    }
    free(copy);
    dt_facts_fini(&facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *rest = text, *line;
    json_t *events = json_array();
    if (!text || !events)
        abort();
    if (dt_cgroup_job(text) < 0 || dt_status_uid(text) < -1)
        abort();
    while ((line = strsep(&rest, "\n"))) {
        json_t *event = dt_kernel_log_record(line, 1000000000);
        if (event)
            json_array_append_new(events, event);
    }
    judge(events);
    json_decref(events);
    free(text);
    return 0;
}
