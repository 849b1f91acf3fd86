/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of checkpoints made, renamed into place and removed; see checkpoint.h. Loading is in
 * checkpoint_load.c. */
#include "checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint_list.h"

#define KEEP       2
#define UNFINISHED ".writing"
#define GOING      ".removing"

/* A directory of files, and what is in it. */
static void remove_directory(const char *name)
{
    DIR *dir = opendir(name);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(name);
}

/* A checkpoint that is there is renamed first, so that none is found half removed. */
static void remove_checkpoint(const char *directory, long long step)
{
    char *name = dt_checkpoint_name(directory, step, "");
    char *going = dt_checkpoint_name(directory, step, GOING);
    if (name && going) {
        remove_directory(going); /* of a run that was killed here */
        if (rename(name, going) == 0)
            remove_directory(going);
    }
    free(name);
    free(going);
}

/* What runs that were killed while they saved or removed have left. */
static void sweep(const char *directory)
{
    static const char *const endings[] = {UNFINISHED, GOING};
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
        long long *steps;
        size_t count;
        if (dt_checkpoint_list(directory, endings[e], &steps, &count, NULL) < 0)
            continue;
        for (size_t i = 0; i < count; i++) {
            char *name = dt_checkpoint_name(directory, steps[i], endings[e]);
            if (name)
                remove_directory(name);
            free(name);
        }
        free(steps);
    }
}

static int check_writable(const char *directory, struct dt_error *err)
{
    if (access(directory, W_OK | X_OK) == 0)
        return 0;
    return dt_error_set(err, "checkpoint directory %s can not be written: %s", directory,
                        strerror(errno));
}

int dt_checkpoint_prepare(const char *directory, long long *newest, struct dt_error *err)
{
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return dt_error_set(err, "checkpoint directory %s can not be made: %s", directory,
                            strerror(errno));
    long long *steps;
    size_t count;
    if (check_writable(directory, err) < 0 ||
        dt_checkpoint_list(directory, "", &steps, &count, err) < 0)
        return -1;
    if (count == 0) {
        free(steps);
        if (dt_checkpoint_list(directory, DT_CHECKPOINT_FORMER, &steps, &count, err) < 0)
            return -1;
    }
    *newest = count > 0 ? steps[0] : -1;
    free(steps);
    sweep(directory);
    return 0;
}

/* Rank 0 leaves a file of a name that nobody can have seen before, and the others look for it. */
int dt_checkpoint_probe(struct dt_comm *comm, const char *directory, struct dt_error *err)
{
    struct {
        char name[32], host[64];
    } probe = {"", ""};
    char *path = NULL;
    if (comm->size == 1)
        return 0;
    if (comm->rank == 0 && asprintf(&path, "%s/.probe-XXXXXX", directory) >= 0) {
        int fd = mkstemp(path);
        if (fd >= 0) {
            close(fd);
            snprintf(probe.name, sizeof probe.name, "%s", path + strlen(directory) + 1);
        }
        gethostname(probe.host, sizeof probe.host - 1);
    }
    int rc = comm->operations->broadcast(comm, &probe, sizeof probe, 0, err), code = 0;
    if (rc == 0 && probe.name[0] == '\0') {
        rc = dt_error_set(err, "checkpoint directory %s can not be written by rank 0 on %s",
                          directory, probe.host);
    } else if (rc == 0) {
        char *mine = NULL;
        if (asprintf(&mine, "%s/%s", directory, probe.name) >= 0 && access(mine, F_OK) < 0)
            rc = dt_error_set(err,
                              "checkpoint directory %s is not the one that rank 0 on %s has; "
                              "--checkpoint wants a directory that all nodes share",
                              directory, probe.host);
        free(mine);
        if (rc == 0)
            rc = check_writable(directory, err);
    }
    /* all have looked before it goes */
    if (!comm->broken)
        rc = dt_comm_agree(comm, rc < 0, &code, err);
    if (path && probe.name[0])
        unlink(path);
    free(path);
    return rc;
}

char *dt_checkpoint_begin(const char *directory, uint64_t step, struct dt_error *err)
{
    char *name = dt_checkpoint_name(directory, (long long)step, UNFINISHED);
    if (name && (mkdir(name, 0777) == 0 || errno == EEXIST))
        return name;
    dt_error_set(err, "%s", name ? strerror(errno) : "no memory for its name");
    free(name);
    return NULL;
}

static void sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* not every file system can; the files themselves are safe */
        close(fd);
    }
}

/* Checkpoints of later steps are left: damaged ones that a resumed run has passed over, and which
 * must not crowd out what it writes. It overwrites them when it gets there. */
static void remove_old(const char *directory, long long newest)
{
    long long *steps;
    size_t count, kept = 0;
    if (dt_checkpoint_list(directory, "", &steps, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (steps[i] <= newest && kept++ >= KEEP)
            remove_checkpoint(directory, steps[i]);
    free(steps);
}

int dt_checkpoint_finish(const char *directory, uint64_t step, const struct dt_buf *manifest,
                         struct dt_error *err)
{
    char *name = dt_checkpoint_name(directory, (long long)step, "");
    char *writing = dt_checkpoint_name(directory, (long long)step, UNFINISHED), *text = NULL;
    int rc = -1;
    if (manifest->failed || !name || !writing || asprintf(&text, "%s/manifest", writing) < 0) {
        text = NULL;
        dt_error_set(err, "no memory for its manifest");
    } else {
        rc = dt_checkpoint_text_write(text, manifest->data, manifest->len, err);
    }
    if (rc == 0) {
        sync_directory(writing);
        remove_checkpoint(directory, (long long)step); /* a damaged one of this step */
        rc = rename(writing, name);
        if (rc < 0)
            dt_error_set(err, "%s", strerror(errno));
    }
    if (rc == 0) {
        sync_directory(directory);
        remove_old(directory, (long long)step);
    }
    free(text);
    free(writing);
    free(name);
    return rc;
}

void dt_checkpoint_drop(const char *directory, uint64_t step)
{
    char *name = dt_checkpoint_name(directory, (long long)step, UNFINISHED);
    if (name)
        remove_directory(name);
    free(name);
}
