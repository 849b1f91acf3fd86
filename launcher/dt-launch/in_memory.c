/* SPDX-License-Identifier: Apache-2.0 */
/* A look asks what a start would ask (name, attributes, pages) and sees whether the thread had to sleep for the answer: that tells
 * memory from disk and server alike, names from data alike, and no time has to be agreed on. */
#include "in_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker.h"

#define WALKS     64 /* below one directory: what is a tenth away is missed once in 850 times */
#define DEPTH_MAX 64
#define PAGES     16 /* of a file, where the kernel does not say */
/* Some virtual machines take single pages away all the time, and a thread also sleeps where another holds a lock for a moment. */
#define LACKS_PART 64 /* of a file */
#define AWAY_MAX   2
#define AWAY_PART  16 /* of the sample */
/* For kernels that do not count how often a thread slept (gVisor). */
#define WAITED_S 0.001

struct range {
    uint64_t offset, length;
};
struct cached {
    uint64_t pages, dirty, writeback, evicted, recently_evicted;
};

off_t dt_in_memory_lacks(int fd, off_t from, off_t length)
{
#ifndef SYS_cachestat
#define SYS_cachestat 451 /* on every architecture */
#endif
    struct range range = {(uint64_t)from, (uint64_t)length};
    struct cached cached;
    off_t page = sysconf(_SC_PAGESIZE), pages = (length + page - 1) / page;
    if (length == 0) /* would be all of the file */
        return 0;
    if (syscall(SYS_cachestat, fd, &range, &cached, 0))
        return -1;
    return cached.pages < (uint64_t)pages ? (pages - (off_t)cached.pages) * page : 0;
}

static bool lacks_much(int fd, off_t size)
{
    char byte;
    off_t lacks = dt_in_memory_lacks(fd, 0, size);
    for (int i = 0; lacks < 0 && i < PAGES; i++) {
        if (pread(fd, &byte, 1, size / PAGES * i) < 0)
            break;
    }
    return lacks > size / LACKS_PART;
}

/* One of the entries that a start could read, each as likely; NULL: there is none. */
static char *any_entry(struct dt_in_memory *sample, int fd, const char *path)
{
    DIR *directory = fdopendir(dup(fd));
    char *found = NULL;
    unsigned seen = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.' || (entry->d_type != DT_REG && entry->d_type != DT_DIR))
            continue;
        sample->random = sample->random * 6364136223846793005u + 1442695040888963407u;
        if ((sample->random >> 33) % ++seen != 0)
            continue;
        free(found);
        if (asprintf(&found, "%s/%s", path, entry->d_name) < 0)
            found = NULL;
    }
    if (directory)
        closedir(directory);
    return found;
}

/* The type is asked first, as opening a fifo or a device does something. What is not there was told from memory, or was waited for.
 * Returns where to go on below a directory; NULL: nowhere. */
static char *look_once(struct dt_in_memory *sample, const char *path, bool *away)
{
    struct stat st;
    char *next = NULL;
    if (stat(path, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    if (S_ISDIR(st.st_mode))
        next = any_entry(sample, fd, path);
    else
        *away = lacks_much(fd, st.st_size);
    close(fd);
    return next;
}

static char *look_and_count(struct dt_in_memory *sample, const char *path)
{
    struct rusage before, after;
    double began = dt_now();
    bool away = false;
    getrusage(RUSAGE_THREAD, &before);
    char *next = look_once(sample, path, &away);
    getrusage(RUSAGE_THREAD, &after);
    away = away || after.ru_nvcsw != before.ru_nvcsw || dt_now() - began > WAITED_S;
    sample->away += away;
    sample->looked++;
    return next;
}

void dt_in_memory_look(struct dt_in_memory *sample, const char *path, bool below)
{
    char *next = look_and_count(sample, path);
    bool walk = next && below;
    free(next);
    for (int i = 0; walk && i < WALKS && sample->away <= AWAY_MAX; i++) {
        char *at = strdup(path);
        for (int depth = 0; at && depth < DEPTH_MAX; depth++) {
            next = look_and_count(sample, at);
            free(at);
            at = next;
        }
        free(at);
    }
}

bool dt_in_memory_enough(const struct dt_in_memory *sample)
{
    return sample->away > AWAY_MAX;
}

bool dt_in_memory_all(const struct dt_in_memory *sample)
{
    return sample->away <= AWAY_MAX && sample->away * AWAY_PART <= sample->looked;
}
