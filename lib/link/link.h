/* SPDX-License-Identifier: Apache-2.0 */
/* What the dt-launch of a job's nodes say to each other. The one on node 0 leads; the others are its
 * members and connect to it on the port where the ranks meet.
 *
 * A message is a line: its name, whole numbers, then texts, percent-encoded so that they hold no
 * blank. How many of each a message has is fixed (link.c has the table); anything else ends the
 * connection. The conversation:
 *
 *   member -> lead    hello VERSION JOB STEP NODE NODES FIRST-RANK RANKS NAME
 *   lead -> member    welcome MASTER-PORT JAX-PORT TIME     or   refuse WHY
 *   member -> lead    ping T                                (several times, and every few seconds)
 *   lead -> member    pong T LEAD-TIME
 *   member -> lead    failed RANK LOCAL PID STATUS DIED SAID FLAGS SENTENCE DETAILS   (times: the lead's)
 *   lead -> member    stop                                  (a rank has failed: end yours)
 *   member -> lead    done CODE LEFT                        (no rank of mine runs any more; processes
 *                                                            of theirs that could not be ended)
 *   lead -> member    verdict CODE                          (who was the first; end with this code)
 *                or   again RESTARTS                        (or: there will be another attempt)
 *   lead -> member    start RESTARTS                        (all nodes are empty: start your ranks)
 *   lead -> member    who QUERY
 *   member -> lead    rank QUERY RANK PID AGE-MS STATE CPU-MS CONNECTED WHERE ... told QUERY
 *
 *   member -> lead    pulse NODE QUIET-MS IDLE-MS DYING     (since when none of its ranks got on, or
 *                                                            did anything; a rank that can not die, or -1)
 *   member -> lead    pace RANK STEP US WORK-US FIRST-STEP  (what a step takes, over the last 50)
 *   lead -> member    look QUERY DUMP                       (what do your ranks do?)
 *   member -> lead    seen QUERY RANK PID KIND AGE-MS QUIET-MS CONNECTED DOING STACK OWN ... told QUERY
 *   member -> lead    wire QUERY RANK KIND COUNT SILENT-MS PEER    (before told: a connection of note)
 *   lead -> member    give-up RANK                          (count it as failed)
 *   member -> lead    warned SIGNAL                         (the job is to end: have it saved)
 *   lead -> member    save TIME                             (signal your ranks then, by the lead's clock)
 *   member -> lead    saved RANK                            (it has said so)
 *   member -> lead    line STREAM RANKS TEXT                (these ranks wrote this line)
 *   member -> lead    finished                              (the job has done what it was for: end it well)
 *   lead -> member    taken BYTES                           (of such texts: so many more may come)
 *
 * To the driver (launcher/dt-launch/driver.h), which never answers:
 *
 *   agent -> driver   dt-agent VERSION JOB STEP NAME TOKEN
 *   agent -> driver   cause FOLLOW CODE RESTARTS NODE SENTENCE   (FOLLOW: enum dt_follow)
 *
 * Times are nanoseconds of CLOCK_MONOTONIC. There is no secret: who can reach the port could as well
 * disturb PyTorch's store, which has none either.
 */
#ifndef DT_LINK_LINK_H
#define DT_LINK_LINK_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define DT_LINK_VERSION  3
#define DT_LINK_LINE_MAX (128u << 10) /* bytes of one encoded message */
#define DT_LINK_NUMBERS  7
#define DT_LINK_TEXTS    3

enum dt_link_type {
    DT_LINK_HELLO,
    DT_LINK_WELCOME,
    DT_LINK_REFUSE,
    DT_LINK_PING,
    DT_LINK_PONG,
    DT_LINK_FAILED,
    DT_LINK_STOP,
    DT_LINK_DONE,
    DT_LINK_VERDICT,
    DT_LINK_WHO,
    DT_LINK_RANK,
    DT_LINK_TOLD,
    DT_LINK_AGAIN,
    DT_LINK_START,
    DT_LINK_PULSE,
    DT_LINK_PACE,
    DT_LINK_LOOK,
    DT_LINK_SEEN,
    DT_LINK_GIVE_UP,
    DT_LINK_WARNED,
    DT_LINK_SAVE,
    DT_LINK_SAVED,
    DT_LINK_LINE,
    DT_LINK_TAKEN,
    DT_LINK_FINISHED,
    DT_LINK_AGENT,
    DT_LINK_CAUSE,
    DT_LINK_WIRE,
    DT_LINK_TYPES,
};

struct dt_link_message {
    enum dt_link_type type;
    long long numbers[DT_LINK_NUMBERS];
    char *texts[DT_LINK_TEXTS]; /* owned once decoded; borrowed when encoding; NULL is "" */
};

/* Append the message, with its newline. */
void dt_link_encode(struct dt_buf *to, const struct dt_link_message *message);

/* Feed bytes as they come, take messages out. */
struct dt_link_reader {
    struct dt_buf bytes;
    size_t taken;
};
void dt_link_reader_fini(struct dt_link_reader *reader);
int dt_link_feed(struct dt_link_reader *reader, const void *bytes, size_t len,
                 struct dt_error *err);
/* 1: a message, to be given to dt_link_message_fini; 0: more bytes are needed; -1: not one of ours. */
int dt_link_next(struct dt_link_reader *reader, struct dt_link_message *message,
                 struct dt_error *err);
void dt_link_message_fini(struct dt_link_message *message);

/* ---- clocks -------------------------------------------------------------------------------- */

/* How far the lead's clock is ahead of ours: from the exchange that took least time, since half of
 * that time is what it may be wrong by. Older than a minute it gives way to any newer one. */
struct dt_link_clock {
    long long offset_ns, error_ns, when_ns;
    int samples;
};
/* Asked at `sent`, answered with the lead's time `theirs`, which arrived at `received`. */
void dt_link_clock_add(struct dt_link_clock *clock, long long sent, long long theirs,
                       long long received);

#endif
