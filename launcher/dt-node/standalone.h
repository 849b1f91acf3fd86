/* SPDX-License-Identifier: Apache-2.0 */
/* dt-node for people and tests: --print and --plan. Both return the exit status. */
#ifndef DT_NODE_STANDALONE_H
#define DT_NODE_STANDALONE_H

#include "options.h"

int standalone_print(const struct options *options);
int standalone_plan(const struct options *options);

#endif
