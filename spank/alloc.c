/* SPDX-License-Identifier: Apache-2.0 */
/* sbatch and salloc: nothing but the check that what the user said can be understood, before
 * anything is submitted. Slurm itself hands the options on to the srun of the script. */
#include <stdlib.h>

#include "plugin.h"

static void refuse(const char *sentence)
{
    slurm_error("dt: %s", sentence);
    exit(DT_EXIT_USAGE); /* nothing is allocated yet; -1 would be ignored for an optional plugin */
}

void alloc_post_options(struct plugin *plugin)
{
    struct options *options = &plugin->options;
    struct sentence why;
    if (options_read_variables(options, &why) < 0)
        refuse(why.text);
    if (options->given[SOURCE_OPTION][SETTING_REPORT] && options_off(options, SETTING_VALIDATE))
        refuse("--dt-report needs --dt-validate: without validation there is nothing to report");
    if (options->given[SOURCE_OPTION][SETTING_NIC] && options_off(options, SETTING_BIND))
        refuse("--dt-nic needs --dt-bind: without a plan there are no NICs to give");
}
