/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of dt that answer what this static binary can not know: dt-env and dt-node, where dt_beside()
 * finds them. */
#ifndef DT_LAUNCH_HELPER_H
#define DT_LAUNCH_HELPER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

struct dt_helper {
    const char *path;
    char *const *argv;
    char *const *env;
    bool speaks;   /* may use our standard error */
    int last_good; /* highest exit code that is no failure */
};

/* Run it to its end, 10 s at most, and take what it prints. answer NULL: it prints to our standard
 * error, and may take its time. */
int dt_helper_run(const struct dt_helper *helper, struct dt_buf *answer, struct dt_error *err);

#endif
