/* SPDX-License-Identifier: Apache-2.0 */
/* How far one word is from another: for "did you mean". */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "env/internal.h"

#define LONGEST 96

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours. Three rows are kept. */
static size_t align(const char *a, size_t rows, const char *b, size_t width)
{
    size_t table[3][LONGEST + 1];

    for (size_t j = 0; j <= width; j++)
        table[0][j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t *row = table[i % 3], *above = table[(i - 1) % 3], *two_above = table[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            int x = toupper((unsigned char)a[i - 1]), y = toupper((unsigned char)b[j - 1]);
            row[j] = min2(min2(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == toupper((unsigned char)b[j - 2]) &&
                y == toupper((unsigned char)a[i - 2]))
                row[j] = min2(row[j], two_above[j - 2] + 1);
        }
    }
    return table[rows % 3][width];
}

size_t dt_env_distance(const char *a, const char *b, size_t most)
{
    size_t rows = strlen(a), width = strlen(b), edits;

    if (rows > LONGEST || width > LONGEST || (rows > width ? rows - width : width - rows) > most)
        return most + 1;
    edits = align(a, rows, b, width);
    if (edits == 0)
        edits = strcmp(a, b) != 0; /* only the letters' case differs */
    return min2(edits, most + 1);
}
