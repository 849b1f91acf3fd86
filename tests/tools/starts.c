/* SPDX-License-Identifier: Apache-2.0 */
/* How many processes does a command start? Runs it under ptrace, follows all that it makes, and
 * writes "programs=N processes=N threads=N" into FILE: programs executed, and processes, the
 * command itself included in both, and threads beside those. The command's exit status is handed on.
 * For bench/validate and tests/cli/validate.bats.
 *
 *   starts FILE COMMAND [ARGUMENT...] */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct counts {
    int programs, processes, threads;
};

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "starts: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* The command's process, already followed. */
static pid_t start(char **command)
{
    long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    int gate[2];
    char byte = 0;
    if (pipe2(gate, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        if (read(gate[0], &byte, 1) == 1)
            execvp(command[0], command);
        die(command[0]);
    }
    if (ptrace(PTRACE_SEIZE, pid, NULL, options) < 0)
        die("ptrace");
    if (write(gate[1], &byte, 1) != 1)
        die("pipe");
    close(gate[0]);
    close(gate[1]);
    return pid;
}

/* A clone of any kind: a thread has another process's number as its group's. */
static bool is_thread(pid_t id)
{
    char path[64], line[256];
    int group = (int)id;
    snprintf(path, sizeof path, "/proc/%d/status", (int)id);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status)) {
        if (sscanf(line, "Tgid: %d", &group) == 1)
            break;
    }
    if (status)
        fclose(status);
    return group != (int)id;
}

static void count_new(struct counts *counts, pid_t maker)
{
    unsigned long id = 0;
    if (ptrace(PTRACE_GETEVENTMSG, maker, NULL, &id) < 0)
        return;
    bool thread = is_thread((pid_t)id);
    counts->threads += thread;
    counts->processes += !thread;
}

static void take_stop(struct counts *counts, pid_t pid, int status)
{
    int signal = WSTOPSIG(status);
    switch (status >> 16) {
    case PTRACE_EVENT_EXEC:
        counts->programs++;
        break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        count_new(counts, pid);
        break;
    case PTRACE_EVENT_STOP: /* new, or stopped by job control: then it stays so */
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
            ptrace(PTRACE_LISTEN, pid, NULL, NULL);
            return;
        }
        break;
    default:
        ptrace(PTRACE_CONT, pid, NULL, (long)signal);
        return;
    }
    ptrace(PTRACE_CONT, pid, NULL, NULL);
}

/* Exit status of the command. */
static int follow(struct counts *counts, pid_t first)
{
    int status, code = 125;
    pid_t pid;
    counts->processes = 1;
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        if (WIFSTOPPED(status))
            take_stop(counts, pid, status);
        else if (pid == first)
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: starts FILE COMMAND [ARGUMENT...]\n");
        return 125;
    }
    FILE *out = fopen(argv[1], "we");
    if (!out)
        die(argv[1]);
    int code = follow(&counts, start(argv + 2));
    fprintf(out, "programs=%d processes=%d threads=%d\n", counts.programs, counts.processes,
            counts.threads);
    if (fclose(out) != 0)
        die(argv[1]);
    return code;
}
