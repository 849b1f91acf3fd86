/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal on fd 2. */
#ifndef DT_GATHER_TERMINAL_H
#define DT_GATHER_TERMINAL_H

#include <stdbool.h>

int terminal_width(void); /* columns; 0: no terminal */
bool terminal_color(void);

/* Print, but give up after half a second: a stopped terminal must not hold up the job. */
void terminal_print(const char *text);

#endif
