/* SPDX-License-Identifier: Apache-2.0 */
/* The checks in words: --list, --explain, and the table of dt-validate(8). */
#include <stdio.h>
#include <string.h>

#include "output.h"

enum { WIDTH = 80 };

static const char *scope_name(enum dt_scope scope)
{
    return scope == DT_SCOPE_JOB ? "job" : "node";
}

/* scdoc takes '_' and '*' for markup. */
static void put_scdoc(const char *text)
{
    for (; *text; text++) {
        if (strchr("_*\\<>#~", *text))
            putchar('\\');
        putchar(*text);
    }
}

static void list_scdoc(void)
{
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        printf("*%s* (%s, of the %s, %s)\n\t", check->name, dt_level_name(check->level),
               scope_name(check->scope), dt_severity_name(check->severity));
        put_scdoc(check->explain);
        printf("\n\n");
    }
}

void output_list(bool scdoc)
{
    if (scdoc) {
        list_scdoc();
        return;
    }
    printf("%-17s %-5s %-5s %-8s %s\n", "CHECK", "LEVEL", "SCOPE", "SEVERITY", "PASSES WHEN");
    for (const struct dt_check *check = dt_checks; check->name; check++)
        printf("%-17s %-5s %-5s %-8s %s\n", check->name, dt_level_name(check->level),
               scope_name(check->scope), dt_severity_name(check->severity), check->summary);
}

static void put_wrapped(const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > WIDTH) {
            putchar('\n');
            column = 0;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void output_explain(const struct dt_check *check)
{
    printf("%s: %s\n", check->name, check->summary);
    printf("Level %s, scope %s, severity %s.\n\n", dt_level_name(check->level),
           scope_name(check->scope), dt_severity_name(check->severity));
    put_wrapped(check->explain);
}
