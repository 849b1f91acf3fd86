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

#include "conf/conf.h"
#include "env/internal.h"

static char *kept_path(const char *directory, bool site)
{
    char *path = NULL;

    if (!directory || !*directory ||
        asprintf(&path, "%s/env-rules%s.good", directory, site ? "-site" : "") < 0)
        return NULL;
    return path;
}

static bool same(const char *path, const char *text, size_t len)
{
    size_t kept_len = 0;
    int open_errno;
    char *kept = dt_conf_read_text(path, &kept_len, &open_errno, NULL);
    bool equal = kept && kept_len == len && !memcmp(kept, text, len);

    free(kept);
    return equal;
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
static void keep(const char *path, const char *text, size_t len)
{
    char *temporary = NULL;
    int fd;

    if (same(path, text, len) || asprintf(&temporary, "%s.%ld", path, (long)getpid()) < 0)
        return;
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0) {
        bool done = write_all(fd, text, len);
        done = close(fd) == 0 && done;
        if (!done || rename(temporary, path))
            unlink(temporary);
    }
    free(temporary);
}

/* One file into `rules`, by whichever of the two functions. */
static int load_one(struct dt_env_rules **rules, const char *path, bool site, struct dt_error *err)
{
    return site ? dt_env_rules_add_site(*rules, path, err) : dt_env_rules_load(rules, path, err);
}

static void keep_copy(const char *path, const char *kept)
{
    size_t len = 0;
    int open_errno;
    char *text = dt_conf_read_text(path, &len, &open_errno, NULL);

    if (text)
        keep(kept, text, len);
    free(text);
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
    struct dt_error why = {0}, ignored;
    int rc = 0;

    if (load_one(rules, path, site, &why) == 0) {
        if (kept) {
            mkdir(directory, 0755); /* first launch since the boot; only root can */
            keep_copy(path, kept);
        }
    } else if (kept && load_one(rules, kept, site, &ignored) == 0) {
        warn(warning, "the last rules that were right are used", &why);
    } else {
        warn(warning,
             site ? "the job goes on without the admin's rules" : "the job goes on without rules",
             &why);
        rc = site ? 0 : nothing(rules, err);
    }
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
