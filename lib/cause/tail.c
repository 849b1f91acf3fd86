/* SPDX-License-Identifier: Apache-2.0 */
/* The last words of a rank: a ring of its standard error, and Python's tracebacks in it. */
#include <string.h>

#include "cause/cause.h"

#define LAST_LINES 12
/* Headers so close to each other are one traceback: exceptions that were raised in handling others. */
#define CHAINED_NS 1000000000LL

static const char header[] = "Traceback (most recent call last)";
#define HEADER_LEN (sizeof header - 1)

/* ---- taking in ----------------------------------------------------------------------------- */

static void note_header(struct dt_tail *tail, long long now_ns)
{
    if (!tail->traceback_ns || now_ns - tail->header_ns > CHAINED_NS)
        tail->traceback_ns = now_ns;
    tail->header_ns = now_ns;
}

/* The header may come in pieces: `matched` bytes of it ended the text before. Its first byte is found
 * nowhere else in it, so a match that breaks can only begin anew at the byte that broke it. */
static void find_headers(struct dt_tail *tail, const char *bytes, size_t len, long long now_ns)
{
    for (const char *at = bytes, *end = bytes + len; at < end;) {
        if (tail->matched == 0) {
            at = memchr(at, header[0], (size_t)(end - at));
            if (!at)
                return;
        }
        if (*at == header[tail->matched]) {
            at++;
            tail->matched++;
        } else {
            tail->matched = 0;
        }
        if (tail->matched == HEADER_LEN) {
            note_header(tail, now_ns);
            tail->matched = 0;
        }
    }
}

void dt_tail_add(struct dt_tail *tail, const char *bytes, size_t len, long long now_ns)
{
    find_headers(tail, bytes, len, now_ns);
    size_t keep = len < DT_TAIL_BYTES ? len : DT_TAIL_BYTES;
    const char *from = bytes + len - keep;
    size_t at = (size_t)((tail->total + len - keep) % DT_TAIL_BYTES);
    size_t first = keep < DT_TAIL_BYTES - at ? keep : DT_TAIL_BYTES - at;
    memcpy(tail->bytes + at, from, first);
    memcpy(tail->bytes, from + first, keep - first);
    tail->total += len;
}

/* ---- telling ------------------------------------------------------------------------------- */

static void unroll(const struct dt_tail *tail, struct dt_buf *text)
{
    if (tail->total <= DT_TAIL_BYTES) {
        dt_buf_append(text, tail->bytes, (size_t)tail->total);
        return;
    }
    size_t at = (size_t)(tail->total % DT_TAIL_BYTES);
    dt_buf_append(text, tail->bytes + at, DT_TAIL_BYTES - at);
    dt_buf_append(text, tail->bytes, at);
}

static const char *line_begin(const char *text, const char *at)
{
    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

static const char *last_header(const char *text, const char *end)
{
    const char *found = NULL, *at = text;
    while (at < end && (at = memmem(at, (size_t)(end - at), header, HEADER_LEN))) {
        found = at;
        at += HEADER_LEN;
    }
    return found;
}

static bool has(const char *from, const char *to, const char *what)
{
    return memmem(from, (size_t)(to - from), what, strlen(what)) != NULL;
}

/* The last traceback; NULL: none. Those that it says it is chained to belong to it. */
static const char *traceback_begin(const char *text, const char *end)
{
    const char *at = last_header(text, end);
    for (const char *before; at && (before = last_header(text, at)); at = before) {
        if (!has(before, at, "During handling of the above exception") &&
            !has(before, at, "was the direct cause of the following exception"))
            break;
    }
    return at ? line_begin(text, at) : NULL;
}

static const char *lines_begin(const char *text, const char *end)
{
    const char *at = end;
    for (int i = 0; i < LAST_LINES && at > text; i++)
        at = line_begin(text, at - 1);
    return at;
}

/* A line of a traceback is indented; its last line is the first that is not. PyTorch puts "[rank1]: "
 * in front of each: so does the header then, and it is left out. */
static void find_exception(const char *from, const char *end, const char **begin, const char **stop)
{
    const char *head = last_header(from, end), *prefix = line_begin(from, head), *line = prefix;
    size_t skip = (size_t)(head - prefix);
    bool indented;
    do {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        line = newline ? newline + 1 : end;
        if ((size_t)(end - line) > skip && memcmp(line, prefix, skip) == 0)
            line += skip;
        indented = line < end && (*line == ' ' || *line == '\n');
    } while (indented);
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    *begin = line;
    *stop = newline ? newline : end;
}

static void put(struct dt_buf *text, const char *from, const char *to)
{
    size_t begin = text->len;
    dt_buf_append(text, from, (size_t)(to - from));
    if (text->failed)
        return;
    for (char *at = text->data + begin; at < text->data + text->len; at++) {
        if (*at != '\n' && *at != '\t' && ((unsigned char)*at < 0x20 || *at == 0x7f))
            *at = '?';
    }
}

static const char *cut_end(const char *text, const char *end)
{
    while (end > text && (end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\r'))
        end--;
    return end;
}

void dt_tail_words(const struct dt_tail *tail, size_t max, struct dt_buf *text)
{
    struct dt_buf all = DT_BUF_INIT;
    unroll(tail, &all);
    if (!all.failed && all.len) {
        const char *end = cut_end(all.data, all.data + all.len);
        const char *from = traceback_begin(all.data, end);
        if (!from)
            from = lines_begin(all.data, end);
        if ((size_t)(end - from) > max) { /* the end of it says more than its beginning */
            dt_buf_puts(text, "...");
            from = end - max + 3;
        }
        put(text, from, end);
    }
    dt_buf_fini(&all);
}

void dt_tail_exception(const struct dt_tail *tail, struct dt_buf *text)
{
    struct dt_buf all = DT_BUF_INIT;
    unroll(tail, &all);
    if (!all.failed && all.len) {
        const char *end = cut_end(all.data, all.data + all.len), *begin, *stop;
        const char *from = traceback_begin(all.data, end);
        if (from) {
            find_exception(from, end, &begin, &stop);
            put(text, begin, (size_t)(stop - begin) > 300 ? begin + 300 : stop);
        }
    }
    dt_buf_fini(&all);
}

bool dt_cause_is_victim(const char *text)
{
    static const char *const signs[] = {
        "Connection reset by peer",
        "Connection closed by peer",
        "Connection closed by remote",
        "Broken pipe",
        "ncclRemoteError",
        "remote process exited",
        "Connection was likely closed",
        "Socket closed",
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (strcasestr(text, signs[i]))
            return true;
    }
    return false;
}
