/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers may send to the rendezvous store: three connections, whose bytes come in turn. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 3 };

static void drain(struct dt_store *store)
{
    struct dt_store_client *client;
    while ((client = dt_store_touched(store)))
        dt_buf_clear(dt_store_output(client));
}

/* Pieces of the input: one byte says whose and how long it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_store *store = dt_store_create(1u << 20);
    struct dt_store_client *clients[CLIENTS] = {0};
    struct dt_error err;
    for (size_t at = 0; store && at < size;) {
        int who = data[at] % CLIENTS;
        size_t len = data[at] / CLIENTS + 1u;
        at++;
        len = len < size - at ? len : size - at;
        if (!clients[who])
            clients[who] = dt_store_join(store, NULL);
        if (clients[who] && dt_store_feed(clients[who], data + at, len, &err)) {
            dt_store_leave(clients[who]);
            clients[who] = NULL;
        }
        for (int i = 0; i < CLIENTS; i++) {
            const char *key = clients[i] ? dt_store_waits_for(clients[i]) : NULL;
            if (key && strlen(key) > DT_STORE_KEY_MAX)
                abort();
        }
        drain(store);
        at += len;
    }
    dt_store_destroy(store);
    return 0;
}
