/* SPDX-License-Identifier: Apache-2.0 */
/* Cores: where the kernel puts them, and what gdb says of one. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "evidence.h"
#include "helper.h"
#include "prepare.h"

#define FRAMES "30"

static bool writes_core(int number)
{
    static const int numbers[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i] == number)
            return true;
    }
    return false;
}

static bool read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    bool found = file && fgets(text, (int)size, file);
    if (file)
        fclose(file);
    text[found ? strcspn(text, "\n") : 0] = '\0';
    return found;
}

/* A character that a glob would take for its own. */
static void put_literal(struct dt_buf *files, const char *text)
{
    for (; *text; text++)
        dt_buf_printf(files, strchr("*?[\\", *text) ? "\\%c" : "%c", *text);
}

static void put_name(struct dt_buf *files, char kind, int pid, int number, const char *comm)
{
    char host[256] = "";
    switch (kind) {
    case 'p':
    case 'P':
    case 'i':
    case 'I':
        dt_buf_printf(files, "%d", pid);
        break;
    case 's':
        dt_buf_printf(files, "%d", number);
        break;
    case 'u':
        dt_buf_printf(files, "%d", (int)getuid());
        break;
    case 'g':
        dt_buf_printf(files, "%d", (int)getgid());
        break;
    case 'h':
        gethostname(host, sizeof host - 1);
        put_literal(files, host);
        break;
    case 'e':
    case 'f':
        if (comm)
            put_literal(files, comm);
        else
            dt_buf_puts(files, "*");
        break;
    case '%':
        dt_buf_puts(files, "%");
        break;
    default: /* time, path and what later kernels may have */
        dt_buf_puts(files, "*");
    }
}

void dt_core_pattern(struct dt_buf *files, const char *pattern, bool uses_pid, int pid, int number,
                     const char *comm)
{
    bool has_pid = false;
    if (pattern[0] == '|')
        return;
    for (const char *at = pattern; *at; at++) {
        if (*at != '%') {
            const char one[] = {*at, '\0'};
            put_literal(files, one);
        } else if (at[1]) {
            at++;
            has_pid = has_pid || *at == 'p' || *at == 'P';
            put_name(files, *at, pid, number, comm);
        }
    }
    if (uses_pid && !has_pid)
        dt_buf_printf(files, ".%d", pid);
}

/* The newest file of the pattern that is not older than the process; NULL: none. Caller frees. */
static char *find_core(const struct dt_worker *worker, const char *pattern)
{
    struct dt_buf files = DT_BUF_INIT;
    char uses_pid[8] = "", *found = NULL;
    glob_t matches;
    time_t newest = 0;
    read_line("/proc/sys/kernel/core_uses_pid", uses_pid, sizeof uses_pid);
    dt_core_pattern(&files, pattern, uses_pid[0] == '1', (int)worker->pid, WTERMSIG(worker->status),
                    NULL);
    if (files.data && *files.data && !files.failed &&
        glob(files.data, GLOB_NOSORT, NULL, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc; i++) {
            struct stat st;
            double age = dt_now() - worker->started;
            if (stat(matches.gl_pathv[i], &st) || !S_ISREG(st.st_mode) || st.st_mtime < newest ||
                (double)(time(NULL) - st.st_mtime) > age + 1)
                continue;
            newest = st.st_mtime;
            free(found);
            found = strdup(matches.gl_pathv[i]);
        }
        globfree(&matches);
    }
    dt_buf_fini(&files);
    return found;
}

/* The limit that the ranks had. */
static rlim_t core_limit(const struct dt_extras *extras)
{
    struct rlimit have = {0, 0};
    getrlimit(RLIMIT_CORE, &have);
    rlim_t limit = have.rlim_cur;
    for (int i = 0; i < extras->ulimit_count; i++) {
        if (extras->ulimits[i].resource == RLIMIT_CORE)
            limit = extras->ulimits[i].hard ? have.rlim_max : extras->ulimits[i].value;
    }
    return limit;
}

void dt_core_put(struct dt_buf *text, const struct dt_worker *worker,
                 const struct dt_extras *extras)
{
    char pattern[512];
    if (!WIFSIGNALED(worker->status) || !writes_core(WTERMSIG(worker->status)))
        return;
    if (!read_line("/proc/sys/kernel/core_pattern", pattern, sizeof pattern))
        return;
    if (pattern[0] == '|') {
        dt_buf_printf(text, ": its core went to %.*s", (int)strcspn(pattern + 1, " "), pattern + 1);
        if (strstr(pattern, "systemd-coredump"))
            dt_buf_printf(text, " (coredumpctl debug %d)", (int)worker->pid);
        return;
    }
    char *core = WCOREDUMP(worker->status) ? find_core(worker, pattern) : NULL;
    if (core)
        dt_buf_printf(text, ": its core is %s", core);
    else if (core_limit(extras) == 0)
        dt_buf_puts(text, ": no core was written as ulimit -c is 0 (--ulimit core=unlimited)");
    else
        dt_buf_printf(text, ": no core is found by the kernel's pattern %.100s", pattern);
    free(core);
}

void dt_core_backtrace(const struct dt_worker *worker, const char *program)
{
    char pattern[512], *gdb = NULL;
    char *core = NULL;
    struct dt_buf answer = DT_BUF_INIT;
    struct dt_error err;
    int unused;
    if (!WIFSIGNALED(worker->status) || !WCOREDUMP(worker->status) ||
        !read_line("/proc/sys/kernel/core_pattern", pattern, sizeof pattern) ||
        !(core = find_core(worker, pattern)) || dt_program_find("gdb", &gdb, &unused, &err)) {
        free(core);
        return;
    }
    char *argv[] = {(char *)"gdb",        (char *)"-batch", (char *)"-nx", (char *)"-ex",
                    (char *)"bt " FRAMES, (char *)program,  core,          NULL};
    struct dt_helper helper = {.path = gdb, .argv = argv, .env = environ, .last_good = 255};
    if (dt_helper_run(&helper, &answer, &err) == 0 && answer.data && strstr(answer.data, "#0")) {
        const char *at = strstr(answer.data, "#0");
        dprintf(STDERR_FILENO, "dt-launch: backtrace of rank %d, from %s:\n", worker->rank, core);
        while (*at) {
            size_t len = strcspn(at, "\n");
            dprintf(STDERR_FILENO, "  | %.*s\n", (int)(len < 200 ? len : 200), at);
            at += len + (at[len] == '\n');
        }
    }
    dt_buf_fini(&answer);
    free(core);
    free(gdb);
}
