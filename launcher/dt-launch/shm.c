/* SPDX-License-Identifier: Apache-2.0 */
/* The list of segments, who has them mapped or open, and their end. */
#include "shm.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "processes.h"

#define SEGMENTS 128 /* remembered at a time */
#define LOOK_S   2.0
#define TRIES    3 /* looks at who uses a segment; then it is taken for somebody else's */

/* Names that libraries make up. */
static const char *const made_up[] = {
    "torch_*",                          /* PyTorch, sharing strategy file_system */
    "psm_*",                            /* Python's SharedMemory without a name */
    "sem.mp-*",                         /* Python's multiprocessing */
    "[0-9][0-9][0-9][0-9][0-9][0-9]_*", /* MosaicML streaming; the next attempt takes the same */
    "nccl-*",                           /* NCCL */
    "cuda.shm.*",                       /* CUDA */
    "ucx_shm_posix_*",                  /* UCX */
    "vader_segment.*",
    "sm_segment.*", /* Open MPI 4, 5 */
};

struct segment {
    char name[64];
    unsigned long long inode;
    bool there; /* at this look */
    bool ours;
    int tries;
    bool held; /* by a process that lives */
};

struct dt_shm {
    long long since_ns; /* CLOCK_REALTIME */
    double next;        /* look */
    dev_t device;
    int count;
    struct segment list[SEGMENTS];
};

struct dt_shm *dt_shm_create(void)
{
    struct timespec now;
    struct dt_shm *shm =
        mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shm == MAP_FAILED)
        return NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    shm->since_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    return shm;
}

/* ---- what is there ------------------------------------------------------------------------- */

static bool is_made_up(const char *name)
{
    for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++) {
        if (fnmatch(made_up[i], name, 0) == 0)
            return true;
    }
    return false;
}

/* A regular file of our user that was made since we started. */
static bool may_be_ours(const struct dt_shm *shm, int directory, const char *name, struct statx *st)
{
    if (statx(directory, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, st) ||
        !S_ISREG(st->stx_mode) || st->stx_uid != geteuid())
        return false;
    const struct statx_timestamp *born =
        st->stx_mask & STATX_BTIME ? &st->stx_btime : &st->stx_ctime;
    return born->tv_sec * 1000000000LL + born->tv_nsec >= shm->since_ns;
}

static void notice(struct dt_shm *shm, const char *name, const struct statx *st)
{
    for (int i = 0; i < shm->count; i++) {
        if (shm->list[i].inode == st->stx_ino && strcmp(shm->list[i].name, name) == 0) {
            shm->list[i].there = true;
            return;
        }
    }
    if (shm->count == SEGMENTS || strlen(name) >= sizeof shm->list->name)
        return;
    struct segment *segment = &shm->list[shm->count++];
    *segment = (struct segment){.inode = st->stx_ino, .there = true};
    memcpy(segment->name, name, strlen(name) + 1);
    shm->device = makedev(st->stx_dev_major, st->stx_dev_minor);
}

static void list_segments(struct dt_shm *shm)
{
    DIR *directory = opendir("/dev/shm");
    int kept = 0;
    for (int i = 0; i < shm->count; i++)
        shm->list[i].there = false;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct statx st;
        if (is_made_up(entry->d_name) && may_be_ours(shm, dirfd(directory), entry->d_name, &st))
            notice(shm, entry->d_name, &st);
    }
    if (directory)
        closedir(directory);
    for (int i = 0; i < shm->count; i++) {
        if (shm->list[i].there)
            shm->list[kept++] = shm->list[i];
    }
    shm->count = kept;
}

/* ---- who uses it --------------------------------------------------------------------------- */

typedef void mark_fn(struct segment *segment);

static void mark_ours(struct segment *segment)
{
    segment->ours = true;
}

static void mark_held(struct segment *segment)
{
    segment->held = true;
}

static void mark(struct dt_shm *shm, dev_t device, unsigned long long inode, mark_fn *marking)
{
    for (int i = 0; i < shm->count; i++) {
        if (shm->list[i].inode == inode && shm->device == device)
            marking(&shm->list[i]);
    }
}

/* "START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH" */
static void mark_mapped(struct dt_shm *shm, int pid, mark_fn *marking)
{
    char path[64], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps && getline(&line, &size, maps) >= 0) {
        unsigned major, minor;
        unsigned long long inode;
        if (strchr(line, '/') &&
            sscanf(line, "%*s %*s %*s %x:%x %llu", &major, &minor, &inode) == 3 && inode)
            mark(shm, makedev(major, minor), inode, marking);
    }
    free(line);
    if (maps)
        fclose(maps);
}

static void mark_open(struct dt_shm *shm, int pid, mark_fn *marking)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    for (struct dirent *entry; fds && (entry = readdir(fds));) {
        char target[32]; /* its beginning */
        struct stat st;
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strncmp(target, "/dev/shm/", 9) == 0 && fstatat(dirfd(fds), entry->d_name, &st, 0) == 0)
            mark(shm, st.st_dev, st.st_ino, marking);
    }
    if (fds)
        closedir(fds);
}

/* By our descendants, or by anybody. */
static void mark_used(struct dt_shm *shm, bool descendants, mark_fn *marking)
{
    size_t count;
    struct dt_process *list = dt_processes_list(&count);
    for (size_t i = 0; list && i < count; i++) {
        if (descendants && !dt_processes_descends(list, count, &list[i]))
            continue;
        mark_mapped(shm, list[i].pid, marking);
        mark_open(shm, list[i].pid, marking);
    }
    free(list);
}

/* ---- work ---------------------------------------------------------------------------------- */

/* Segments that come and go between two looks, as batches of data do, are not worth the walk. */
void dt_shm_look(struct dt_shm *shm, bool now)
{
    bool worth = false;
    if (!shm || (!now && dt_now() < shm->next))
        return;
    shm->next = dt_now() + LOOK_S;
    list_segments(shm);
    for (int i = 0; i < shm->count; i++) {
        struct segment *segment = &shm->list[i];
        if (segment->ours || segment->tries > TRIES)
            continue;
        worth = worth || now || segment->tries > 0;
        segment->tries++;
    }
    if (worth)
        mark_used(shm, true, mark_ours);
}

void dt_shm_clean(struct dt_shm *shm, const char *node)
{
    int removed = 0, used = 0;
    double bytes = 0;
    for (int i = 0; shm && i < shm->count; i++)
        used += shm->list[i].ours;
    int directory = used ? open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (directory < 0)
        return;
    mark_used(shm, false, mark_held);
    for (int i = 0; i < shm->count; i++) {
        const struct segment *segment = &shm->list[i];
        struct statx st;
        if (!segment->ours || segment->held || !may_be_ours(shm, directory, segment->name, &st) ||
            st.stx_ino != segment->inode || unlinkat(directory, segment->name, 0))
            continue;
        removed++;
        bytes += (double)st.stx_blocks * 512;
    }
    close(directory);
    shm->count = 0;
    if (removed)
        dprintf(STDERR_FILENO,
                "dt-launch: %d segment(s) of shared memory, %.1f MiB, that dead ranks have left in "
                "/dev/shm on %s were removed\n",
                removed, bytes / 1048576, node);
}
