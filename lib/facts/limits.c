/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank may use: locked memory, open files, and the size of /dev/shm. */
#include <fcntl.h>
#include <string.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "facts/reader.h"

static void read_limit(struct dt_reader *reader, const char *key, long long given, int resource)
{
    struct rlimit limit;
    if (given == DT_LIMIT_OWN) {
        if (getrlimit(resource, &limit) < 0) {
            dt_reader_why(reader, key, "getrlimit: %s", strerror(errno));
            return;
        }
        given = limit.rlim_cur == RLIM_INFINITY ? -1 : (long long)limit.rlim_cur;
    }
    dt_reader_int(reader, key, given);
}

void dt_read_limits(struct dt_reader *reader)
{
    read_limit(reader, "limit.memlock", reader->request->memlock, RLIMIT_MEMLOCK);
    read_limit(reader, "limit.nofile", reader->request->nofile, RLIMIT_NOFILE);
    /* A job's own are not known before its tasks run. */
    if (reader->request->nofile == DT_LIMIT_OWN) {
        read_limit(reader, "limit.nproc", DT_LIMIT_OWN, RLIMIT_NPROC);
        read_limit(reader, "limit.stack", DT_LIMIT_OWN, RLIMIT_STACK);
        read_limit(reader, "limit.core", DT_LIMIT_OWN, RLIMIT_CORE);
    }
}

/* In a tree, a plain folder is no /dev/shm: the size would be that of the disk below it. */
static bool is_mounted(const struct dt_root *root, int shm)
{
    struct stat here, above;
    int dev = dt_root_open(root, O_PATH | O_DIRECTORY, "dev");
    bool mounted = dev >= 0 && fstat(shm, &here) == 0 && fstat(dev, &above) == 0 &&
                   here.st_dev != above.st_dev;
    if (dev >= 0)
        close(dev);
    return mounted;
}

void dt_read_shm(struct dt_reader *reader)
{
    struct statfs fs = {0};
    int fd = dt_root_open(reader->root, O_PATH | O_DIRECTORY, "dev/shm");
    const char *problem = NULL;
    if (fd < 0)
        problem = strerror(-fd);
    else if (reader->root->fake && !is_mounted(reader->root, fd))
        problem = "nothing is mounted there in this tree";
    else if (fstatfs(fd, &fs) < 0)
        problem = strerror(errno);
    if (problem) {
        dt_reader_why(reader, "shm.size_mib", "/dev/shm: %s", problem);
        dt_reader_why(reader, "shm.free_mib", "/dev/shm: %s", problem);
    } else {
        long long block = fs.f_bsize;
        dt_reader_int(reader, "shm.size_mib", (long long)fs.f_blocks * block >> 20);
        dt_reader_int(reader, "shm.free_mib", (long long)fs.f_bavail * block >> 20);
    }
    if (fd >= 0)
        close(fd);
}
