/* SPDX-License-Identifier: Apache-2.0 */
/* A process that dt-node leaves behind when it ends. */
#ifndef DT_NODE_BEHIND_H
#define DT_NODE_BEHIND_H

#include <stdbool.h>

/* True in that process: in a session of its own, so that nothing that ends dt-node's group ends it,
 * and with no descriptor but, where keep_stderr, standard error. False in dt-node, once that is so. */
bool behind_fork(bool keep_stderr);

#endif
