/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal that standard output may be. */
#ifndef DT_ENV_TERMINAL_H
#define DT_ENV_TERMINAL_H

#include <stdbool.h>

int terminal_width(void);  /* columns; 100 where there is no terminal and no COLUMNS */
bool terminal_color(void); /* a terminal, TERM is not dumb, and NO_COLOR is empty or unset */

#endif
