/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what the ranks write, and what is told of the run. */
#include "options_rows.h"

static int take_prefix(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    static const char *const words[] = {"rank", "node"};
    int choice = 0;
    if (value && dt_option_word(name, value, words, 2, &choice, err))
        return -1;
    o->prefix = choice == 0 ? DT_PREFIX_RANK : DT_PREFIX_NODE;
    return 0;
}

const struct dt_option_row dt_options_of_output[] = {
    {.name = "prefix-output",
     .letter = 'l',
     .value = "rank|node",
     .may_lack_value = true,
     .doc = "Begin each line of output with [RANK], or with [NODE:RANK]; lines are never torn",
     .take = take_prefix},
    {0},
};
