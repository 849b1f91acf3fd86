/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to dt-gather. All addresses are tried side by side, the first that answers wins;
 * meanwhile the caller works and calls link_pump now and then. Nothing here blocks beyond a
 * deadline, and everything ends early when the plugin closes its pipe. */
#ifndef DT_NODE_LINK_H
#define DT_NODE_LINK_H

#include <stdbool.h>

#include "base/error.h"
#include "wire/message.h"

struct attempt;

struct link {
    struct dt_rendezvous rendezvous;
    unsigned char *hello; /* encoded */
    size_t hello_len;
    struct attempt *attempts;
    size_t count;
    struct attempt *winner; /* NULL: no welcome yet */
    int plugin_fd;          /* closed by the plugin: give up */
    bool plugin_gone;
    bool gather_gone; /* it closed the connection */
    bool wants_all;   /* the full report, for a report file */
    double started;
    long long offset_us, rtt_us; /* of the clock; valid once there is a winner */
};

double link_now(void); /* monotonic seconds */

int link_start(struct link *link, const char *rendezvous, const struct dt_hello *hello,
               int plugin_fd, struct dt_error *err);
void link_fini(struct link *link);

void link_pump(struct link *link); /* whatever can be done without waiting */
int link_wait_welcome(struct link *link, double deadline, struct dt_error *err);
/* Takes the reference to `message`; NULL: no memory. */
int link_send(struct link *link, json_t *message, double deadline, struct dt_error *err);
/* *message is a new reference. */
int link_wait_message(struct link *link, json_t **message, double deadline, struct dt_error *err);

#endif
