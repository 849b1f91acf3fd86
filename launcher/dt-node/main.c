/* SPDX-License-Identifier: Apache-2.0 */
/* dt-node: looks at one node, for Slurm's dt plugin (no option) or for a person. */
#include "options.h"
#include "remember.h"
#include "session.h"
#include "standalone.h"

int main(int argc, char **argv)
{
    struct options options;
    options_parse(&options, argc, argv);
    switch (options.mode) {
    case MODE_PRINT:
        return standalone_print(&options);
    case MODE_PLAN:
        return standalone_plan(&options);
    case MODE_STEP_END:
        return remember_end(&options);
    default:
        return session_run(options.config);
    }
}
