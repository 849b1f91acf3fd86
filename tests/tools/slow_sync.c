/* SPDX-License-Identifier: Apache-2.0 */
/* A slow disk: what is to be on it before anything goes on takes SLOW_SYNC_MS longer. Loaded by
 * LD_PRELOAD. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd)
{
    const char *ms = getenv("SLOW_SYNC_MS");
    usleep((useconds_t)atoi(ms ? ms : "0") * 1000);
    return (int)syscall(SYS_fsync, fd);
}
