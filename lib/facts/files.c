/* SPDX-License-Identifier: Apache-2.0 */
/* Can the job write where it must? Tried in a child that has become the user (user.c), since a mount may
 * hang, and since root is not bound by the user's quota and permissions (nor, with root squash, has
 * them). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check/check.h"
#include "facts/printable.h"
#include "facts/reader.h"

int dt_become_user(const struct dt_facts_request *request)
{
    if (geteuid() != 0 || request->uid == 0)
        return 0;
    if (setgroups(request->group_count, request->groups) < 0 ||
        setresgid(request->gid, request->gid, request->gid) < 0 ||
        setresuid(request->uid, request->uid, request->uid) < 0)
        return -errno;
    return 0;
}

/* A nameless file where the file system can, else one with a name of our own that is removed. */
static int create_file(int folder, char name[64])
{
    name[0] = '\0';
    int fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
        return fd;
    snprintf(name, 64, ".dt-can-write-%ld-%lld", (long)getpid(), dt_monotonic_us());
    fd = openat(folder, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        name[0] = '\0';
    return fd;
}

/* 0, or -errno. Level fast does not wait for the disk; from full on a quota or a full server that
 * only shows when data is flushed shows here. */
static int try_write(int folder, bool flush)
{
    static const char block[4096];
    char name[64];
    int fd = create_file(folder, name);
    if (fd < 0)
        return -errno;
    int rc = 0;
    ssize_t n = write(fd, block, sizeof block);
    if (n != (ssize_t)sizeof block)
        rc = n < 0 ? -errno : -ENOSPC;
    else if (flush && fsync(fd) < 0)
        rc = -errno;
    if (name[0])
        unlinkat(folder, name, 0);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

/* A job may well be started from a directory that belongs to somebody else: that is no fault of the
 * node, as it would be for TMPDIR or a path that the admin names. */
static bool is_foreign_cwd(const struct dt_reader *reader, const char *path, int rc)
{
    const char *cwd = reader->request->cwd;
    return (rc == -EACCES || rc == -EPERM) && cwd && strcmp(path, cwd) == 0;
}

/* One line of JSON. */
static void say_path(int out, const struct dt_reader *reader, const char *path, int rc,
                     const struct statvfs *fs)
{
    json_t *item = json_object();
    json_object_set_new(item, "path", dt_printable_json(path, DT_FACT_TEXT_MAX));
    json_object_set_new(item, "ok", json_boolean(rc == 0));
    if (is_foreign_cwd(reader, path, rc))
        json_object_set_new(item, "foreign", json_true());
    if (rc < 0)
        json_object_set_new(item, "reason", json_string(strerror(-rc)));
    if (fs)
        json_object_set_new(item, "free_mib",
                            json_integer((json_int_t)(fs->f_bavail * fs->f_frsize >> 20)));
    if (fs && fs->f_files > 0)
        json_object_set_new(item, "free_files", json_integer((json_int_t)fs->f_favail));
    char *text = json_dumps(item, JSON_COMPACT);
    if (!text)
        _exit(1);
    dt_probe_say(out, text);
    dt_probe_say(out, "\n");
    free(text);
    json_decref(item);
}

void dt_files_try(int out, const struct dt_reader *reader, const char *path)
{
    struct statvfs fs;
    if (path[0] != '/') {
        say_path(out, reader, path, -EINVAL, NULL);
        return;
    }
    const char *below = path + strspn(path, "/");
    int folder = dt_root_open(reader->root, O_RDONLY | O_DIRECTORY, "%s", *below ? below : ".");
    if (folder < 0) {
        say_path(out, reader, path, folder, NULL);
        return;
    }
    int rc = try_write(folder, reader->request->level >= DT_LEVEL_FULL);
    say_path(out, reader, path, rc, fstatvfs(folder, &fs) == 0 ? &fs : NULL);
    close(folder);
}

const char **dt_files_paths(const struct dt_facts_request *request)
{
    size_t count = 0;
    char *const *more = request->conf->writable_paths;
    for (size_t i = 0; more && more[i]; i++)
        count++;
    const char **paths = calloc(count + 3, sizeof *paths);
    if (!paths)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < count + 2; i++) {
        const char *path = i < count ? more[i] : i == count ? request->cwd : request->tmpdir;
        if (i == count + 1 && !path)
            path = "/tmp";
        bool known = !path || !*path;
        for (size_t k = 0; k < used && !known; k++)
            known = strcmp(paths[k], path) == 0;
        if (!known)
            paths[used++] = path;
    }
    return paths;
}
