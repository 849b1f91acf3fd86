/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the plan text. Two passes: the first proves that every line can be read, so that a broken
 * plan is never half applied. */
#include "apply.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "text.h"

static const struct {
    const char *word;
    enum plan_verb verb;
    bool for_all, value;
} verbs[] = {
    {"set", PLAN_SET, true, true},
    {"default", PLAN_DEFAULT, true, true},
    {"unset", PLAN_UNSET, true, false},
    {"env-set", PLAN_ENV_SET, true, true},
    {"env-default", PLAN_ENV_DEFAULT, true, true},
    {"env-unset", PLAN_ENV_UNSET, true, false},
    {"cpus", PLAN_CPUS, false, false},
    {"memory", PLAN_MEMORY, false, true},
    {"say", PLAN_SAY, false, false},
    {"found", PLAN_FOUND, false, false},
    {"bind-set", PLAN_BIND_SET, true, true},
    {"bind-default", PLAN_BIND_DEFAULT, true, true},
    {"look", PLAN_LOOK, true, true},
};

static bool find_verb(const char *word, bool for_all, size_t *which)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].word, word) == 0 && (verbs[i].for_all || !for_all)) {
            *which = i;
            return true;
        }
    }
    return false;
}

/* One line, without its newline, cut in place. false: not a line of a plan. *mine: for this rank.
 */
static bool parse(char *text, unsigned long local, struct plan_line *line, bool *mine)
{
    char *rest = text, *head = strsep(&rest, " ");
    bool for_all = strcmp(head, "all") == 0;
    size_t which;
    *mine = for_all;
    if (!for_all) {
        char *stop, *rank = strsep(&rest, " ");
        if (strcmp(head, "rank") != 0 || !rank || *rank < '0' || *rank > '9')
            return false;
        *mine = strtoul(rank, &stop, 10) == local;
        if (*stop)
            return false;
    }
    char *verb = strsep(&rest, " "), *name = strsep(&rest, " "), *value = rest;
    if (!verb || !name || !find_verb(verb, for_all, &which))
        return false;
    /* "memory local" has no node list; a set variable may be empty but has its blank */
    if (verbs[which].value != (value != NULL) && verbs[which].verb != PLAN_MEMORY)
        return false;
    if (word_decode(name) < 0 || (value && word_decode(value) < 0))
        return false;
    *line = (struct plan_line){verbs[which].verb, name, value};
    return true;
}

/* The lines from `text` on; copies are cut, so that the text can be walked twice. */
static int walk(struct apply *apply, const char *text, const char *stop,
                void (*take)(const struct apply *apply, const struct plan_line *line),
                struct sentence *why)
{
    size_t number = 1;
    while (text < stop) {
        const char *newline = memchr(text, '\n', (size_t)(stop - text));
        size_t len = newline ? (size_t)(newline - text) : 0;
        number++;
        if (!newline || memchr(text, '\0', len))
            break;
        if (len == 3 && memcmp(text, "end", 3) == 0)
            return 0;
        struct plan_line line;
        bool mine = false;
        char *copy = strndup(text, len);
        bool good = copy && parse(copy, apply->local, &line, &mine);
        if (good && mine && take)
            take(apply, &line);
        free(copy);
        if (!good) {
            snprintf(why->text, sizeof why->text,
                     "line %zu of dt-node's plan can not be understood: '%.*s'", number,
                     len > 64 ? 64 : (int)len, text);
            text_printable(why->text);
            return -1;
        }
        text = newline + 1;
    }
    snprintf(why->text, sizeof why->text, "dt-node's plan breaks off in line %zu", number);
    return -1;
}

int plan_apply(struct apply *apply, const char *text, size_t len,
               void (*take)(const struct apply *apply, const struct plan_line *line),
               struct sentence *why)
{
    static const char first[] = "dt-plan 1\n", refused[] = "dt-refused ";
    const char *stop = text + len;
    if (len > strlen(refused) + 1 && stop[-1] == '\n' &&
        memcmp(text, refused, strlen(refused)) == 0) {
        char digits[4] = ""; /* the text has no NUL behind it */
        size_t rest = len - strlen(refused);
        memcpy(digits, text + strlen(refused), rest < 3 ? rest : 3);
        int code = atoi(digits);
        apply->refused = code > 0 && code < 256 ? code : DT_EXIT_HELPER;
        return PLAN_REFUSED;
    }
    if (len < strlen(first) || memcmp(text, first, strlen(first)) != 0) {
        snprintf(why->text, sizeof why->text,
                 "dt-node's plan does not begin with 'dt-plan 1'; install the plugin and dt-node "
                 "from the same release");
        return -1;
    }
    if (walk(apply, text + strlen(first), stop, NULL, why) < 0)
        return -1;
    return walk(apply, text + strlen(first), stop, take, why);
}
