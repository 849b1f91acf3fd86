/* SPDX-License-Identifier: Apache-2.0 */
/* The keys: a hash table that grows. The hash is seeded, so that nobody can choose keys that collide. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BUCKETS_FIRST 256u

static uint64_t hash_of(const struct dt_store *store, struct bytes key)
{
    uint64_t h = store->seed;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ (unsigned char)key.data[i]) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return h * 0x9e3779b97f4a7c15u ^ h >> 32;
}

static bool is_key(const struct entry *entry, uint64_t hash, struct bytes key)
{
    return entry->hash == hash && entry->key_len == key.len &&
           memcmp(entry->key, key.data, key.len) == 0;
}

static struct entry *find(const struct dt_store *store, uint64_t hash, struct bytes key)
{
    if (!store->bucket_count)
        return NULL;
    struct entry *entry = store->buckets[hash & (store->bucket_count - 1)];
    while (entry && !is_key(entry, hash, key))
        entry = entry->next;
    return entry;
}

struct entry *dt_table_find(const struct dt_store *store, struct bytes key)
{
    return find(store, hash_of(store, key), key);
}

static int grow(struct dt_store *store)
{
    size_t count = store->bucket_count ? store->bucket_count * 2 : BUCKETS_FIRST;
    struct entry **buckets = calloc(count, sizeof(struct entry *));
    if (!buckets)
        return -1;
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (struct entry *entry = store->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(store->buckets);
    store->buckets = buckets;
    store->bucket_count = count;
    return 0;
}

struct entry *dt_table_make(struct dt_store *store, struct bytes key)
{
    uint64_t hash = hash_of(store, key);
    struct entry *entry = find(store, hash, key);
    if (entry)
        return entry;
    if (store->entry_count >= store->bucket_count && grow(store))
        return NULL;
    entry = calloc(1, sizeof *entry + key.len + 1);
    if (!entry)
        return NULL;
    entry->hash = hash;
    entry->key_len = key.len;
    memcpy(entry->key, key.data, key.len);
    entry->queue_end = &entry->queue;
    entry->next = store->buckets[hash & (store->bucket_count - 1)];
    store->buckets[hash & (store->bucket_count - 1)] = entry;
    store->entry_count++;
    store->bytes += sizeof *entry + key.len + 1;
    return entry;
}

static void destroy(struct dt_store *store, struct entry *entry)
{
    store->bytes -= sizeof *entry + entry->key_len + 1 + entry->value.cap;
    for (struct item *item = entry->queue, *next; item; item = next) {
        next = item->next;
        store->bytes -= sizeof *item + item->len;
        free(item);
    }
    free(entry->value.data);
    free(entry);
}

void dt_table_release(struct dt_store *store, struct entry *entry)
{
    if (entry->present || entry->queue || entry->waits)
        return;
    struct entry **link = &store->buckets[entry->hash & (store->bucket_count - 1)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    store->entry_count--;
    destroy(store, entry);
}

void dt_table_fini(struct dt_store *store)
{
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (struct entry *entry = store->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            destroy(store, entry);
        }
    }
    free(store->buckets);
}
