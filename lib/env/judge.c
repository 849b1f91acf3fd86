/* SPDX-License-Identifier: Apache-2.0 */
/* Which rules hold for one environment. In three passes: what the admin forces comes first, so that
 * all others see it; then what is to be said of the user's values; then what dt adds, and nothing is
 * added that a rule would refuse. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

struct judge {
    const struct dt_env_rules *rules;
    struct dt_env_world *world;
    struct dt_env_hits *hits;
};

char *dt_env_printable(const char *text)
{
    char *copy = strdup(text);

    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return copy;
}

static void hit_fini(struct dt_env_hit *hit)
{
    free(hit->variable);
    free(hit->value);
    free(hit->user);
    free(hit->doubt);
}

void dt_env_hits_fini(struct dt_env_hits *hits)
{
    for (size_t i = 0; i < hits->count; i++)
        hit_fini(&hits->items[i]);
    free(hits->items);
    *hits = (struct dt_env_hits){0};
}

/* value: dt's own, handed over; NULL: the user's is taken. */
static int add_hit(struct judge *j, const struct dt_env_rule *rule, const char *variable,
                   enum dt_env_action action, enum dt_truth truth, const char *user, char *value)
{
    struct dt_env_hits *hits = j->hits;
    struct dt_env_hit *hit;

    if (hits->count % 16 == 0) {
        struct dt_env_hit *grown = realloc(hits->items, (hits->count + 16) * sizeof(*grown));
        if (!grown) {
            free(value);
            return -1;
        }
        hits->items = grown;
    }
    hit = &hits->items[hits->count++];
    *hit = (struct dt_env_hit){.rule = rule, .action = action};
    hit->variable = strdup(variable);
    hit->user = user ? dt_env_printable(user) : NULL;
    hit->value = value ? value : dt_env_printable(user ? user : "");
    if (truth == DT_UNKNOWN && !(hit->doubt = dt_env_expr_doubt(rule->when, j->world)))
        return -1;
    return hit->variable && hit->value && (hit->user || !user) ? 0 : -1;
}

static bool has_hit(const struct judge *j, const char *variable, bool (*wanted)(enum dt_env_action))
{
    for (size_t i = 0; i < j->hits->count; i++)
        if (wanted(j->hits->items[i].action) && !strcmp(j->hits->items[i].variable, variable))
            return true;
    return false;
}

static bool by_admin(enum dt_env_action action)
{
    return action == DT_ENV_FORCE || action == DT_ENV_UNSET;
}

static bool set_or_keep(enum dt_env_action action)
{
    return action == DT_ENV_SET || action == DT_ENV_KEEP;
}

/* Does the rule hold, for the value that the variable has? */
static enum dt_truth holds(struct judge *j, const struct dt_env_rule *rule, const char *self)
{
    enum dt_truth result;

    j->world->self = self;
    result = dt_env_expr_eval(rule->when, j->world);
    if (result == DT_UNKNOWN && rule->unknown == DT_UNKNOWN_SKIP)
        return DT_FALSE;
    return result;
}

/* 1: expanded; 0: a fact in it is not known; -1: no memory. */
static int expand(struct judge *j, const struct dt_env_rule *rule, char **value)
{
    struct dt_buf text = DT_BUF_INIT;

    if (dt_env_template_expand(rule->value, j->world, &text)) {
        dt_buf_fini(&text);
        return 0;
    }
    return (*value = dt_buf_take(&text)) ? 1 : -1;
}

/* ---- pass 1: the admin -------------------------------------------------------------------------- */

static int force(struct judge *j, const struct dt_env_rule *rule,
                 const struct dt_env_subject *subject)
{
    const char **user = &j->world->users[subject->index];
    char *value = NULL;
    enum dt_truth truth;
    int rc;

    if (has_hit(j, subject->name, by_admin) || (rule->action == DT_ENV_UNSET && !*user))
        return 0;
    truth = holds(j, rule, *user);
    if (truth == DT_FALSE)
        return 0;
    if (rule->action == DT_ENV_FORCE && (rc = expand(j, rule, &value)) <= 0)
        return rc;
    if (add_hit(j, rule, subject->name, rule->action, truth, *user, value))
        return -1;
    *user = value;
    return 0;
}

/* A family that the admin takes away: each variable of it that has a number; others have no effect
 * on any rule, and are found in the environment. */
static int unset_family(struct judge *j, const struct dt_env_rule *rule,
                        const struct dt_env_subject *family)
{
    for (char *const *entry = j->world->user_env; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        enum dt_truth truth;
        char *name;
        int rc = 0;

        if (!equals || strncmp(*entry, family->name, family->prefix) != 0)
            continue;
        if ((truth = holds(j, rule, equals + 1)) == DT_FALSE)
            continue;
        if (!(name = strndup(*entry, (size_t)(equals - *entry))))
            return -1;
        if (!has_hit(j, name, by_admin)) {
            uint16_t index = dt_env_names_find(j->world->names, name, strlen(name));
            rc = add_hit(j, rule, name, rule->action, truth, equals + 1, NULL);
            if (index != DT_ENV_NO_NAME)
                j->world->users[index] = NULL;
        }
        free(name);
        if (rc)
            return -1;
    }
    return 0;
}

static int pass_admin(struct judge *j, const struct dt_env_rule *rule)
{
    int rc = 0;

    if (!by_admin(rule->action))
        return 0;
    for (size_t i = 0; i < rule->subject_count && rc == 0; i++)
        rc = rule->subjects[i].index == DT_ENV_NO_NAME ? unset_family(j, rule, &rule->subjects[i])
                                                       : force(j, rule, &rule->subjects[i]);
    return rc;
}

/* ---- pass 2: what the user has ------------------------------------------------------------------ */

static int speak(struct judge *j, const struct dt_env_rule *rule, const char *variable,
                 const char *user)
{
    enum dt_truth truth = holds(j, rule, user);
    enum dt_env_action action = rule->action;

    if (truth == DT_FALSE)
        return 0;
    if (truth == DT_UNKNOWN && rule->unknown == DT_UNKNOWN_WARN)
        action = DT_ENV_WARN;
    return add_hit(j, rule, variable, action, truth, user, NULL);
}

static int speak_of_family(struct judge *j, const struct dt_env_rule *rule,
                           const struct dt_env_subject *family)
{
    int rc = 0;

    for (char *const *entry = j->world->user_env; entry && *entry && rc == 0; entry++) {
        const char *equals = strchr(*entry, '=');
        char *name;

        if (!equals || strncmp(*entry, family->name, family->prefix) != 0)
            continue;
        if (!(name = strndup(*entry, (size_t)(equals - *entry))))
            return -1;
        if (!has_hit(j, name, by_admin))
            rc = speak(j, rule, name, equals + 1);
        free(name);
    }
    return rc;
}

static int pass_user(struct judge *j, const struct dt_env_rule *rule)
{
    int rc = 0;

    if (rule->action == DT_ENV_SET || by_admin(rule->action))
        return 0;
    for (size_t i = 0; i < rule->subject_count && rc == 0; i++) {
        const struct dt_env_subject *subject = &rule->subjects[i];
        if (!strcmp(subject->name, DT_ENV_NODE))
            rc = speak(j, rule, subject->name, NULL);
        else if (subject->index == DT_ENV_NO_NAME)
            rc = speak_of_family(j, rule, subject);
        else if (j->world->users[subject->index] && !has_hit(j, subject->name, by_admin))
            rc = speak(j, rule, subject->name, j->world->users[subject->index]);
    }
    return rc;
}

/* ---- pass 3: what dt adds ----------------------------------------------------------------------- */

static bool speaks_of(const struct dt_env_rule *rule, uint16_t index)
{
    for (size_t i = 0; i < rule->subject_count; i++)
        if (rule->subjects[i].index == index)
            return true;
    for (size_t i = 0; i < rule->when->count; i++) {
        const struct dt_env_node *node = &rule->when->nodes[i];
        if ((node->a.kind == DT_OPERAND_USER && node->a.index == index) ||
            (node->b.kind == DT_OPERAND_USER && node->b.index == index))
            return true;
    }
    return false;
}

static bool refuses(struct judge *j, const struct dt_env_rule *rule)
{
    for (size_t i = 0; i < rule->subject_count; i++) {
        uint16_t index = rule->subjects[i].index;
        const char *user = index == DT_ENV_NO_NAME ? NULL : j->world->users[index];
        if (!user)
            continue;
        j->world->self = user;
        if (dt_env_expr_eval(rule->when, j->world) == DT_TRUE)
            return true;
    }
    return false;
}

/* Would the value make a combination that a rule refuses, and that is not there without it? */
static bool would_abort(struct judge *j, uint16_t index, const char *value)
{
    const char **user = &j->world->users[index];

    for (size_t i = 0; i < j->rules->count; i++) {
        const struct dt_env_rule *rule = &j->rules->items[i];
        bool before, after;
        if (rule->action != DT_ENV_REFUSE || !speaks_of(rule, index))
            continue;
        before = refuses(j, rule);
        *user = value;
        after = refuses(j, rule);
        *user = NULL;
        if (after && !before)
            return true;
    }
    return false;
}

/* What dt has added so far comes into the world, or leaves it again. */
static void show_own(struct judge *j, const char **own, bool show)
{
    for (size_t i = 0; i < j->rules->names.count; i++)
        if (own[i])
            j->world->users[i] = show ? own[i] : NULL;
}

static int pass_set(struct judge *j, const struct dt_env_rule *rule, const char **own)
{
    const struct dt_env_subject *subject = &rule->subjects[0];
    const char *user;
    char *value = NULL;
    enum dt_truth truth;
    bool wrong;
    int rc;

    if (rule->action != DT_ENV_SET || has_hit(j, subject->name, set_or_keep) ||
        has_hit(j, subject->name, by_admin))
        return 0;
    user = j->world->users[subject->index];
    if ((truth = holds(j, rule, user)) == DT_FALSE)
        return 0;
    if (user)
        return add_hit(j, rule, subject->name, DT_ENV_KEEP, truth, user, NULL);
    if ((rc = expand(j, rule, &value)) <= 0)
        return rc;
    show_own(j, own, true);
    wrong = would_abort(j, subject->index, value);
    show_own(j, own, false);
    if (wrong) {
        free(value);
        return 0;
    }
    own[subject->index] = value;
    return add_hit(j, rule, subject->name, DT_ENV_SET, truth, NULL, value);
}

/* Hits of pass 1, 2 and 3 into the order of the rules; within a rule they stay as they are. */
static int compare_hits(const void *a, const void *b)
{
    const struct dt_env_hit *x = a, *y = b;

    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    return strcmp(x->variable, y->variable);
}

int dt_env_judge(struct dt_env_hits *hits, const struct dt_env_rules *rules,
                 struct dt_env_world *world)
{
    struct judge j = {rules, world, hits};
    const char **own = calloc(rules->names.count + 1, sizeof(*own));
    int rc = own ? 0 : -1;

    *hits = (struct dt_env_hits){0};
    for (size_t i = 0; i < rules->count && rc == 0; i++)
        rc = pass_admin(&j, &rules->items[i]);
    for (size_t i = 0; i < rules->count && rc == 0; i++)
        rc = pass_user(&j, &rules->items[i]);
    for (size_t i = 0; i < rules->count && rc == 0; i++)
        rc = pass_set(&j, &rules->items[i], own);
    free(own);
    if (rc)
        dt_env_hits_fini(hits);
    else if (hits->count > 1)
        qsort(hits->items, hits->count, sizeof(*hits->items), compare_hits);
    return rc;
}

/* ---- in words ----------------------------------------------------------------------------------- */

enum dt_env_severity dt_env_hit_severity(const struct dt_env_hit *hit)
{
    if (hit->action != DT_ENV_WARN && hit->action != DT_ENV_REFUSE)
        return DT_ENV_FINE;
    if (hit->doubt && hit->rule->severity == DT_ENV_ABORT)
        return DT_ENV_SLOW; /* it may be nothing: not a reason to stop */
    return hit->rule->severity;
}

char *dt_env_hit_reason(const struct dt_env_hit *hit, const char *harm)
{
    struct dt_buf reason = DT_BUF_INIT;
    bool gives = hit->action == DT_ENV_SET || hit->action == DT_ENV_FORCE;

    dt_buf_puts(&reason, hit->rule->reason);
    if (*harm)
        dt_buf_printf(&reason, "%s%s", gives ? "; otherwise: " : ": ", harm);
    if (hit->doubt)
        dt_buf_printf(&reason, " (not certain, as %s)", hit->doubt);
    return dt_buf_take(&reason);
}

char *dt_env_hit_fix(const struct dt_env_hit *hit)
{
    struct dt_buf fix = DT_BUF_INIT;

    if (hit->action == DT_ENV_WARN || hit->action == DT_ENV_REFUSE) {
        if (*hit->rule->fix)
            dt_buf_puts(&fix, hit->rule->fix);
        else
            dt_buf_printf(&fix, "unset %s", hit->variable);
    }
    return dt_buf_take(&fix);
}
