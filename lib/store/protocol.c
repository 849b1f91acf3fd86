/* SPDX-License-Identifier: Apache-2.0 */
/* The commands as bytes. A command is acted on when all of it is there; lengths are 64-bit and
 * little-endian, there is no framing, so one wrong byte makes a connection useless and ends it. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAGIC 0x3c85f7ceu

enum op {
    OP_VALIDATE,
    OP_SET,
    OP_COMPARE_SET,
    OP_GET,
    OP_ADD,
    OP_CHECK,
    OP_WAIT,
    OP_KEY_COUNT,
    OP_DELETE,
    OP_APPEND,
    OP_MULTI_GET,
    OP_MULTI_SET,
    OP_CANCEL_WAIT,
    OP_PING,
    OP_QUEUE_PUSH,
    OP_QUEUE_POP,
    OP_QUEUE_LEN,
    OP_UNKNOWN,
};

/* Reading a command that may not be whole yet. */
struct reader {
    const char *at, *end;
    size_t need; /* bytes that are missing at least */
    bool wrong;
    struct dt_error *err;
};

static bool take(struct reader *reader, void *to, size_t len)
{
    size_t have = (size_t)(reader->end - reader->at);
    if (reader->wrong || reader->need)
        return false;
    if (have < len) {
        reader->need = len - have;
        return false;
    }
    memcpy(to, reader->at, len);
    reader->at += len;
    return true;
}

static uint64_t take_u64(struct reader *reader)
{
    uint64_t value = 0;
    return take(reader, &value, sizeof value) ? le64toh(value) : 0;
}

static struct bytes take_bytes(struct reader *reader, const char *what, size_t limit)
{
    uint64_t len = take_u64(reader);
    struct bytes bytes = {reader->at, (size_t)len};
    if (reader->wrong || reader->need)
        return (struct bytes){NULL, 0};
    if (len > limit) {
        dt_error_set(reader->err, "a %s of %llu bytes is over the limit of %zu", what,
                     (unsigned long long)len, limit);
        reader->wrong = true;
        return (struct bytes){NULL, 0};
    }
    if ((size_t)(reader->end - reader->at) < len) {
        reader->need = (size_t)len - (size_t)(reader->end - reader->at);
        return (struct bytes){NULL, 0};
    }
    reader->at += len;
    return bytes;
}

static struct bytes take_key(struct reader *reader)
{
    return take_bytes(reader, "key", DT_STORE_KEY_MAX);
}

static struct bytes take_value(struct reader *reader)
{
    return take_bytes(reader, "value", DT_STORE_VALUE_MAX);
}

/* `count` keys, or keys and values in turn. NULL when not whole, wrong, or none. Caller frees. */
static struct bytes *take_list(struct reader *reader, bool pairs, size_t *count)
{
    uint64_t n = take_u64(reader);
    *count = 0;
    if (n > DT_STORE_KEYS_MAX) {
        dt_error_set(reader->err, "a command with %llu keys is over the limit of %u",
                     (unsigned long long)n, DT_STORE_KEYS_MAX);
        reader->wrong = true;
    }
    if (reader->wrong || reader->need || n == 0)
        return NULL;
    size_t room = (size_t)n * (pairs ? 2 : 1);
    if ((size_t)(reader->end - reader->at) < room * 8) { /* each has a length at least */
        reader->need = room * 8 - (size_t)(reader->end - reader->at);
        return NULL;
    }
    struct bytes *list = calloc(room, sizeof *list);
    if (!list) {
        dt_error_set(reader->err, "out of memory");
        reader->wrong = true;
        return NULL;
    }
    for (size_t i = 0; i < room; i++)
        list[i] = pairs && i % 2 ? take_value(reader) : take_key(reader);
    if (reader->wrong || reader->need) {
        free(list);
        return NULL;
    }
    *count = (size_t)n;
    return list;
}

static bool whole(const struct reader *reader)
{
    return !reader->wrong && !reader->need;
}

/* ---- answers ------------------------------------------------------------------------------- */

static void send_u64(struct dt_store_client *client, uint64_t value)
{
    value = htole64(value);
    dt_store_send(client, &value, sizeof value);
}

static void send_bytes(struct dt_store_client *client, struct bytes bytes)
{
    send_u64(client, bytes.len);
    if (bytes.len)
        dt_store_send(client, bytes.data, bytes.len);
}

static bool equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ---- commands ------------------------------------------------------------------------------ */

static int do_set(struct dt_store_client *client, struct reader *reader, enum op op)
{
    struct bytes key = take_key(reader), value = take_value(reader);
    if (!whole(reader))
        return 0;
    if (op == OP_APPEND)
        return dt_store_append(client->store, key, value, reader->err);
    if (op == OP_QUEUE_PUSH)
        return dt_store_push(client->store, key, value, reader->err);
    return dt_store_set(client->store, key, value, reader->err);
}

/* Of a key that is not there, PyTorch answers with what was expected. */
static int do_compare_set(struct dt_store_client *client, struct reader *reader)
{
    struct bytes key = take_key(reader), expected = take_value(reader);
    struct bytes desired = take_value(reader);
    if (!whole(reader))
        return 0;
    bool there = dt_store_has(client->store, key);
    struct bytes old = dt_store_get(client->store, key);
    if (!there && expected.len) {
        send_bytes(client, expected);
        return 0;
    }
    if (equal(old, expected) && dt_store_set(client->store, key, desired, reader->err))
        return -1;
    send_bytes(client, dt_store_get(client->store, key));
    return 0;
}

static int do_get(struct dt_store_client *client, struct reader *reader)
{
    struct bytes key = take_key(reader);
    if (whole(reader))
        send_bytes(client, dt_store_get(client->store, key));
    return 0;
}

static int do_add(struct dt_store_client *client, struct reader *reader)
{
    struct bytes key = take_key(reader);
    int64_t amount = (int64_t)take_u64(reader), sum;
    if (!whole(reader))
        return 0;
    if (dt_store_add(client->store, key, amount, &sum, reader->err))
        return -1;
    send_u64(client, (uint64_t)sum);
    return 0;
}

static int do_check(struct dt_store_client *client, struct reader *reader, enum op op)
{
    size_t count, there = 0;
    struct bytes *keys = take_list(reader, false, &count);
    int result = 0;
    if (!whole(reader))
        return 0;
    if (op == OP_CHECK) {
        while (there < count && dt_store_has(client->store, keys[there]))
            there++;
        dt_store_send(client, &(char){there < count}, 1);
    } else {
        result = dt_store_wait(client, keys, count, reader->err);
        if (result == 1)
            dt_store_send(client, &(char){0}, 1);
    }
    free(keys);
    return result < 0 ? -1 : 0;
}

static int do_multi_get(struct dt_store_client *client, struct reader *reader)
{
    size_t count;
    struct bytes *keys = take_list(reader, false, &count);
    for (size_t i = 0; i < count; i++) {
        send_bytes(client, dt_store_get(client->store, keys[i]));
        if (client->out.len > client->store->bytes_max / 4) {
            free(keys);
            return dt_error_set(reader->err, "a MULTI_GET asks for more than %zu MiB",
                                client->store->bytes_max >> 22);
        }
    }
    free(keys);
    return 0;
}

static int do_multi_set(struct dt_store_client *client, struct reader *reader)
{
    size_t count;
    int result = 0;
    struct bytes *list = take_list(reader, true, &count);
    for (size_t i = 0; i < count && result == 0; i++)
        result = dt_store_set(client->store, list[2 * i], list[2 * i + 1], reader->err);
    free(list);
    return result;
}

static int do_delete(struct dt_store_client *client, struct reader *reader)
{
    struct bytes key = take_key(reader);
    if (whole(reader))
        send_u64(client, (uint64_t)dt_store_delete(client->store, key));
    return 0;
}

static int do_queue(struct dt_store_client *client, struct reader *reader, enum op op)
{
    struct bytes key = take_key(reader);
    size_t len;
    if (!whole(reader))
        return 0;
    const struct entry *entry = dt_table_find(client->store, key);
    if (op == OP_QUEUE_LEN) {
        send_u64(client, entry ? entry->queue_len : 0);
        return 0;
    }
    struct item *item = dt_store_pop(client->store, key, &len);
    send_u64(client, len);
    if (item)
        send_bytes(client, (struct bytes){item->data, item->len});
    free(item);
    return 0;
}

static int do_ping(struct dt_store_client *client, struct reader *reader)
{
    uint32_t nonce;
    if (take(reader, &nonce, sizeof nonce))
        dt_store_send(client, &nonce, sizeof nonce);
    return 0;
}

static int do_validate(struct reader *reader)
{
    uint32_t magic;
    if (take(reader, &magic, sizeof magic) && le32toh(magic) != MAGIC)
        return dt_error_set(reader->err, "VALIDATE with a wrong number");
    return 0;
}

static int do_command(struct dt_store_client *client, struct reader *reader, enum op op)
{
    switch (op) {
    case OP_VALIDATE:
        return do_validate(reader);
    case OP_SET:
    case OP_APPEND:
    case OP_QUEUE_PUSH:
        return do_set(client, reader, op);
    case OP_COMPARE_SET:
        return do_compare_set(client, reader);
    case OP_GET:
        return do_get(client, reader);
    case OP_ADD:
        return do_add(client, reader);
    case OP_CHECK:
    case OP_WAIT:
        return do_check(client, reader, op);
    case OP_KEY_COUNT:
        send_u64(client, dt_store_key_count(client->store));
        return 0;
    case OP_DELETE:
        return do_delete(client, reader);
    case OP_MULTI_GET:
        return do_multi_get(client, reader);
    case OP_MULTI_SET:
        return do_multi_set(client, reader);
    case OP_CANCEL_WAIT:
        dt_store_cancel(client);
        dt_store_send(client, &(char){1}, 1);
        return 0;
    case OP_PING:
        return do_ping(client, reader);
    case OP_QUEUE_POP:
    case OP_QUEUE_LEN:
        return do_queue(client, reader, op);
    case OP_UNKNOWN:
        break;
    }
    return dt_error_set(reader->err, "a command that no known version of PyTorch sends");
}

/* ---- dialects ------------------------------------------------------------------------------ */

/* Of 1.13 to 2.0. Its WATCH_KEY (7) is used by no collective library and not known here. */
static enum op old_op(unsigned char code)
{
    static const enum op ops[] = {OP_SET,  OP_COMPARE_SET, OP_GET,     OP_ADD,   OP_CHECK,
                                  OP_WAIT, OP_KEY_COUNT,   OP_UNKNOWN, OP_DELETE};
    return code < sizeof ops / sizeof *ops ? ops[code] : OP_UNKNOWN;
}

/* The new one begins with 0 and the magic number; in the old one that is a SET with a key of a
 * length that no key has. */
static void tell_dialect(struct dt_store_client *client)
{
    uint32_t magic;
    const struct dt_buf *in = &client->in;
    if (in->data[0] != 0) {
        client->dialect = DIALECT_OLD;
        return;
    }
    if (in->len < 1 + sizeof magic) {
        client->need = 1 + sizeof magic;
        return;
    }
    memcpy(&magic, in->data + 1, sizeof magic);
    client->dialect = le32toh(magic) == MAGIC ? DIALECT_NEW : DIALECT_OLD;
}

/* One command at the beginning of the text. Returns its length; 0: not whole; -1: wrong. */
static ssize_t command(struct dt_store_client *client, const char *text, size_t len,
                       struct dt_error *err)
{
    struct reader reader = {.at = text + 1, .end = text + len, .err = err};
    unsigned char code = (unsigned char)*text;
    enum op op = client->dialect == DIALECT_OLD ? old_op(code)
                 : code < OP_UNKNOWN            ? (enum op)code
                                                : OP_UNKNOWN;
    if (op == OP_UNKNOWN)
        return dt_error_set(err, "command %u, which no known version of PyTorch sends", code);
    if (do_command(client, &reader, op) || reader.wrong)
        return -1;
    client->need = reader.need ? len + reader.need : 0;
    if (reader.need)
        return 0;
    client->spoke = client->spoke || op != OP_VALIDATE;
    return reader.at - text;
}

static int take_commands(struct dt_store_client *client, struct dt_error *err)
{
    struct dt_buf *in = &client->in;
    size_t at = 0;
    while (at < in->len) {
        if (client->dialect == DIALECT_UNKNOWN)
            tell_dialect(client);
        if (client->dialect == DIALECT_UNKNOWN)
            break;
        ssize_t used = command(client, in->data + at, in->len - at, err);
        if (used < 0)
            return -1;
        if (used == 0)
            break;
        at += (size_t)used;
    }
    memmove(in->data, in->data + at, in->len - at);
    in->len -= at;
    return 0;
}

int dt_store_feed(struct dt_store_client *client, const void *bytes, size_t len,
                  struct dt_error *err)
{
    struct dt_store *store = client->store;
    store->bytes -= client->in.cap;
    dt_buf_append(&client->in, bytes, len);
    store->bytes += client->in.cap;
    if (client->in.failed || client->out.failed)
        return dt_error_set(err, "out of memory");
    if (store->bytes > store->bytes_max)
        return dt_error_set(err,
                            "the store is full: keys, values and commands that have come in "
                            "part take more than %zu MiB",
                            store->bytes_max >> 20);
    if (client->in.len == 0 || client->in.len < client->need)
        return 0;
    if (take_commands(client, err))
        return -1;
    if (client->in.len == 0) { /* most clients are idle most of the time */
        store->bytes -= client->in.cap;
        dt_buf_fini(&client->in);
    }
    return client->out.failed ? dt_error_set(err, "out of memory") : 0;
}
