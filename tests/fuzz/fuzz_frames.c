/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may send: frames and the messages in them, and the rendezvous text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_frames(const uint8_t *data, size_t size)
{
    struct dt_frames frames;
    struct dt_error err;
    json_t *object;
    dt_frames_init(&frames, DT_WIRE_HELLO_MAX);
    size_t cut = size ? data[0] % size : 0;
    int rc = dt_frames_feed(&frames, data, cut, &err);
    if (rc == 0)
        rc = dt_frames_feed(&frames, data + cut, size - cut, &err);
    while (rc == 0 && dt_frames_next(&frames, &object, &err) == 1) {
        struct dt_hello hello;
        struct dt_decision decision;
        dt_hello_from_json(&hello, object, &err);
        if (dt_decision_from_json(&decision, object, &err) == 0)
            free(decision.components);
        json_decref(object);
    }
    dt_frames_fini(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_frames(data, size);
    char *text = strndup((const char *)data, size);
    struct dt_rendezvous rendezvous;
    struct dt_error err;
    if (text && dt_rendezvous_parse(&rendezvous, text, &err) == 0)
        dt_rendezvous_fini(&rendezvous);
    free(text);
    return 0;
}
