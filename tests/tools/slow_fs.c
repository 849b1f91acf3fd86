/* SPDX-License-Identifier: Apache-2.0 */
/* A file system over a slow network, for tests and bench/launch: what lies below a directory, read-only, by FUSE, where each question
 * for a name, attributes, a listing or data takes a given time, and many can be on their way at once. Opening is free.
 *
 *   slow-fs SOURCE MOUNTPOINT MILLISECONDS COMMAND...
 *
 * Runs the command beside it, in the mount namespace of its own that the caller has made (unshare --mount), and ends with its
 * code. SLOW_FS_LOG names a file that gets a line for each such question. 77: no FUSE here. The kernel's own protocol, <linux/fuse.h>, so that no library is needed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS     64
#define NODES_MAX   (1u << 19)
#define REQUEST_MAX (64u << 10)
#define ANSWER_MAX  (256u << 10)
#define VALID_S     3600 /* for so long the kernel may believe what it was told */
#define NO_FUSE     77

static int fuse;
static struct timespec delay;
static FILE *asked; /* a line for each question that took time; NULL: nobody wants to know */
/* Number of a node to its path; 1 is the root. Never forgotten: the program is short. */
static struct {
    pthread_mutex_t lock;
    char *paths[NODES_MAX];
    size_t count;
} nodes = {.lock = PTHREAD_MUTEX_INITIALIZER, .count = 2};

static uint64_t node_of(const char *path)
{
    char *copy = strdup(path);
    pthread_mutex_lock(&nodes.lock);
    ENTRY *found = hsearch((ENTRY){.key = copy}, FIND);
    uint64_t node = found ? (uint64_t)(uintptr_t)found->data : nodes.count++;
    if (node >= NODES_MAX || !copy)
        abort();
    if (!found) {
        nodes.paths[node] = copy;
        hsearch((ENTRY){.key = copy, .data = (void *)(uintptr_t)node}, ENTER);
    }
    pthread_mutex_unlock(&nodes.lock);
    return node;
}

static void answer(const struct fuse_in_header *in, int error, const void *body, size_t length)
{
    char bytes[sizeof(struct fuse_out_header) + 512];
    struct fuse_out_header out = {.unique = in->unique, .error = -error};
    size_t size = error ? 0 : length;
    char *whole = sizeof out + size <= sizeof bytes ? bytes : malloc(sizeof out + size);
    out.len = (uint32_t)(sizeof out + size);
    memcpy(whole, &out, sizeof out);
    if (size)
        memcpy(whole + sizeof out, body, size);
    if (write(fuse, whole, out.len) < 0 && errno == ENODEV)
        _exit(0);
    if (whole != bytes)
        free(whole);
}

static struct fuse_attr attributes(const struct stat *st)
{
    return (struct fuse_attr){.ino = st->st_ino,
                              .size = (uint64_t)st->st_size,
                              .blocks = (uint64_t)st->st_blocks,
                              .mtime = (uint64_t)st->st_mtim.tv_sec,
                              .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
                              .mode = st->st_mode,
                              .nlink = (uint32_t)st->st_nlink,
                              .uid = st->st_uid,
                              .gid = st->st_gid,
                              .blksize = 4096};
}

/* ---- questions ------------------------------------------------------------------------------- */

static void lookup(const struct fuse_in_header *in, const char *directory, const char *name)
{
    struct fuse_entry_out entry = {.entry_valid = VALID_S, .attr_valid = VALID_S};
    struct stat st;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (lstat(path, &st) == 0) { /* else node 0: there is none, which may be remembered, too */
        entry.nodeid = node_of(path);
        entry.attr = attributes(&st);
    }
    answer(in, 0, &entry, sizeof entry);
}

static void get_attributes(const struct fuse_in_header *in, const char *path)
{
    struct fuse_attr_out out = {.attr_valid = VALID_S};
    struct stat st;
    int error = lstat(path, &st) ? errno : 0;
    if (!error)
        out.attr = attributes(&st);
    answer(in, error, &out, sizeof out);
}

static void read_link(const struct fuse_in_header *in, const char *path)
{
    char target[4096];
    ssize_t n = readlink(path, target, sizeof target);
    answer(in, n < 0 ? errno : 0, target, n < 0 ? 0 : (size_t)n);
}

static void open_file(const struct fuse_in_header *in, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct fuse_open_out out = {.fh = (uint64_t)fd, .open_flags = FOPEN_KEEP_CACHE};
    answer(in, fd < 0 ? errno : 0, &out, sizeof out);
}

static void read_file(const struct fuse_in_header *in, const struct fuse_read_in *read, char *bytes)
{
    ssize_t n = pread((int)read->fh, bytes, read->size, (off_t)read->offset);
    answer(in, n < 0 ? errno : 0, bytes, n < 0 ? 0 : (size_t)n);
}

static void open_directory(const struct fuse_in_header *in, const char *path)
{
    DIR *directory = opendir(path);
    struct fuse_open_out out = {.fh = (uint64_t)(uintptr_t)directory,
                                .open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE};
    answer(in, directory ? 0 : errno, &out, sizeof out);
}

static void read_directory(const struct fuse_in_header *in, const struct fuse_read_in *read,
                           char *bytes)
{
    DIR *directory = (DIR *)(uintptr_t)read->fh;
    size_t length = 0;
    seekdir(directory, (long)read->offset);
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t name = strlen(entry->d_name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name);
        struct fuse_dirent out = {.ino = entry->d_ino,
                                  .off = (uint64_t)telldir(directory),
                                  .namelen = (uint32_t)name,
                                  .type = entry->d_type};
        if (length + size > read->size)
            break;
        memset(bytes + length, 0, size);
        memcpy(bytes + length, &out, FUSE_NAME_OFFSET);
        memcpy(bytes + length + FUSE_NAME_OFFSET, entry->d_name, name);
        length += size;
    }
    answer(in, 0, bytes, length);
}

static void begin(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
    struct fuse_init_out out = {.major = 7,
                                .minor = 31,
                                .max_readahead = init->max_readahead,
                                .flags = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS,
                                .max_background = 512,
                                .congestion_threshold = 384,
                                .max_write = 4096};
    answer(in, 0, &out, sizeof out);
}

static void release(const struct fuse_in_header *in, const struct fuse_release_in *release)
{
    if (in->opcode == FUSE_RELEASE)
        close((int)release->fh);
    else
        closedir((DIR *)(uintptr_t)release->fh);
    answer(in, 0, NULL, 0);
}

static void serve_one(const struct fuse_in_header *in, char *bytes)
{
    const void *body = in + 1;
    const char *path = in->nodeid < NODES_MAX ? nodes.paths[in->nodeid] : NULL;
    int opcode = (int)in->opcode;
    if (opcode == FUSE_LOOKUP || opcode == FUSE_GETATTR || opcode == FUSE_READ ||
        opcode == FUSE_READLINK || opcode == FUSE_READDIR) {
        nanosleep(&delay, NULL);
        if (asked)
            fprintf(asked, "%s %s\n", path, opcode == FUSE_LOOKUP ? (const char *)body : "");
    }
    switch (opcode) {
    case FUSE_INIT:
        begin(in, body);
        break;
    case FUSE_LOOKUP:
        lookup(in, path, body);
        break;
    case FUSE_GETATTR:
        get_attributes(in, path);
        break;
    case FUSE_READLINK:
        read_link(in, path);
        break;
    case FUSE_OPEN:
        open_file(in, path);
        break;
    case FUSE_READ:
        read_file(in, body, bytes);
        break;
    case FUSE_OPENDIR:
        open_directory(in, path);
        break;
    case FUSE_READDIR:
        read_directory(in, body, bytes);
        break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        release(in, body);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* these want no answer */
    default:
        answer(in, ENOSYS, NULL, 0);
    }
}

static void *serve(void *unused)
{
    char *request = malloc(REQUEST_MAX), *bytes = malloc(ANSWER_MAX);
    (void)unused;
    for (;;) {
        ssize_t n = read(fuse, request, REQUEST_MAX);
        if (n < 0 && errno == ENODEV)
            break;
        if (n >= (ssize_t)sizeof(struct fuse_in_header))
            serve_one((const struct fuse_in_header *)request, bytes);
    }
    free(request);
    free(bytes);
    return NULL;
}

/* ---- the mount ------------------------------------------------------------------------------- */

static int give_up(const char *what)
{
    printf("slow-fs: %s: %s\n", what, strerror(errno));
    return NO_FUSE;
}

int main(int argc, char **argv)
{
    char options[128];
    pthread_t thread;
    int status;
    if (argc < 5)
        return fputs("slow-fs SOURCE MOUNTPOINT MILLISECONDS COMMAND...\n", stderr), 64;
    double ms = atof(argv[3]);
    delay = (struct timespec){(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    nodes.paths[FUSE_ROOT_ID] = realpath(argv[1], NULL);
    if (!nodes.paths[FUSE_ROOT_ID] || !hcreate(NODES_MAX))
        return give_up(argv[1]);
    if (getenv("SLOW_FS_LOG") && (asked = fopen(getenv("SLOW_FS_LOG"), "we")))
        setvbuf(asked, NULL, _IOLBF, 0);
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0)
        return give_up("/dev/fuse");
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
             fuse);
    if (mount("slow", argv[2], "fuse.slow", MS_RDONLY | MS_NOSUID | MS_NODEV, options))
        return give_up(argv[2]);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, serve, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    umount2(argv[2], MNT_DETACH);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
