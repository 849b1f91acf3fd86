/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of text. */
#include "report/columns.h"

#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"

enum { NARROWEST = 12, GAP = 2 };

static const char *const paint_codes[] = {"", "\033[2m", "\033[1;31m", "\033[1;33m", "\033[1;32m"};

void dt_paint(struct dt_buf *out, enum dt_paint paint, const char *text, bool color)
{
    bool on = color && paint != DT_PAINT_NONE;
    dt_buf_printf(out, "%s%s%s", on ? paint_codes[paint] : "", text, on ? "\033[0m" : "");
}

void dt_columns_add(struct dt_columns *columns, const char *const *texts, size_t painted,
                    enum dt_paint paint)
{
    size_t cells = (columns->rows + 1) * columns->count;
    char **more = realloc(columns->cells, cells * sizeof *more);
    if (more)
        columns->cells = more;
    enum dt_paint *paints = realloc(columns->paint, cells * sizeof *paints);
    if (paints)
        columns->paint = paints;
    if (!more || !paints) {
        columns->failed = true;
        return;
    }
    for (size_t i = 0; i < columns->count; i++) {
        size_t cell = columns->rows * columns->count + i;
        columns->cells[cell] = texts[i] ? strdup(texts[i]) : NULL;
        columns->paint[cell] = i == painted || painted >= columns->count ? paint : DT_PAINT_NONE;
        if (columns->cells[cell])
            dt_printable(columns->cells[cell]);
        else if (texts[i])
            columns->failed = true;
    }
    columns->rows++;
}

void dt_columns_fini(struct dt_columns *columns)
{
    for (size_t i = 0; i < columns->rows * columns->count; i++)
        free(columns->cells[i]);
    free(columns->cells);
    free(columns->paint);
    *columns = (struct dt_columns){0};
}

/* Characters, not bytes. */
static size_t text_width(const char *text, size_t bytes)
{
    size_t width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* Bytes of `text` that go on a line of `width`: up to the last blank that fits; in a word that is
 * wider, up to the last mark that names and paths have between their parts; else cut. */
static size_t line_bytes(const char *text, size_t width)
{
    size_t blank = 0, mark = 0, shown = 0, i = 0;
    for (; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (text[i] == ' ')
            blank = i;
        if (shown++ == width)
            return blank ? blank : mark > i / 2 ? mark : i;
        if (strchr(",-/._:=", text[i]))
            mark = i + 1;
    }
    return i;
}

static size_t longest_word(const char *text)
{
    size_t longest = 0;
    while (*text) {
        size_t bytes = strcspn(text, " "), width = text_width(text, bytes);
        longest = width > longest ? width : longest;
        text += bytes + strspn(text + bytes, " ");
    }
    return longest;
}

/* Take from the widest columns until all fit, but from none below its floor. */
static size_t shrink(size_t *widths, const size_t *floors, size_t count, size_t total,
                     size_t available)
{
    while (total > available) {
        size_t widest = count, second = 0;
        for (size_t c = 0; c < count; c++) {
            if (widths[c] > floors[c] && (widest == count || widths[c] > widths[widest]))
                widest = c;
        }
        if (widest == count)
            break;
        for (size_t c = 0; c < count; c++)
            second =
                c != widest && widths[c] > floors[c] && widths[c] > second ? widths[c] : second;
        second = second > floors[widest] ? second : floors[widest];
        /* Down to the next widest column at once, but no more than is needed. */
        size_t cut = widths[widest] > second ? widths[widest] - second : 1;
        cut = cut > total - available ? total - available : cut;
        widths[widest] -= cut;
        total -= cut;
    }
    return total;
}

static void fit(const struct dt_columns *columns, size_t *widths, size_t available)
{
    size_t total = 0, words[DT_COLUMNS_MAX], names[DT_COLUMNS_MAX], floors[DT_COLUMNS_MAX];
    for (size_t c = 0; c < columns->count; c++) {
        widths[c] = 0;
        words[c] = floors[c] = NARROWEST;
        bool one_word = true;
        for (size_t r = 0; r < columns->rows; r++) {
            const char *text = columns->cells[r * columns->count + c];
            size_t width = text ? text_width(text, strlen(text)) : 0;
            size_t word = text ? longest_word(text) : 0;
            widths[c] = width > widths[c] ? width : widths[c];
            words[c] = word > words[c] ? word : words[c];
            one_word &= word == width;
        }
        words[c] = words[c] > available / 3 ? available / 3 : words[c];
        words[c] = words[c] > NARROWEST ? words[c] : NARROWEST;
        names[c] = one_word ? words[c] : NARROWEST;
        total += widths[c] ? widths[c] + GAP : 0;
    }
    available += GAP; /* none after the last */
    /* Where there is room for it words stay whole, or at least names do. */
    total = shrink(widths, words, columns->count, total, available);
    total = shrink(widths, names, columns->count, total, available);
    shrink(widths, floors, columns->count, total, available);
}

static void pad(struct dt_buf *out, size_t count)
{
    dt_buf_printf(out, "%*s", (int)count, "");
}

/* One line of a row; moves the cells on. Returns whether any text is left. */
static bool print_line(const struct dt_columns *columns, struct dt_buf *out, size_t row,
                       const char **rest, const size_t *widths, bool color)
{
    bool more = false;
    size_t owed = 0; /* blanks not printed yet: no line ends in blanks */
    for (size_t c = 0; c < columns->count; c++) {
        if (!widths[c])
            continue;
        size_t bytes = line_bytes(rest[c], widths[c]);
        if (bytes) {
            char *piece = strndup(rest[c], bytes);
            pad(out, owed);
            owed = 0;
            if (piece)
                dt_paint(out, columns->paint[row * columns->count + c], piece, color);
            else
                out->failed = true;
            free(piece);
        }
        owed += widths[c] - text_width(rest[c], bytes) + GAP;
        rest[c] += bytes;
        rest[c] += strspn(rest[c], " ");
        more |= *rest[c] != '\0';
    }
    dt_buf_puts(out, "\n");
    return more;
}

void dt_columns_print(struct dt_columns *columns, struct dt_buf *out, const char *indent, int width,
                      bool color)
{
    size_t widths[DT_COLUMNS_MAX];
    const char *rest[DT_COLUMNS_MAX];
    size_t margin = strlen(indent);
    fit(columns, widths, (size_t)width > margin ? (size_t)width - margin : 0);
    for (size_t r = 0; r < columns->rows; r++) {
        for (size_t c = 0; c < columns->count; c++) {
            const char *text = columns->cells[r * columns->count + c];
            rest[c] = text ? text + strspn(text, " ") : "";
        }
        do {
            dt_buf_puts(out, indent);
        } while (print_line(columns, out, r, rest, widths, color));
    }
    if (columns->failed)
        out->failed = true;
}
