/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/store: the table of keys, clients, and what a command does. */
#ifndef DT_STORE_INTERNAL_H
#define DT_STORE_INTERNAL_H

#include <stdint.h>

#include "store/store.h"

struct bytes {
    const char *data;
    size_t len;
};

struct value {
    char *data;
    size_t len, cap;
};

struct item { /* of a queue */
    struct item *next;
    size_t len;
    char data[];
};

struct wait;

/* A key that has a value, or a queue, or somebody who waits for it. */
struct entry {
    struct entry *next; /* in the bucket */
    uint64_t hash;
    bool present;
    struct value value;
    struct item *queue, **queue_end;
    size_t queue_len;
    struct wait *waits; /* list */
    size_t key_len;
    char key[]; /* NUL-terminated, and may hold NULs */
};

/* One client waits for one key. */
struct wait {
    struct wait *next, **link; /* in the key's list; link is NULL once it has come */
    struct entry *entry;
    struct dt_store_client *client;
};

enum dialect { DIALECT_UNKNOWN, DIALECT_OLD, DIALECT_NEW };

struct dt_store_client {
    struct dt_store *store;
    struct dt_store_client *next, **link; /* of all */
    struct dt_store_client *next_touched;
    void *owner;
    enum dialect dialect;
    bool touched, spoke;
    struct dt_buf in, out;
    size_t need; /* bytes of `in` below which trying again is useless */
    struct wait *waits;
    size_t wait_count, waiting; /* waiting: not yet there */
};

struct dt_store {
    struct entry **buckets;
    uint64_t seed; /* of the hash */
    size_t bucket_count, entry_count, present;
    size_t bytes, bytes_max;
    struct dt_store_client *clients;
    struct dt_store_client *touched, **touched_end;
};

/* ---- keys (table.c) ------------------------------------------------------------------------- */
struct entry *dt_table_find(const struct dt_store *store, struct bytes key);
struct entry *dt_table_make(struct dt_store *store, struct bytes key); /* found or new; NULL */
/* Forget it if nothing keeps it. */
void dt_table_release(struct dt_store *store, struct entry *entry);
void dt_table_fini(struct dt_store *store);

/* ---- operations (store.c): 0, or -1 with err ------------------------------------------------ */
int dt_store_set(struct dt_store *store, struct bytes key, struct bytes value,
                 struct dt_error *err);
int dt_store_append(struct dt_store *store, struct bytes key, struct bytes value,
                    struct dt_error *err);
int dt_store_add(struct dt_store *store, struct bytes key, int64_t amount, int64_t *sum,
                 struct dt_error *err);
int dt_store_delete(struct dt_store *store, struct bytes key);
int dt_store_push(struct dt_store *store, struct bytes key, struct bytes value,
                  struct dt_error *err);
struct item *dt_store_pop(struct dt_store *store, struct bytes key, size_t *before);
struct bytes dt_store_get(const struct dt_store *store, struct bytes key);
bool dt_store_has(const struct dt_store *store, struct bytes key);
/* 1: all are there; 0: the client waits now. */
int dt_store_wait(struct dt_store_client *client, const struct bytes *keys, size_t count,
                  struct dt_error *err);
void dt_store_cancel(struct dt_store_client *client);
void dt_store_send(struct dt_store_client *client, const void *bytes, size_t len);

#endif
