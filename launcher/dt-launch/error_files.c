/* SPDX-License-Identifier: Apache-2.0 */
/* The files by which torch.distributed.elastic tells what an exception was: a directory of them for the
 * ranks, and the one that dt-launch itself may have been given. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/whole.h"
#include "ending.h"

void dt_error_files_create(struct dt_error_files *files)
{
    const char *tmp = getenv("TMPDIR");
    files->directory = NULL;
    if (asprintf(&files->directory, "%s/dt-launch.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0)
        files->directory = NULL;
    if (files->directory && mkdtemp(files->directory))
        return;
    free(files->directory); /* a read-only image: then there are none */
    files->directory = NULL;
}

char *dt_error_files_path(const struct dt_error_files *files, int local_rank)
{
    char *path = NULL;
    if (!files->directory || asprintf(&path, "%s/%d.json", files->directory, local_rank) < 0)
        return NULL;
    return path;
}

void dt_error_files_remove(struct dt_error_files *files, int count)
{
    for (int i = 0; files->directory && i < count; i++) {
        char *path = dt_error_files_path(files, i);
        if (path)
            unlink(path);
        free(path);
    }
    if (files->directory)
        rmdir(files->directory);
    free(files->directory);
    files->directory = NULL;
}

/* A reader never finds half of it. */
void dt_error_file_write(const char *path, const struct dt_failure *failure)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "{\"message\": {\"message\": ");
    dt_buf_json(&text, failure->sentence ? failure->sentence : "");
    dt_buf_puts(&text, ", \"extraInfo\": {\"py_callstack\": ");
    dt_buf_json(&text, failure->details ? failure->details : "");
    dt_buf_printf(&text, ", \"timestamp\": \"%lld\"}}}\n", (long long)time(NULL));
    int rc = text.failed ? -ENOMEM : dt_whole_replace(path, text.data, text.len);
    if (rc < 0)
        dprintf(STDERR_FILENO, "dt-launch: TORCHELASTIC_ERROR_FILE %s can not be written: %s\n",
                path, strerror(-rc));
    dt_buf_fini(&text);
}
