/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for a job that is not to be lost to a mistake in a rules file: the last files that were
 * right are kept, and stand in for a wrong one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env/internal.h"

static char *kept_path(const char *directory, bool site)
{
    char *path = NULL;

    if (!directory || !*directory ||
        asprintf(&path, "%s/env-rules%s.good", directory, site ? "-site" : "") < 0)
        return NULL;
    return path;
}

static bool equal_times(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* A copy has the size and the time of what it was made from. */
static bool is_copy_of(const char *kept, const struct stat *source)
{
    struct stat st;

    return stat(kept, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
           st.st_size == source->st_size && equal_times(st.st_mtim, source->st_mtim);
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
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

/* By rename, so that nobody ever reads half of it. A failure only means that nothing is kept. */
static void keep(const char *path, const char *text, size_t len, const struct stat *source)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, source->st_mtim};
    char *temporary = NULL;
    int fd;

    if (asprintf(&temporary, "%s.%ld", path, (long)getpid()) < 0)
        return;
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0) {
        bool done = write_all(fd, text, len) && futimens(fd, times) == 0;
        done = close(fd) == 0 && done;
        if (!done || rename(temporary, path))
            unlink(temporary);
    }
    free(temporary);
}

/* Load one file, and keep what was read when it was right and is not what is kept already. */
static int load_and_keep(struct dt_env_rules **rules, const char *path, const char *directory,
                         const char *kept, bool site, struct dt_error *err)
{
    struct stat source;
    bool is_new = kept && stat(path, &source) == 0 && !is_copy_of(kept, &source);
    size_t len;
    char *text = dt_env_rules_text(path, &len, err), *copy = NULL;
    int rc;

    if (!text)
        return -1;
    if (is_new)
        copy = strdup(text); /* rules are cut out of the text in place */
    rc = dt_env_rules_take(rules, path, text, site, err);
    if (rc == 0 && copy) {
        mkdir(directory, 0755); /* first launch since the boot; only root can */
        keep(kept, copy, len, &source);
    }
    free(copy);
    return rc;
}

static int load_kept(struct dt_env_rules **rules, const char *kept, bool site)
{
    struct dt_error ignored;
    size_t len;
    char *text = kept ? dt_env_rules_text(kept, &len, &ignored) : NULL;

    return text ? dt_env_rules_take(rules, kept, text, site, &ignored) : -1;
}

static int nothing(struct dt_env_rules **rules, struct dt_error *err)
{
    *rules = calloc(1, sizeof(**rules));
    return *rules ? 0 : dt_error_set(err, "no memory left for the rules");
}

static void warn(struct dt_error *warning, const char *what, const struct dt_error *why)
{
    struct dt_error before = *warning;

    dt_error_set(warning, "%s%s%s; %s", before.text, *before.text ? "; " : "", why->text, what);
}

/* Returns -1 only without memory. */
static int load_or_stand_in(struct dt_env_rules **rules, const char *path, const char *directory,
                            bool site, struct dt_error *warning, struct dt_error *err)
{
    char *kept = kept_path(directory, site);
    struct dt_error why = {0};
    int rc = 0;

    if (load_and_keep(rules, path, directory, kept, site, &why) == 0)
        goto out;
    if (load_kept(rules, kept, site) == 0) {
        warn(warning, "the last rules that were right are used", &why);
    } else {
        warn(warning,
             site ? "the job goes on without the admin's rules" : "the job goes on without rules",
             &why);
        rc = site ? 0 : nothing(rules, err);
    }
out:
    free(kept);
    return rc;
}

int dt_env_rules_load_kept(struct dt_env_rules **rules, const char *path, const char *site_path,
                           const char *keep_directory, struct dt_error *warning,
                           struct dt_error *err)
{
    *warning = (struct dt_error){0};
    if (load_or_stand_in(rules, path, keep_directory, false, warning, err))
        return -1;
    if (!site_path || !*site_path)
        return 0;
    if (load_or_stand_in(rules, site_path, keep_directory, true, warning, err) == 0)
        return 0;
    dt_env_rules_destroy(*rules);
    *rules = NULL;
    return -1;
}
