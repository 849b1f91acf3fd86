/* SPDX-License-Identifier: Apache-2.0 */
/* The queue between the output's thread and the loop; see relay.h. */
#include "relay.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define UNDERWAY_MAX (256 << 10) /* bytes of text that the lead has not yet taken */
#define PATIENCE_S   2           /* for room, where lines that are left out are in files */

struct item {
    struct item *next;
    struct dt_folded line;
};

struct dt_relay {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct item *oldest, **youngest;
    long long underway;
    long long left_out; /* lines, since the last that was put in: nobody has read for so long */
    bool kept;          /* in files, too */
    bool closed;
    int wake;
};

struct dt_relay *dt_relay_create(bool kept, struct dt_error *err)
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
    relay->kept = kept;
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

/* With the lock. false: no memory. */
static bool append(struct dt_relay *relay, const struct dt_folded *line)
{
    struct item *item = malloc(sizeof *item);
    if (!item)
        return false;
    *item = (struct item){.line = *line};
    *relay->youngest = item;
    relay->youngest = &item->next;
    relay->underway += (long long)strlen(line->text);
    return true;
}

/* With the lock. Of the ranks of the line that comes next, since some of them wrote the others. */
static void tell_left_out(struct dt_relay *relay, const struct dt_folded *next)
{
    struct dt_folded line = {.stream = next->stream};
    if (dt_ranks_init(&line.ranks, next->ranks.size))
        return;
    dt_ranks_join(&line.ranks, &next->ranks);
    if (asprintf(&line.text,
                 "(%lld lines are not shown here: they came faster than they were read, and are in "
                 "the files of --log-dir)",
                 relay->left_out) < 0)
        line.text = NULL;
    if (line.text && append(relay, &line))
        relay->left_out = 0;
    else
        dt_folded_fini(&line);
}

/* With the lock. Returns whether there is none, and will not be soon. */
static bool wait_for_room(struct dt_relay *relay)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += relay->left_out ? 0 : PATIENCE_S;
    int result = 0;
    while (!relay->closed && relay->underway > UNDERWAY_MAX && result == 0)
        result = relay->kept ? pthread_cond_timedwait(&relay->room, &relay->lock, &until)
                             : pthread_cond_wait(&relay->room, &relay->lock);
    return !relay->closed && relay->underway > UNDERWAY_MAX;
}

bool dt_relay_put(struct dt_relay *relay, struct dt_folded *line)
{
    pthread_mutex_lock(&relay->lock);
    bool full = wait_for_room(relay), first = !relay->oldest;
    if (!relay->closed && !full && relay->left_out)
        tell_left_out(relay, line);
    bool taken = full || (!relay->closed && append(relay, line));
    relay->left_out += full;
    pthread_mutex_unlock(&relay->lock);
    if (full)
        dt_folded_fini(line);
    else if (taken && first && eventfd_write(relay->wake, 1))
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
