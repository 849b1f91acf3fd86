/* SPDX-License-Identifier: Apache-2.0 */
/* The file `history` in state-directory: found, trusted, locked, read and replaced. In a tree
 * (--root) it is the tree's own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "facts/probe.h"
#include "history/internal.h"

#define NAME     "history"
#define NEW_NAME "history.new"

enum { LOCK_WAIT_MS = 500, LOCK_PAUSE_MS = 5 };

/* ---- where and when this is ---- */

/* On EC2 the instance's id; elsewhere that of the installation. */
static void find_machine(const struct dt_root *root, char *machine, size_t size)
{
    if (dt_root_read(root, machine, size, "sys/devices/virtual/dmi/id/board_asset_tag") > 0 &&
        strncmp(machine, "i-", 2) == 0 && dt_history_is_word(machine))
        return;
    if (dt_root_read(root, machine, size, "etc/machine-id") <= 0 || !dt_history_is_word(machine))
        snprintf(machine, size, "-");
}

static int find_now(struct dt_history_now *now, const struct dt_root *root, struct dt_error *err)
{
    find_machine(root, now->machine, sizeof now->machine);
    now->boot_s = dt_monotonic_us() / 1000000;
    now->wall_s = (long long)time(NULL);
    if (dt_root_read(root, now->boot, sizeof now->boot, "proc/sys/kernel/random/boot_id") <= 0 ||
        !dt_history_is_word(now->boot))
        return dt_error_set(err, "/proc/sys/kernel/random/boot_id can not be read, so what the "
                                 "node remembers can not be told from an earlier boot's");
    return 0;
}

/* ---- the directory ---- */

static bool trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static int refuse_file(struct dt_error *err, const struct dt_conf *conf, const char *file,
                       const char *why)
{
    return dt_error_set(err, "state-directory %s%s%s: %s", conf->state_directory, *file ? "/" : "",
                        file, why);
}

/* With all above it: an installation leaves /var alone. */
static void make_directory(const struct dt_root *root, const char *path)
{
    char *copy = strdup(path);
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdirat(root->fd, copy + 1, 0755);
        *slash = '/';
    }
    if (copy)
        mkdirat(root->fd, copy + 1, 0755);
    free(copy);
}

/* A descriptor, or -1. */
static int open_directory(const struct dt_root *root, const struct dt_conf *conf, bool make,
                          struct dt_error *err)
{
    struct stat st;
    const char *path = conf->state_directory;
    if (!*path)
        return dt_error_set(err, "state-directory of dt.conf is \"\", so the node remembers "
                                 "nothing");
    if (make)
        make_directory(root, path);
    int fd = dt_root_open(root, O_RDONLY | O_DIRECTORY, "%s", path + 1);
    if (fd == -ENOENT)
        return dt_error_set(err, "no job has ended here yet");
    if (fd < 0)
        return refuse_file(err, conf, "", strerror(-fd));
    if (fstat(fd, &st) == 0 && trusted(&st))
        return fd;
    close(fd);
    return refuse_file(err, conf, "", "it must belong to root, and be writable by no one else");
}

/* ---- reading ---- */

static char *read_text(int fd, size_t *len, const char **why)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !trusted(&st)) {
        *why = "it must be a file of root's, writable by no one else";
        return NULL;
    }
    if (st.st_size > DT_HISTORY_FILE_MAX) {
        *why = "it is too long";
        return NULL;
    }
    char *text = malloc((size_t)st.st_size + 1);
    ssize_t n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
    if (n < 0) {
        *why = strerror(errno);
        free(text);
        return NULL;
    }
    text[n] = '\0';
    *len = (size_t)n;
    return text;
}

/* 1: read; 0: there is none; -1: it can not be used, and why. */
static int read_file(struct dt_history *history, int directory, const struct dt_conf *conf,
                     const char *machine, struct dt_error *err)
{
    struct dt_error wrong;
    const char *why = "";
    size_t len = 0;
    int fd = openat(directory, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return refuse_file(err, conf, NAME, strerror(errno));
    char *text = read_text(fd, &len, &why);
    close(fd);
    if (!text)
        return refuse_file(err, conf, NAME, why);
    int rc = dt_history_parse(history, text, len, &wrong);
    free(text);
    if (rc < 0)
        return refuse_file(err, conf, NAME, wrong.text);
    if (strcmp(history->machine, machine) == 0)
        return 1;
    dt_error_set(&wrong, "it is of another machine, %s", history->machine);
    dt_history_fini(history);
    return refuse_file(err, conf, NAME, wrong.text);
}

/* As it stands now; *why is left alone where there is a history. */
static bool read_now(struct dt_history *history, int directory, const struct dt_root *root,
                     const struct dt_conf *conf, const struct dt_history_now *now,
                     struct dt_error *why)
{
    int rc = read_file(history, directory, conf, now->machine, why);
    if (rc == 0)
        dt_error_set(why, "no job has ended here yet");
    if (rc <= 0)
        return false;
    if (dt_history_settle(history, root, now) == 0)
        return true;
    dt_history_fini(history);
    dt_error_set(why, "out of memory");
    return false;
}

bool dt_history_look(struct dt_history *history, struct dt_history_now *now,
                     const struct dt_root *root, const struct dt_conf *conf, struct dt_error *why)
{
    dt_history_init(history);
    if (find_now(now, root, why) < 0)
        return false;
    int directory = open_directory(root, conf, false, why);
    if (directory < 0)
        return false;
    bool known = read_now(history, directory, root, conf, now, why);
    close(directory);
    return known;
}

/* ---- writing ---- */

static int take_lock(int directory, const struct dt_conf *conf, struct dt_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
    /* For root alone: a lock that users could hold would be theirs to keep. */
    int fd = openat(directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return refuse_file(err, conf, "lock", strerror(errno));
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_PAUSE_MS) {
        if (waited >= LOCK_WAIT_MS) {
            close(fd);
            return refuse_file(err, conf, "lock", "another step has held it for too long");
        }
        nanosleep(&pause, NULL);
    }
    return fd;
}

static bool write_all(int fd, const char *text)
{
    for (size_t len = strlen(text); len > 0;) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* By rename, so that nobody reads half of it; and on the disk first, since what it says of running
 * steps is for the time after a crash. */
static int write_file(const struct dt_history *history, int directory, const struct dt_conf *conf,
                      struct dt_error *err)
{
    char *text = dt_history_format(history);
    if (!text)
        return dt_error_set(err, "out of memory");
    unlinkat(directory, NEW_NAME, 0);
    int fd =
        openat(directory, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool done = fd >= 0 && write_all(fd, text) && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    free(text);
    if (done && renameat(directory, NEW_NAME, directory, NAME) == 0)
        return 0;
    error = done ? errno : error;
    unlinkat(directory, NEW_NAME, 0);
    return refuse_file(err, conf, NAME, strerror(error));
}

static int start_anew(struct dt_history *history, const struct dt_history_now *now,
                      struct dt_error *err)
{
    dt_history_init(history);
    history->machine = strdup(now->machine);
    history->boot = strdup(now->boot);
    return history->machine && history->boot ? 0 : dt_error_set(err, "out of memory");
}

int dt_history_change(const struct dt_root *root, const struct dt_conf *conf,
                      int (*change)(struct dt_history *history, const struct dt_history_now *now,
                                    void *argument),
                      void *argument, struct dt_error *told, struct dt_error *err)
{
    struct dt_history history;
    struct dt_history_now now;
    int rc = -1, lock = -1;
    if (told)
        *told = (struct dt_error){{0}};
    dt_history_init(&history);
    if (find_now(&now, root, err) < 0)
        return -1;
    int directory = open_directory(root, conf, true, err);
    if (directory < 0)
        return -1;
    lock = take_lock(directory, conf, err);
    if (lock < 0)
        goto out;
    rc = read_file(&history, directory, conf, now.machine, told ? told : err);
    if (rc < 0 && !told)
        goto out;
    if (rc <= 0 && start_anew(&history, &now, err) < 0) {
        rc = -1;
        goto out;
    }
    if (rc < 0)
        dt_error_prefix(told, "what the node remembered is started anew");
    rc = dt_history_settle(&history, root, &now);
    if (rc == 0)
        rc = change(&history, &now, argument);
    rc = rc < 0 ? dt_error_set(err, "out of memory") : write_file(&history, directory, conf, err);
out:
    if (lock >= 0)
        close(lock);
    close(directory);
    dt_history_fini(&history);
    return rc;
}
