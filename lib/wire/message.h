/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of wire.h as structures: both ends build and judge them here, so that they agree. A
 * message of a wrong shape is refused with a sentence; unknown members are ignored, so that a newer
 * peer may say more. */
#ifndef DT_WIRE_MESSAGE_H
#define DT_WIRE_MESSAGE_H

#include "wire/wire.h"

/* Strings of decoded messages are borrowed from the JSON object. */
struct dt_hello {
    const char *token, *node, *step;
    int node_id, node_count, tasks; /* of the step, or of the het component */
    int het_group, het_size;        /* -1, 0: no het job */
};
json_t *dt_hello_to_json(const struct dt_hello *hello); /* new reference; NULL: no memory */
int dt_hello_from_json(struct dt_hello *hello, const json_t *object, struct dt_error *err);

struct dt_component {
    int nodes, tasks;
};

struct dt_decision { /* message "verdict" */
    bool go;
    int code;
    const char *reason;
    const char *master_addr; /* "": not known */
    int master_port;         /* 0: not known */
    struct dt_component *components;
    size_t component_count;
    const char *drain;  /* node list: these may drain themselves; "": none */
    const char *shared; /* "a,b": checks that are no reason for it, as too many nodes fail them */
};
json_t *dt_decision_to_json(const struct dt_decision *decision);
/* components is malloc'd: the caller frees it. */
int dt_decision_from_json(struct dt_decision *decision, const json_t *object, struct dt_error *err);

/* True when the object's "type" is this. */
bool dt_message_is(const json_t *object, const char *type);

#endif
