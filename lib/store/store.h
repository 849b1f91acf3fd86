/* SPDX-License-Identifier: Apache-2.0 */
/* The key-value store by which PyTorch's ranks find each other: the server's side of c10d's TCPStore
 * protocol, as a state machine without sockets. Bytes of a connection go in, bytes for connections
 * come out. Both dialects are spoken and told apart by the first bytes: that of PyTorch 1.13 to 2.0,
 * and that since 2.1, which begins with a magic number.
 *
 * It also tells what nobody else can: which keys the ranks wait for.
 *
 * The limits are PyTorch's own (8 KiB a key, 8 MiB a value, 128 Ki keys in one command); beyond them,
 * and at anything that is not the protocol, a connection ends. Not thread-safe.
 */
#ifndef DT_STORE_STORE_H
#define DT_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define DT_STORE_KEY_MAX   (8u << 10)
#define DT_STORE_VALUE_MAX (8u << 20)
#define DT_STORE_KEYS_MAX  (128u << 10)
/* Usual limit of one store: keys, values, and commands that have come in part. */
#define DT_STORE_BYTES_MAX (1ul << 30)

struct dt_store;
struct dt_store_client;

struct dt_store *dt_store_create(size_t bytes_max); /* NULL: no memory */
void dt_store_destroy(struct dt_store *store);      /* its clients too */

/* One connection; `owner` is the caller's. NULL: no memory. */
struct dt_store_client *dt_store_join(struct dt_store *store, void *owner);
void dt_store_leave(struct dt_store_client *client);
void *dt_store_owner(const struct dt_store_client *client);

/* Bytes that came from the connection. -1: it must be closed, and err says why. */
int dt_store_feed(struct dt_store_client *client, const void *bytes, size_t len,
                  struct dt_error *err);

/* A client that has got bytes to send since it was last returned; NULL: none. They are in
 * dt_store_output: the caller takes them from there. */
struct dt_store_client *dt_store_touched(struct dt_store *store);
struct dt_buf *dt_store_output(struct dt_store_client *client);

/* ---- what there is to see ------------------------------------------------------------------ */

size_t dt_store_key_count(const struct dt_store *store);
size_t dt_store_bytes(const struct dt_store *store);

/* The first key that this client waits for; NULL: it does not wait. Valid until the next feed. */
const char *dt_store_waits_for(const struct dt_store_client *client);
bool dt_store_spoke(const struct dt_store_client *client); /* at least one whole command came */

#endif
