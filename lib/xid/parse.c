/* SPDX-License-Identifier: Apache-2.0 */
/* Reading xid.conf. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xid/xid.h"

enum { CODE_MAX = 9999, BITS = 32 };

static const char *const actions[] = {"INFO",   "APP",     "MONITOR",  "RESET",
                                      "REBOOT", "REPLACE", "RECOVERY", "DECODE"};

struct parser {
    struct dt_xids *xids;
    const char *name;
    int line;
    struct dt_error *err;
};

static int refuse(struct parser *p, const char *what, const char *word)
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

static int take_code(struct parser *p, const char *word, int *code)
{
    char *end = NULL;
    long value = word ? strtol(word, &end, 10) : 0;
    if (!word || end == word || *end || value < 1 || value > CODE_MAX)
        return refuse(p, "expected the number of an Xid, not", word);
    *code = (int)value;
    return 0;
}

static int find_action(const char *word)
{
    for (int i = DT_XID_INFO; word && i <= DT_XID_DECODE; i++) {
        if (strcmp(actions[i], word) == 0)
            return i;
    }
    return -1;
}

/* A new last element of an array of structs; NULL: no memory. */
static void *grow(void *array_pointer, size_t *count, size_t size)
{
    void **array = array_pointer;
    void *more = realloc(*array, (*count + 1) * size);
    if (!more)
        return NULL;
    *array = more;
    void *last = (char *)more + *count * size;
    memset(last, 0, size);
    (*count)++;
    return last;
}

static int needs_source(struct parser *p)
{
    return p->xids->source_count > 0
               ? 0
               : dt_error_set(p->err, "%s:%d: 'source TEXT' must stand above the first row",
                              p->name, p->line);
}

static int add_code(struct parser *p, int code, enum dt_xid_action action, const char *mnemonic,
                    const char *meaning)
{
    if (needs_source(p) < 0)
        return -1;
    struct dt_xid *row = grow(&p->xids->codes, &p->xids->code_count, sizeof *row);
    if (!row)
        return dt_error_set(p->err, "out of memory");
    *row =
        (struct dt_xid){code, action, strdup(mnemonic), strdup(meaning), p->xids->source_count - 1};
    return row->mnemonic && row->meaning ? 0 : dt_error_set(p->err, "out of memory");
}

/* source TEXT: of the rows below, up to the next source */
static int read_source(struct parser *p, char *rest)
{
    if (rest)
        rest += strspn(rest, " \t");
    if (!rest || !*rest)
        return refuse(p, "expected where the rows below are from behind", "source");
    char **source = grow(&p->xids->sources, &p->xids->source_count, sizeof *source);
    if (source)
        *source = strdup(rest);
    return source && *source ? 0 : dt_error_set(p->err, "out of memory");
}

/* xid CODE ACTION CATALOGUE MNEMONIC MEANING... */
static int read_xid(struct parser *p, char *rest)
{
    int code = 0;
    if (take_code(p, next_word(&rest), &code) < 0)
        return -1;
    const char *word = next_word(&rest);
    int action = find_action(word);
    if (action < 0)
        return refuse(
            p, "expected INFO, APP, MONITOR, RESET, REBOOT, REPLACE, RECOVERY or DECODE, not",
            word);
    const char *catalogue = next_word(&rest), *mnemonic = next_word(&rest);
    if (!catalogue || !mnemonic)
        return refuse(p, "a row needs NVIDIA's action and the mnemonic behind", word);
    if (rest)
        rest += strspn(rest, " \t");
    return add_code(p, code, (enum dt_xid_action)action, mnemonic, rest ? rest : "");
}

/* unused 1-7 9 */
static int read_unused(struct parser *p, char *rest)
{
    char *word;
    while ((word = next_word(&rest))) {
        int first = 0, last = 0;
        char *dash = strchr(word, '-');
        if (dash)
            *dash = '\0';
        if (take_code(p, word, &first) < 0 || take_code(p, dash ? dash + 1 : word, &last) < 0)
            return -1;
        for (int code = first; code <= last; code++) {
            if (add_code(p, code, DT_XID_INFO, "UNUSED", "not used, says the catalogue") < 0)
                return -1;
        }
    }
    return 0;
}

static int take_pattern(struct parser *p, const char *word, uint32_t *mask, uint32_t *bits)
{
    if (!word || strlen(word) != BITS || strspn(word, "01-") != BITS)
        return refuse(p, "expected 32 times 0, 1 or -, not", word);
    for (int i = 0; i < BITS; i++) {
        *mask = *mask << 1 | (word[i] != '-');
        *bits = *bits << 1 | (word[i] == '1');
    }
    return 0;
}

static int take_resolution(struct parser *p, const char *word, enum dt_xid_action *action)
{
    if (word && strcmp(word, "RESET_GPU") == 0)
        *action = DT_XID_RESET;
    else if (word && strcmp(word, "IGNORE") == 0)
        *action = DT_XID_INFO;
    else if (word && strcmp(word, "XID_154_EVAL") == 0)
        *action = DT_XID_RECOVERY;
    else
        return refuse(p, "expected RESET_GPU, IGNORE or XID_154_EVAL, not", word);
    return 0;
}

/* nvlink CODE UNITS INFO-1 INFO-2 STATUS RESOLUTION INVESTIGATION SEVERITY */
static int read_nvlink(struct parser *p, char *rest)
{
    if (needs_source(p) < 0)
        return -1;
    struct dt_xid_rule *rule = grow(&p->xids->rules, &p->xids->rule_count, sizeof *rule);
    if (!rule)
        return dt_error_set(p->err, "out of memory");
    if (take_code(p, next_word(&rest), &rule->code) < 0)
        return -1;
    const char *units = next_word(&rest);
    if (!units)
        return refuse(p, "a row needs its unit behind", "nvlink CODE");
    rule->units = strdup(units);
    if (!rule->units)
        return dt_error_set(p->err, "out of memory");
    for (int i = 0; i < 2; i++) {
        if (take_pattern(p, next_word(&rest), &rule->mask[i], &rule->bits[i]) < 0)
            return -1;
    }
    char *end = NULL;
    const char *status = next_word(&rest);
    rule->status = status ? (uint32_t)strtoul(status, &end, 16) : 0;
    if (!status || end == status || *end)
        return refuse(p, "expected the error status as a 0x number, not", status);
    return take_resolution(p, next_word(&rest), &rule->action);
}

static int read_line(struct parser *p, char *line)
{
    char *rest = line;
    const char *word = next_word(&rest);
    if (!word || *word == '#')
        return 0;
    if (strcmp(word, "source") == 0)
        return read_source(p, rest);
    if (strcmp(word, "xid") == 0)
        return read_xid(p, rest);
    if (strcmp(word, "unused") == 0)
        return read_unused(p, rest);
    if (strcmp(word, "nvlink") == 0)
        return read_nvlink(p, rest);
    return refuse(p, "expected source, xid, unused or nvlink, not", word);
}

static int by_code(const void *a, const void *b)
{
    return ((const struct dt_xid *)a)->code - ((const struct dt_xid *)b)->code;
}

static int sort_codes(struct parser *p)
{
    struct dt_xids *xids = p->xids;
    if (xids->code_count == 0)
        return dt_error_set(p->err, "%s: there is no row in it", p->name);
    qsort(xids->codes, xids->code_count, sizeof *xids->codes, by_code);
    for (size_t i = 1; i < xids->code_count; i++) {
        if (xids->codes[i].code == xids->codes[i - 1].code)
            return dt_error_set(p->err, "%s: Xid %d has two rows", p->name, xids->codes[i].code);
    }
    return 0;
}

int dt_xids_parse(struct dt_xids *xids, const char *name, char *text, struct dt_error *err)
{
    struct parser p = {.xids = xids, .name = name, .err = err};
    char *line;
    int rc = 0;
    *xids = (struct dt_xids){0};
    while (rc == 0 && (line = strsep(&text, "\n"))) {
        p.line++;
        rc = read_line(&p, line);
    }
    if (rc == 0)
        rc = sort_codes(&p);
    if (rc < 0)
        dt_xids_fini(xids);
    return rc;
}
