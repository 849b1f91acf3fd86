/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of file systems: can the job write where it must, and do network mounts answer. */
#include "check/judges.h"

/* Sort a list of {"path","ok","reason"} into bad and not known; the first of each. */
struct tally {
    size_t count, bad, unknown;
    const json_t *first_bad, *first_unknown;
};

static struct tally tally(const json_t *list)
{
    struct tally t = {.count = json_array_size(list)};
    for (size_t i = 0; i < t.count; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *ok = json_object_get(item, "ok");
        if (json_is_true(json_object_get(item, "foreign")))
            continue;
        if (!json_is_boolean(ok)) {
            t.unknown++;
            t.first_unknown = t.first_unknown ? t.first_unknown : item;
        } else if (!json_is_true(ok)) {
            t.bad++;
            t.first_bad = t.first_bad ? t.first_bad : item;
        }
    }
    return t;
}

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    return text ? text : "?";
}

static void name_paths(struct dt_check_result *result, const struct tally *t, const char *what)
{
    const json_t *item = t->bad ? t->first_bad : t->first_unknown;
    size_t more = (t->bad ? t->bad : t->unknown) - 1;
    if (more)
        dt_judge_value(result, "%s %s: %s, and %zu more", what, text_of(item, "path"),
                       text_of(item, "reason"), more);
    else
        dt_judge_value(result, "%s %s: %s", what, text_of(item, "path"), text_of(item, "reason"));
}

void dt_check_fs_writable(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *list = dt_facts_array(context->facts, "fs.writable");
    struct tally t = tally(list);
    if (!list) {
        dt_check_unknown(context, result, "fs.writable", "try to write there by hand");
        return;
    }
    if (t.count == 0) {
        dt_check_skip(result, "no path to try");
        return;
    }
    dt_judge(result,
             t.bad       ? DT_FAIL
             : t.unknown ? DT_UNKNOWN
                         : DT_PASS,
             "a file written as the user");
    dt_judge_limit(result, "writable by the job's user");
    if (t.bad) {
        name_paths(result, &t, "can not write");
        dt_judge_next(result,
                      "check that it is mounted on the node, its free space and your quota");
    } else if (t.unknown) {
        name_paths(result, &t, "not known:");
        dt_judge_next(result, "try to write there by hand");
    } else {
        dt_judge_value(result, "%zu path%s", t.count, t.count == 1 ? "" : "s");
    }
}

void dt_check_mounts(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *list = dt_facts_array(context->facts, "fs.mounts");
    struct tally t = tally(list);
    if (!list) {
        dt_check_unknown(context, result, "fs.mounts", "run 'df' on the node");
        return;
    }
    if (t.count == 0) {
        dt_check_skip(result, "no network file system is mounted");
        return;
    }
    dt_judge(result, t.bad ? DT_FAIL : t.unknown ? DT_UNKNOWN : DT_PASS, "statfs as the user");
    dt_judge_limit(result, "an answer in %lld ms (dt.conf)", context->conf->probe_timeout_ms);
    if (t.bad || t.unknown) {
        name_paths(result, &t, text_of(t.bad ? t.first_bad : t.first_unknown, "type"));
        dt_judge_next(result, "check the file server and this node's route to it, then remount");
    } else {
        dt_judge_value(result, "%zu mount%s", t.count, t.count == 1 ? "" : "s");
    }
}

void dt_check_fs_mounted(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *list = dt_facts_array(context->facts, "fs.mounted");
    const char *why;
    if (!list && !dt_facts_string(context->facts, "why.fs.mounted", &why)) {
        dt_check_skip(result, "dt.conf names no required-mounts");
        return;
    }
    if (!list) {
        dt_check_unknown(context, result, "fs.mounted", "run 'findmnt' on the node");
        return;
    }
    struct tally t = tally(list);
    dt_judge(result, t.bad ? DT_FAIL : DT_PASS, "/proc/self/mountinfo");
    dt_judge_limit(result, "something mounted at each of required-mounts (dt.conf)");
    if (t.bad) {
        name_paths(result, &t, "no file system at");
        dt_judge_next(result, "mount %s", text_of(t.first_bad, "path"));
    } else {
        dt_judge_value(result, "%zu mount%s", t.count, t.count == 1 ? "" : "s");
    }
}

/* The place with the least of something; false: no item tells. */
static bool least_of(const json_t *list, const char *key, const json_t **where, long long *least)
{
    bool found = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *number = json_object_get(item, key);
        if (!json_is_integer(number) || (*where && json_integer_value(number) >= *least))
            continue;
        *where = item;
        *least = json_integer_value(number);
        found = true;
    }
    return found;
}

void dt_check_fs_space(const struct dt_check_context *context, struct dt_check_result *result)
{
    const struct dt_conf *conf = context->conf;
    const json_t *lists[] = {dt_facts_array(context->facts, "fs.space"),
                             dt_facts_array(context->facts, "fs.writable")};
    const json_t *fullest = NULL, *most_files = NULL;
    long long free_mib = 0, free_files = 0;
    if (!lists[0]) {
        dt_check_unknown(context, result, "fs.space", "run 'df' and 'df -i' on the node");
        return;
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        least_of(lists[i], "free_mib", &fullest, &free_mib);
        least_of(lists[i], "free_files", &most_files, &free_files);
    }
    if (!fullest) {
        dt_check_unknown(context, result, "fs.space", "run 'df' and 'df -i' on the node");
        return;
    }
    bool full = free_mib < conf->min_free_mib;
    bool no_files = most_files && free_files < conf->min_free_files;
    dt_judge(result, full || no_files ? DT_FAIL : DT_PASS, "statvfs");
    dt_judge_limit(result, "%lld MiB and %lld files free (dt.conf)", conf->min_free_mib,
                   conf->min_free_files);
    if (no_files && !full) {
        dt_judge_value(result, "%s has room for %lld more files", text_of(most_files, "path"),
                       free_files);
        dt_judge_number(result, DT_UNIT_COUNT, free_files, conf->min_free_files);
    } else {
        dt_judge_value(result, "%s has %lld MiB free", text_of(fullest, "path"), free_mib);
        dt_judge_number(result, DT_UNIT_BYTES, free_mib << 20, conf->min_free_mib << 20);
    }
    if (full || no_files)
        dt_judge_next(result, "remove what earlier jobs left there: %s",
                      full ? "du -x, find" : "df -i, find");
}

void dt_check_fs_readonly(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *list = dt_facts_array(context->facts, "fs.readonly");
    size_t count = json_array_size(list);
    if (!list) {
        dt_check_unknown(context, result, "fs.readonly", "run 'findmnt' on the node");
        return;
    }
    dt_judge(result, count ? DT_FAIL : DT_PASS, "/proc/self/mountinfo");
    dt_judge_limit(result, "no disk that the kernel made read-only");
    if (count == 0) {
        dt_judge_value(result, "none");
        return;
    }
    const json_t *first = json_array_get(list, 0);
    dt_judge_value(result, "%s (%s) was mounted to be written and is read-only%s",
                   text_of(first, "path"), text_of(first, "type"), count > 1 ? ", and others" : "");
    dt_judge_next(result, "look for I/O errors in the kernel's log; reboot, or replace the volume");
}
