/* SPDX-License-Identifier: Apache-2.0 */
/* Looking a message up, and decoding NVLink's status words. */
#include "xid/xid.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dt_xids_fini(struct dt_xids *xids)
{
    for (size_t i = 0; i < xids->code_count; i++) {
        free(xids->codes[i].mnemonic);
        free(xids->codes[i].meaning);
    }
    for (size_t i = 0; i < xids->rule_count; i++)
        free(xids->rules[i].units);
    for (size_t i = 0; i < xids->source_count; i++)
        free(xids->sources[i]);
    free(xids->codes);
    free(xids->rules);
    free(xids->sources);
    *xids = (struct dt_xids){0};
}

static int compare(const void *key, const void *row)
{
    return *(const int *)key - ((const struct dt_xid *)row)->code;
}

const struct dt_xid *dt_xid_find(const struct dt_xids *xids, int code)
{
    return xids->code_count == 0
               ? NULL
               : bsearch(&code, xids->codes, xids->code_count, sizeof *xids->codes, compare);
}

const char *dt_xid_source(const struct dt_xids *xids, const struct dt_xid *row)
{
    return xids->sources[row->source];
}

/* "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)". The words differ
 * between drivers ("Node Reboot Required", "OS Reboot"), the numbers do not. */
int dt_xid_recovery(const char *text)
{
    unsigned action;
    const char *to = strstr(text, " to 0x");
    return to && sscanf(to, " to 0x%x", &action) == 1 && action < 1000 ? (int)action : -1;
}

/* Is the word one of "A/B"? */
static bool names_unit(const char *units, const char *word, size_t len)
{
    while (*units) {
        size_t one = strcspn(units, "/");
        if (one == len && strncmp(units, word, len) == 0)
            return true;
        units += one + (units[one] == '/');
    }
    return false;
}

/* Rows are made for one value each; of bits that stand together in one message, each counts. */
static bool matches(const struct dt_xid_rule *rule, uint32_t info, uint32_t status, bool exactly)
{
    bool layout =
        (info & rule->mask[0]) == rule->bits[0] || (info & rule->mask[1]) == rule->bits[1];
    return layout && (exactly ? status == rule->status : (status & rule->status) == rule->status);
}

/* The worst of the rows that fit. false: none fits. */
static bool find_worst(const struct dt_xids *xids, int code, const char *unit, size_t unit_len,
                       const uint32_t words[2], bool exactly, enum dt_xid_action *worst)
{
    bool found = false;
    for (size_t i = 0; i < xids->rule_count; i++) {
        const struct dt_xid_rule *rule = &xids->rules[i];
        if (rule->code != code || !names_unit(rule->units, unit, unit_len) ||
            !matches(rule, words[0], words[1], exactly))
            continue;
        *worst = !found || rule->action > *worst ? rule->action : *worst;
        found = true;
    }
    return found;
}

/* "...: 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 01 (0x021425c6 0x00000000 ...)"; drivers before 575
 * write square brackets. A message that no row fits is to be looked at. */
static enum dt_xid_action decode(const struct dt_xids *xids, int code, const char *text)
{
    uint32_t words[2] = {0, 0};
    enum dt_xid_action worst = DT_XID_MONITOR;
    const char *unit = strstr(text, "): ");
    unit = unit ? strchr(unit + 3, ',') : NULL;
    if (!unit)
        return DT_XID_MONITOR;
    unit += 1 + strspn(unit + 1, " ");
    size_t len = strcspn(unit, " ,");
    const char *open = strpbrk(unit, "([");
    if (!open || sscanf(open + 1, "%x %x", &words[0], &words[1]) < 1)
        return DT_XID_MONITOR;
    if (!find_worst(xids, code, unit, len, words, true, &worst))
        find_worst(xids, code, unit, len, words, false, &worst);
    return worst;
}

enum dt_xid_action dt_xid_judge(const struct dt_xids *xids, int code, const char *text)
{
    const struct dt_xid *row = dt_xid_find(xids, code);
    if (!row)
        return DT_XID_MONITOR;
    return row->action == DT_XID_DECODE ? decode(xids, code, text) : row->action;
}
