/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of lines of words, as the plugin writes them. */
#include "plan/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/plan.h"

static bool is_complete(const struct dt_buf *text)
{
    static const char end[] = "end\n";
    size_t n = sizeof end - 1;
    if (text->len < n || memcmp(text->data + text->len - n, end, n) != 0)
        return false;
    return text->len == n || text->data[text->len - n - 1] == '\n';
}

int dt_lines_read(struct dt_buf *text, int fd, struct dt_error *err)
{
    char chunk[16384];
    while (!is_complete(text)) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dt_error_set(err, "the plugin's pipe can not be read: %s", strerror(errno));
        if (n == 0 && text->len == 0)
            return 1;
        if (n == 0)
            return dt_error_set(err,
                                "the plugin's message breaks off after %zu bytes, without its "
                                "'end' line",
                                text->len);
        dt_buf_append(text, chunk, (size_t)n);
        if (text->failed)
            return dt_error_set(err, "out of memory");
        if (text->len > DT_REQUEST_MAX)
            return dt_error_set(err, "the plugin's message is longer than %u bytes",
                                DT_REQUEST_MAX);
    }
    return 0;
}

void dt_lines_init(struct dt_lines *lines, char *text, size_t len)
{
    *lines = (struct dt_lines){.next = text, .stop = text + len};
}

static int split(struct dt_line *line, char *text, struct dt_error *err)
{
    size_t max = sizeof line->words / sizeof *line->words;
    char *rest = text, *word;
    while ((word = strsep(&rest, " "))) {
        if (line->count == max)
            return dt_error_set(err, "line %zu of the plugin's message has more than %zu words",
                                line->number, max);
        line->words[line->count++] = word;
    }
    return 0;
}

int dt_lines_next(struct dt_lines *lines, struct dt_line *line, struct dt_error *err)
{
    *line = (struct dt_line){.number = ++lines->number};
    char *newline = memchr(lines->next, '\n', (size_t)(lines->stop - lines->next));
    if (!newline)
        return dt_error_set(err, "the plugin's message has no 'end' line");
    if (memchr(lines->next, '\0', (size_t)(newline - lines->next)))
        return dt_error_set(err, "line %zu of the plugin's message holds a NUL byte", line->number);
    *newline = '\0';
    char *text = lines->next;
    lines->next = newline + 1;
    if (strcmp(text, "end") == 0) {
        if (lines->next != lines->stop)
            return dt_error_set(err, "something follows the 'end' line of the plugin's message");
        return 0;
    }
    return split(line, text, err) < 0 ? -1 : 1;
}

bool dt_lines_number(const char *word, long long low, long long high, long long *value)
{
    if (!word || !*word || (*word != '-' && (*word < '0' || *word > '9')))
        return false;
    char *end;
    errno = 0;
    long long parsed = strtoll(word, &end, 10);
    if (errno || end == word || *end || parsed < low || parsed > high)
        return false;
    *value = parsed;
    return true;
}
