/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a tree of small files quickly: a p5.48xlarge has some four thousand. */
#include "personality/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dt_tree_fail(struct dt_tree *tree, const char *what, const char *path)
{
    if (!tree->failed)
        dt_error_set(tree->err, "%s '%s' failed: %s", what, path, strerror(errno));
    tree->failed = true;
    return -1;
}

int dt_tree_open_existing(struct dt_tree *tree, const char *path, struct dt_error *err)
{
    *tree = (struct dt_tree){.root = -1, .dir = -1, .err = err};
    tree->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tree->root < 0 ? dt_tree_fail(tree, "opening the directory", path) : 0;
}

static int check_empty(struct dt_tree *tree, const char *path)
{
    int fd = openat(tree->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return dt_tree_fail(tree, "reading the directory", path);
    }
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            dt_error_set(tree->err, "'%s' is not empty: name a new directory", path);
            tree->failed = true;
            break;
        }
    }
    closedir(dir);
    return tree->failed ? -1 : 0;
}

int dt_tree_open_new(struct dt_tree *tree, const char *path, struct dt_error *err)
{
    *tree = (struct dt_tree){.root = -1, .dir = -1, .err = err};
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return dt_tree_fail(tree, "making the directory", path);
    if (dt_tree_open_existing(tree, path, err) != 0)
        return -1;
    return check_empty(tree, path);
}

int dt_tree_close(struct dt_tree *tree)
{
    if (tree->dir >= 0)
        close(tree->dir);
    if (tree->root >= 0)
        close(tree->root);
    tree->dir = tree->root = -1;
    return tree->failed ? -1 : 0;
}

static int make_directories(int root, char *path)
{
    for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        int rc = mkdirat(root, path, 0755);
        *slash = '/';
        if (rc != 0 && errno != EEXIST)
            return -1;
    }
    return mkdirat(root, path, 0755) != 0 && errno != EEXIST ? -1 : 0;
}

void dt_tree_enter(struct dt_tree *tree, const char *format, ...)
{
    if (tree->failed)
        return;
    char *path = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&path, format, args);
    va_end(args);
    if (n < 0) {
        dt_tree_fail(tree, "naming", format);
        return;
    }
    if (tree->dir >= 0)
        close(tree->dir);
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    tree->dir = -1;
    /* Most often only the last component is new. */
    if (mkdirat(tree->root, path, 0755) == 0 || errno != ENOENT ||
        make_directories(tree->root, path) == 0)
        tree->dir = openat(tree->root, path, flags);
    if (tree->dir < 0)
        dt_tree_fail(tree, "making the directory", path);
    free(path);
}

void dt_tree_bytes(struct dt_tree *tree, const char *name, const void *bytes, size_t len)
{
    if (tree->failed)
        return;
    int fd = openat(tree->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n = fd < 0 ? -1 : write(fd, bytes, len);
    if (n >= 0 && (size_t)n != len)
        errno = ENOSPC;
    if (n < 0 || (size_t)n != len)
        dt_tree_fail(tree, "writing", name);
    if (fd >= 0)
        close(fd);
}

void dt_tree_file(struct dt_tree *tree, const char *name, const char *format, ...)
{
    if (tree->failed)
        return;
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        dt_tree_fail(tree, "writing", name);
        return;
    }
    dt_tree_bytes(tree, name, text, (size_t)n);
    free(text);
}

void dt_tree_link(struct dt_tree *tree, const char *name, const char *format, ...)
{
    if (tree->failed)
        return;
    char *target = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&target, format, args);
    va_end(args);
    if (n < 0 || symlinkat(target, tree->dir, name) != 0)
        dt_tree_fail(tree, "linking", name);
    if (n >= 0)
        free(target);
}
