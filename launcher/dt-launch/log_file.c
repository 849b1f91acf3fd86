/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and turning over log files; see log_file.h. */
#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dt_log_directory(const char *path, struct dt_error *err)
{
    char *whole = strdup(path);
    int result = 0;
    if (!whole)
        return dt_error_set(err, "out of memory");
    for (char *slash = whole + 1; result == 0 && slash; slash++) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(whole, 0777) && errno != EEXIST)
            result = dt_error_set(err, "--log-dir: %s can not be made: %s", whole, strerror(errno));
        if (!slash)
            break;
        *slash = '/';
    }
    struct stat st;
    if (result == 0 && (stat(whole, &st) || !S_ISDIR(st.st_mode)))
        result = dt_error_set(err, "--log-dir: %s is no directory", whole);
    free(whole);
    return result;
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

int dt_log_file_open(struct dt_log_file *file, const char *directory, int rank, const char *ending,
                     long long limit, struct dt_error *err)
{
    struct stat st;
    *file = (struct dt_log_file){.fd = -1, .limit = limit};
    if (asprintf(&file->path, "%s/%d.%s", directory, rank, ending) < 0) {
        file->path = NULL;
        return dt_error_set(err, "out of memory");
    }
    file->fd = open_path(file->path);
    if (file->fd < 0)
        return dt_error_set(err, "log file %s can not be opened: %s", file->path, strerror(errno));
    file->size = fstat(file->fd, &st) == 0 ? (long long)st.st_size : 0;
    return 0;
}

static void give_up(struct dt_log_file *file, const char *what)
{
    dprintf(STDERR_FILENO,
            "dt-launch: log file %s %s: %s; what this rank writes is not kept any more\n",
            file->path, what, strerror(errno));
    close(file->fd);
    file->fd = -1;
}

static void turn_over(struct dt_log_file *file)
{
    char *old;
    if (asprintf(&old, "%s.1", file->path) < 0)
        return;
    int next = rename(file->path, old) ? -1 : open_path(file->path);
    free(old);
    if (next < 0) {
        give_up(file, "can not be begun anew");
        return;
    }
    close(file->fd);
    file->fd = next;
    file->size = 0;
}

/* The last line end within the first `room` bytes; 0: none. */
static size_t whole_lines(const char *bytes, size_t room)
{
    const char *end = memrchr(bytes, '\n', room);
    return end ? (size_t)(end + 1 - bytes) : 0;
}

void dt_log_file_write(struct dt_log_file *file, const char *bytes, size_t length)
{
    while (length > 0 && file->fd >= 0) {
        size_t part = length;
        if (file->limit > 0 && file->size + (long long)length > file->limit) {
            size_t room = file->size < file->limit ? (size_t)(file->limit - file->size) : 0;
            room = room < length ? room : length;
            part = whole_lines(bytes, room);
            if (part == 0 && file->size > 0) {
                turn_over(file);
                continue;
            }
            part = part ? part : room; /* a line longer than a file */
        }
        ssize_t n = write(file->fd, bytes, part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            give_up(file, "can not be written");
            return;
        }
        bytes += n;
        length -= (size_t)n;
        file->size += n;
    }
}

void dt_log_file_close(struct dt_log_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    *file = (struct dt_log_file){.fd = -1};
}
