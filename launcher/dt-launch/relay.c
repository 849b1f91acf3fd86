/* SPDX-License-Identifier: Apache-2.0 */
/* The queue between the output's thread and the loop; see relay.h. */
#include "relay.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define UNDERWAY_MAX (256 << 10) /* bytes of text that the lead has not yet taken */

struct item {
    struct item *next;
    struct dt_folded line;
};

struct dt_relay {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct item *oldest, **youngest;
    long long underway;
    bool closed;
    int wake;
};

struct dt_relay *dt_relay_create(struct dt_error *err)
{
    struct dt_relay *relay = calloc(1, sizeof *relay);
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!relay || wake < 0) {
        dt_error_set(err, "an event descriptor can not be made: %s", strerror(errno));
        if (wake >= 0)
            close(wake);
        free(relay);
        return NULL;
    }
    relay->wake = wake;
    relay->youngest = &relay->oldest;
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->room, NULL);
    return relay;
}

void dt_relay_destroy(struct dt_relay *relay)
{
    struct dt_folded line;
    if (!relay)
        return;
    while (dt_relay_take(relay, &line))
        dt_folded_fini(&line);
    close(relay->wake);
    pthread_cond_destroy(&relay->room);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}

bool dt_relay_put(struct dt_relay *relay, struct dt_folded *line)
{
    struct item *item = malloc(sizeof *item);
    pthread_mutex_lock(&relay->lock);
    while (!relay->closed && relay->underway > UNDERWAY_MAX)
        pthread_cond_wait(&relay->room, &relay->lock);
    bool taken = item && !relay->closed;
    if (taken) {
        *item = (struct item){.line = *line};
        *relay->youngest = item;
        relay->youngest = &item->next;
        relay->underway += (long long)strlen(line->text);
    }
    pthread_mutex_unlock(&relay->lock);
    if (!taken)
        free(item);
    else if (eventfd_write(relay->wake, 1))
        errno = 0; /* it is readable already */
    return taken;
}

int dt_relay_fd(const struct dt_relay *relay)
{
    return relay->wake;
}

bool dt_relay_take(struct dt_relay *relay, struct dt_folded *line)
{
    eventfd_t unused;
    pthread_mutex_lock(&relay->lock);
    struct item *item = relay->oldest;
    if (item) {
        relay->oldest = item->next;
        if (!relay->oldest)
            relay->youngest = &relay->oldest;
    } else if (eventfd_read(relay->wake, &unused)) {
        errno = 0; /* it was not readable */
    }
    pthread_mutex_unlock(&relay->lock);
    if (!item)
        return false;
    *line = item->line;
    free(item);
    return true;
}

void dt_relay_taken(struct dt_relay *relay, long long bytes)
{
    pthread_mutex_lock(&relay->lock);
    relay->underway -= bytes;
    pthread_cond_signal(&relay->room);
    pthread_mutex_unlock(&relay->lock);
}

bool dt_relay_empty(struct dt_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    bool empty = !relay->oldest;
    pthread_mutex_unlock(&relay->lock);
    return empty;
}

void dt_relay_close(struct dt_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->closed = true;
    pthread_cond_broadcast(&relay->room);
    pthread_mutex_unlock(&relay->lock);
}
