/* SPDX-License-Identifier: Apache-2.0 */
/* The second message of the plugin: the CPU mask that Slurm gave each local task. */
#include "plan/plan.h"

#include <limits.h>
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

struct masks {
    char **lists;
    pid_t *pids; /* NULL: not wanted */
    size_t count;
};

static int take_mask(struct masks *masks, const struct dt_line *line, struct dt_error *err)
{
    long long rank, pid = 0;
    if (line->count < 3 || line->count > 4 || strcmp(line->words[0], "mask") != 0)
        return dt_error_set(err, "line %zu of the plugin's masks is not 'mask RANK CPULIST PID'",
                            line->number);
    if (!dt_lines_number(line->words[1], 0, (long long)masks->count - 1, &rank))
        return dt_error_set(err, "mask for local rank '%s', but this node has %zu tasks",
                            line->words[1], masks->count);
    if (masks->lists[rank])
        return dt_error_set(err, "two masks for local rank %lld", rank);
    if (!is_cpu_list(line->words[2]))
        return dt_error_set(err, "mask '%s' of local rank %lld is no CPU list", line->words[2],
                            rank);
    if (line->count == 4 && !dt_lines_number(line->words[3], 1, INT_MAX, &pid))
        return dt_error_set(err, "'%s' is no process id of local rank %lld", line->words[3], rank);
    if (masks->pids)
        masks->pids[rank] = (pid_t)pid;
    masks->lists[rank] = strdup(line->words[2]);
    return masks->lists[rank] ? 0 : dt_error_set(err, "out of memory");
}

static int parse_masks(struct masks *masks, char *text, size_t len, struct dt_error *err)
{
    struct dt_lines lines;
    struct dt_line line;
    dt_lines_init(&lines, text, len);
    int rc;
    while ((rc = dt_lines_next(&lines, &line, err)) == 1) {
        if (take_mask(masks, &line, err) < 0)
            return -1;
    }
    for (size_t i = 0; rc == 0 && i < masks->count; i++) {
        if (!masks->lists[i])
            return dt_error_set(err, "the plugin sent no mask for local rank %zu", i);
    }
    return rc;
}

static int parse_copy(struct masks *masks, const char *text, size_t len, struct dt_error *err)
{
    int rc = -1;
    char *copy = malloc(len + 1);
    masks->lists = calloc(masks->count + 1, sizeof *masks->lists);
    if (!copy || !masks->lists) {
        dt_error_set(err, "out of memory");
        goto out;
    }
    if (len)
        memcpy(copy, text, len);
    rc = parse_masks(masks, copy, len, err);
out:
    free(copy);
    if (rc < 0) {
        dt_masks_free(masks->lists, masks->count);
        masks->lists = NULL;
    }
    return rc;
}

int dt_masks_parse(char ***lists, size_t count, const char *text, size_t len, struct dt_error *err)
{
    struct masks masks = {.count = count};
    int rc = parse_copy(&masks, text, len, err);
    *lists = masks.lists;
    return rc;
}

int dt_masks_read_pids(char ***lists, pid_t *pids, size_t count, int fd, struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    struct masks masks = {.count = count, .pids = pids};
    int rc = dt_lines_read(&text, fd, err);
    if (rc == 0)
        rc = parse_copy(&masks, text.data, text.len, err);
    *lists = masks.lists;
    dt_buf_fini(&text);
    return rc;
}

int dt_masks_read(char ***lists, size_t count, int fd, struct dt_error *err)
{
    return dt_masks_read_pids(lists, NULL, count, fd, err);
}
