/* SPDX-License-Identifier: Apache-2.0 */
/* Width and colour. */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROWEST = 40, USUAL = 100, WIDEST = 200 };

static int limited(long width)
{
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : (int)width;
}

int terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    char *end;
    if (columns && *columns) {
        long width = strtol(columns, &end, 10);
        if (!*end && width > 0)
            return limited(width);
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return limited(size.ws_col);
    return USUAL;
}

bool terminal_color(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (!no_color || !*no_color) &&
           (!term || strcmp(term, "dumb") != 0);
}
