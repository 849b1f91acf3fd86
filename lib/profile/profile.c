/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: reading, writing, and whether a fact fits. */
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"

enum { ROWS_MAX = 64, NEAR_PERCENT = 2 };

static bool is_number(const struct dt_profile_row *row)
{
    return row->kind != DT_PROFILE_TEXT;
}

static int check_number(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    if (cfg_opt_getnint(opt, 0) >= -1)
        return 0;
    cfg_error(cfg, "option '%s' must be -1 (unlimited) or more", opt->name);
    return -1;
}

static int check_text(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    if (*cfg_opt_getnstr(opt, 0))
        return 0;
    cfg_error(cfg, "option '%s' is empty: take the line out instead", opt->name);
    return -1;
}

static void fill_options(cfg_opt_t options[ROWS_MAX + 1])
{
    size_t i = 0;
    for (; dt_profile_rows[i].option && i < ROWS_MAX; i++) {
        const char *name = dt_profile_rows[i].option;
        options[i] = is_number(&dt_profile_rows[i])
                         ? (cfg_opt_t)CFG_INT(name, 0, CFGF_NODEFAULT)
                         : (cfg_opt_t)CFG_STR(name, NULL, CFGF_NODEFAULT);
        options[i].validcb = is_number(&dt_profile_rows[i]) ? check_number : check_text;
    }
    options[i] = (cfg_opt_t)CFG_END();
}

/* `plain` is the text without comments. */
static int take_all(struct dt_profile *profile, cfg_t *cfg, char *plain, struct dt_error *err)
{
    profile->items = calloc(ROWS_MAX, sizeof *profile->items);
    if (!profile->items)
        return dt_error_set(err, "out of memory");
    for (const struct dt_profile_row *row = dt_profile_rows; row->option; row++) {
        struct dt_profile_item *item = &profile->items[profile->count];
        if (cfg_size(cfg, row->option) == 0)
            continue;
        *item = (struct dt_profile_item){.row = row, .line = dt_conf_line_of(plain, row->option)};
        profile->count++;
        if (is_number(row))
            item->number = cfg_getint(cfg, row->option);
        else if (!(item->text = strdup(cfg_getstr(cfg, row->option))))
            return dt_error_set(err, "out of memory");
        if (row == dt_profile_rows)
            profile->type = item->text;
    }
    return profile->count > 0
               ? 0
               : dt_error_set(err,
                              "%s: there is nothing in it to judge by; dt-validate --learn "
                              "writes a profile",
                              profile->path);
}

int dt_profile_parse(struct dt_profile *profile, const char *name, const char *text, size_t len,
                     struct dt_error *err)
{
    cfg_opt_t options[ROWS_MAX + 1];
    cfg_t *cfg = NULL;
    *profile = (struct dt_profile){.path = strdup(name)};
    char *plain = strdup(text);
    fill_options(options);
    int rc = profile->path && plain ? dt_conf_parse_text(&cfg, options, name, text, len, err)
                                    : dt_error_set(err, "out of memory");
    if (rc == 0) {
        dt_conf_blank_comments(plain);
        rc = take_all(profile, cfg, plain, err);
    }
    if (cfg)
        cfg_free(cfg);
    free(plain);
    if (rc != 0)
        dt_profile_fini(profile);
    return rc;
}

int dt_profile_load(struct dt_profile *profile, const char *path, struct dt_error *err)
{
    size_t len = 0;
    int open_errno = 0;
    *profile = (struct dt_profile){0};
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    int rc = text ? dt_profile_parse(profile, path, text, len, err) : -1;
    free(text);
    return rc;
}

void dt_profile_fini(struct dt_profile *profile)
{
    for (size_t i = 0; i < profile->count; i++)
        free(profile->items[i].text);
    free(profile->items);
    free(profile->path);
    *profile = (struct dt_profile){0};
}

static void write_text(struct dt_buf *out, const char *text)
{
    dt_buf_puts(out, "'");
    for (const char *c = text; *c; c++)
        dt_buf_printf(out, "%s%c", *c == '\'' || *c == '\\' ? "\\" : "", *c);
    dt_buf_puts(out, "'");
}

char *dt_profile_learn(const struct dt_facts *facts)
{
    struct dt_buf out = DT_BUF_INIT;
    const char *name = "?";
    dt_facts_string(facts, "node.name", &name);
    dt_buf_printf(
        &out,
        "# What a healthy node has, as dt-validate --learn found it on %s. Nodes are held "
        "to it by\n"
        "# 'profile' in dt.conf, or dt-validate --profile FILE. Take out the lines that "
        "nodes may differ by.\n",
        name);
    for (const struct dt_profile_row *row = dt_profile_rows; row->option; row++) {
        const char *text = "";
        long long number = 0;
        if (is_number(row) ? !dt_facts_int(facts, row->key, &number)
                           : !dt_facts_string(facts, row->key, &text) || !*text)
            continue;
        dt_buf_printf(&out, "%s = ", row->option);
        if (is_number(row))
            dt_buf_printf(&out, "%lld", number);
        else
            write_text(&out, text);
        dt_buf_printf(&out, "%s%s\n", row->about ? "   # " : "", row->about ? row->about : "");
    }
    return dt_buf_take(&out);
}

/* -1 is without limit, and so more than any. */
static bool is_enough(long long number, long long least)
{
    return number == -1 || (least != -1 && number >= least);
}

bool dt_profile_fits(const struct dt_profile_item *item, const struct dt_facts *facts,
                     bool *is_known)
{
    const char *text;
    long long number;
    if (!is_number(item->row)) {
        *is_known = dt_facts_string(facts, item->row->key, &text);
        return *is_known && strcmp(text, item->text) == 0;
    }
    *is_known = dt_facts_int(facts, item->row->key, &number);
    if (!*is_known)
        return false;
    double difference = (double)number - (double)item->number;
    switch (item->row->kind) {
    case DT_PROFILE_LEAST:
        return is_enough(number, item->number);
    case DT_PROFILE_NEAR:
        return (difference < 0 ? -difference : difference) * 100 <=
               (double)item->number * NEAR_PERCENT;
    default:
        return number == item->number;
    }
}
