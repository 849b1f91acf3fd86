/* SPDX-License-Identifier: Apache-2.0 */
/* Small files below a root directory. */
#include "base/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int dt_root_init(struct dt_root *root, const char *path, struct dt_error *err)
{
    if (!path || !*path)
        path = "/";
    *root = (struct dt_root){.fd = -1, .fake = strcmp(path, "/") != 0};
    root->path = strdup(path);
    if (!root->path)
        return dt_error_set(err, "out of memory");
    root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0) {
        dt_error_set(err, "root directory '%s' can not be opened: %s", path, strerror(errno));
        free(root->path);
        root->path = NULL;
        return -1;
    }
    return 0;
}

void dt_root_fini(struct dt_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    free(root->path);
    *root = (struct dt_root){.fd = -1};
}

static int open_path(const struct dt_root *root, int flags, const char *path)
{
    int fd;
    if (root->fake) {
        struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
        /* EAGAIN: something was renamed or mounted on this machine meanwhile, and the kernel can not
         * tell whether a ".." was that. It is in no tree, so it is but asked again. */
        int tries = 1000;
        do
            fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof how);
        while (fd < 0 && errno == EAGAIN && tries-- > 0);
    } else {
        fd = openat(root->fd, path, flags | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

static int format_path(char path[PATH_MAX], const char *format, va_list args)
{
    int n = vsnprintf(path, PATH_MAX, format, args);
    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Expands the caller's path format into `path`, and makes the function return -errno on failure. */
#define FORMAT_PATH(path, format)                                                                  \
    do {                                                                                           \
        va_list args_;                                                                             \
        va_start(args_, format);                                                                   \
        int rc_ = format_path(path, format, args_);                                                \
        va_end(args_);                                                                             \
        if (rc_ < 0)                                                                               \
            return rc_;                                                                            \
    } while (0)

int dt_root_open(const struct dt_root *root, int flags, const char *path_format, ...)
{
    char path[PATH_MAX];
    FORMAT_PATH(path, path_format);
    return open_path(root, flags, path);
}

/* A sysfs attribute comes whole with the first read, so a short one is the last: half of the system
 * calls of reading a node with 32 NICs. procfs gives no such promise. */
static bool comes_whole(const char *path, size_t len)
{
    return len < 4096 && strncmp(path, "sys/", 4) == 0;
}

static ssize_t read_path(const struct dt_root *root, char *buf, size_t size, const char *path)
{
    int fd = open_path(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, path);
    if (fd < 0)
        return fd;
    size_t len = 0;
    ssize_t rc = 0;
    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = -errno;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len < size && comes_whole(path, len))
            break;
    }
    close(fd);
    if (rc < 0)
        return rc;
    if (len == size)
        return -EFBIG;
    while (len > 0 && strchr(" \t\r\n", buf[len - 1]))
        len--;
    buf[len] = '\0';
    return (ssize_t)len;
}

ssize_t dt_root_read(const struct dt_root *root, char *buf, size_t size, const char *path_format,
                     ...)
{
    char path[PATH_MAX];
    FORMAT_PATH(path, path_format);
    return read_path(root, buf, size, path);
}

int dt_root_read_long(const struct dt_root *root, long long *value, const char *path_format, ...)
{
    char path[PATH_MAX];
    FORMAT_PATH(path, path_format);
    char text[64];
    ssize_t n = read_path(root, text, sizeof text, path);
    if (n < 0)
        return (int)n;
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 0);
    if (errno || end == text || *end)
        return -EINVAL;
    *value = parsed;
    return 0;
}

static int compare_versions(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

int dt_root_list(const struct dt_root *root, char ***names, const char *path_format, ...)
{
    char path[PATH_MAX];
    FORMAT_PATH(path, path_format);
    *names = NULL;
    int fd = open_path(root, O_RDONLY | O_DIRECTORY, path);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    size_t count = 0, cap = 0;
    char **list = NULL;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count + 1 >= cap) {
            cap = cap ? cap * 2 : 16;
            char **more = realloc(list, cap * sizeof *list);
            if (!more)
                goto nomem;
            list = more;
        }
        list[count] = strdup(entry->d_name);
        if (!list[count])
            goto nomem;
        list[++count] = NULL;
    }
    closedir(dir);
    if (!list && !(list = calloc(1, sizeof *list)))
        return -ENOMEM;
    qsort(list, count, sizeof *list, compare_versions);
    *names = list;
    return (int)count;
nomem:
    closedir(dir);
    dt_names_free(list);
    return -ENOMEM;
}

void dt_names_free(char **names)
{
    for (char **n = names; n && *n; n++)
        free(*n);
    free(names);
}

/* O_PATH|O_NOFOLLOW opens the link itself, its parents resolved below the root. */
static ssize_t readlink_below(const struct dt_root *root, char *buf, size_t size, const char *path)
{
    int fd = open_path(root, O_PATH | O_NOFOLLOW, path);
    if (fd < 0)
        return fd;
    ssize_t n = readlinkat(fd, "", buf, size);
    int saved = errno;
    close(fd);
    if (n < 0)
        return saved == ENOENT ? -EINVAL : -saved; /* ENOENT here: not a symbolic link */
    return n;
}

ssize_t dt_root_readlink(const struct dt_root *root, char *buf, size_t size,
                         const char *path_format, ...)
{
    char path[PATH_MAX];
    FORMAT_PATH(path, path_format);
    ssize_t n =
        root->fake ? readlink_below(root, buf, size, path) : readlinkat(root->fd, path, buf, size);
    if (n < 0)
        return root->fake ? n : -errno;
    if ((size_t)n >= size)
        return -EFBIG;
    buf[n] = '\0';
    return n;
}

bool dt_root_exists(const struct dt_root *root, const char *path_format, ...)
{
    char path[PATH_MAX];
    va_list args;
    va_start(args, path_format);
    int rc = format_path(path, path_format, args);
    va_end(args);
    if (rc < 0)
        return false;
    if (!root->fake)
        return faccessat(root->fd, path, F_OK, AT_EACCESS) == 0;
    int fd = open_path(root, O_PATH, path);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}
