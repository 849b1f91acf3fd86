/* SPDX-License-Identifier: Apache-2.0 */
/* A crowd of nodes for one dt-gather, from several processes: each node connects, says hello,
 * reports as dt-node does and waits for the verdict. Prints one line of "name=value" numbers, and
 * what dt-gather is held to beside its limits. Exit status 1: something went wrong, or a report was
 * lost. For bench/launch, bench/validate and tests/cli/gather.bats.
 *
 *   crowd [--nodes N] [--processes P] [--file FILE] [--odd K] [--sick K] [--late SECONDS]
 *         [--storm] [--together] REPORT DT-GATHER */
#include "crowd.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What dt-gather is held to with 10,000 nodes. */
#define LIMIT_VERDICT_S 3.0
#define LIMIT_MEMORY_MB 200.0
#define LIMIT_WIRE_KB   4.0

enum { PROCESSES_MAX = 64 };

/* Connections on their way, all together. The loopback device holds 1000 packets a processor and drops
 * the rest without a word (net.core.netdev_max_backlog): a storm there would measure TCP's retries,
 * of 1 s and more, and not dt-gather. */
enum { ON_THEIR_WAY = 512 };

struct stage {
    struct crowd crowd;
    const char *gather, *file;
    int processes;
    bool storm;
    pid_t gather_pid;
    int to_gather; /* its standard input: srun is there as long as it is open */
    int ready_fd, go_fd[CROWD_MEETINGS]; /* the other ends of the crowd's */
    struct crowd_tally *tallies;
    pid_t *pids;
};

static void start_gather(struct stage *stage)
{
    struct crowd *crowd = &stage->crowd;
    int in[2], out[2];
    char count[16], line[1024] = "";
    if (pipe(in) < 0 || pipe(out) < 0)
        crowd_die("pipe", strerror(errno));
    snprintf(count, sizeof count, "%d", crowd->nodes);
    stage->gather_pid = fork();
    if (stage->gather_pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execl(stage->gather, "dt-gather", "--nodes", count, "--job", "7.0", "--timeout", "50",
              stage->file ? "--report" : (char *)NULL, stage->file, (char *)NULL);
        crowd_die(stage->gather, strerror(errno));
    }
    close(in[0]);
    close(out[1]);
    stage->to_gather = in[1];
    size_t len = 0;
    ssize_t n;
    while (len + 1 < sizeof line && !strchr(line, '\n') &&
           (n = read(out[0], line + len, sizeof line - 1 - len)) > 0)
        len += (size_t)n;
    close(out[0]);
    struct dt_error err;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "rendezvous ", 11) != 0 ||
        dt_rendezvous_parse(&crowd->address, line + 11, &err) < 0)
        crowd_die("dt-gather", line);
}

static void start_processes(struct stage *stage)
{
    struct crowd *crowd = &stage->crowd;
    int ready[2], go[CROWD_MEETINGS][2];
    stage->tallies = mmap(NULL, PROCESSES_MAX * sizeof *stage->tallies, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stage->pids = calloc(PROCESSES_MAX, sizeof *stage->pids);
    if (stage->tallies == MAP_FAILED || !stage->pids || pipe(ready) < 0 ||
        pipe(go[CROWD_READY]) < 0 || pipe(go[CROWD_WELCOMED]) < 0)
        crowd_die("start", strerror(errno));
    crowd->ready_fd = ready[1];
    for (int i = 0; i < CROWD_MEETINGS; i++) {
        crowd->go_fd[i] = go[i][0];
        stage->go_fd[i] = go[i][1];
    }
    for (int p = 0; p < stage->processes; p++) {
        int first = (int)((long)crowd->nodes * p / stage->processes);
        int next = (int)((long)crowd->nodes * (p + 1) / stage->processes);
        stage->pids[p] = fork();
        if (stage->pids[p] < 0)
            crowd_die("fork", strerror(errno));
        if (stage->pids[p] > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(stage->to_gather);
        crowd_nodes(crowd, first, next - first, &stage->tallies[p]);
        exit(0);
    }
    stage->ready_fd = ready[0];
}

/* A process that fails has said why: the others, and dt-gather, need not wait for it. */
static void end_of(struct stage *stage, pid_t pid, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    for (int p = 0; p < stage->processes; p++) {
        if (stage->pids[p] != pid)
            kill(stage->pids[p], SIGKILL);
    }
    crowd_die("a process of the crowd", "failed");
}

/* All processes wait for each other: let them go on. */
static void let_go(struct stage *stage, enum crowd_meeting meeting)
{
    char bytes[PROCESSES_MAX];
    for (int there = 0; there < stage->processes;) {
        struct pollfd wait = {.fd = stage->ready_fd, .events = POLLIN};
        if (poll(&wait, 1, 100) > 0) {
            ssize_t n = read(stage->ready_fd, bytes, sizeof bytes);
            there += n > 0 ? (int)n : 0;
            continue;
        }
        for (int p = 0, status; p < stage->processes; p++) {
            if (waitpid(stage->pids[p], &status, WNOHANG) == stage->pids[p])
                end_of(stage, stage->pids[p], status);
        }
    }
    memset(bytes, 0, sizeof bytes);
    if (write(stage->go_fd[meeting], bytes, (size_t)stage->processes) != stage->processes)
        crowd_die("the crowd", "can not be let go");
}

static void wait_for_processes(struct stage *stage)
{
    for (int p = 0, status; p < stage->processes; p++) {
        if (waitpid(stage->pids[p], &status, 0) == stage->pids[p])
            end_of(stage, stage->pids[p], status);
    }
}

static double earlier(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static double later(double a, double b)
{
    return a > b ? a : b;
}

static struct crowd_tally sum_up(const struct stage *stage)
{
    struct crowd_tally all = {0};
    for (int p = 0; p < stage->processes; p++) {
        const struct crowd_tally *one = &stage->tallies[p];
        all.started = earlier(all.started, one->started);
        all.first_report = earlier(all.first_report, one->first_report);
        all.last_report = later(all.last_report, one->last_report);
        all.first_verdict = earlier(all.first_verdict, one->first_verdict);
        all.last_verdict = later(all.last_verdict, one->last_verdict);
        all.answered += one->answered;
        all.go += one->go;
        all.tried_again += one->tried_again;
        all.lost = one->lost > all.lost ? one->lost : all.lost;
        all.report_bytes += one->report_bytes;
        all.wire_bytes += one->wire_bytes;
    }
    return all;
}

static void print_limit(const char *what, double value, double limit, const char *unit)
{
    printf("%-36s %8.2f %s  limit %5.0f %s  %.2f of it\n", what, value, unit, limit, unit,
           value / limit);
}

/* Exit status. */
static int print(const struct stage *stage)
{
    const struct crowd_tally all = sum_up(stage);
    struct rusage used;
    int status, nodes = stage->crowd.nodes;
    wait4(stage->gather_pid, &status, 0, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
    double from_first_ms = all.first_verdict - all.first_report;
    double told_ms = all.last_verdict - all.first_report;
    printf("nodes=%d processes=%d go=%d lost=%d tried_again=%d code=%d report_bytes=%zu "
           "wire_bytes=%zu "
           "from_last_report_ms=%.1f from_first_report_ms=%.1f all_told_ms=%.1f "
           "cpu_us_a_node=%.0f rss_mib=%.1f\n",
           nodes, stage->processes, all.go, all.lost, all.tried_again,
           WIFEXITED(status) ? WEXITSTATUS(status) : -1, all.report_bytes / (size_t)nodes,
           all.wire_bytes / (size_t)nodes, all.last_verdict - all.last_report, told_ms,
           all.last_verdict - all.started, cpu * 1e3 / nodes, (double)used.ru_maxrss / 1024);
    print_limit("verdict after the first report", from_first_ms / 1e3, LIMIT_VERDICT_S, "s ");
    print_limit("  and told to the last node", told_ms / 1e3, LIMIT_VERDICT_S, "s ");
    print_limit("resident memory of dt-gather", (double)used.ru_maxrss * 1024 / 1e6,
                LIMIT_MEMORY_MB, "MB");
    print_limit("wire, a node, both directions", (double)all.wire_bytes / nodes / 1024,
                LIMIT_WIRE_KB, "KB");
    printf("%-36s %8d     limit     0     of %d\n", "reports lost", all.lost, nodes);
    if (all.lost == 0)
        return 0;
    fprintf(stderr, "crowd: dt-gather lost %d of %d reports\n", all.lost, nodes);
    return 1;
}

enum {
    KEY_NODES = 'n',
    KEY_PROCESSES = 'p',
    KEY_FILE = 'f',
    KEY_ODD = 'o',
    KEY_SICK = 's',
    KEY_TOGETHER = 't',
    KEY_LATE = 'l',
    KEY_STORM = 'S'
};

static int number(const char *arg, int least, int most, const char *name, struct argp_state *state)
{
    char *end;
    long value = strtol(arg, &end, 10);
    if (*end || end == arg || value < least || value > most)
        argp_error(state, "%s '%s' is not %d to %d", name, arg, least, most);
    return (int)value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct stage *stage = state->input;
    switch (key) {
    case KEY_NODES:
        stage->crowd.nodes = number(arg, 1, 65536, "--nodes", state);
        break;
    case KEY_PROCESSES:
        stage->processes = number(arg, 1, PROCESSES_MAX, "--processes", state);
        break;
    case KEY_FILE:
        stage->file = arg;
        stage->crowd.detail = true;
        break;
    case KEY_ODD:
        stage->crowd.odd = number(arg, 0, 65535, "--odd", state);
        break;
    case KEY_SICK:
        stage->crowd.sick = number(arg, 0, 65536, "--sick", state);
        break;
    case KEY_LATE:
        stage->crowd.late_s = number(arg, 0, 40, "--late", state);
        break;
    case KEY_STORM:
        stage->storm = true;
        break;
    case KEY_TOGETHER:
        stage->crowd.together = true;
        break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_usage(state);
        *(state->arg_num ? &stage->gather : &stage->crowd.report) = arg;
        break;
    case ARGP_KEY_END:
        if (state->arg_num != 2)
            argp_usage(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"nodes", KEY_NODES, "N", 0, "How many nodes (10000)", 0},
        {"processes", KEY_PROCESSES, "P", 0, "In how many processes (8)", 0},
        {"file", KEY_FILE, "FILE", 0, "Have dt-gather write its report file", 0},
        {"odd", KEY_ODD, "K", 0, "Node K has another kernel", 0},
        {"sick", KEY_SICK, "K", 0, "K nodes fail a check, each with a value of its own", 0},
        {"late", KEY_LATE, "SECONDS", 0, "The last node reports so late", 0},
        {"storm", KEY_STORM, NULL, 0, "All connect at one moment", 0},
        {"together", KEY_TOGETHER, NULL, 0, "All report at one moment", 0},
        {NULL, 0, NULL, 0, NULL, 0}};
    static const struct argp argp = {options, parse_option, "REPORT DT-GATHER", NULL, NULL,
                                     NULL,    NULL};
    struct stage stage = {.crowd = {.nodes = 10000, .odd = -1}, .processes = 8};
    struct rlimit files;
    argp_parse(&argp, argc, argv, 0, NULL, &stage);
    if (stage.processes > stage.crowd.nodes)
        stage.processes = stage.crowd.nodes;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    stage.crowd.at_a_time = stage.storm ? stage.crowd.nodes : ON_THEIR_WAY / stage.processes;
    start_gather(&stage);
    start_processes(&stage);
    let_go(&stage, CROWD_READY);
    if (stage.crowd.together)
        let_go(&stage, CROWD_WELCOMED);
    wait_for_processes(&stage);
    int code = print(&stage);
    close(stage.to_gather);
    free(stage.pids);
    dt_rendezvous_fini(&stage.crowd.address);
    return code;
}
