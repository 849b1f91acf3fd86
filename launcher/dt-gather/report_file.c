/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the JSON report, so that a reader never sees half of one and a full disk is noticed. */
#include "report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

struct target {
    char *path; /* links resolved where it exists */
    char *temp; /* NULL: written in place */
    int fd;
};

static int fail(struct dt_error *err, const char *path, int number)
{
    return dt_error_set(err, "report file '%s' can not be written: %s", path, strerror(number));
}

static int target_open(struct target *t, const char *path)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    *t = (struct target){.fd = -1};
    t->path = exists ? realpath(path, NULL) : strdup(path);
    if (!t->path)
        return -errno;
    if (exists && S_ISDIR(st.st_mode))
        return -EISDIR;
    if (exists && !S_ISREG(st.st_mode)) {
        t->fd = open(t->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return t->fd < 0 ? -errno : 0;
    }
    if (exists && access(t->path, W_OK) < 0)
        return -errno;
    if (asprintf(&t->temp, "%s.%ld.tmp", t->path, (long)getpid()) < 0) {
        t->temp = NULL;
        return -ENOMEM;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): target_close() frees the names */
    t->fd = open(t->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                 exists ? st.st_mode & 0777 : 0666);
    return t->fd < 0 ? -errno : 0;
}

/* keep: put it in its place. 0 or -errno. */
static int target_close(struct target *t, bool keep)
{
    int rc = 0;
    bool opened = t->fd >= 0;
    if (opened && close(t->fd) < 0)
        rc = -errno; /* NFS and quotas tell here */
    if (opened && t->temp && keep && rc == 0 && rename(t->temp, t->path) < 0)
        rc = -errno;
    if (opened && t->temp && (!keep || rc < 0))
        unlink(t->temp);
    free(t->temp);
    free(t->path);
    return rc;
}

int report_file_try(const char *path, struct dt_error *err)
{
    struct target t;
    int rc = target_open(&t, path);
    target_close(&t, false);
    /* A FIFO may get its reader later. */
    return rc < 0 && rc != -ENXIO ? fail(err, path, -rc) : 0;
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Pieces of the report gathered into fewer writes. */
struct pieces {
    struct dt_buf buf;
    int fd;
    int error; /* 0 or -errno */
};

static int flush(struct pieces *pieces)
{
    pieces->error =
        pieces->buf.failed ? -ENOMEM : write_all(pieces->fd, pieces->buf.data, pieces->buf.len);
    dt_buf_clear(&pieces->buf);
    return pieces->error;
}

static int take_piece(const char *bytes, size_t len, void *context)
{
    enum { ENOUGH = 1 << 16 };
    struct pieces *pieces = context;
    dt_buf_append(&pieces->buf, bytes, len);
    return pieces->buf.len < ENOUGH && !pieces->buf.failed ? 0 : flush(pieces);
}

static int write_document(int fd, const struct dt_report *report, const struct dt_verdict *verdict)
{
    struct pieces pieces = {.fd = fd};
    int rc = dt_report_write(report, verdict, take_piece, &pieces);
    if (rc == 0)
        rc = flush(&pieces);
    else
        rc = pieces.error ? pieces.error : -ENOMEM;
    dt_buf_fini(&pieces.buf);
    return rc;
}

int report_file_write(const char *path, const struct dt_report *report,
                      const struct dt_verdict *verdict, struct dt_error *err)
{
    struct target t;
    int rc = target_open(&t, path);
    if (rc == 0)
        rc = write_document(t.fd, report, verdict);
    int closed = target_close(&t, rc == 0);
    if (rc == 0)
        rc = closed;
    return rc < 0 ? fail(err, path, -rc) : 0;
}
