/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal. fd 2 is shared with srun, so it can not be made non-blocking: poll instead.
 */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 500
#define CHUNK       512 /* poll promises that so much fits into a pipe without blocking */

int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0)
        return 0;
    return size.ws_col;
}

bool terminal_color(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && (!no_color || !*no_color) &&
           (!term || strcmp(term, "dumb") != 0);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void terminal_print(const char *text)
{
    size_t len = strlen(text);
    long deadline = now_ms() + PATIENCE_MS;
    while (len > 0) {
        struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
        long left = deadline - now_ms();
        if (left <= 0 || poll(&fd, 1, (int)left) == 0)
            return;
        if (fd.revents & (POLLERR | POLLNVAL))
            return;
        if (!(fd.revents & POLLOUT))
            continue;
        ssize_t n = write(STDERR_FILENO, text, len < CHUNK ? len : CHUNK);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
}
