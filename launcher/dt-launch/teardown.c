/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds over our own children until there is none. */
#include "teardown.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

#define KILLED_S     3.0 /* after SIGKILL a process may still free its memory; in state D it stays */
#define PAUSE_NS     1000000L /* between rounds at first, then longer */
#define PAUSE_MAX_NS 16000000L
#define NAMED        8 /* survivors */

struct child {
    pid_t pid, parent;
    char state, name[32];
};

/* "PID (any text) STATE PPID ..." of /proc/PID/stat. */
static bool read_child(struct child *child, const char *pid)
{
    char path[sizeof "/proc//stat" + NAME_MAX], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    char *open_bracket = strchr(text, '('), *after = strrchr(text, ')');
    if (!open_bracket || !after || strlen(after) <= 4)
        return false;
    *after = '\0';
    child->pid = (pid_t)atoi(pid);
    child->state = after[2];
    child->parent = (pid_t)atoi(after + 4);
    snprintf(child->name, sizeof child->name, "%.31s", open_bracket + 1);
    return true;
}

struct visit {
    void (*each)(const struct child *child, void *argument);
    void *argument;
};

static int visit_children(const struct visit *visit)
{
    DIR *proc = opendir("/proc");
    struct child child;
    int count = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !read_child(&child, entry->d_name) ||
            child.parent != getpid())
            continue;
        visit->each(&child, visit->argument);
        count++;
    }
    if (proc)
        closedir(proc);
    return count;
}

/* ---- killing ------------------------------------------------------------------------------- */

struct round {
    bool kill;
    pid_t *asked; /* have had SIGTERM: a second one could cut their saving short */
    size_t count;
};

static bool was_asked(struct round *round, pid_t pid)
{
    for (size_t i = 0; i < round->count; i++) {
        if (round->asked[i] == pid)
            return true;
    }
    pid_t *asked = reallocarray(round->asked, round->count + 1, sizeof *asked);
    if (asked) {
        round->asked = asked;
        asked[round->count++] = pid;
    }
    return false;
}

static void end_one(const struct child *child, void *argument)
{
    struct round *round = argument;
    if (round->kill) {
        kill(child->pid, SIGKILL);
    } else if (!was_asked(round, child->pid)) {
        kill(child->pid, SIGTERM);
        kill(child->pid, SIGCONT); /* a stopped one could not act on it */
    }
}

/* ---- telling ------------------------------------------------------------------------------- */

/* The first accelerator or network device that the process has open. */
static bool find_device(pid_t pid, char *device, size_t size)
{
    static const char *const kinds[] = {"/dev/nvidia", "/dev/neuron", "/dev/infiniband/"};
    char path[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    for (struct dirent *entry; fds && !found && (entry = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, device, size - 1);
        device[n > 0 ? n : 0] = '\0';
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !found; i++)
            found = strncmp(device, kinds[i], strlen(kinds[i])) == 0;
    }
    if (fds)
        closedir(fds);
    return found;
}

struct telling {
    struct dt_buf *text;
    int named;
};

static void tell_one(const struct child *child, void *argument)
{
    struct telling *telling = argument;
    char device[64];
    if (telling->named++ >= NAMED)
        return;
    dt_buf_printf(telling->text, "%spid %d (%s, state %c)", telling->named > 1 ? ", " : "",
                  (int)child->pid, child->name, child->state);
    if (find_device(child->pid, device, sizeof device))
        dt_buf_printf(telling->text, " holds %s", device);
}

int dt_teardown(double grace_s, struct dt_buf *left)
{
    struct round round = {.kill = grace_s <= 0};
    struct visit ending = {end_one, &round};
    double began = dt_now();
    long pause_ns = PAUSE_NS;
    int count = 0;
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0) { /* ECHILD: none left */
            count = 0;
            break;
        }
        round.kill = round.kill || dt_now() - began >= grace_s;
        count = visit_children(&ending);
        if (dt_now() - began > grace_s + KILLED_S) {
            count = count ? count : 1; /* /proc does not show it, and yet it is there */
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        pause_ns = pause_ns < PAUSE_MAX_NS ? pause_ns * 2 : pause_ns;
    }
    free(round.asked);
    if (count) {
        struct telling telling = {.text = left};
        struct visit naming = {tell_one, &telling};
        visit_children(&naming);
    }
    return count;
}
