/* SPDX-License-Identifier: Apache-2.0 */
/* What a site's own node has: versions, counts, sizes, limits, settings, as one healthy node had them.
 * dt-validate --learn writes such a file, an admin may edit it, and the check "profile" (lib/check) holds
 * nodes to it. What EC2 states of a type is in instances.conf; what the nodes of a job differ by is
 * lib/compare's, and needs no file.
 *
 * libconfuse syntax, an option a line, each one optional:
 *   kernel = '6.8.0-1021-aws'       the same text
 *   gpu-count = 8                   the same number
 *   nofile = 65536                  at least; -1: unlimited
 */
#ifndef DT_PROFILE_PROFILE_H
#define DT_PROFILE_PROFILE_H

#include <stdbool.h>

#include "base/error.h"
#include "facts/facts.h"

enum dt_profile_kind { DT_PROFILE_TEXT, DT_PROFILE_NUMBER, DT_PROFILE_LEAST, DT_PROFILE_NEAR };

/* A thing that profiles may tell of. */
struct dt_profile_row {
    const char *option; /* in the file */
    const char *key;    /* of the fact */
    enum dt_profile_kind kind;
    bool warns;  /* a difference is a warning: a setting */
    bool of_job; /* limits of a process: mean nothing outside a job */
    const char *about;
};
extern const struct dt_profile_row dt_profile_rows[]; /* option NULL at the end */

struct dt_profile_item {
    const struct dt_profile_row *row;
    char *text; /* of a TEXT */
    long long number;
    int line; /* of the file */
};

struct dt_profile {
    char *path;
    char *type; /* "instance-type" of the file; NULL: for any */
    struct dt_profile_item *items;
    size_t count;
};

/* The file has to be trusted, as dt.conf. Errors: "FILE:LINE: what". A file without any option is one. */
int dt_profile_load(struct dt_profile *profile, const char *path, struct dt_error *err);
int dt_profile_parse(struct dt_profile *profile, const char *name, const char *text, size_t len,
                     struct dt_error *err); /* text[len] is NUL */
void dt_profile_fini(struct dt_profile *profile);

/* A profile of what has these facts; facts that are absent have no line. Caller frees; NULL: no memory. */
char *dt_profile_learn(const struct dt_facts *facts);

/* Does the fact fit the item? absent: *is_known false. */
bool dt_profile_fits(const struct dt_profile_item *item, const struct dt_facts *facts,
                     bool *is_known);

#endif
