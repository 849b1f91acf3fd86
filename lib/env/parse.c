/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of a rules file to rules: every rule is checked before any is used. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

enum { WHEN, UNKNOWN, ACTION, SEVERITY, VARIABLE, VALUE, REASON, HARM, FIX, SOURCE, OPTION_COUNT };
static const char *const option_names[] = {"when",     "unknown", "action", "severity",
                                           "variable", "value",   "reason", "harm",
                                           "fix",      "source",  NULL};

/* One rule on its way: its words, and where they stood. */
struct draft {
    struct dt_env_rules *rules;
    struct dt_env_rule *rule;
    const char *file;
    char *words[OPTION_COUNT];
    int lines[OPTION_COUNT];
    struct dt_error *err;
};

static int located(struct draft *d, int line)
{
    return dt_error_prefix(d->err, "%s:%d: rule \"%s\"", d->file, line, d->rule->name);
}

static const char *nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 1;

    for (; *words; words++) {
        size_t edits = dt_env_distance(word, *words, least);
        if (edits <= least && (!best || edits < least)) {
            least = edits;
            best = *words;
        }
    }
    return best;
}

/* Which word of the list is it? -1 and a sentence that names them all. */
static int choice(struct draft *d, int option, const char *const *words)
{
    struct dt_buf list = DT_BUF_INIT;
    const char *word = d->words[option];

    for (int i = 0; word && words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    for (int i = 0; words[i]; i++)
        dt_buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
    dt_error_set(d->err, "%s is '%s', expected one of: %s", option_names[option], word ? word : "",
                 list.data ? list.data : "");
    dt_buf_fini(&list);
    located(d, word ? d->lines[option] : d->rule->line);
    return -1;
}

static int bad(struct draft *d, int option, const char *text)
{
    dt_error_set(d->err, "%s", text);
    return located(d, d->words[option] ? d->lines[option] : d->rule->line);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Blanks, line ends and indentation become one blank. */
static void squeeze(char *text)
{
    char *to = text;

    /* most texts are fine as they are, for most of their length */
    while ((unsigned char)*to > ' ' || (*to == ' ' && to > text && (unsigned char)to[1] > ' '))
        to++;
    for (const char *p = to; *p; p++) {
        if (!is_blank(*p))
            *to++ = *p;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

/* Length of the name at the head of text; *family: it ends in '*'. 0: no name. */
static size_t variable_length(const char *text, bool *family)
{
    size_t len = 0;

    *family = false;
    if (!strncmp(text, DT_ENV_NODE, strlen(DT_ENV_NODE)))
        return strlen(DT_ENV_NODE);
    if (!isalpha((unsigned char)*text) && *text != '_')
        return 0;
    while (isalnum((unsigned char)text[len]) || text[len] == '_')
        len++;
    *family = text[len] == '*';
    return len + *family;
}

static int add_subject(struct draft *d, char *name, size_t len, bool family)
{
    struct dt_env_rule *rule = d->rule;
    struct dt_env_subject *grown =
                              realloc(rule->subjects, (rule->subject_count + 1) * sizeof(*grown)),
                          *subject;

    if (!grown)
        return bad(d, VARIABLE, "no memory left for the rules");
    rule->subjects = grown;
    subject = &grown[rule->subject_count++];
    *subject = (struct dt_env_subject){name, DT_ENV_NO_NAME, len - family};
    if (!family &&
        (subject->index = dt_env_names_add(&d->rules->names, name, len)) == DT_ENV_NO_NAME)
        return bad(d, VARIABLE, "no memory left, or too many variables");
    return 0;
}

static int take_subjects(struct draft *d)
{
    char *p = d->words[VARIABLE];

    while (p && *p) {
        bool family;
        size_t len = variable_length(p, &family);
        char *name = p;
        if (len == 0 || (p[len] && p[len] != ' ')) {
            dt_error_set(d->err,
                         "variable, at '%.*s': expected the name of an environment variable",
                         (int)strcspn(p, " "), p);
            return located(d, d->lines[VARIABLE]);
        }
        p += len;
        if (*p)
            *p++ = '\0';
        if (add_subject(d, name, len, family))
            return -1;
    }
    if (d->rule->subject_count == 0)
        return bad(d, VARIABLE, "variable is missing; a rule says which variable it is about");
    return 0;
}

static bool gives_value(const struct dt_env_rule *rule)
{
    return rule->action == DT_ENV_SET || rule->action == DT_ENV_FORCE;
}

static bool speaks_of_node(const struct dt_env_rule *rule)
{
    for (size_t i = 0; i < rule->subject_count; i++)
        if (*rule->subjects[i].name == '(')
            return true;
    return false;
}

static int check_action(struct draft *d)
{
    struct dt_env_rule *rule = d->rule;
    bool site_word = rule->action == DT_ENV_FORCE || rule->action == DT_ENV_UNSET || rule->off;
    bool one = rule->subject_count == 1 && rule->subjects[0].index != DT_ENV_NO_NAME;

    if (site_word && !rule->site)
        return bad(d, ACTION,
                   "action is set, unset or off, which only rules of the admin's own file "
                   "(env-rules-site in dt.conf) can have; expected set-if-unset, keep, warn or "
                   "refuse");
    if (gives_value(rule) != (d->words[VALUE] != NULL))
        return bad(d, VALUE,
                   gives_value(rule) ? "value is missing; a rule that sets needs one"
                                     : "value is given, but only rules that set use one");
    if (gives_value(rule) && !one)
        return bad(d, VARIABLE, "a rule that sets is about one variable");
    if (rule->unknown == DT_UNKNOWN_WARN && rule->action != DT_ENV_REFUSE)
        return bad(d, UNKNOWN, "unknown is 'warn', which only rules that refuse can have");
    if (rule->action == DT_ENV_REFUSE && rule->severity != DT_ENV_ABORT)
        return bad(d, SEVERITY, "a rule that refuses has the severity abort");
    if (rule->action != DT_ENV_WARN && rule->action != DT_ENV_REFUSE && d->words[SEVERITY])
        return bad(d, SEVERITY, "severity is given, but only rules that warn use one");
    if (speaks_of_node(rule) && (rule->action != DT_ENV_WARN || rule->when->uses_self))
        return bad(d, VARIABLE, "a rule about the (node) can only warn, and has no $_");
    if (rule->when->uses_self && gives_value(rule))
        return bad(d, WHEN, "$_ is the user's value, which a rule that sets has none of");
    return 0;
}

static int check_texts(struct draft *d)
{
    if (!*d->rule->reason)
        return bad(d, REASON, "reason is missing; users are told it");
    if (!*d->rule->source)
        return bad(d, SOURCE, "source is missing; every rule says where it is from");
    if (dt_env_template_check(d->rule->value, d->err))
        return located(d, d->lines[VALUE]);
    return 0;
}

static int take_condition(struct draft *d)
{
    size_t at = 0;
    int line = d->lines[WHEN];

    if (!d->words[WHEN])
        return bad(d, WHEN, "when is missing; a rule says under which condition it holds");
    d->rule->when = dt_env_expr_parse(d->words[WHEN], &d->rules->names, &at, d->err);
    if (!d->rule->when) {
        for (size_t i = 0; i < at; i++)
            line += d->words[WHEN][i] == '\n';
        return located(d, line);
    }
    squeeze(d->words[WHEN]);
    d->rule->condition = d->words[WHEN];
    return 0;
}

static int take_words(struct draft *d)
{
    static const char *const actions[] = {"set-if-unset", "set",    "unset", "keep",
                                          "warn",         "refuse", "off",   NULL};
    static const char *const unknowns[] = {"skip", "apply", "warn", NULL};
    static const char *const severities[] = {"fine", "no-effect", "slow", "abort", NULL};
    struct dt_env_rule *rule = d->rule;
    int index;

    if ((index = choice(d, ACTION, actions)) < 0)
        return -1;
    rule->off = index > DT_ENV_REFUSE;
    rule->action = rule->off ? DT_ENV_KEEP : (enum dt_env_action)index;
    if (d->words[UNKNOWN] && (index = choice(d, UNKNOWN, unknowns)) < 0)
        return -1;
    rule->unknown = d->words[UNKNOWN] ? index : DT_UNKNOWN_SKIP;
    if (d->words[SEVERITY] && (index = choice(d, SEVERITY, severities)) < 0)
        return -1;
    rule->severity = d->words[SEVERITY]              ? (enum dt_env_severity)index
                     : rule->action == DT_ENV_WARN   ? DT_ENV_SLOW
                     : rule->action == DT_ENV_REFUSE ? DT_ENV_ABORT
                                                     : DT_ENV_FINE;
    return 0;
}

static const char *word_or_empty(struct draft *d, int option)
{
    if (!d->words[option])
        return "";
    squeeze(d->words[option]);
    return d->words[option];
}

static int finish(struct draft *d)
{
    struct dt_env_rule *rule = d->rule;

    if (take_words(d))
        return -1;
    if (rule->off && rule->site)
        return 0;
    if (take_condition(d))
        return -1;
    rule->value = d->words[VALUE] ? d->words[VALUE] : "";
    rule->reason = word_or_empty(d, REASON);
    rule->harm = word_or_empty(d, HARM);
    rule->fix = word_or_empty(d, FIX);
    rule->source = word_or_empty(d, SOURCE);
    word_or_empty(d, VARIABLE);
    return take_subjects(d) || check_action(d) || check_texts(d) ? -1 : 0;
}

static int take_option(struct draft *d, const struct dt_env_option *option)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (*option_names[i] != *option->key || strcmp(option_names[i], option->key) != 0)
            continue;
        if (d->words[i]) {
            dt_error_set(d->err, "option '%s' is set twice, keep one", option->key);
            return located(d, option->key_line);
        }
        d->words[i] = option->value;
        d->lines[i] = option->value_line;
        return 0;
    }
    const char *near = nearest(option->key, option_names);
    dt_error_set(d->err, "unknown option '%s'%s%s%s", option->key, near ? "; did you mean '" : "",
                 near ? near : "", near ? "'?" : "");
    return located(d, option->key_line);
}

/* seen: the names of this file's rules so far, in their order. */
static int check_name(struct draft *d, struct dt_env_names *seen)
{
    size_t first = d->rules->count - 1 - seen->count, len = strlen(d->rule->name);
    uint16_t index = dt_env_names_find(seen, d->rule->name, len);

    if (index != DT_ENV_NO_NAME) {
        dt_error_set(d->err, "there is a rule of this name in line %d already",
                     d->rules->items[first + index].line);
        return located(d, d->rule->line);
    }
    if (dt_env_names_add(seen, d->rule->name, len) != DT_ENV_NO_NAME)
        return 0;
    dt_error_set(d->err, "no memory left, or too many rules");
    return located(d, d->rule->line);
}

static struct dt_env_rule *new_rule(struct dt_env_rules *rules)
{
    if (rules->count % 64 == 0) {
        struct dt_env_rule *grown = realloc(rules->items, (rules->count + 64) * sizeof(*grown));
        if (!grown)
            return NULL;
        rules->items = grown;
    }
    rules->items[rules->count] = (struct dt_env_rule){0};
    return &rules->items[rules->count++];
}

static int parse_rule(struct dt_env_rules *rules, struct dt_env_syntax *in, char *name, bool site,
                      struct dt_env_names *seen, struct dt_error *err)
{
    struct dt_env_rule *rule = new_rule(rules);
    struct draft d = {.rules = rules, .rule = rule, .file = in->file, .err = err};
    struct dt_env_option option;
    int more;

    if (!rule)
        return dt_error_set(err, "no memory left for the rules");
    rule->name = name;
    rule->line = in->line;
    rule->site = site;
    while ((more = dt_env_syntax_option(in, &option, err)) > 0)
        if (take_option(&d, &option))
            return -1;
    return more < 0 || check_name(&d, seen) ? -1 : finish(&d);
}

static void rule_fini(struct dt_env_rule *rule)
{
    dt_env_expr_destroy(rule->when);
    free(rule->subjects);
}

static int keep_text(struct dt_env_rules *rules, char *text)
{
    char **grown = realloc(rules->texts, (rules->text_count + 1) * sizeof(*grown));

    if (!grown)
        return -1;
    rules->texts = grown;
    grown[rules->text_count++] = text;
    return 0;
}

int dt_env_rules_parse(struct dt_env_rules *rules, const char *file, char *text, bool site,
                       struct dt_error *err)
{
    struct dt_env_syntax in = {.file = file, .p = text, .line = 1};
    struct dt_env_names seen = {0};
    size_t before = rules->count;
    char *name;
    int more;

    if (keep_text(rules, text)) {
        free(text);
        return dt_error_set(err, "no memory left for the rules");
    }
    while ((more = dt_env_syntax_rule(&in, &name, err)) > 0)
        if (parse_rule(rules, &in, name, site, &seen, err))
            break;
    dt_env_names_fini(&seen);
    if (more == 0)
        return 0;
    while (rules->count > before)
        rule_fini(&rules->items[--rules->count]);
    free(rules->texts[--rules->text_count]);
    return -1;
}

void dt_env_rules_destroy(struct dt_env_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++)
        rule_fini(&rules->items[i]);
    for (size_t i = 0; i < rules->text_count; i++)
        free(rules->texts[i]);
    dt_env_names_fini(&rules->names);
    free(rules->items);
    free(rules->texts);
    free(rules);
}
