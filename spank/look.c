/* SPDX-License-Identifier: Apache-2.0 */
/* Looking, with libc alone. Nothing is started, and no library is opened: files are looked for. */
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    text_printf(text, "%s%s", text->len ? "; " : "", sentence);
}

static void look_shm(struct look *look, const char *argument)
{
    struct statvfs fs;
    unsigned long long wanted = strtoull(argument, NULL, 10);
    if (statvfs("/dev/shm", &fs) < 0) {
        add(&look->wrong, "/dev/shm: %s", strerror(errno));
        return;
    }
    unsigned long long mib = (unsigned long long)fs.f_blocks * fs.f_frsize >> 20;
    if (mib < wanted)
        add(&look->wrong,
            "/dev/shm holds %llu MiB, wanted: %llu (in a container, raise its shm size)", mib,
            wanted);
}

static void look_nproc(struct look *look, const char *argument)
{
    struct rlimit limit;
    unsigned long long wanted = strtoull(argument, NULL, 10);
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < wanted)
        add(&look->wrong,
            "%llu processes and threads are allowed, wanted: %llu ('ulimit -u' before srun, or "
            "LimitNPROC for slurmd)",
            (unsigned long long)limit.rlim_cur, wanted);
}

/* -1: without limit, which is enough for all. */
static void look_memlock(struct look *look, const char *argument)
{
    struct rlimit limit;
    long long mib = strtoll(argument, NULL, 10);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
        (mib >= 0 && limit.rlim_cur >> 20 >= (unsigned long long)mib))
        return;
    char wanted[32] = "no limit";
    if (mib >= 0)
        snprintf(wanted, sizeof wanted, "%lld MiB", mib);
    add(&look->wrong,
        "%llu KiB may be locked, wanted: %s ('ulimit -l' before srun, or LimitMEMLOCK for slurmd)",
        (unsigned long long)limit.rlim_cur >> 10, wanted);
}

static void look_nofile(struct look *look, const char *argument)
{
    struct rlimit limit;
    unsigned long long wanted = strtoull(argument, NULL, 10);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < wanted)
        add(&look->wrong,
            "%llu files may be open, wanted: %llu ('ulimit -n' before srun, or LimitNOFILE for "
            "slurmd)",
            (unsigned long long)limit.rlim_cur, wanted);
}

/* MiB in a file of a cgroup; NO_LIMIT: "max", v1's huge number, or no such file. */
#define NO_LIMIT (1ULL << 40)

static unsigned long long read_limit(const char *path)
{
    char text[64] = "", *end;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    unsigned long long bytes = n > 0 ? strtoull(text, &end, 10) : 0;
    return n <= 0 || end == text ? NO_LIMIT : bytes >> 20;
}

/* The least limit of a cgroup and those above it, up to where cgroups are mounted. */
static unsigned long long least_limit(const char *mount, const char *group, const char *file)
{
    unsigned long long least = NO_LIMIT;
    char path[PATH_MAX];
    for (size_t len = strlen(group);; len--) {
        if (len > 0 && group[len] != '/' && group[len])
            continue;
        if (snprintf(path, sizeof path, "%s%.*s/%s", mount, (int)len, group, file) < PATH_MAX) {
            unsigned long long limit = read_limit(path);
            least = limit < least ? limit : least;
        }
        if (len == 0)
            return least;
    }
}

/* A line of /proc/self/cgroup: "0::/PATH" (v2), "7:memory:/PATH" (v1). */
static unsigned long long limit_of_line(const char *line)
{
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return NO_LIMIT;
    group++;
    if (controllers[1] == ':')
        return least_limit("/sys/fs/cgroup", group, "memory.max");
    return strncmp(controllers, ":memory:", 8) == 0
               ? least_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
               : NO_LIMIT;
}

/* Told, and no reason to refuse: the kernel, not Slurm, is asked here, and may be asked for another
 * container's limit. */
static void look_memory(struct look *look, const char *percent)
{
    unsigned long long least = NO_LIMIT;
    if (look->given_mib == 0 || look->given_mib >= NO_LIMIT)
        return; /* Slurm does not part memory */
    char line[PATH_MAX + 64];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        unsigned long long limit = limit_of_line(line);
        least = limit < least ? limit : least;
    }
    if (file)
        fclose(file);
    if (least * 100 < look->given_mib * strtoull(percent, NULL, 10))
        add(&look->doubtful,
            "the cgroup allows %llu MiB of memory, and Slurm gave the step %llu MiB here", least,
            look->given_mib);
}

static unsigned long long held_cpus(void)
{
    struct cpus mask;
    if (cpus_of_task(&mask, 0) != 0)
        return 0;
    unsigned long long count = (unsigned long long)CPU_COUNT_S(mask.size, mask.set);
    cpus_fini(&mask);
    return count;
}

/* What the kernel leaves of a wish for all CPUs is the cpuset, also where no cgroup can be read. The
 * mask, which may be the user's, is put back. 0: not known. */
static unsigned long long cpuset_cpus(struct look *look)
{
    struct cpus mask, all = {0};
    unsigned long long count = 0;
    if (cpus_of_task(&mask, 0) != 0)
        return 0;
    if (cpus_of_task(&all, 0) == 0) {
        memset(all.set, 0xff, all.size);
        if (sched_setaffinity(0, all.size, all.set) == 0) {
            count = held_cpus();
            if (sched_setaffinity(0, mask.size, mask.set) < 0)
                add(&look->wrong, "the rank's CPU mask could not be put back: %s", strerror(errno));
        }
    }
    cpus_fini(&all);
    cpus_fini(&mask);
    return count;
}

/* Not from /sys: sysconf may count the mask itself. */
static unsigned long long online_cpus(void)
{
    unsigned long long count = 0;
    char line[4096]; /* "intr" is longer, and comes behind them */
    FILE *file = fopen("/proc/stat", "re");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "cpu", 3) == 0)
        count += line[3] >= '0' && line[3] <= '9';
    if (file)
        fclose(file);
    return count;
}

/* Told, and no reason to refuse: the program runs, only slower. A slurm.conf that has more CPUs than
 * the machine gives the step no more than there are. */
static void look_cpus(struct look *look, const char *whose)
{
    bool step = strcmp(whose, "step") == 0;
    unsigned long long given = step ? look->step_cpus : look->rank_cpus;
    unsigned long long online = online_cpus(), held = held_cpus();
    given = given < online ? given : online;
    if (held < given && step)
        held = cpuset_cpus(look);
    if (held == 0 || held >= given || look->few_cpus)
        return;
    look->few_cpus = true; /* a small cpuset makes small masks: told once */
    if (step)
        add(&look->doubtful, "the cpuset has %llu of the %llu CPUs that Slurm gave the step here",
            held, given);
    else
        add(&look->doubtful,
            "the CPU mask has %llu of the %llu CPUs that Slurm gave each rank, and --cpu-bind did "
            "not make it (another plugin, or slurmd's own mask?)",
            held, given);
}

/* A cgroup refuses at open, whatever the mode of the file says. */
static void look_device(struct look *look, const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        add(&look->wrong, "%s can not be opened: %s", path, strerror(errno));
    else
        close(fd);
}

/* For a device whose driver does not let itself be opened by dt-node either. */
static void look_node(struct look *look, const char *path)
{
    if (access(path, R_OK | W_OK) < 0)
        add(&look->wrong, "%s: %s", path, strerror(errno));
}

/* In one directory of a list with ':' between two. */
static bool find_in(const char *list, const char *name, char path[PATH_MAX])
{
    while (list && *list) {
        size_t len = strcspn(list, ":");
        if (len > 0 && len < PATH_MAX - 256 &&
            snprintf(path, PATH_MAX, "%.*s/%s", (int)len, list, name) < PATH_MAX &&
            access(path, R_OK) == 0)
            return true;
        list += len + (list[len] == ':');
    }
    return false;
}

static bool find_library(const char *library_path, const char *name, char path[PATH_MAX])
{
    static const char usual[] =
        "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu:/usr/lib64:/usr/lib:/usr/local/lib:"
        "/usr/local/lib64:/usr/local/nvidia/lib64:/usr/local/nvidia/lib:/opt/amazon/efa/lib:"
        "/opt/amazon/efa/lib64:/opt/amazon/ofi-nccl/lib:/opt/amazon/ofi-nccl/lib64:"
        "/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu:/opt/aws-ofi-nccl/install/lib:"
        "/opt/aws-ofi-nccl/lib";
    return find_in(library_path, name, path) || find_in(usual, name, path);
}

static void look_library(struct look *look, const char *library_path, const char *name)
{
    char path[PATH_MAX];
    if (!find_library(library_path, name, path))
        add(&look->doubtful, "there is no %s in the usual places, nor in LD_LIBRARY_PATH", name);
}

/* libcuda.so.1 leads to libcuda.so.570.172.08, which must be of the kernel module's major version, but
 * for the libraries of CUDA's forward compatibility. */
static void look_driver(struct look *look, const char *library_path, const char *wanted)
{
    static const char prefix[] = "libcuda.so.";
    char path[PATH_MAX], real[PATH_MAX];
    if (!find_library(library_path, "libcuda.so.1", path)) {
        add(&look->doubtful, "there is no libcuda.so.1, so that no program can use a GPU");
        return;
    }
    if (!realpath(path, real) || strstr(real, "/compat"))
        return;
    const char *name = strrchr(real, '/') + 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return;
    const char *version = name + sizeof prefix - 1;
    size_t len = strcspn(wanted, ".");
    if (strchr(version, '.') && (strncmp(version, wanted, len) != 0 || version[len] != '.'))
        add(&look->wrong, "%s is of driver %s, and the kernel module of %s", path, version, wanted);
}

void look_take(struct look *look, const char *kind, const char *argument, const char *library_path)
{
    if (strcmp(kind, "mode") == 0)
        look->warn = strcmp(argument, "warn") == 0;
    else if (strcmp(kind, "shm") == 0)
        look_shm(look, argument);
    else if (strcmp(kind, "nproc") == 0)
        look_nproc(look, argument);
    else if (strcmp(kind, "memlock") == 0)
        look_memlock(look, argument);
    else if (strcmp(kind, "nofile") == 0)
        look_nofile(look, argument);
    else if (strcmp(kind, "memory") == 0)
        look_memory(look, argument);
    else if (strcmp(kind, "cpus") == 0)
        look_cpus(look, argument);
    else if (strcmp(kind, "device") == 0)
        look_device(look, argument);
    else if (strcmp(kind, "node") == 0)
        look_node(look, argument);
    else if (strcmp(kind, "library") == 0)
        look_library(look, library_path, argument);
    else if (strcmp(kind, "driver") == 0)
        look_driver(look, library_path, argument);
}

void look_fini(struct look *look)
{
    text_fini(&look->wrong);
    text_fini(&look->doubtful);
}
