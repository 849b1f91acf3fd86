/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the report in a child with a deadline: a file system that hangs must not take the verdict with
 * it. */
#include "report_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/whole.h"
#include "facts/probe.h"
#include "report/suite.h"

/* For the child. */
struct work {
    const char *path;
    const struct dt_report *report; /* NULL: only try whether it could be written */
    const struct dt_verdict *verdict;
};

/* Pieces of the report gathered into fewer writes. */
struct pieces {
    struct dt_buf buf;
    const struct dt_whole *file;
    int error; /* 0 or -errno */
};

static int flush(struct pieces *pieces)
{
    pieces->error = pieces->buf.failed
                        ? -ENOMEM
                        : dt_whole_write(pieces->file, pieces->buf.data, pieces->buf.len);
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

static int write_document(const struct dt_whole *file, const struct work *work)
{
    struct pieces pieces = {.file = file};
    int rc = dt_report_write_as(dt_format_of(work->path), work->report, work->verdict, take_piece,
                                &pieces);
    if (rc == 0)
        rc = flush(&pieces);
    else
        rc = pieces.error ? pieces.error : -ENOMEM;
    dt_buf_fini(&pieces.buf);
    return rc;
}

/* What the child says is why it failed. */
static void run(int out, void *argument)
{
    const struct work *work = argument;
    struct dt_whole file;
    int rc = dt_whole_open(&file, work->path);
    if (rc == 0 && work->report)
        rc = write_document(&file, work);
    int closed = dt_whole_close(&file, rc == 0 && work->report);
    if (rc == 0)
        rc = closed;
    /* A FIFO may get its reader later. */
    if (rc < 0 && (work->report || rc != -ENXIO))
        dt_probe_say(out, strerror(-rc));
}

static int in_child(struct work *work, long long timeout_ms, struct dt_error *err)
{
    struct dt_probe child;
    struct dt_error how = {{0}};
    char *why = NULL;
    if (dt_probe_start(&child, run, work, -1, timeout_ms, &how) < 0)
        return dt_error_set(err, "report file '%s' can not be written: %s", work->path, how.text);
    int rc = dt_probe_finish(&child, &why, &how);
    if (rc < 0)
        dt_error_set(err, "report file '%s' can not be written: its file system %s", work->path,
                     how.text);
    else if (!why || *why)
        rc = dt_error_set(err, "report file '%s' can not be written: %s", work->path,
                          why ? why : "out of memory");
    free(why);
    return rc;
}

int report_file_try(const char *path, long long timeout_ms, struct dt_error *err)
{
    struct work work = {.path = path};
    return in_child(&work, timeout_ms, err);
}

int report_file_write(const char *path, const struct dt_report *report,
                      const struct dt_verdict *verdict, long long timeout_ms, struct dt_error *err)
{
    struct work work = {path, report, verdict};
    return in_child(&work, timeout_ms, err);
}
