/* SPDX-License-Identifier: Apache-2.0 */
/* dt-validate --learn: a profile of this node, if it is healthy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "output.h"
#include "profile/profile.h"

int learn(const struct outcome *outcome, const struct options *options)
{
    struct dt_error err;
    struct dt_buf text = DT_BUF_INIT;
    if (outcome->verdict != DT_PASS && !options->learn_anyway) {
        output_wrong(outcome);
        fprintf(stderr, "dt-validate: --learn: this node does not pass, so it is no example: "
                        "nothing is written; --learn-anyway writes what it has\n");
        return dt_inspect_exit_status(outcome->verdict);
    }
    char *profile = dt_profile_learn(&outcome->inspection->facts);
    dt_buf_puts(&text, profile ? profile : "");
    int rc = profile && !text.failed ? output_replace("--learn", options->learn, &text, &err)
                                     : dt_error_set(&err, "out of memory");
    free(profile);
    dt_buf_fini(&text);
    if (rc < 0) {
        fprintf(stderr, "dt-validate: %s\n", err.text);
        return DT_EXIT_REPORT;
    }
    printf("%s is written; name it in dt.conf: profile = \"%s\"\n", options->learn, options->learn);
    return 0;
}
