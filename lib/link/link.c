/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as lines, and the clock between two nodes. */
#include "link/link.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int numbers, texts;
} shapes[DT_LINK_TYPES] = {
    [DT_LINK_HELLO] = {"dt-hello", 7, 1}, /* 'd' tells it from the store's commands */
    [DT_LINK_WELCOME] = {"welcome", 3, 0}, [DT_LINK_REFUSE] = {"refuse", 0, 1},
    [DT_LINK_PING] = {"ping", 1, 0},       [DT_LINK_PONG] = {"pong", 2, 0},
    [DT_LINK_FAILED] = {"failed", 7, 2},   [DT_LINK_STOP] = {"stop", 0, 0},
    [DT_LINK_DONE] = {"done", 2, 0},       [DT_LINK_VERDICT] = {"verdict", 1, 0},
    [DT_LINK_WHO] = {"who", 1, 0},         [DT_LINK_RANK] = {"rank", 7, 1},
    [DT_LINK_TOLD] = {"told", 1, 0},       [DT_LINK_AGAIN] = {"again", 1, 0},
    [DT_LINK_START] = {"start", 1, 0},     [DT_LINK_PULSE] = {"pulse", 4, 0},
    [DT_LINK_PACE] = {"pace", 5, 0},       [DT_LINK_LOOK] = {"look", 2, 0},
    [DT_LINK_SEEN] = {"seen", 7, 3},       [DT_LINK_GIVE_UP] = {"give-up", 1, 0},
    [DT_LINK_WARNED] = {"warned", 1, 0},   [DT_LINK_SAVE] = {"save", 1, 0},
    [DT_LINK_SAVED] = {"saved", 1, 0},     [DT_LINK_LINE] = {"line", 1, 2},
    [DT_LINK_TAKEN] = {"taken", 1, 0},     [DT_LINK_FINISHED] = {"finished", 0, 0},
    [DT_LINK_AGENT] = {"dt-agent", 3, 2},  [DT_LINK_CAUSE] = {"cause", 3, 2},
    [DT_LINK_WIRE] = {"wire", 5, 1},
};

/* ---- writing ------------------------------------------------------------------------------- */

/* An empty text is "-", and a text that is "-" is "%2d". */
static void put_text(struct dt_buf *to, const char *text)
{
    if (!text || !*text)
        dt_buf_puts(to, "-");
    else if (strcmp(text, "-") == 0)
        dt_buf_puts(to, "%2d");
    else {
        for (const char *at = text; *at;) {
            size_t plain = 0;
            while ((unsigned char)at[plain] > ' ' && at[plain] != '%' && at[plain] != '\x7f')
                plain++;
            dt_buf_append(to, at, plain);
            at += plain;
            if (*at)
                dt_buf_printf(to, "%%%02x", (unsigned char)*at++);
        }
    }
}

void dt_link_encode(struct dt_buf *to, const struct dt_link_message *message)
{
    dt_buf_puts(to, shapes[message->type].name);
    for (int i = 0; i < shapes[message->type].numbers; i++) {
        dt_buf_puts(to, " ");
        dt_buf_number(to, message->numbers[i]);
    }
    for (int i = 0; i < shapes[message->type].texts; i++) {
        dt_buf_puts(to, " ");
        put_text(to, message->texts[i]);
    }
    dt_buf_puts(to, "\n");
}

/* ---- reading ------------------------------------------------------------------------------- */

void dt_link_reader_fini(struct dt_link_reader *reader)
{
    dt_buf_fini(&reader->bytes);
    reader->taken = 0;
}

int dt_link_feed(struct dt_link_reader *reader, const void *bytes, size_t len, struct dt_error *err)
{
    struct dt_buf *buf = &reader->bytes;
    if (reader->taken) {
        memmove(buf->data, buf->data + reader->taken, buf->len - reader->taken);
        buf->len -= reader->taken;
        reader->taken = 0;
    }
    dt_buf_append(buf, bytes, len);
    return buf->failed ? dt_error_set(err, "out of memory") : 0;
}

void dt_link_message_fini(struct dt_link_message *message)
{
    for (int i = 0; i < DT_LINK_TEXTS; i++)
        free(message->texts[i]);
    *message = (struct dt_link_message){0};
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decode(const char *word)
{
    char *text = malloc(strlen(word) + 1), *to = text;
    if (!text || strcmp(word, "-") == 0) {
        if (text)
            *text = '\0';
        return text;
    }
    while (*word) {
        if (*word != '%') {
            *to++ = *word++;
            continue;
        }
        int high = digit(word[1]), low = high < 0 ? -1 : digit(word[2]);
        if (low < 0 || (high == 0 && low == 0)) {
            free(text);
            return NULL;
        }
        *to++ = (char)(high * 16 + low);
        word += 3;
    }
    *to = '\0';
    return text;
}

static bool take_number(const char *word, long long *value)
{
    char *end;
    if (!word || (!isdigit((unsigned char)*word) && *word != '-'))
        return false;
    errno = 0;
    *value = strtoll(word, &end, 10);
    return !errno && end > word && !*end;
}

static bool take_words(struct dt_link_message *message, char *rest)
{
    for (int i = 0; i < shapes[message->type].numbers; i++) {
        if (!take_number(strsep(&rest, " "), &message->numbers[i]))
            return false;
    }
    for (int i = 0; i < shapes[message->type].texts; i++) {
        const char *word = strsep(&rest, " ");
        if (!word || !*word || !(message->texts[i] = decode(word)))
            return false;
    }
    return !rest;
}

static int take_line(struct dt_link_message *message, char *line, struct dt_error *err)
{
    char *rest = line;
    const char *name = strsep(&rest, " ");
    *message = (struct dt_link_message){0};
    while (message->type < DT_LINK_TYPES && strcmp(shapes[message->type].name, name) != 0)
        message->type++;
    if (message->type < DT_LINK_TYPES && take_words(message, rest))
        return 1;
    dt_link_message_fini(message);
    return dt_error_set(err, "\"%.40s\" is no message between dt-launch of the same version", name);
}

int dt_link_next(struct dt_link_reader *reader, struct dt_link_message *message,
                 struct dt_error *err)
{
    struct dt_buf *buf = &reader->bytes;
    size_t left = buf->len - reader->taken;
    char *line = left ? buf->data + reader->taken : NULL;
    char *end = line ? memchr(line, '\n', left) : NULL;
    if (!end && left <= DT_LINK_LINE_MAX)
        return 0;
    if (!end || (size_t)(end - line) > DT_LINK_LINE_MAX)
        return dt_error_set(err, "a message of more than %u bytes", DT_LINK_LINE_MAX);
    if (memchr(line, '\0', (size_t)(end - line)))
        return dt_error_set(err, "a message that holds a NUL");
    *end = '\0';
    reader->taken += (size_t)(end - line) + 1;
    return take_line(message, line, err);
}

/* ---- clocks -------------------------------------------------------------------------------- */

#define CLOCK_AGES_NS 60000000000LL

void dt_link_clock_add(struct dt_link_clock *clock, long long sent, long long theirs,
                       long long received)
{
    long long took;
    if (__builtin_sub_overflow(received, sent, &took) || took < 0)
        return;
    long long middle = sent + took / 2, offset;
    if (__builtin_sub_overflow(theirs, middle, &offset))
        return;
    clock->samples += clock->samples < INT_MAX;
    if (clock->samples > 1 && took / 2 > clock->error_ns &&
        received - clock->when_ns < CLOCK_AGES_NS)
        return;
    clock->offset_ns = offset;
    clock->error_ns = took / 2;
    clock->when_ns = received;
}
