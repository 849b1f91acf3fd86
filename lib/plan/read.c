/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the plan text, for launchers that start the ranks of a node themselves. (The plugin has a
 * reader of its own, as it links nothing.) */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    enum dt_plan_verb verb;
    bool for_all, has_value;
} verbs[] = {
    {"set", DT_PLAN_SET, true, true},
    {"default", DT_PLAN_DEFAULT, true, true},
    {"unset", DT_PLAN_UNSET, true, false},
    {"env-set", DT_PLAN_ENV_SET, true, true},
    {"env-default", DT_PLAN_ENV_DEFAULT, true, true},
    {"env-unset", DT_PLAN_ENV_UNSET, true, false},
    {"bind-set", DT_PLAN_BIND_SET, true, true},
    {"bind-default", DT_PLAN_BIND_DEFAULT, true, true},
    {"look", DT_PLAN_LOOK, true, true},
    {"found", DT_PLAN_FOUND, false, false},
    {"cpus", DT_PLAN_CPUS, false, false},
    {"memory", DT_PLAN_MEMORY, false, true},
    {"say", DT_PLAN_SAY, false, false},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static bool take_verb(struct dt_plan_line *line, const char *word, bool has_value)
{
    for (size_t i = 0; word && i < VERBS; i++) {
        if (strcmp(verbs[i].word, word) != 0)
            continue;
        line->verb = verbs[i].verb;
        return (verbs[i].for_all || !line->all) && verbs[i].has_value == has_value;
    }
    return false;
}

static bool take_rank(struct dt_plan_line *line, const char *word)
{
    char *stop;
    if (!word || *word < '0' || *word > '9')
        return false;
    line->rank = strtoul(word, &stop, 10);
    return !*stop;
}

/* One line, without its newline, cut in place. */
static bool parse(struct dt_plan_line *line, char *text)
{
    char *rest = text, *head = strsep(&rest, " ");
    *line = (struct dt_plan_line){.all = strcmp(head, "all") == 0};
    if (!line->all && (strcmp(head, "rank") != 0 || !take_rank(line, strsep(&rest, " "))))
        return false;
    char *verb = strsep(&rest, " "), *name = strsep(&rest, " ");
    line->name = name;
    line->value = rest;
    return name && take_verb(line, verb, rest != NULL) && dt_word_decode(name) == 0 &&
           (!rest || dt_word_decode(rest) == 0);
}

static int take_line(const char *text, size_t len, size_t number, dt_plan_take take, void *argument,
                     struct dt_error *err)
{
    struct dt_plan_line line;
    char *copy = memchr(text, '\0', len) ? strdup("") : strndup(text, len);
    int rc = -1;
    if (!copy)
        return dt_error_set(err, "out of memory");
    if (parse(&line, copy))
        rc = take(argument, &line, err);
    else
        dt_error_set(err, "line %zu of the plan can not be understood: '%.*s'", number,
                     len > 64 ? 64 : (int)len, text);
    free(copy);
    return rc;
}

int dt_plan_read(const char *text, size_t len, dt_plan_take take, void *argument,
                 struct dt_error *err)
{
    static const char first[] = "dt-plan 1\n";
    const char *stop = text + len;
    size_t number = 1;
    if (len < strlen(first) || memcmp(text, first, strlen(first)) != 0)
        return dt_error_set(err, "the plan does not begin with 'dt-plan 1'; install all of dt from "
                                 "the same release");
    for (text += strlen(first); text < stop;) {
        const char *newline = memchr(text, '\n', (size_t)(stop - text));
        number++;
        if (!newline)
            break;
        size_t length = (size_t)(newline - text);
        if (length == 3 && memcmp(text, "end", 3) == 0)
            return 0;
        if (take_line(text, length, number, take, argument, err))
            return -1;
        text = newline + 1;
    }
    return dt_error_set(err, "the plan breaks off in line %zu", number);
}
