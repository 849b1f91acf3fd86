/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands do: values, counters, queues, and clients that wait for keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "internal.h"

enum { STOP_WAITING = 0 };

struct dt_store *dt_store_create(size_t bytes_max)
{
    struct dt_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->touched_end = &store->touched;
    store->bytes_max = bytes_max;
    if (getrandom(&store->seed, sizeof store->seed, GRND_NONBLOCK) != (ssize_t)sizeof store->seed)
        store->seed = (uintptr_t)store; /* early in boot: better than a constant */
    return store;
}

/* ---- clients ------------------------------------------------------------------------------- */

struct dt_store_client *dt_store_join(struct dt_store *store, void *owner)
{
    struct dt_store_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->store = store;
    client->owner = owner;
    client->next = store->clients;
    if (client->next)
        client->next->link = &client->next;
    client->link = &store->clients;
    store->clients = client;
    return client;
}

static void untouch(struct dt_store_client *client)
{
    struct dt_store_client **link = &client->store->touched;
    if (!client->touched)
        return;
    while (*link != client)
        link = &(*link)->next_touched;
    *link = client->next_touched;
    if (!*link)
        client->store->touched_end = link;
    client->touched = false;
}

static void discard(struct dt_store_client *client)
{
    dt_store_cancel(client);
    client->store->bytes -= client->in.cap;
    dt_buf_fini(&client->in);
    dt_buf_fini(&client->out);
    free(client);
}

void dt_store_leave(struct dt_store_client *client)
{
    untouch(client);
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    discard(client);
}

void dt_store_destroy(struct dt_store *store)
{
    if (!store)
        return;
    for (struct dt_store_client *client = store->clients, *next; client; client = next) {
        next = client->next;
        discard(client);
    }
    dt_table_fini(store);
    free(store);
}

void *dt_store_owner(const struct dt_store_client *client)
{
    return client->owner;
}

struct dt_buf *dt_store_output(struct dt_store_client *client)
{
    return &client->out;
}

void dt_store_send(struct dt_store_client *client, const void *bytes, size_t len)
{
    dt_buf_append(&client->out, bytes, len);
    if (client->touched)
        return;
    client->touched = true;
    client->next_touched = NULL;
    *client->store->touched_end = client;
    client->store->touched_end = &client->next_touched;
}

struct dt_store_client *dt_store_touched(struct dt_store *store)
{
    struct dt_store_client *client = store->touched;
    if (client)
        untouch(client);
    return client;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void unlink_wait(struct wait *wait)
{
    if (!wait->link)
        return;
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    wait->link = NULL;
}

void dt_store_cancel(struct dt_store_client *client)
{
    for (size_t i = 0; i < client->wait_count; i++) {
        if (!client->waits[i].link)
            continue;
        unlink_wait(&client->waits[i]);
        dt_table_release(client->store, client->waits[i].entry);
    }
    free(client->waits);
    client->waits = NULL;
    client->wait_count = client->waiting = 0;
}

/* Its key is there. */
static void arrive(struct wait *wait)
{
    struct dt_store_client *client = wait->client;
    unlink_wait(wait);
    if (--client->waiting)
        return;
    free(client->waits); /* wait is gone with it */
    client->waits = NULL;
    client->wait_count = 0;
    dt_store_send(client, &(char){STOP_WAITING}, 1);
}

static void wake(struct entry *entry)
{
    while (entry->waits)
        arrive(entry->waits);
}

static bool is_there(const struct entry *entry)
{
    return entry && (entry->present || entry->queue);
}

static void wait_for(struct dt_store_client *client, struct entry *entry)
{
    struct wait *wait = &client->waits[client->wait_count++];
    struct wait **link = &entry->waits;
    *wait = (struct wait){.next = *link, .link = link, .entry = entry, .client = client};
    if (*link)
        (*link)->link = &wait->next;
    *link = wait;
    client->waiting++;
}

int dt_store_wait(struct dt_store_client *client, const struct bytes *keys, size_t count,
                  struct dt_error *err)
{
    struct dt_store *store = client->store;
    dt_store_cancel(client);
    client->waits = count ? calloc(count, sizeof *client->waits) : NULL;
    if (count && !client->waits)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = dt_table_make(store, keys[i]);
        if (!entry)
            return dt_error_set(err, "out of memory");
        if (!is_there(entry))
            wait_for(client, entry);
    }
    if (client->waiting)
        return 0;
    dt_store_cancel(client);
    return 1;
}

const char *dt_store_waits_for(const struct dt_store_client *client)
{
    for (size_t i = 0; i < client->wait_count; i++) {
        if (client->waits[i].link)
            return client->waits[i].entry->key;
    }
    return NULL;
}

/* ---- values -------------------------------------------------------------------------------- */

static int check_room(const struct dt_store *store, size_t more, struct dt_error *err)
{
    if (store->bytes + more <= store->bytes_max)
        return 0;
    return dt_error_set(err, "the store is full: keys and values take more than %zu MiB",
                        store->bytes_max >> 20);
}

static int assign(struct dt_store *store, struct entry *entry, size_t keep, struct bytes value,
                  struct dt_error *err)
{
    size_t len = keep + value.len;
    if (len > DT_STORE_VALUE_MAX)
        return dt_error_set(err, "a value of %zu bytes is over the limit of %u", len,
                            DT_STORE_VALUE_MAX);
    if (len > entry->value.cap) {
        size_t cap = keep ? len * 2 : len;
        char *data = check_room(store, cap, err) ? NULL : realloc(entry->value.data, cap);
        if (!data)
            return err->text[0] ? -1 : dt_error_set(err, "out of memory");
        store->bytes += cap - entry->value.cap;
        entry->value.data = data;
        entry->value.cap = cap;
    }
    if (value.len)
        memcpy(entry->value.data + keep, value.data, value.len);
    entry->value.len = len;
    store->present += !entry->present;
    entry->present = true;
    wake(entry);
    return 0;
}

static int change(struct dt_store *store, struct bytes key, bool append, struct bytes value,
                  struct dt_error *err)
{
    err->text[0] = '\0';
    struct entry *entry = check_room(store, key.len, err) ? NULL : dt_table_make(store, key);
    if (!entry)
        return err->text[0] ? -1 : dt_error_set(err, "out of memory");
    int result = assign(store, entry, append ? entry->value.len : 0, value, err);
    dt_table_release(store, entry);
    return result;
}

int dt_store_set(struct dt_store *store, struct bytes key, struct bytes value, struct dt_error *err)
{
    return change(store, key, false, value, err);
}

int dt_store_append(struct dt_store *store, struct bytes key, struct bytes value,
                    struct dt_error *err)
{
    return change(store, key, true, value, err);
}

struct bytes dt_store_get(const struct dt_store *store, struct bytes key)
{
    const struct entry *entry = dt_table_find(store, key);
    if (!entry || !entry->present)
        return (struct bytes){"", 0};
    return (struct bytes){entry->value.data, entry->value.len};
}

bool dt_store_has(const struct dt_store *store, struct bytes key)
{
    return is_there(dt_table_find(store, key));
}

/* A counter is kept as decimal text, which a GET of it then gives. */
int dt_store_add(struct dt_store *store, struct bytes key, int64_t amount, int64_t *sum,
                 struct dt_error *err)
{
    struct bytes old = dt_store_get(store, key);
    char text[24];
    int64_t number = 0;
    if (old.len >= sizeof text)
        return dt_error_set(err, "ADD to a key whose value is no number");
    if (old.len) {
        char *end;
        memcpy(text, old.data, old.len);
        text[old.len] = '\0';
        errno = 0;
        number = strtoll(text, &end, 10);
        if (errno || end == text)
            return dt_error_set(err, "ADD to a key whose value is no number");
    }
    if (__builtin_add_overflow(number, amount, sum))
        return dt_error_set(err, "ADD of %" PRId64 " to %" PRId64 " is beyond 64 bits", amount,
                            number);
    int len = snprintf(text, sizeof text, "%" PRId64, *sum);
    return dt_store_set(store, key, (struct bytes){text, (size_t)len}, err);
}

int dt_store_delete(struct dt_store *store, struct bytes key)
{
    struct entry *entry = dt_table_find(store, key);
    if (!entry || !entry->present)
        return 0;
    entry->present = false;
    store->present--;
    store->bytes -= entry->value.cap;
    free(entry->value.data);
    entry->value = (struct value){0};
    dt_table_release(store, entry);
    return 1;
}

/* ---- queues -------------------------------------------------------------------------------- */

int dt_store_push(struct dt_store *store, struct bytes key, struct bytes value,
                  struct dt_error *err)
{
    size_t size = sizeof(struct item) + value.len;
    err->text[0] = '\0';
    if (check_room(store, size + key.len, err))
        return -1;
    struct item *item = malloc(size);
    struct entry *entry = item ? dt_table_make(store, key) : NULL;
    if (!entry) {
        free(item);
        return dt_error_set(err, "out of memory");
    }
    item->next = NULL;
    item->len = value.len;
    if (value.len)
        memcpy(item->data, value.data, value.len);
    *entry->queue_end = item;
    entry->queue_end = &item->next;
    entry->queue_len++;
    store->bytes += size;
    /* One item is for one client; it is the one that has waited longest, at the list's end. */
    struct wait *oldest = entry->waits;
    while (oldest && oldest->next)
        oldest = oldest->next;
    if (oldest)
        arrive(oldest);
    return 0;
}

struct item *dt_store_pop(struct dt_store *store, struct bytes key, size_t *before)
{
    struct entry *entry = dt_table_find(store, key);
    *before = entry ? entry->queue_len : 0;
    if (!*before)
        return NULL;
    struct item *item = entry->queue;
    entry->queue = item->next;
    if (!entry->queue)
        entry->queue_end = &entry->queue;
    entry->queue_len--;
    store->bytes -= sizeof *item + item->len;
    dt_table_release(store, entry);
    return item;
}

size_t dt_store_key_count(const struct dt_store *store)
{
    return store->present;
}

size_t dt_store_bytes(const struct dt_store *store)
{
    return store->bytes;
}

bool dt_store_spoke(const struct dt_store_client *client)
{
    return client->spoke;
}
