/* SPDX-License-Identifier: Apache-2.0 */
/* counters.conf: how much a counter may grow. */
#include "history/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "history/internal.h"

static const struct {
    const char *word;
    long long seconds;
} units[] = {{"total", 0}, {"per-second", 1}, {"per-minute", 60}, {"per-day", 86400}};

enum { UNITS = sizeof units / sizeof *units };

struct parser {
    struct dt_growth_limits *limits;
    const char *name;
    int line;
    struct dt_error *err;
};

static int refuse(const struct parser *p, const char *what, const char *word)
{
    return dt_error_set(p->err, "%s:%d: %s '%.60s'", p->name, p->line, what, word ? word : "");
}

static char *next_word(char **rest)
{
    char *word;
    do
        word = strsep(rest, " \t");
    while (word && !*word);
    return word;
}

static int take_amount(const struct parser *p, const char *word, struct dt_growth_limit *limit)
{
    char *end = NULL;
    errno = 0;
    limit->amount = word ? strtoll(word, &end, 10) : 0;
    if (!word || end == word || *end || errno || limit->amount < 0)
        return refuse(p, "expected a number of errors, not", word);
    return 0;
}

static int take_unit(const struct parser *p, const char *word, struct dt_growth_limit *limit)
{
    for (size_t i = 0; word && i < UNITS; i++) {
        if (strcmp(word, units[i].word) == 0) {
            limit->unit_s = units[i].seconds;
            return 0;
        }
    }
    return refuse(p, "expected total, per-second, per-minute or per-day, not", word);
}

static int take_result(const struct parser *p, const char *word, struct dt_growth_limit *limit)
{
    limit->fails = word && strcmp(word, "FAIL") == 0;
    return limit->fails || (word && strcmp(word, "WARN") == 0)
               ? 0
               : refuse(p, "expected WARN or FAIL, not", word);
}

/* limit COUNTER AMOUNT UNIT RESULT */
static int read_limit(struct parser *p, char *rest)
{
    const char *counter = next_word(&rest);
    if (!counter || !strchr(counter, '.') || !dt_history_is_word(counter))
        return refuse(p, "expected a counter such as efa.rx_drops, not", counter);
    if (dt_growth_limit_find(p->limits, counter))
        return refuse(p, "there is a limit already for", counter);
    struct dt_growth_limit *limit = DT_HISTORY_ADD(p->limits->items, p->limits->count);
    if (!limit || !(limit->counter = strdup(counter)))
        return dt_error_set(p->err, "out of memory");
    if (take_amount(p, next_word(&rest), limit) < 0 || take_unit(p, next_word(&rest), limit) < 0 ||
        take_result(p, next_word(&rest), limit) < 0)
        return -1;
    const char *more = next_word(&rest);
    return more ? refuse(p, "there is more behind the row:", more) : 0;
}

static int read_line(struct parser *p, char *line)
{
    char *rest = line;
    const char *word = next_word(&rest);
    if (!word || *word == '#')
        return 0;
    return strcmp(word, "limit") == 0 ? read_limit(p, rest)
                                      : refuse(p, "expected limit, not", word);
}

int dt_growth_limits_parse(struct dt_growth_limits *limits, const char *name, char *text,
                           struct dt_error *err)
{
    struct parser p = {.limits = limits, .name = name, .err = err};
    char *line;
    int rc = 0;
    *limits = (struct dt_growth_limits){0};
    while (rc == 0 && (line = strsep(&text, "\n"))) {
        p.line++;
        rc = read_line(&p, line);
    }
    if (rc == 0 && limits->count == 0)
        rc = dt_error_set(err, "%s: there is no row in it", name);
    if (rc < 0)
        dt_growth_limits_fini(limits);
    return rc;
}

int dt_growth_limits_load(struct dt_growth_limits *limits, const char *path, struct dt_error *err)
{
    size_t len;
    int open_errno;
    *limits = (struct dt_growth_limits){0};
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    if (!text)
        return -1;
    int rc = strlen(text) == len ? dt_growth_limits_parse(limits, path, text, err)
                                 : dt_error_set(err, "%s: there is a NUL byte in it", path);
    free(text);
    return rc;
}

void dt_growth_limits_fini(struct dt_growth_limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        free(limits->items[i].counter);
    free(limits->items);
    *limits = (struct dt_growth_limits){0};
}

const struct dt_growth_limit *dt_growth_limit_find(const struct dt_growth_limits *limits,
                                                   const char *counter)
{
    for (size_t i = 0; limits && i < limits->count; i++) {
        if (limits->items[i].counter && strcmp(limits->items[i].counter, counter) == 0)
            return &limits->items[i];
    }
    return NULL;
}

const char *dt_growth_unit_name(const struct dt_growth_limit *limit)
{
    for (size_t i = 0; i < UNITS; i++) {
        if (units[i].seconds == limit->unit_s)
            return units[i].word;
    }
    return "total";
}

bool dt_growth_is_over(const struct dt_growth_limit *limit, long long by, long long seconds)
{
    if (limit->unit_s == 0)
        return by > limit->amount;
    if (seconds < limit->unit_s)
        seconds = limit->unit_s;
    return (double)by * (double)limit->unit_s > (double)limit->amount * (double)seconds;
}
