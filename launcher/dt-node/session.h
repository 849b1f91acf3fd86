/* SPDX-License-Identifier: Apache-2.0 */
/* dt-node as the plugin runs it: request on fd 0, answers on fd 1, plan into fd 3. */
#ifndef DT_NODE_SESSION_H
#define DT_NODE_SESSION_H

/* Returns the exit status. config: NULL: the installed dt.conf. */
int session_run(const char *config);

#endif
