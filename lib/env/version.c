/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing version texts as the components of a training stack write them. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "env/env.h"

struct digits {
    const char *start;
    size_t len;
};

/* A run of digits without leading zeros; any length, so nothing can overflow. */
static struct digits take_digits(const char **p)
{
    struct digits run;

    while (**p == '0')
        (*p)++;
    run.start = *p;
    while (isdigit((unsigned char)**p))
        (*p)++;
    run.len = (size_t)(*p - run.start);
    return run;
}

static int compare_digits(struct digits a, struct digits b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.start, b.start, a.len) : 0;
}

/* The next number of a dotted list; 0 when the list is at its end. */
static struct digits next_component(const char **p)
{
    struct digits none = {"", 0};

    if (!isdigit((unsigned char)**p))
        return none;
    struct digits run = take_digits(p);
    if (**p == '.' && isdigit((unsigned char)(*p)[1]))
        (*p)++;
    return run;
}

static int compare_base(const char **a, const char **b)
{
    while (isdigit((unsigned char)**a) || isdigit((unsigned char)**b)) {
        struct digits x = next_component(a), y = next_component(b);
        int order = compare_digits(x, y);
        if (order)
            return order;
    }
    return 0;
}

static const char *skip_separators(const char *suffix)
{
    while (*suffix && strchr("-_+.~", *suffix))
        suffix++;
    return strcasecmp(suffix, "aws") == 0 ? suffix + 3 : suffix;
}

/* -1: a version before the release, 0: the release, 1: a build made after it. */
static int suffix_class(const char *suffix)
{
    static const char *const before[] = {"rc", "alpha", "beta", "dev", "pre"};
    const char *text = skip_separators(suffix);

    if (*suffix == '~')
        return -1;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
        if (strncasecmp(text, before[i], strlen(before[i])) == 0)
            return -1;
    return *text ? 1 : 0;
}

static int compare_suffix(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            struct digits x = take_digits(&a), y = take_digits(&b);
            int order = compare_digits(x, y);
            if (order)
                return order;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return (*a != '\0') - (*b != '\0');
}

static const char *skip_v(const char *text)
{
    if (!text)
        return "";
    if ((*text == 'v' || *text == 'V') && isdigit((unsigned char)text[1]))
        return text + 1;
    return text;
}

int dt_version_compare(const char *a, const char *b)
{
    int order;

    a = skip_v(a);
    b = skip_v(b);
    order = compare_base(&a, &b);
    if (order)
        return order;
    order = suffix_class(a) - suffix_class(b);
    if (order)
        return order;
    return compare_suffix(skip_separators(a), skip_separators(b));
}
