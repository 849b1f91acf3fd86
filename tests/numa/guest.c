/* SPDX-License-Identifier: Apache-2.0 */
/* The only program of the machine that tests/numa/run boots, besides dt's own: process 1, Slurm's step
 * daemon for the plugin, and the ranks. It loads the real plugin, which starts the real dt-node, lets
 * it bind forked tasks as slurmstepd does, and asks the kernel what became of them. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <slurm/spank.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANKS    4
#define PAGES    256
#define PLUGIN   "/dt/spank_dt.so"
#define VISIBLE  __attribute__((visibility("default")))
#define RANK_ENV "NUMA_TEST_RANK"

/* ---- the step, as the plugin sees it --------------------------------------------------------- */

static char *job_environ[64];   /* of the step */
static char *task_environ[128]; /* of the task at hand */
static int task_id = -1;
static pid_t task_pid;

static char **find(char **list, const char *name)
{
    while (*list && (strncmp(*list, name, strlen(name)) != 0 || (*list)[strlen(name)] != '='))
        list++;
    return list;
}

static char **variables(void)
{
    return task_id >= 0 ? task_environ : job_environ;
}

static spank_err_t take_from(char **list, const char *name)
{
    for (char **entry = find(list, name); *entry; entry++)
        entry[0] = entry[1];
    return ESPANK_SUCCESS;
}

VISIBLE spank_err_t spank_setenv(spank_t spank, const char *name, const char *value, int overwrite)
{
    char **entry = find(variables(), name);
    (void)spank;
    if (*entry && !overwrite)
        return ESPANK_ENV_EXISTS;
    return asprintf(entry, "%s=%s", name, value) < 0 ? ESPANK_ERROR : ESPANK_SUCCESS;
}

VISIBLE spank_err_t spank_unsetenv(spank_t spank, const char *name)
{
    (void)spank;
    return take_from(variables(), name);
}

VISIBLE spank_err_t spank_getenv(spank_t spank, const char *name, char *buf, int len)
{
    char **entry = find(variables(), name);
    (void)spank;
    if (!*entry)
        return ESPANK_ENV_NOEXIST;
    snprintf(buf, (size_t)len, "%s", *entry + strlen(name) + 1);
    return ESPANK_SUCCESS;
}

VISIBLE spank_context_t spank_context(void)
{
    return S_CTX_REMOTE;
}

VISIBLE const char *spank_strerror(spank_err_t error)
{
    (void)error;
    return "fake error";
}

VISIBLE spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
    (void)spank, (void)option;
    return ESPANK_SUCCESS;
}

static void say(const char *head, const char *format, va_list args)
{
    printf("%s", head);
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
}

#define SPEAKER(name, head)                                                                        \
    VISIBLE void name(const char *format, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        say(head, format, args);                                                                   \
        va_end(args);                                                                              \
    }
SPEAKER(slurm_error, "slurm error: ")
SPEAKER(slurm_spank_log, "slurm: ")
SPEAKER(slurm_info, "slurm: ")

VISIBLE spank_err_t spank_get_item(spank_t spank, spank_item_t which, ...)
{
    va_list args;
    spank_err_t rc = ESPANK_SUCCESS;
    (void)spank;
    va_start(args, which);
    switch (which) {
    case S_JOB_ENV:
        *va_arg(args, char ***) = job_environ;
        break;
    case S_JOB_ID:
        *va_arg(args, uint32_t *) = 7;
        break;
    case S_JOB_STEPID:
    case S_JOB_NODEID:
        *va_arg(args, uint32_t *) = 0;
        break;
    case S_JOB_NNODES:
        *va_arg(args, uint32_t *) = 1;
        break;
    case S_JOB_LOCAL_TASK_COUNT:
    case S_JOB_TOTAL_TASK_COUNT:
        *va_arg(args, uint32_t *) = RANKS;
        break;
    case S_JOB_LOCAL_TO_GLOBAL_ID: {
        uint32_t local = va_arg(args, uint32_t);
        *va_arg(args, uint32_t *) = local;
        break;
    }
    case S_JOB_UID:
        *va_arg(args, uid_t *) = 0;
        break;
    case S_JOB_GID:
        *va_arg(args, gid_t *) = 0;
        break;
    case S_TASK_ID:
        *va_arg(args, int *) = task_id;
        break;
    case S_TASK_GLOBAL_ID:
        *va_arg(args, uint32_t *) = (uint32_t)task_id;
        break;
    case S_TASK_PID:
        *va_arg(args, pid_t *) = task_pid;
        break;
    default:
        rc = ESPANK_ERROR;
    }
    va_end(args);
    return rc;
}

/* ---- a rank ---------------------------------------------------------------------------------- */

static int file_line(const char *path, const char *key, char *out, size_t size)
{
    char line[8192];
    FILE *file = fopen(path, "r");
    int rc = -1;
    while (file && rc && fgets(line, sizeof line, file)) {
        char *at = strstr(line, key);
        if (!at)
            continue;
        at += strlen(key);
        at += strspn(at, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(at, " \n"), at);
        rc = 0;
    }
    if (file)
        fclose(file);
    return rc;
}

/* Nodes that the pages of fresh memory are on: "2", or "0 2". */
static void page_nodes(char *out, size_t size)
{
    static void *pages[PAGES];
    int status[PAGES];
    unsigned seen = 0;
    long step = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, (size_t)(PAGES * step), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < PAGES; i++) {
        memory[i * step] = 1;
        pages[i] = memory + i * step;
    }
    snprintf(out, size, "?");
    if (syscall(SYS_move_pages, 0, (unsigned long)PAGES, pages, NULL, status, 0))
        return;
    for (size_t i = 0; i < PAGES; i++)
        seen |= status[i] >= 0 && status[i] < 32 ? 1u << status[i] : 0;
    out[0] = '\0';
    for (unsigned node = 0; node < 32; node++) {
        if (seen & 1u << node)
            snprintf(out + strlen(out), size - strlen(out), "%s%u", *out ? " " : "", node);
    }
}

/* What the kernel says of this process, in one line to descriptor 1. */
static int rank_main(void)
{
    char cpus[256] = "?", policy[256] = "?", pages[128], line[1024];
    char stack[64];
    file_line("/proc/self/status", "Cpus_allowed_list", cpus, sizeof cpus);
    /* the stack's line: no file has a policy of its own there */
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        if (strstr(line, " stack") && sscanf(line, "%63s %255s", stack, policy) == 2)
            break;
    }
    if (maps)
        fclose(maps);
    page_nodes(pages, sizeof pages);
    const char *told = getenv("DT_BIND_CPUS"), *gpu = getenv("DT_BIND_GPUS");
    printf("%s|%s|%s|%s|%s\n", cpus, policy, pages, told ? told : "", gpu ? gpu : "");
    fflush(stdout);
    if (getenv("NUMA_TEST_REBIND"))
        sleep(4); /* until dt-node has read back, which is slow on emulated CPUs */
    return 0;
}

/* ---- the step daemon ------------------------------------------------------------------------- */

typedef int (*callback)(spank_t, int, char **);

struct answer {
    char cpus[256], policy[256], pages[128], told[256], gpu[256];
};

static int failures;

static void check(bool good, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf(good ? "ok   " : "NO   ");
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
    failures += !good;
}

static callback symbol(void *plugin, const char *name)
{
    callback function;
    *(void **)&function = dlsym(plugin, name);
    check(function != NULL, "the plugin has %s", name);
    return function;
}

/* In the child: wait as slurmstepd's children do, then what comes last before exec. */
static void __attribute__((noreturn)) become_task(void *plugin, int task, int gate, int out)
{
    char byte, number[16];
    callback task_init;
    *(void **)&task_init = dlsym(plugin, "slurm_spank_task_init");
    while (read(gate, &byte, 1) < 0 && errno == EINTR)
        ;
    for (size_t i = 0; job_environ[i]; i++)
        task_environ[i] = job_environ[i];
    task_id = task;
    task_init(NULL, 0, NULL);
    snprintf(number, sizeof number, "%d", task);
    spank_setenv(NULL, RANK_ENV, number, 1);
    if (*find(task_environ, "NUMA_TEST_REBIND")) { /* as a plugin behind dt's would */
        cpu_set_t all;
        memset(&all, 0xff, sizeof all);
        sched_setaffinity(0, sizeof all, &all);
    }
    dup2(out, 1);
    execve("/rank", (char *[]){(char *)"rank", NULL}, task_environ);
    _exit(127);
}

struct step {
    const char *bind;  /* words of --dt-bind */
    const char *extra; /* one more variable of the job; NULL */
    cpu_set_t *masks;  /* per task, as Slurm would have set them; NULL: all CPUs */
    int gate[2], out[RANKS][2];
    pid_t pids[RANKS];
};

static void read_answer(int fd, struct answer *answer)
{
    char text[1400];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    text[strcspn(text, "\n")] = '\0';
    char *rest = text;
    char *fields[] = {answer->cpus, answer->policy, answer->pages, answer->told, answer->gpu};
    for (size_t i = 0; i < 5; i++) {
        char *word = strsep(&rest, "|");
        snprintf(fields[i], i == 2 ? sizeof answer->pages : sizeof answer->cpus, "%s",
                 word ? word : "?");
    }
}

static void fork_tasks(struct step *step, void *plugin)
{
    for (int task = 0; task < RANKS; task++) {
        if (pipe(step->out[task]))
            return;
        step->pids[task] = fork();
        if (step->pids[task] == 0) {
            if (step->masks)
                sched_setaffinity(0, sizeof(cpu_set_t), &step->masks[task]);
            close(step->gate[1]);
            become_task(plugin, task, step->gate[0], step->out[task][1]);
        }
        close(step->out[task][1]);
    }
    usleep(100 * 1000); /* the children have their masks */
}

/* One step of four tasks, through the plugin. */
static void run_step(struct step *step, struct answer answers[RANKS])
{
    static const char *const calls[] = {"slurm_spank_init", "slurm_spank_init_post_opt",
                                        "slurm_spank_user_init"};
    char settings[256], *argv[] = {(char *)"helpers=/dt", (char *)"config=/dt/dt.conf"};
    void *plugin = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
    check(plugin != NULL, "the plugin loads%s%s", plugin ? "" : ": ", plugin ? "" : dlerror());
    if (!plugin)
        return;
    memset(job_environ, 0, sizeof job_environ);
    task_id = -1;
    snprintf(settings, sizeof settings,
             "1 validate=off env=off bind=%s on-fail=abort timeout=10 nic=off", step->bind);
    spank_setenv(NULL, "PATH", "/", 1);
    spank_setenv(NULL, "SLURM_DT_SETTINGS", settings, 1);
    spank_setenv(NULL, "SLURM_DT_BOUND", "-", 1);
    if (step->extra)
        job_environ[3] = strdup(step->extra);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        symbol(plugin, calls[i])(NULL, 2, argv);
    if (pipe(step->gate))
        return;
    fork_tasks(step, plugin);
    callback post_fork = symbol(plugin, "slurm_spank_task_post_fork");
    for (int task = 0; task < RANKS; task++) {
        task_id = task;
        task_pid = step->pids[task];
        post_fork(NULL, 2, argv);
    }
    task_id = -1;
    close(step->gate[0]);
    close(step->gate[1]); /* all tasks go */
    for (int task = 0; task < RANKS; task++) {
        read_answer(step->out[task][0], &answers[task]);
        close(step->out[task][0]);
    }
    for (int task = 0; task < RANKS; task++)
        waitpid(step->pids[task], NULL, 0);
    symbol(plugin, "slurm_spank_exit")(NULL, 2, argv);
    dlclose(plugin);
}

/* ---- what must hold -------------------------------------------------------------------------- */

/* The accelerators' nodes in PCI order, as tests/numa/run has plugged them; CPUs 4n to 4n+3 are on
 * node n. */
static const int homes[RANKS] = {2, 0, 3, 1};

static bool same(const char *have, const char *want)
{
    return strcmp(have, want) == 0;
}

static void expect(const char *what, const struct answer answers[RANKS], const char *policy)
{
    for (int rank = 0; rank < RANKS; rank++) {
        const struct answer *a = &answers[rank];
        char cpus[32], want[64], pages[16];
        snprintf(cpus, sizeof cpus, "%d-%d", 4 * homes[rank], 4 * homes[rank] + 3);
        snprintf(want, sizeof want, policy, homes[rank]);
        snprintf(pages, sizeof pages, "%d", homes[rank]);
        check(same(a->cpus, cpus), "%s: rank %d: /proc/PID/status has CPUs %s, wanted %s", what,
              rank, a->cpus, cpus);
        check(same(a->told, a->cpus), "%s: rank %d: DT_BIND_CPUS is %s", what, rank, a->told);
        check(same(a->policy, want), "%s: rank %d: /proc/PID/numa_maps has %s, wanted %s", what,
              rank, a->policy, want);
        check(same(a->pages, pages), "%s: rank %d: move_pages finds pages on node %s, wanted %s",
              what, rank, a->pages, pages);
        check(a->gpu[0] != '\0', "%s: rank %d: its accelerator is %s", what, rank, a->gpu);
    }
}

/* Every CPU has one rank. */
static void expect_partition(const char *what, const struct answer answers[RANKS])
{
    unsigned seen = 0, twice = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        for (const char *c = answers[rank].cpus; *c; c += *c == ',') {
            char *stop;
            unsigned long first = strtoul(c, &stop, 10), last = first;
            if (*stop == '-')
                last = strtoul(stop + 1, &stop, 10);
            for (; stop != c && first <= last && first < 16; first++) {
                twice |= seen & 1u << first;
                seen |= 1u << first;
            }
            if (stop == c)
                break;
            c = stop;
        }
    }
    check(seen == 0xffff && !twice, "%s: each of 16 CPUs has exactly one rank", what);
}

static void steps(void)
{
    struct answer answers[RANKS];
    static cpu_set_t masks[RANKS];

    struct step preferred = {.bind = "explain"};
    run_step(&preferred, answers);
    expect("preferred", answers, "prefer:%d");
    expect_partition("preferred", answers);

    struct step bound = {.bind = "auto,bind"};
    run_step(&bound, answers);
    expect("bind", answers, "bind:%d");

    struct step interleaved = {.bind = "auto,interleave"};
    run_step(&interleaved, answers);
    expect("interleave", answers, "interleave:%d");

    struct step local = {.bind = "auto,local"};
    run_step(&local, answers);
    expect("local", answers, "local");

    /* Slurm's automatic binding, across the nodes: refined within all of them together */
    for (int task = 0; task < RANKS; task++)
        for (int cpu = task; cpu < 16; cpu += RANKS)
            CPU_SET(cpu, &masks[task]);
    struct step scattered = {.bind = "auto", .masks = masks};
    run_step(&scattered, answers);
    expect("scattered by Slurm", answers, "prefer:%d");

    struct step rebound = {.bind = "auto", .extra = "NUMA_TEST_REBIND=1"};
    run_step(&rebound, answers);
    usleep(300 * 1000); /* dt-node's line about it */
}

/* ---- process 1 ------------------------------------------------------------------------------- */

/* What NVIDIA's driver would say of a device. */
static bool tell_driver(const char *address)
{
    static const char text[] = "Model: \t\t NVIDIA Emulated\nGPU UUID: \t GPU-";
    char path[512];
    snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%s", address);
    mkdir("/proc/driver/nvidia", 0755);
    mkdir("/proc/driver/nvidia/gpus", 0755);
    mkdir(path, 0755);
    strcat(path, "/information");
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fprintf(file, "%s%s\n", text, address);
    return fclose(file) == 0;
}

/* The emulator has no GPUs: the kernel's devices, on the kernel's nodes, are given their name. */
static int dress_devices(void)
{
    static const char alias[] = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00\n";
    DIR *folder = opendir("/sys/bus/pci/devices");
    struct dirent *entry;
    int count = 0;
    int fd = open("/dt/modalias", O_WRONLY | O_CREAT, 0444);
    if (fd < 0 || write(fd, alias, strlen(alias)) < 0 ||
        mount("tmpfs", "/proc/driver", "tmpfs", 0, NULL))
        return 0;
    close(fd);
    while (folder && (entry = readdir(folder))) {
        char path[512], vendor[16] = "", node[16] = "?";
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", entry->d_name);
        if (file_line(path, "0x", vendor, sizeof vendor) || strcmp(vendor, "1af4") != 0)
            continue;
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", entry->d_name);
        file_line(path, "", node, sizeof node);
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/modalias", entry->d_name);
        count +=
            mount("/dt/modalias", path, NULL, MS_BIND, NULL) == 0 && tell_driver(entry->d_name);
        printf("     device %s is on node %s\n", entry->d_name, node);
    }
    if (folder)
        closedir(folder);
    return count;
}

static void finish(int code)
{
    printf("numa: %d failed\n", code);
    fflush(stdout);
    sync();
    usleep(200 * 1000);
    reboot(LINUX_REBOOT_CMD_POWER_OFF);
    for (;;)
        pause();
}

int main(void)
{
    char nodes[64] = "?";
    if (getenv(RANK_ENV))
        return rank_main();
    mkdir("/proc", 0555);
    mkdir("/sys", 0555);
    mkdir("/run", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
        finish(1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    file_line("/sys/devices/system/node/online", "", nodes, sizeof nodes);
    check(same(nodes, "0-3"), "the kernel has NUMA nodes %s", nodes);
    check(sysconf(_SC_NPROCESSORS_ONLN) == 16, "the kernel has %ld CPUs",
          sysconf(_SC_NPROCESSORS_ONLN));
    check(dress_devices() == RANKS, "there are %d devices", RANKS);
    steps();
    finish(failures);
}
