/* SPDX-License-Identifier: Apache-2.0 */
/* What dt-node and dt-gather say to each other: frames of a 4-byte big-endian length and that many
 * bytes of JSON (one object, UTF-8), over TCP. The conversation:
 *
 *   node   -> gather   {"type":"hello","dt":1,"token":T,"node":NAME,"nodeid":K,"nodes":N,"tasks":W,
 *                       "step":"J.S","het_group":G,"het_size":H}         (het_*: -1, 0: no het job)
 *   gather -> node     {"type":"welcome","clock_us":CLOCK_REALTIME,"full":bool}
 *   node   -> gather   {"type":"detail","checks":[...],"facts":{...}}   (full only: lib/report/detail.h)
 *                      {"type":"report","facts":{...},"checks":[...],"ran":N,"env":"summary",
 *                       "port":P,"took_us":U}                           (lib/report/message.h)
 *       or             {"type":"failed","code":C,"reason":"..."}      (it could not judge itself)
 *   gather -> node     {"type":"verdict","go":bool,"code":C,"reason":"...","master_addr":A,
 *                       "master_port":P,"components":[[NODES,TASKS],...]}
 *
 * A hello with a wrong token, a frame over the limit, or anything that is no frame ends the
 * connection at once, and is counted, not printed: strangers must not be able to fill a terminal.
 */
#ifndef DT_WIRE_WIRE_H
#define DT_WIRE_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DT_WIRE_VERSION   1
#define DT_WIRE_FRAME_MAX (1u << 20) /* bytes of one frame */
#define DT_WIRE_HELLO_MAX 4096u      /* bytes of a frame before the token was right */
#define DT_TOKEN_HEX      32         /* hex digits: 128 bits */

/* Where the gather is, as it stands in SLURM_DT_RENDEZVOUS: "1/ADDR[,ADDR...]/PORT/TOKEN"; IPv6
 * addresses in brackets. The name begins with SLURM_ because srun hands those on even with
 * --export=NONE. */
struct dt_rendezvous {
    char **addresses; /* numeric, NULL-terminated */
    uint16_t port;
    char token[DT_TOKEN_HEX + 1];
};
int dt_rendezvous_parse(struct dt_rendezvous *rendezvous, const char *text, struct dt_error *err);
char *dt_rendezvous_format(const struct dt_rendezvous *rendezvous); /* caller frees */
void dt_rendezvous_fini(struct dt_rendezvous *rendezvous);

bool dt_token_equal(const char *a, const char *b);                       /* constant time */
int dt_token_create(char token[DT_TOKEN_HEX + 1], struct dt_error *err); /* getrandom */

/* Incremental frame decoder: feed bytes as they come, take objects out. */
struct dt_frames {
    unsigned char *data;
    size_t start, len, cap; /* bytes start..len are not yet taken */
    size_t limit;           /* largest frame accepted now; may be raised after hello */
};
void dt_frames_init(struct dt_frames *frames, size_t limit);
void dt_frames_fini(struct dt_frames *frames);
int dt_frames_feed(struct dt_frames *frames, const void *bytes, size_t len, struct dt_error *err);
/* The next frame as text, valid until the decoder is used again. 1: there is one; 0: more bytes are
 * needed; -1: not a frame of ours. */
int dt_frames_next_text(struct dt_frames *frames, const char **text, size_t *len,
                        struct dt_error *err);
/* The object in such a text: a new reference. */
int dt_frame_decode(json_t **object, const char *text, size_t len, struct dt_error *err);
/* Both at once. 1: *object is a new reference; 0: more bytes are needed; -1: not a frame of ours (err says). */
int dt_frames_next(struct dt_frames *frames, json_t **object, struct dt_error *err);

/* Encode one object into a malloc'd frame. */
int dt_frame_encode(const json_t *object, unsigned char **bytes, size_t *len, struct dt_error *err);

#endif
