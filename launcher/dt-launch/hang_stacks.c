/* SPDX-License-Identifier: Apache-2.0 */
/* The sitecustomize for ranks' interpreters, and the files into which they write. */
#include "hang_stacks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs.h"
#include "progress.h"

/* One that no program uses: the last but two of the real-time signals. */
#define STACKS_SIGNAL 62
#define STACKS_MAX    (256u << 10) /* bytes of one answer */

static const char module[] =
    "# Written by dt-launch --python-stacks.\n"
    "import os, sys\n"
    "try:\n"
    "    import faulthandler\n"
    "    _dt_file = open(os.environ[\"DT_STACKS_FILE\"], \"a\")\n"
    "    faulthandler.register(int(os.environ[\"DT_STACKS_SIGNAL\"]), file=_dt_file, "
    "all_threads=True)\n"
    "except Exception:\n"
    "    pass\n"
    "# The one that this one hides.\n"
    "_dt_here = os.path.dirname(os.path.abspath(__file__))\n"
    "sys.path[:] = [p for p in sys.path if os.path.abspath(p) != _dt_here]\n"
    "_dt_self = sys.modules.pop(\"sitecustomize\", None)\n"
    "try:\n"
    "    import sitecustomize\n"
    "    sitecustomize._dt_stacks = _dt_self # keeps the file open\n"
    "except ImportError:\n"
    "    sys.modules[\"sitecustomize\"] = _dt_self\n";

static char *path_of(const struct dt_stacks *stacks, int local_rank)
{
    char *path = NULL;
    if (!stacks || !stacks->directory ||
        asprintf(&path, "%s/%d.txt", stacks->directory, local_rank) < 0)
        return NULL;
    return path;
}

static bool write_module(const char *directory)
{
    char *path = NULL;
    if (asprintf(&path, "%s/sitecustomize.py", directory) < 0)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    bool good = fd >= 0 && write(fd, module, sizeof module - 1) == (ssize_t)sizeof module - 1;
    if (fd >= 0)
        close(fd);
    free(path);
    return good;
}

void dt_stacks_create(struct dt_stacks *stacks)
{
    const char *tmp = getenv("TMPDIR");
    if (asprintf(&stacks->directory, "%s/dt-stacks.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0)
        stacks->directory = NULL;
    if (stacks->directory && mkdtemp(stacks->directory) && write_module(stacks->directory))
        return;
    dprintf(STDERR_FILENO,
            "dt-launch: warning: --python-stacks: no file can be written below "
            "%s: %s; a hang is reported without lines of Python\n",
            tmp && *tmp ? tmp : "/tmp", strerror(errno));
    free(stacks->directory);
    stacks->directory = NULL;
}

/* The files of a directory, and it. */
static void remove_all(const char *directory)
{
    DIR *files = opendir(directory);
    for (struct dirent *entry; files && (entry = readdir(files));) {
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(files), entry->d_name, 0);
    }
    if (files)
        closedir(files);
    rmdir(directory);
}

void dt_stacks_remove(struct dt_stacks *stacks)
{
    char *compiled = NULL; /* Python's own, of the module */
    if (!stacks->directory)
        return;
    if (asprintf(&compiled, "%s/__pycache__", stacks->directory) >= 0)
        remove_all(compiled);
    free(compiled);
    remove_all(stacks->directory);
    free(stacks->directory);
    stacks->directory = NULL;
}

void dt_stacks_apply(struct dt_environ *env, const struct dt_stacks *stacks, int local_rank)
{
    char *path = path_of(stacks, local_rank);
    if (!path)
        return;
    const char *old = dt_environ_get(env, "PYTHONPATH");
    char *list = NULL;
    if (asprintf(&list, "%s%s%s", stacks->directory, old && *old ? ":" : "", old ? old : "") < 0)
        list = NULL;
    env->failed = env->failed || !list;
    if (list)
        dt_environ_set(env, "PYTHONPATH", "%s", list);
    dt_environ_set(env, "DT_STACKS_FILE", "%s", path);
    dt_environ_set(env, "DT_STACKS_SIGNAL", "%d", STACKS_SIGNAL);
    free(list);
    free(path);
}

/* The default action of the signal would kill it. */
static bool listens(pid_t pid)
{
    char text[4096];
    unsigned long long caught;
    const char *at = dt_procfs_read(text, sizeof text, pid, "status") ? strstr(text, "SigCgt:") : 0;
    return at && sscanf(at + 7, " %llx", &caught) == 1 &&
           (caught & (1ull << (STACKS_SIGNAL - 1))) != 0;
}

bool dt_stacks_ask(const struct dt_stacks *stacks, const struct dt_worker *worker)
{
    char *path = path_of(stacks, worker->local_rank);
    pid_t pid = path ? dt_progress_acting(worker->pid) : 0;
    bool asked = false;
    if (pid > 0 && truncate(path, 0) == 0 && listens(pid))
        asked = kill(pid, STACKS_SIGNAL) == 0;
    free(path);
    return asked;
}

void dt_stacks_read(const struct dt_stacks *stacks, const struct dt_worker *worker,
                    struct dt_buf *text)
{
    char *path = path_of(stacks, worker->local_rank), piece[8192];
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n;
    while (fd >= 0 && text->len < STACKS_MAX && (n = read(fd, piece, sizeof piece)) > 0)
        dt_buf_append(text, piece, (size_t)n);
    if (fd >= 0)
        close(fd);
    free(path);
}
