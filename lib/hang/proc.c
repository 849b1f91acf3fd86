/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the texts of /proc that tell what a process does. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hang/hang.h"

bool dt_proc_stat_parse(struct dt_proc_stat *stat, const char *text)
{
    unsigned long long minor, major, user, kernel;
    const char *after = strrchr(text, ')'); /* a process may call itself "a) R 1" */
    if (!after ||
        sscanf(after, ") %c %d %d %*d %*d %*d %*u %llu %*u %llu %*u %llu %llu", &stat->state,
               &stat->parent, &stat->group, &minor, &major, &user, &kernel) != 7)
        return false;
    stat->faults = minor + major;
    stat->ticks = user + kernel;
    return true;
}

bool dt_proc_syscall_parse(struct dt_proc_syscall *call, const char *text)
{
    char *end;
    *call = (struct dt_proc_syscall){.number = -1};
    if (strncmp(text, "running", 7) == 0)
        return true;
    errno = 0;
    call->number = strtol(text, &end, 10);
    if (errno || end == text)
        return false;
    for (int i = 0; i < 6 && *end == ' '; i++) {
        const char *at = end + 1;
        call->args[i] = strtoull(at, &end, 16);
        if (end == at)
            break;
    }
    return true;
}

static bool read_field(const char *text, const char *name, unsigned long long *value)
{
    const char *at = strstr(text, name);
    return at && sscanf(at + strlen(name), " %llu", value) == 1;
}

bool dt_proc_io_parse(unsigned long long *bytes_read, unsigned long long *bytes_written,
                      const char *text)
{
    return read_field(text, "rchar:", bytes_read) && read_field(text, "wchar:", bytes_written);
}

/* ---- mounts -------------------------------------------------------------------------------- */

/* "\040" is a blank. */
static void put_unescaped(struct dt_buf *text, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = from[i];
        if (c == '\\' && i + 3 < len && isdigit((unsigned char)from[i + 1])) {
            c = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 + (from[i + 3] - '0'));
            i += 3;
        }
        dt_buf_append(text, &c, 1);
    }
}

static bool lies_below(const char *path, const char *point, size_t len)
{
    if (len == 1 && point[0] == '/')
        return path[0] == '/';
    return strncmp(path, point, len) == 0 && (path[len] == '/' || !path[len]);
}

/* "36 35 98:0 /root /point options... - type source options"; the fifth word and the one behind " - ". */
static bool take_mount(const char *line, size_t len, const char *path, size_t *best,
                       struct dt_buf *type, struct dt_buf *point)
{
    const char *end = line + len, *at = line;
    for (int i = 0; i < 4; i++) {
        at = memchr(at, ' ', (size_t)(end - at));
        if (!at)
            return false;
        at++;
    }
    const char *point_end = memchr(at, ' ', (size_t)(end - at));
    const char *dash = memmem(at, (size_t)(end - at), " - ", 3);
    if (!point_end || !dash)
        return false;
    struct dt_buf name = DT_BUF_INIT;
    put_unescaped(&name, at, (size_t)(point_end - at));
    bool good = name.data && name.len >= *best && lies_below(path, name.data, name.len);
    if (good) {
        const char *word = dash + 3;
        const char *word_end = memchr(word, ' ', (size_t)(end - word));
        *best = name.len;
        dt_buf_clear(type);
        dt_buf_clear(point);
        dt_buf_append(type, word, (size_t)((word_end ? word_end : end) - word));
        dt_buf_append(point, name.data, name.len);
    }
    dt_buf_fini(&name);
    return good;
}

bool dt_mount_of(const char *mountinfo, const char *path, struct dt_buf *type, struct dt_buf *point)
{
    size_t best = 0;
    bool found = false;
    for (const char *at = mountinfo; *at;) {
        size_t len = strcspn(at, "\n");
        found =
            take_mount(at, len, path, &best, type, point) || found; /* the last one hides others */
        at += len + (at[len] == '\n');
    }
    return found;
}

/* ---- Python -------------------------------------------------------------------------------- */

static const char mark[] = "  File \"";

/* Is this file of the interpreter or of an installed package? */
static bool is_library(const char *path, size_t len)
{
    static const char *const parts[] = {"/lib/python",    "/lib64/python", "site-packages/",
                                        "dist-packages/", "<frozen ",      "<string>"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memmem(path, len, parts[i], strlen(parts[i])))
            return true;
    }
    return false;
}

/* One line: "  File "PATH", line 88 in NAME". */
static bool take_frame(const char *line, size_t len, const char **path, size_t *path_len,
                       struct dt_buf *place)
{
    const char *end = line + len;
    if (len < sizeof mark || strncmp(line, mark, sizeof mark - 1) != 0)
        return false;
    *path = line + sizeof mark - 1;
    const char *quote = memchr(*path, '"', (size_t)(end - *path));
    static const char middle[] = "\", line ";
    if (!quote || (size_t)(end - quote) < sizeof middle ||
        strncmp(quote, middle, sizeof middle - 1) != 0)
        return false;
    *path_len = (size_t)(quote - *path);
    const char *base = memrchr(*path, '/', *path_len);
    base = base ? base + 1 : *path;
    dt_buf_clear(place);
    dt_buf_append(place, base, (size_t)(quote - base));
    dt_buf_puts(place, ":");
    dt_buf_append(place, quote + sizeof middle - 1, (size_t)(end - quote) - (sizeof middle - 1));
    return !place->failed;
}

/* The main thread is the last in the dump. */
static const char *main_thread(const char *dump)
{
    const char *found = dump;
    for (const char *at = dump; (at = strstr(at, "most recent call first)")); at++)
        found = at;
    return found;
}

bool dt_python_place(const char *dump, struct dt_buf *place)
{
    struct dt_buf frame = DT_BUF_INIT;
    bool found = false, own = false;
    for (const char *at = main_thread(dump); *at && !own;) {
        size_t len = strcspn(at, "\n"), path_len;
        const char *path;
        if (take_frame(at, len, &path, &path_len, &frame)) {
            own = !is_library(path, path_len);
            if (!found || own) {
                dt_buf_clear(place);
                dt_buf_append(place, frame.data, frame.len);
            }
            found = true;
        }
        at += len + (at[len] == '\n');
    }
    dt_buf_fini(&frame);
    return found && !place->failed;
}

/* ---- steps --------------------------------------------------------------------------------- */

static bool begins_word(const char *line, size_t at)
{
    return at == 0 || !isalnum((unsigned char)line[at - 1]);
}

long long dt_step_of_line(const char *line, size_t len)
{
    for (size_t at = 0; at + 5 <= len; at++) {
        char letter =
            (char)(line[at] |
                   0x20); /* most lines hold no such word: a look at each letter is all they cost */
        if ((letter != 's' && letter != 'i') || !begins_word(line, at) ||
            (strncasecmp(line + at, "step", 4) != 0 && strncasecmp(line + at, "iter", 4) != 0))
            continue;
        size_t next = at + 4;
        while (next < len && isalpha((unsigned char)line[next])) /* "steps", "iteration" */
            next++;
        for (int i = 0; i < 4 && next < len && line[next] && strchr(" \t:=[#", line[next]); i++)
            next++;
        long long step = 0;
        size_t digits = next;
        for (; next < len && isdigit((unsigned char)line[next]) && step < LLONG_MAX / 100; next++)
            step = step * 10 + (line[next] - '0');
        if (next > digits)
            return step;
    }
    return -1;
}
