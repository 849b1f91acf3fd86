/* SPDX-License-Identifier: Apache-2.0 */
/* The second message of the plugin: the CPU mask that Slurm gave each local task. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "plan/lines.h"

void dt_masks_free(char **lists, size_t count)
{
    for (size_t i = 0; lists && i < count; i++)
        free(lists[i]);
    free(lists);
}

static bool is_cpu_list(const char *text)
{
    return *text && strspn(text, "0123456789,-") == strlen(text);
}

static int take_mask(char **lists, size_t count, const struct dt_line *line, struct dt_error *err)
{
    long long rank;
    if (line->count != 3 || strcmp(line->words[0], "mask") != 0)
        return dt_error_set(err, "line %zu of the plugin's masks is not 'mask RANK CPULIST'",
                            line->number);
    if (!dt_lines_number(line->words[1], 0, (long long)count - 1, &rank))
        return dt_error_set(err, "mask for local rank '%s', but this node has %zu tasks",
                            line->words[1], count);
    if (lists[rank])
        return dt_error_set(err, "two masks for local rank %lld", rank);
    if (!is_cpu_list(line->words[2]))
        return dt_error_set(err, "mask '%s' of local rank %lld is no CPU list", line->words[2],
                            rank);
    lists[rank] = strdup(line->words[2]);
    return lists[rank] ? 0 : dt_error_set(err, "out of memory");
}

static int parse_masks(char **lists, size_t count, char *text, size_t len, struct dt_error *err)
{
    struct dt_lines lines;
    struct dt_line line;
    dt_lines_init(&lines, text, len);
    int rc;
    while ((rc = dt_lines_next(&lines, &line, err)) == 1) {
        if (take_mask(lists, count, &line, err) < 0)
            return -1;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!lists[i])
            return dt_error_set(err, "the plugin sent no mask for local rank %zu", i);
    }
    return rc;
}

int dt_masks_parse(char ***lists, size_t count, const char *text, size_t len, struct dt_error *err)
{
    int rc = -1;
    char *copy = malloc(len + 1);
    char **result = calloc(count + 1, sizeof *result);
    if (!copy || !result) {
        dt_error_set(err, "out of memory");
        goto out;
    }
    if (len)
        memcpy(copy, text, len);
    rc = parse_masks(result, count, copy, len, err);
out:
    free(copy);
    if (rc < 0) {
        dt_masks_free(result, count);
        result = NULL;
    }
    *lists = result;
    return rc;
}

int dt_masks_read(char ***lists, size_t count, int fd, struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    *lists = NULL;
    int rc = dt_lines_read(&text, fd, err);
    if (rc == 0)
        rc = dt_masks_parse(lists, count, text.data, text.len, err);
    dt_buf_fini(&text);
    return rc;
}
