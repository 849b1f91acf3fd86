/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: a length and that many bytes of JSON. The length is judged as soon as its four bytes are
 * there, so that a peer can not make anybody reserve memory by announcing much. */
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define HEADER 4u

void dt_frames_init(struct dt_frames *frames, size_t limit)
{
    *frames = (struct dt_frames){.limit = limit};
}

void dt_frames_fini(struct dt_frames *frames)
{
    free(frames->data);
    *frames = (struct dt_frames){.limit = frames->limit};
}

static size_t pending(const struct dt_frames *frames)
{
    return frames->len - frames->start;
}

static size_t announced(const struct dt_frames *frames)
{
    const unsigned char *p = frames->data + frames->start;
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static int judge_length(const struct dt_frames *frames, struct dt_error *err)
{
    if (pending(frames) < HEADER)
        return 0;
    size_t length = announced(frames);
    if (length == 0 || length > frames->limit)
        return dt_error_set(err,
                            "a frame of %zu bytes, allowed are 1 to %zu: the peer does not "
                            "speak dt's protocol",
                            length, frames->limit);
    return 0;
}

static int reserve(struct dt_frames *frames, size_t more, struct dt_error *err)
{
    if (frames->start > 0) {
        memmove(frames->data, frames->data + frames->start, pending(frames));
        frames->len -= frames->start;
        frames->start = 0;
    }
    if (frames->len + more <= frames->cap)
        return 0;
    size_t cap = frames->cap * 2 > frames->len + more ? frames->cap * 2 : frames->len + more;
    unsigned char *data = realloc(frames->data, cap);
    if (!data)
        return dt_error_set(err, "out of memory");
    frames->data = data;
    frames->cap = cap;
    return 0;
}

int dt_frames_feed(struct dt_frames *frames, const void *bytes, size_t len, struct dt_error *err)
{
    if (len == 0)
        return 0;
    if (reserve(frames, len, err) < 0)
        return -1;
    memcpy(frames->data + frames->len, bytes, len);
    frames->len += len;
    return judge_length(frames, err);
}

int dt_frames_next_text(struct dt_frames *frames, const char **text, size_t *len,
                        struct dt_error *err)
{
    if (judge_length(frames, err) < 0)
        return -1;
    if (pending(frames) < HEADER || pending(frames) - HEADER < announced(frames))
        return 0;
    *len = announced(frames);
    *text = (const char *)frames->data + frames->start + HEADER;
    frames->start += HEADER + *len;
    return 1;
}

int dt_frame_decode(json_t **object, const char *text, size_t len, struct dt_error *err)
{
    json_error_t why;
    *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!*object)
        return dt_error_set(err, "a frame that is no JSON: %s", why.text);
    if (json_is_object(*object))
        return 0;
    json_decref(*object);
    *object = NULL;
    return dt_error_set(err, "a frame that is no JSON object");
}

int dt_frames_next(struct dt_frames *frames, json_t **object, struct dt_error *err)
{
    const char *text;
    size_t len;
    *object = NULL;
    int rc = dt_frames_next_text(frames, &text, &len, err);
    return rc == 1 && dt_frame_decode(object, text, len, err) < 0 ? -1 : rc;
}

static int append(const char *bytes, size_t len, void *data)
{
    struct dt_buf *buf = data;
    dt_buf_append(buf, bytes, len);
    return buf->failed ? -1 : 0;
}

int dt_frame_encode(const json_t *object, unsigned char **bytes, size_t *len, struct dt_error *err)
{
    struct dt_buf buf = DT_BUF_INIT;
    dt_buf_append(&buf, "\0\0\0\0", HEADER);
    if (json_dump_callback(object, append, &buf, JSON_COMPACT) < 0 || buf.failed) {
        dt_buf_fini(&buf);
        return dt_error_set(err, "a message could not be written as JSON");
    }
    size_t length = buf.len - HEADER;
    if (length > DT_WIRE_FRAME_MAX) {
        dt_buf_fini(&buf);
        return dt_error_set(err, "a message of %zu bytes does not fit into a frame of %u", length,
                            DT_WIRE_FRAME_MAX);
    }
    for (size_t i = 0; i < HEADER; i++)
        buf.data[i] = (char)(length >> (8 * (HEADER - 1 - i)) & 0xff);
    *len = buf.len;
    *bytes = (unsigned char *)dt_buf_take(&buf);
    return 0;
}
