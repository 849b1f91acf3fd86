/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a tree in place: files are truncated and written, never renamed, as in a node's own
 * mounts a file may be a mount point, and the tree an overlay. */
#include "personality/edit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files below the root ---- */

int dt_edit_complain(struct dt_tree *tree, const char *sentence)
{
    if (!tree->failed)
        dt_error_set(tree->err, "%s", sentence);
    tree->failed = true;
    return -1;
}

/* Caller frees; NULL and errno when it can not be read. */
char *dt_edit_read_all(struct dt_tree *tree, const char *path)
{
    int fd = openat(tree->root, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct dt_buf text = DT_BUF_INIT;
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        dt_buf_append(&text, chunk, (size_t)n);
    close(fd);
    return dt_buf_take(&text);
}

int dt_edit_overwrite(struct dt_tree *tree, const char *path, const char *text)
{
    int fd = openat(tree->root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return dt_tree_fail(tree, "changing", path);
    size_t len = strlen(text);
    int rc = write(fd, text, len) == (ssize_t)len ? 0 : dt_tree_fail(tree, "changing", path);
    close(fd);
    return rc;
}

int dt_edit_write_anew(struct dt_tree *tree, const char *path, const char *text)
{
    struct stat at;
    const char *slash = strrchr(path, '/');
    if (fstatat(tree->root, path, &at, 0) == 0 && !S_ISREG(at.st_mode))
        return dt_edit_complain(tree, "only a tree can be broken so, and this is none");
    dt_tree_enter(tree, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    dt_tree_file(tree, slash ? slash + 1 : path, "%s", text);
    return tree->failed ? -1 : 0;
}

/* Replace every `from` in a file. A file that is not there, or has none, stays: 0; changed: 1. */
int dt_edit_substitute(struct dt_tree *tree, const char *path, const char *from, const char *to)
{
    char *text = dt_edit_read_all(tree, path);
    if (!text)
        return errno == ENOENT || errno == ENOTDIR ? 0 : dt_tree_fail(tree, "reading", path);
    struct dt_buf out = DT_BUF_INIT;
    const char *at = text, *hit;
    int found = 0;
    while ((hit = strstr(at, from))) {
        dt_buf_append(&out, at, (size_t)(hit - at));
        dt_buf_puts(&out, to);
        at = hit + strlen(from);
        found = 1;
    }
    dt_buf_puts(&out, at);
    char *changed = dt_buf_take(&out);
    int rc = !changed ? dt_edit_complain(tree, "out of memory") : found;
    if (rc > 0 && dt_edit_overwrite(tree, path, changed) != 0)
        rc = -1;
    free(changed);
    free(text);
    return rc;
}

static bool starts_with_any(const char *line, const char *const *keys)
{
    for (size_t i = 0; keys[i]; i++) {
        if (strncmp(line, keys[i], strlen(keys[i])) == 0)
            return true;
    }
    return false;
}

/* Scale the number in the lines "[Node N ]KEY   NUMBER ..." of a meminfo file. */
int dt_edit_scale_lines(struct dt_tree *tree, const char *path, const char *const *keys,
                        int percent)
{
    char *text = dt_edit_read_all(tree, path);
    if (!text)
        return dt_tree_fail(tree, "reading", path);
    struct dt_buf out = DT_BUF_INIT;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) && (*line || rest)) {
        char *key = line;
        if (strncmp(line, "Node ", 5) == 0)
            key += 5 + strcspn(line + 5, " ") + 1;
        char *number = key + strcspn(key, "0123456789\n");
        char *end;
        if (starts_with_any(key, keys)) {
            long long value = strtoll(number, &end, 10) * percent / 100;
            dt_buf_printf(&out, "%.*s%lld%s\n", (int)(number - line), line, value, end);
        } else {
            dt_buf_printf(&out, "%s\n", line);
        }
    }
    free(text);
    char *changed = dt_buf_take(&out);
    int rc =
        changed ? dt_edit_overwrite(tree, path, changed) : dt_edit_complain(tree, "out of memory");
    free(changed);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names in a directory, without "." and ".."; NULL-terminated. Caller frees each and the array.
 */
char **dt_edit_list_names(struct dt_tree *tree, const char *path)
{
    size_t count = 0;
    char **names = calloc(1, sizeof *names);
    int fd = openat(tree->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (names && dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char **more = realloc(names, (count + 2) * sizeof *names);
        if (!more)
            break;
        names = more;
        names[count] = strdup(entry->d_name);
        names[count + 1] = NULL;
        if (!names[count])
            break;
        count++;
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    if (names)
        qsort(names, count, sizeof *names, compare_names);
    return names;
}

void dt_edit_free_names(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

int dt_edit_remove_tree(struct dt_tree *tree, const char *path)
{
    if (unlinkat(tree->root, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return dt_tree_fail(tree, "removing", path);
    char **names = dt_edit_list_names(tree, path);
    int rc = 0;
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char *below = NULL;
        rc = asprintf(&below, "%s/%s", path, names[i]) < 0 ? -1 : dt_edit_remove_tree(tree, below);
        free(below);
    }
    dt_edit_free_names(names);
    if (rc == 0 && unlinkat(tree->root, path, AT_REMOVEDIR) != 0)
        rc = dt_tree_fail(tree, "removing", path);
    return rc;
}

/* A path made from a format, then removed, link and all that it points at. */
int dt_edit_remove_linked(struct dt_tree *tree, const char *directory, const char *name)
{
    char link[512], target[512], real[1024];
    snprintf(link, sizeof link, "%s/%s", directory, name);
    ssize_t n = readlinkat(tree->root, link, target, sizeof target - 1);
    if (n < 0)
        return dt_tree_fail(tree, "reading the link", link);
    target[n] = '\0';
    /* Links of sysfs climb to sys/ and come down again. */
    const char *down = target;
    while (strncmp(down, "../", 3) == 0)
        down += 3;
    snprintf(real, sizeof real, "sys/%s", down);
    return dt_edit_remove_tree(tree, link) == 0 ? dt_edit_remove_tree(tree, real) : -1;
}

/* ---- devices ---- */

/* Address of the last device on the PCI bus of this vendor and class; false: none. */
bool dt_edit_last_device(struct dt_tree *tree, const char *vendor, const char *class, char bdf[32])
{
    bool found = false;
    char **names = dt_edit_list_names(tree, PCI);
    for (size_t i = 0; names && names[i]; i++) {
        char path[512];
        snprintf(path, sizeof path, PCI "/%s/vendor", names[i]);
        char *has_vendor = dt_edit_read_all(tree, path);
        snprintf(path, sizeof path, PCI "/%s/class", names[i]);
        char *has_class = dt_edit_read_all(tree, path);
        if (has_vendor && has_class && strncmp(has_vendor, vendor, strlen(vendor)) == 0 &&
            strncmp(has_class, class, strlen(class)) == 0) {
            snprintf(bdf, 32, "%s", names[i]);
            found = true;
        }
        free(has_vendor);
        free(has_class);
    }
    dt_edit_free_names(names);
    return found;
}

/* Name of the last entry of a sysfs class; false: none. */
bool dt_edit_last_name(struct dt_tree *tree, const char *path, char name[64])
{
    char **names = dt_edit_list_names(tree, path);
    size_t count = 0;
    while (names && names[count])
        count++;
    if (count > 0)
        snprintf(name, 64, "%s", names[count - 1]);
    dt_edit_free_names(names);
    return count > 0;
}

int dt_edit_add_to_nvml(struct dt_tree *tree, const char *format, ...)
{
    int fd = openat(tree->root, NVML_DATA, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? dt_edit_complain(tree, "this machine has no NVIDIA GPU")
                               : dt_tree_fail(tree, "changing", NVML_DATA);
    va_list args;
    va_start(args, format);
    int n = vdprintf(fd, format, args);
    va_end(args);
    close(fd);
    return n < 0 ? dt_tree_fail(tree, "changing", NVML_DATA) : 0;
}
