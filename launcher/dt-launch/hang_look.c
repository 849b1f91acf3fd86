/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /proc of one rank: state, system call, what its descriptor is, where in the kernel, where in
 * Python. What the kernel does not let us read is left out. */
#include "hang_look.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe.h"
#include "procfs.h"

#define FRAMES_MAX 6 /* of the kernel's stack */

/* ---- one process or thread --------------------------------------------------------------------- */

struct texts {
    char where[64], target[512];
};

static bool is_fifo(pid_t pid, unsigned long long fd)
{
    char path[64];
    struct statx st;
    snprintf(path, sizeof path, "/proc/%d/fd/%llu", (int)pid, fd);
    /* A file system that does not answer is not asked. */
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 && S_ISFIFO(st.stx_mode);
}

/* "PATH, which is on TYPE (POINT)": what it is that does not answer. */
static void add_mount(char *target, size_t size, pid_t pid)
{
    struct dt_buf type = DT_BUF_INIT, point = DT_BUF_INIT;
    char *mounts = malloc(1u << 18);
    size_t len = strlen(target);
    if (mounts && dt_procfs_read(mounts, 1u << 18, pid, "mountinfo") &&
        dt_mount_of(mounts, target, &type, &point) && type.data && point.data)
        snprintf(target + len, size - len, ", on %s (%s)", type.data, point.data);
    free(mounts);
    dt_buf_fini(&type);
    dt_buf_fini(&point);
}

/* The path that a system call was given, out of the process's memory. */
static void find_path(char *target, size_t size, pid_t pid, const struct dt_proc_syscall *call)
{
    int argument = dt_syscall_path(call->number);
    char text[400] = "", base[400] = "";
    if (argument < 0)
        return;
    struct iovec here = {text, sizeof text - 1},
                 there = {(void *)call->args[argument], here.iov_len};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) < 1) {
        /* It may end at the end of a page. */
        there.iov_len = here.iov_len = 4096 - call->args[argument] % 4096;
        if (here.iov_len >= sizeof text || process_vm_readv(pid, &here, 1, &there, 1, 0) < 1)
            return;
    }
    int directory = argument == 1 ? (int)call->args[0] : AT_FDCWD;
    if (text[0] != '/' && directory == AT_FDCWD)
        dt_procfs_link(base, sizeof base, pid, "cwd");
    else if (text[0] != '/')
        dt_procfs_fd(base, sizeof base, pid, (unsigned)directory);
    snprintf(target, size, "%s%s%.*s", base, base[0] ? "/" : "",
             (int)strnlen(text, sizeof text - 1), text);
}

static void find_target(char *target, size_t size, pid_t pid, const struct dt_hang_process *process)
{
    char link[400];
    unsigned long long fd = process->call.args[0];
    target[0] = '\0';
    if (!process->has_call)
        return;
    if (dt_syscall_takes_fd(process->call.number) && dt_procfs_fd(link, sizeof link, pid, fd)) {
        bool fifo = link[0] == '/' && is_fifo(pid, fd);
        snprintf(target, size, "%s%s", fifo ? "fifo " : "", link);
    } else if (process->state == 'D') {
        find_path(target, size, pid, &process->call);
    }
    if (process->state == 'D' && target[0] == '/')
        add_mount(target, size, pid);
}

static void read_process(struct dt_hang_process *process, struct texts *texts, pid_t pid,
                         double cores)
{
    char text[1024];
    struct dt_proc_stat stat;
    *process = (struct dt_hang_process){
        .state = '?', .cores = cores, .where = texts->where, .target = texts->target};
    if (dt_procfs_read(text, sizeof text, pid, "stat") && dt_proc_stat_parse(&stat, text))
        process->state = stat.state;
    if (!dt_procfs_read(texts->where, sizeof texts->where, pid, "wchan") ||
        strcmp(texts->where, "0") == 0)
        texts->where[0] = '\0';
    process->has_call = dt_procfs_read(text, sizeof text, pid, "syscall") &&
                        dt_proc_syscall_parse(&process->call, text);
    find_target(texts->target, sizeof texts->target, pid, process);
}

/* "[<0>] futex_wait+0x9/0x20": only the names. */
static void put_kernel_stack(struct dt_buf *text, pid_t pid, int most)
{
    char stack[4096];
    if (!dt_procfs_read(stack, sizeof stack, pid, "stack"))
        return;
    int shown = 0;
    for (char *at = stack, *line; shown < most && (line = strsep(&at, "\n"));) {
        const char *name = strstr(line, "] ");
        if (!name)
            continue;
        dt_buf_printf(text, "%s%.*s", shown++ ? " < " : "kernel: ", (int)strcspn(name + 2, "+ "),
                      name + 2);
    }
    if (shown)
        dt_buf_puts(text, "\n");
}

static void clean(char *text)
{
    for (char *at = text; at && *at; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f)
            *at = '?';
    }
}

/* ---- one rank ---------------------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t len, const char *end)
{
    size_t end_len = strlen(end);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    return end_len > 0 && len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

bool dt_look_has_died(struct dt_output *output, const struct dt_worker *worker)
{
    struct dt_buf exception = DT_BUF_INIT, words = DT_BUF_INIT;
    struct dt_tail *tail = output && worker->has_tail ? malloc(sizeof *tail) : NULL;
    bool died = false;
    if (tail) {
        dt_output_tail(output, worker->tail_id, tail);
        if (tail->traceback_ns) {
            dt_tail_exception(tail, &exception);
            dt_tail_words(tail, DT_TAIL_BYTES, &words);
        }
        died = exception.data && words.data && ends_with(words.data, words.len, exception.data);
    }
    free(tail);
    dt_buf_fini(&exception);
    dt_buf_fini(&words);
    return died;
}

static void put_python(struct dt_buf *doing, const struct dt_look *look,
                       const struct dt_worker *worker)
{
    struct dt_buf dump = DT_BUF_INIT, place = DT_BUF_INIT;
    dt_stacks_read(look->hook, worker, &dump);
    if (dump.data && dt_python_place(dump.data, &place) && place.data)
        dt_buf_printf(doing, ", Python at %.200s", place.data);
    dt_buf_fini(&dump);
    dt_buf_fini(&place);
}

static void look_at_running(struct dt_hang_rank *rank, struct dt_buf *own,
                            const struct dt_look *look, const struct dt_worker *worker,
                            const struct dt_progress *progress)
{
    struct dt_buf doing = DT_BUF_INIT, stack = DT_BUF_INIT;
    struct dt_hang_process process;
    struct texts texts;
    struct dt_probe probe;
    pid_t pid = dt_progress_acting(worker->pid);
    dt_probe_rank(&probe, worker->pid, look->port);
    rank->connected = probe.connected;
    dt_buf_puts(own, probe.own);
    read_process(&process, &texts, pid, progress->cores);
    rank->kind = dt_hang_kind_of(&process);
    if (dt_look_has_died(look->output, worker)) {
        rank->kind = DT_HANG_DYING;
        dt_buf_puts(&doing, "has printed a traceback and does not end: it ");
    }
    dt_hang_describe(&doing, &process, dt_hang_kind_of(&process));
    put_python(&doing, look, worker);
    put_kernel_stack(&stack, pid, FRAMES_MAX);
    rank->pid = (int)pid;
    rank->doing = dt_buf_take(&doing);
    rank->stack = dt_buf_take(&stack);
    clean(rank->doing);
    clean(rank->stack);
}

void dt_look_at(struct dt_hang_rank *rank, struct dt_buf *own, const struct dt_look *look,
                const struct dt_worker *worker, const struct dt_progress *progress)
{
    double now = dt_now();
    *rank = (struct dt_hang_rank){.rank = worker->rank,
                                  .node = look->node,
                                  .pid = (int)worker->pid,
                                  .age_s = now - worker->started,
                                  .quiet_s = now - progress->moved,
                                  .node_name = strdup(look->node_name)};
    if (worker->running) {
        look_at_running(rank, own, look, worker, progress);
        return;
    }
    rank->kind = DT_HANG_ENDED;
    if (asprintf(&rank->doing, "has ended with code %d", dt_status_code(worker->status)) < 0)
        rank->doing = NULL;
}

/* ---- all there is ------------------------------------------------------------------------------ */

static void put_thread(struct dt_buf *text, pid_t pid, int thread)
{
    char name[64], path[64];
    struct dt_hang_process process;
    struct texts texts;
    snprintf(path, sizeof path, "task/%d/comm", thread);
    if (!dt_procfs_read(name, sizeof name, pid, path))
        return;
    name[strcspn(name, "\n")] = '\0';
    read_process(&process, &texts, thread, 0);
    dt_buf_printf(text, "  thread %d (%s, state %c) ", thread, name, process.state);
    dt_hang_describe(text, &process, dt_hang_kind_of(&process));
    dt_buf_puts(text, "\n    ");
    size_t before = text->len;
    put_kernel_stack(text, thread, 64);
    if (text->len == before)
        dt_buf_puts(text, "kernel stack: not permitted, or none\n");
}

void dt_look_dump(struct dt_buf *text, const struct dt_look *look, const struct dt_worker *worker)
{
    char path[64];
    pid_t pid = worker->running ? dt_progress_acting(worker->pid) : 0;
    dt_buf_printf(text, "rank %d on %s, pid %d\n", worker->rank, look->node_name, (int)pid);
    if (!pid) {
        dt_buf_printf(text, "  has ended with code %d\n", dt_status_code(worker->status));
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
        if (isdigit((unsigned char)entry->d_name[0]))
            put_thread(text, pid, atoi(entry->d_name));
    }
    if (threads)
        closedir(threads);
    dt_stacks_read(look->hook, worker, text);
    dt_buf_puts(text, "\n");
}
