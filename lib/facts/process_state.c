/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: dead ones that nobody has collected, ones that wait for a device or a file server and can
 * not even be killed, services that must run; and what lies in /dev/shm of users who run none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "facts/printable.h"
#include "facts/system.h"

enum { STUCK_MAX = 256, AGAIN_MS = 50, LEFT_ENTRIES_MAX = 10000, LEFT_DEPTH_MAX = 4 };

struct process {
    char comm[32];
    char state;
};

struct look {
    long long zombies, stuck;
    char *stuck_pids[STUCK_MAX]; /* borrowed names of the listing */
    size_t stuck_count;
    uid_t *users;
    size_t user_count;
    bool *runs; /* one a name of required-processes */
};

static bool is_number(const char *name)
{
    return *name && strspn(name, "0123456789") == strlen(name);
}

/* "123 (a name) S ...": the name may hold anything, so its end is the last ')'. */
static bool read_process(const struct dt_root *root, const char *pid, struct process *process)
{
    char text[1024];
    if (dt_root_read(root, text, sizeof text, "proc/%s/stat", pid) <= 0)
        return false;
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (!begin || !end || end < begin || end[1] != ' ')
        return false;
    *end = '\0';
    snprintf(process->comm, sizeof process->comm, "%s", begin + 1);
    process->state = end[2];
    return true;
}

static void add_user(struct look *look, const struct dt_root *root, const char *pid)
{
    struct stat st;
    int fd = dt_root_open(root, O_PATH, "proc/%s", pid);
    if (fd < 0)
        return;
    bool known = fstat(fd, &st) < 0;
    close(fd);
    for (size_t i = 0; !known && i < look->user_count; i++)
        known = look->users[i] == st.st_uid;
    uid_t *more = known ? NULL : realloc(look->users, (look->user_count + 1) * sizeof *more);
    if (!more)
        return;
    look->users = more;
    look->users[look->user_count++] = st.st_uid;
}

static void look_at(struct dt_reader *reader, struct look *look, char *pid)
{
    struct process process;
    char *const *wanted = reader->request->conf->required_processes;
    if (!read_process(reader->root, pid, &process))
        return;
    add_user(look, reader->root, pid);
    look->zombies += process.state == 'Z';
    if (process.state == 'D') {
        look->stuck++;
        if (look->stuck_count < STUCK_MAX)
            look->stuck_pids[look->stuck_count++] = pid;
    }
    /* The kernel cuts a name at 15. */
    for (size_t i = 0; wanted && look->runs && wanted[i]; i++)
        look->runs[i] = look->runs[i] || strncmp(process.comm, wanted[i], 15) == 0;
}

/* Waiting for a disk is nothing: those that still wait a moment later are stuck. */
static void look_again(struct dt_reader *reader, struct look *look)
{
    struct process process;
    long long still = 0;
    const char *first = NULL;
    char where[64] = "", name[32] = "";
    if (look->stuck_count == 0)
        return;
    if (!reader->root->fake)
        nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * 1000000L}, NULL);
    for (size_t i = 0; i < look->stuck_count; i++) {
        if (!read_process(reader->root, look->stuck_pids[i], &process) || process.state != 'D')
            continue;
        if (still++ == 0) {
            first = look->stuck_pids[i];
            snprintf(name, sizeof name, "%s", process.comm);
        }
    }
    look->stuck = still;
    if (!first)
        return;
    /* For root alone; "0": the kernel does not tell. */
    if (dt_root_read(reader->root, where, sizeof where, "proc/%s/wchan", first) <= 0 ||
        strcmp(where, "0") == 0)
        where[0] = '\0';
    char text[160];
    snprintf(text, sizeof text, "%s (process %s)%s%s", name, first, *where ? " in " : "", where);
    dt_reader_string(reader, "process.stuck_first", text);
}

/* ---- /dev/shm ---- */

struct left {
    const struct look *look;
    long long bytes;
    uid_t owner; /* of the first */
    size_t entries;
};

static bool runs_something(const struct look *look, uid_t user)
{
    for (size_t i = 0; i < look->user_count; i++) {
        if (look->users[i] == user)
            return true;
    }
    return user == 0;
}

static void sum_folder(struct left *left, int folder, int depth)
{
    DIR *dir = fdopendir(folder);
    const struct dirent *entry;
    if (!dir) {
        close(folder);
        return;
    }
    while (left->entries < LEFT_ENTRIES_MAX && (entry = readdir(dir))) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        left->entries++;
        if (S_ISREG(st.st_mode) && !runs_something(left->look, st.st_uid)) {
            left->owner = left->bytes ? left->owner : st.st_uid;
            left->bytes += (long long)st.st_blocks * 512;
        } else if (S_ISDIR(st.st_mode) && depth < LEFT_DEPTH_MAX) {
            int below =
                openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0)
                sum_folder(left, below, depth + 1);
        }
    }
    closedir(dir);
}

static void read_left(struct dt_reader *reader, const struct look *look)
{
    struct left left = {.look = look};
    if (reader->root->fake) {
        dt_reader_why(reader, "shm.left_mib", "a tree has no users");
        return;
    }
    int folder = dt_root_open(reader->root, O_RDONLY | O_DIRECTORY, "dev/shm");
    if (folder < 0) {
        dt_reader_why(reader, "shm.left_mib", "/dev/shm: %s", strerror(-folder));
        return;
    }
    sum_folder(&left, folder, 0);
    dt_reader_int(reader, "shm.left_mib", left.bytes >> 20);
    if (left.bytes)
        dt_reader_int(reader, "shm.left_uid", left.owner);
}

static void say_required(struct dt_reader *reader, const struct look *look)
{
    char *const *wanted = reader->request->conf->required_processes;
    if (!wanted || !*wanted || !look->runs)
        return;
    json_t *list = json_array();
    for (size_t i = 0; wanted[i]; i++)
        json_array_append_new(list, json_pack("{s:o,s:b}", "name", dt_printable_json(wanted[i], 64),
                                              "ok", look->runs[i]));
    dt_reader_take(reader, "process.required", list);
}

void dt_read_processes(struct dt_reader *reader)
{
    char **names;
    struct look look = {0};
    char *const *wanted = reader->request->conf->required_processes;
    size_t wanted_count = 0;
    int count = dt_root_list(reader->root, &names, "proc");
    if (count < 0) {
        dt_reader_why(reader, "process.zombies", "/proc: %s", strerror(-count));
        return;
    }
    while (wanted && wanted[wanted_count])
        wanted_count++;
    look.runs = calloc(wanted_count + 1, sizeof *look.runs);
    for (int i = 0; i < count; i++) {
        if (is_number(names[i]))
            look_at(reader, &look, names[i]);
    }
    look_again(reader, &look);
    dt_reader_int(reader, "process.zombies", look.zombies);
    dt_reader_int(reader, "process.stuck", look.stuck);
    say_required(reader, &look);
    read_left(reader, &look);
    free(look.users);
    free(look.runs);
    dt_names_free(names);
}
