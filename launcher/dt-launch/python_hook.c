/* SPDX-License-Identifier: Apache-2.0 */
/* The sitecustomize, its directory, and the variables that tell it what to do. */
#include "python_hook.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hang_stacks.h"
#include "prewarm_list.h"

static const char module[] =
    "# Written by dt-launch.\n"
    "import os, sys\n"
    "def _dt_stacks(): # --python-stacks\n"
    "    import faulthandler\n"
    "    global _dt_file\n"
    "    _dt_file = open(os.environ[\"DT_STACKS_FILE\"], \"a\")\n"
    "    faulthandler.register(int(os.environ[\"DT_STACKS_SIGNAL\"]), file=_dt_file, "
    "all_threads=True)\n"
    "def _dt_shield(): # --checkpoint-signal: it is for the rank, not for those that it starts\n"
    "    import _thread, signal\n"
    "    number = int(os.environ[\"DT_SHIELD_SIGNAL\"])\n"
    "    masks = {}\n"
    "    def before():\n"
    "        masks[_thread.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [number])\n"
    "    def restore():\n"
    "        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(_thread.get_ident()))\n"
    "    def ignore():\n"
    "        signal.signal(number, signal.SIG_IGN)\n"
    "        restore()\n"
    "    rank = os.environ.setdefault(\"DT_SHIELD_RANK\", str(os.getpid()))\n"
    "    if rank != str(os.getpid()):\n"
    "        signal.signal(number, signal.SIG_IGN)\n"
    "    os.register_at_fork(before=before, after_in_parent=restore, after_in_child=ignore)\n"
    "def _dt_imports(): # --prewarm last: which files are imported\n"
    "    import atexit\n"
    "    from importlib.machinery import EXTENSION_SUFFIXES\n"
    "    file = os.open(os.environ[\"DT_IMPORTS_FILE\"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, "
    "0o600)\n"
    "    wanted = []\n"
    "    def note():\n"
    "        lines = []\n"
    "        for name in [wanted.pop() for _ in wanted[:]]:\n"
    "            spec = getattr(sys.modules.get(name), \"__spec__\", None)\n"
    "            origin = getattr(spec, \"origin\", None) or \"\"\n"
    "            paths = [origin, getattr(spec, \"cached\", None) or \"\"]\n"
    "            if origin.endswith(\"/__init__.py\"): # what Python looks for first is asked, "
    "too\n"
    "                paths += [origin[:-3] + end for end in EXTENSION_SUFFIXES]\n"
    "            lines += [path + \"\\n\" for path in paths if path[:1] == \"/\"]\n"
    "        if lines:\n"
    "            os.write(file, os.fsencode(\"\".join(lines)))\n"
    "    class Finder:\n"
    "        @staticmethod\n"
    "        def find_spec(name, path=None, target=None):\n"
    "            try:\n"
    "                note()\n"
    "            except Exception:\n"
    "                pass\n"
    "            wanted.append(name)\n"
    "    sys.meta_path.insert(0, Finder)\n"
    "    atexit.register(note)\n"
    "for _dt_name, _dt_do in ((\"DT_STACKS_FILE\", _dt_stacks), (\"DT_SHIELD_SIGNAL\", "
    "_dt_shield),\n"
    "        (\"DT_IMPORTS_FILE\", _dt_imports)):\n"
    "    try:\n"
    "        if _dt_name in os.environ:\n"
    "            _dt_do()\n"
    "    except Exception:\n"
    "        pass\n"
    "# The one that this one hides.\n"
    "_dt_here = os.path.dirname(os.path.abspath(__file__))\n"
    "sys.path[:] = [p for p in sys.path if os.path.abspath(p) != _dt_here]\n"
    "_dt_self = sys.modules.pop(\"sitecustomize\", None)\n"
    "try:\n"
    "    import sitecustomize\n"
    "    sitecustomize._dt_self = _dt_self # keeps the file open\n"
    "except ImportError:\n"
    "    sys.modules[\"sitecustomize\"] = _dt_self\n";

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

void dt_python_hook_create(struct dt_python_hook *hook, const struct dt_options *options)
{
    const char *tmp = getenv("TMPDIR");
    int number = options->checkpoint.signal;
    tmp = tmp && *tmp ? tmp : "/tmp";
    *hook = (struct dt_python_hook){.stacks = options->hang.python_stacks,
                                    /* Python ends its workers by SIGTERM */
                                    .shielded = number == SIGTERM ? 0 : number,
                                    .imports = dt_prewarm_last(options)};
    if (!hook->stacks && !hook->shielded && !hook->imports)
        return;
    if (asprintf(&hook->directory, "%s/dt-python.XXXXXX", tmp) < 0)
        hook->directory = NULL;
    if (hook->directory && mkdtemp(hook->directory) && write_module(hook->directory))
        return;
    dprintf(STDERR_FILENO, "dt-launch: warning: no file can be written below %s: %s; %s%s%s\n", tmp,
            strerror(errno),
            hook->stacks ? "--python-stacks: a hang is reported without lines of Python" : "",
            hook->stacks && hook->shielded ? "; " : "",
            hook->shielded ? "workers that Python forks are not kept from --checkpoint-signal"
                           : "");
    free(hook->directory);
    hook->directory = NULL;
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

void dt_python_hook_remove(struct dt_python_hook *hook)
{
    char *compiled = NULL; /* Python's own, of the module */
    if (!hook->directory)
        return;
    if (asprintf(&compiled, "%s/__pycache__", hook->directory) >= 0)
        remove_all(compiled);
    free(compiled);
    remove_all(hook->directory);
    free(hook->directory);
    hook->directory = NULL;
}

char *dt_python_hook_imports(const struct dt_python_hook *hook)
{
    char *path = NULL;
    if (!hook || !hook->directory || !hook->imports ||
        asprintf(&path, "%s/imports", hook->directory) < 0)
        return NULL;
    return path;
}

char *dt_python_hook_stacks(const struct dt_python_hook *hook, int local_rank)
{
    char *path = NULL;
    if (!hook || !hook->directory || !hook->stacks ||
        asprintf(&path, "%s/%d.txt", hook->directory, local_rank) < 0)
        return NULL;
    return path;
}

void dt_python_hook_apply(struct dt_environ *env, const struct dt_python_hook *hook, int rank,
                          int local_rank)
{
    if (!hook->directory)
        return;
    const char *old = dt_environ_get(env, "PYTHONPATH");
    char *list = NULL, *path = dt_python_hook_stacks(hook, local_rank);
    if (asprintf(&list, "%s%s%s", hook->directory, old && *old ? ":" : "", old ? old : "") < 0)
        list = NULL;
    env->failed = env->failed || !list;
    if (list)
        dt_environ_set(env, "PYTHONPATH", "%s", list);
    if (path) {
        dt_environ_set(env, "DT_STACKS_FILE", "%s", path);
        dt_environ_set(env, "DT_STACKS_SIGNAL", "%d", DT_STACKS_SIGNAL);
    }
    if (hook->shielded)
        dt_environ_set(env, "DT_SHIELD_SIGNAL", "%d", hook->shielded);
    char *imports = rank == 0 ? dt_python_hook_imports(hook) : NULL;
    if (imports)
        dt_environ_set(env, "DT_IMPORTS_FILE", "%s", imports);
    free(imports);
    dt_environ_unset(env, "DT_SHIELD_RANK"); /* of a rank that has started us */
    free(list);
    free(path);
}
