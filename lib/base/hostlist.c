/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's node list notation: expansion and compression. What a name means (an address, a node of
 * this job) is not known here. */
#include "base/hostlist.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define NAMES_MAX  65536u
#define TEXT_MAX   (1u << 20)
#define LENGTH_MAX 1024u       /* bytes of one name; host names have at most 255 */
#define TOTAL_MAX  (32u << 20) /* bytes of all names together */
#define DIGITS_MAX 18          /* fits uint64_t */

/* ---- expansion --------------------------------------------------------------------------- */

struct expansion {
    struct dt_hostlist *list;
    size_t capacity;
    size_t bytes;
    const char *text; /* the whole list, for messages */
    struct dt_error *err;
};

static int fail(struct expansion *e, const char *what, const char *at, size_t length)
{
    return dt_error_set(e->err, "node list \"%.100s%s\": %s at \"%.*s\"", e->text,
                        strlen(e->text) > 100 ? "..." : "", what, (int)(length > 60 ? 60 : length),
                        at);
}

static int add_name(struct expansion *e, const char *name, size_t length)
{
    struct dt_hostlist *list = e->list;
    if (length > LENGTH_MAX)
        return dt_error_set(e->err, "node list: a name is longer than %u bytes (\"%.40s...\")",
                            LENGTH_MAX, name);
    if (list->count >= NAMES_MAX || e->bytes + length > TOTAL_MAX)
        return dt_error_set(e->err, "node list \"%.100s\": more than %u names", e->text, NAMES_MAX);
    if (list->count == e->capacity) {
        size_t capacity = e->capacity ? e->capacity * 2 : 16;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (!names)
            return dt_error_set(e->err, "node list: out of memory");
        list->names = names;
        e->capacity = capacity;
    }
    char *copy = strndup(name, length);
    if (!copy)
        return dt_error_set(e->err, "node list: out of memory");
    list->names[list->count++] = copy;
    e->bytes += length;
    return 0;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.' || c == ':';
}

/* A decimal number; *width is the count of digits written. */
static int read_number(struct expansion *e, const char **at, uint64_t *value, int *width)
{
    const char *start = *at;
    uint64_t n = 0;
    while (isdigit((unsigned char)**at) && *at - start < DIGITS_MAX)
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
    if (*at == start)
        return fail(e, "a number is missing", start, strlen(start));
    if (isdigit((unsigned char)**at))
        return fail(e, "a number has more than 18 digits", start, strlen(start));
    *value = n;
    *width = (int)(*at - start);
    return 0;
}

static int expand_name(struct expansion *e, struct dt_buf *head, const char *at, const char *end);

/* One "N" or "N-M" of a bracket group; `rest` is what stands after the group. */
static int expand_range(struct expansion *e, struct dt_buf *head, const char **at, const char *rest,
                        const char *end)
{
    const char *start = *at;
    uint64_t low = 0, high;
    int width = 0, high_width;
    if (read_number(e, at, &low, &width))
        return -1;
    high = low;
    if (**at == '-') {
        (*at)++;
        if (read_number(e, at, &high, &high_width))
            return -1;
        if (high < low)
            return fail(e, "a range runs backwards", start, (size_t)(*at - start));
    }
    if (**at != ',' && **at != ']')
        return fail(e, "neither a number, ',', '-' nor ']'", *at, strlen(*at));
    if (high - low >= NAMES_MAX)
        return fail(e, "a range has more than 65536 names", start, (size_t)(*at - start));
    size_t mark = head->len;
    for (uint64_t n = low; n <= high; n++) {
        dt_buf_printf(head, "%0*llu", width, (unsigned long long)n);
        if (head->failed)
            return dt_error_set(e->err, "node list: out of memory");
        if (expand_name(e, head, rest, end))
            return -1;
        head->len = mark;
        head->data[mark] = '\0';
    }
    return 0;
}

/* The group that begins after '[' at `at`. */
static int expand_group(struct expansion *e, struct dt_buf *head, const char *at, const char *end)
{
    const char *close = memchr(at, ']', (size_t)(end - at));
    if (!close)
        return fail(e, "'[' without ']'", at - 1, (size_t)(end - at + 1));
    for (;;) {
        if (expand_range(e, head, &at, close + 1, end))
            return -1;
        if (*at == ']')
            return 0;
        at++;
    }
}

/* Expand the text from `at` to `end`, with `head` in front of it. Recursion depth: bracket groups
 * of one name, bounded by the length of a name. */
static int expand_name(struct expansion *e, struct dt_buf *head, const char *at, const char *end)
{
    size_t mark = head->len;
    const char *literal = at;
    while (at < end && is_name_byte(*at))
        at++;
    dt_buf_append(head, literal, (size_t)(at - literal));
    if (head->failed)
        return dt_error_set(e->err, "node list: out of memory");
    int result;
    if (head->len > LENGTH_MAX)
        result = fail(e, "a name is longer than 1024 bytes", literal, (size_t)(at - literal));
    else if (at == end)
        result = head->len ? add_name(e, head->data, head->len) : fail(e, "a name is empty", at, 0);
    else if (*at == '[')
        result = expand_group(e, head, at + 1, end);
    else
        result = fail(e, "a character that no node name has", at, (size_t)(end - at));
    head->len = mark;
    head->data[mark] = '\0';
    return result;
}

/* End of the name that begins here: the next comma outside brackets. */
static const char *name_end(const char *at)
{
    bool inside = false;
    for (; *at && (inside || *at != ','); at++) {
        if (*at == '[')
            inside = true;
        else if (*at == ']')
            inside = false;
    }
    return at;
}

int dt_hostlist_parse(struct dt_hostlist *list, const char *text, struct dt_error *err)
{
    struct expansion e = {.list = list, .text = text, .err = err};
    struct dt_buf head = DT_BUF_INIT;
    *list = (struct dt_hostlist){0};
    int result = -1;
    if (!*text) {
        dt_error_set(err, "node list is empty");
        goto out;
    }
    if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX) {
        dt_error_set(err, "node list is longer than %u bytes", TEXT_MAX);
        goto out;
    }
    for (const char *at = text;; at++) {
        const char *end = name_end(at);
        if (at == end) {
            fail(&e, "a name is empty", at, strlen(at));
            goto out;
        }
        if (expand_name(&e, &head, at, end))
            goto out;
        at = end;
        if (!*at)
            break;
    }
    result = 0;
out:
    dt_buf_fini(&head);
    if (result)
        dt_hostlist_fini(list);
    return result;
}

void dt_hostlist_fini(struct dt_hostlist *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct dt_hostlist){0};
}

/* ---- compression ------------------------------------------------------------------------- */

struct item {
    const char *name;
    size_t prefix; /* bytes before the last run of digits at the end */
    int width;     /* digits; 0: the name ends in none */
    uint64_t value;
    bool done;
};

static struct item item_of(const char *name)
{
    size_t length = strlen(name), prefix = length;
    while (prefix > 0 && length - prefix < DIGITS_MAX && isdigit((unsigned char)name[prefix - 1]))
        prefix--;
    return (struct item){
        .name = name,
        .prefix = prefix,
        .width = (int)(length - prefix),
        .value = prefix < length ? strtoull(name + prefix, NULL, 10) : 0,
    };
}

static int compare_prefixes(const struct item *a, const struct item *b)
{
    size_t shorter = a->prefix < b->prefix ? a->prefix : b->prefix;
    int order = memcmp(a->name, b->name, shorter);
    return order ? order : (a->prefix > b->prefix) - (a->prefix < b->prefix);
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    int order = compare_prefixes(a, b);
    if (!order)
        order = (a->width > 0) - (b->width > 0);
    if (!order)
        order = (a->value > b->value) - (a->value < b->value);
    return order ? order : (a->width > b->width) - (a->width < b->width);
}

/* Is `item` what "value, padded to width" is written as? */
static bool is_written_as(const struct item *item, uint64_t value, int width)
{
    if (item->done || item->width == 0 || item->value != value)
        return false;
    int needed = snprintf(NULL, 0, "%0*llu", width, (unsigned long long)value);
    return needed == item->width;
}

/* The longest range that begins with items[first], inside its prefix's items [first, end). */
static uint64_t take_range(struct item *items, size_t first, size_t end)
{
    uint64_t last = items[first].value;
    int width = items[first].width;
    items[first].done = true;
    for (size_t i = first + 1; i < end && items[i].value <= last + 1; i++) {
        if (is_written_as(&items[i], last + 1, width)) {
            items[i].done = true;
            last++;
        }
    }
    return last;
}

/* The items [first, end) share a prefix: "prefix[1-3,7]"; or it is one name alone. */
static void put_group(struct dt_buf *out, struct item *items, size_t first, size_t end)
{
    bool bracket = end - first > 1;
    dt_buf_append(out, items[first].name, items[first].prefix);
    if (items[first].width == 0)
        return;
    if (bracket)
        dt_buf_puts(out, "[");
    for (size_t i = first; i < end; i++) {
        if (items[i].done)
            continue;
        uint64_t low = items[i].value, high = take_range(items, i, end);
        dt_buf_printf(out, "%s%0*llu", i > first ? "," : "", items[i].width,
                      (unsigned long long)low);
        if (high > low)
            dt_buf_printf(out, "-%0*llu", items[i].width, (unsigned long long)high);
    }
    if (bracket)
        dt_buf_puts(out, "]");
}

char *dt_hostlist_compress(char *const *names, size_t count)
{
    struct dt_buf out = DT_BUF_INIT;
    struct item *items = calloc(count ? count : 1, sizeof *items);
    if (!items)
        return NULL;
    for (size_t i = 0; i < count; i++)
        items[i] = item_of(names[i]);
    qsort(items, count, sizeof *items, compare_items);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(items[kept - 1].name, items[i].name) != 0)
            items[kept++] = items[i];
    }
    for (size_t first = 0, end; first < kept; first = end) {
        end = first + 1;
        while (items[first].width > 0 && end < kept && items[end].width > 0 &&
               compare_prefixes(&items[first], &items[end]) == 0)
            end++;
        if (first > 0)
            dt_buf_puts(&out, ",");
        put_group(&out, items, first, end);
    }
    free(items);
    return dt_buf_take(&out);
}
