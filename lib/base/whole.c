/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a file so that a reader never sees half of it, and a full disk is noticed. */
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dt_whole_open(struct dt_whole *file, const char *path)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    *file = (struct dt_whole){.fd = -1};
    file->path = exists ? realpath(path, NULL) : strdup(path);
    if (!file->path)
        return -errno;
    if (exists && S_ISDIR(st.st_mode))
        return -EISDIR;
    if (exists && !S_ISREG(st.st_mode)) {
        file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return file->fd < 0 ? -errno : 0;
    }
    if (exists && access(file->path, W_OK) < 0)
        return -errno;
    if (asprintf(&file->temp, "%s.%ld.tmp", file->path, (long)getpid()) < 0) {
        file->temp = NULL;
        return -ENOMEM;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): dt_whole_close() frees the names */
    file->fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    exists ? st.st_mode & 0777 : 0666);
    return file->fd < 0 ? -errno : 0;
}

int dt_whole_close(struct dt_whole *file, bool keep)
{
    int rc = 0;
    bool opened = file->fd >= 0;
    if (opened && close(file->fd) < 0)
        rc = -errno; /* NFS and quotas tell here */
    if (opened && file->temp && keep && rc == 0 && rename(file->temp, file->path) < 0)
        rc = -errno;
    if (opened && file->temp && (!keep || rc < 0))
        unlink(file->temp);
    free(file->temp);
    free(file->path);
    return rc;
}

int dt_whole_replace(const char *path, const char *text, size_t len)
{
    struct dt_whole file;
    int rc = dt_whole_open(&file, path);
    if (rc == 0)
        rc = dt_whole_write(&file, text, len);
    int closed = dt_whole_close(&file, rc == 0);
    return rc == 0 ? closed : rc;
}

int dt_whole_write(const struct dt_whole *file, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(file->fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}
