/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank does by /proc's texts, and which rank is the odd one out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "hang/hang.h"

/* ---- texts of /proc ------------------------------------------------------------------------ */

static void stat_is_read(void **state)
{
    struct dt_proc_stat stat;
    (void)state;
    assert_true(
        dt_proc_stat_parse(&stat, "42 (a) R 1) D 7 8 9 0 -1 4194304 100 5 3 0 20 22 0 0 20"));
    assert_int_equal(stat.state, 'D');
    assert_int_equal(stat.parent, 7);
    assert_int_equal(stat.group, 8);
    assert_int_equal(stat.faults, 103);
    assert_int_equal(stat.ticks, 42);
    assert_false(dt_proc_stat_parse(&stat, "42 (cut) S 7 8"));
    assert_false(dt_proc_stat_parse(&stat, ""));
}

static void syscall_is_read(void **state)
{
    struct dt_proc_syscall call;
    char text[128];
    (void)state;
    snprintf(text, sizeof text, "%d 0x5 0x7f00 0x10 0x0 0x0 0x0 0x7ffd 0x7f4a\n", SYS_read);
    assert_true(dt_proc_syscall_parse(&call, text));
    assert_string_equal(dt_syscall_name(call.number), "read");
    assert_true(dt_syscall_takes_fd(call.number));
    assert_int_equal(call.args[0], 5);
    assert_int_equal(call.args[2], 16);
    assert_true(dt_proc_syscall_parse(&call, "running\n"));
    assert_int_equal(call.number, -1);
    assert_true(dt_proc_syscall_parse(&call, "-1 0x7ffd 0x7f4a\n"));
    assert_int_equal(call.number, -1);
    assert_false(dt_proc_syscall_parse(&call, "no"));
    assert_null(dt_syscall_name(100000));
    assert_false(dt_syscall_takes_fd(SYS_futex));
    assert_int_equal(dt_syscall_path(SYS_openat), 1);
    assert_int_equal(dt_syscall_path(SYS_statfs), 0);
    assert_int_equal(dt_syscall_path(SYS_futex), -1);
}

static void io_is_read(void **state)
{
    unsigned long long in, out;
    (void)state;
    assert_true(dt_proc_io_parse(&in, &out, "rchar: 12\nwchar: 34\nsyscr: 5\n"));
    assert_int_equal(in, 12);
    assert_int_equal(out, 34);
    assert_false(dt_proc_io_parse(&in, &out, "rchar: 12\n"));
}

static void mounts_are_found(void **state)
{
    static const char mounts[] = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
                                 "90 22 0:52 / /fsx rw - lustre fs@tcp:/fsx rw\n"
                                 "91 22 0:53 / /my\\040disk rw,nosuid master:3 - nfs4 host:/x rw\n"
                                 "cut 22 0:53\n";
    static const struct {
        const char *path, *type, *point;
    } cases[] = {{"/fsx/data/x", "lustre", "/fsx"},
                 {"/fsx", "lustre", "/fsx"},
                 {"/fsxy", "ext4", "/"},
                 {"/my disk/a", "nfs4", "/my disk"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_buf type = DT_BUF_INIT, point = DT_BUF_INIT;
        assert_true(dt_mount_of(mounts, cases[i].path, &type, &point));
        assert_string_equal(type.data, cases[i].type);
        assert_string_equal(point.data, cases[i].point);
        dt_buf_fini(&type);
        dt_buf_fini(&point);
    }
}

static void python_place_is_the_main_threads_own(void **state)
{
    static const char dump[] = "Thread 0x00007f01 (most recent call first):\n"
                               "  File \"/usr/lib/python3.11/threading.py\", line 1 in wait\n\n"
                               "Current thread 0x00007f02 (most recent call first):\n"
                               "  File \"/usr/lib/python3.11/socket.py\", line 706 in readinto\n"
                               "  File \"/home/u/train.py\", line 88 in step\n"
                               "  File \"/home/u/train.py\", line 99 in <module>\n";
    struct dt_buf place = DT_BUF_INIT;
    (void)state;
    assert_true(dt_python_place(dump, &place));
    assert_string_equal(place.data, "train.py:88 in step");
    assert_true(dt_python_place("  File \"/usr/lib/python3.11/socket.py\", line 7 in x\n", &place));
    assert_string_equal(place.data, "socket.py:7 in x");
    assert_false(dt_python_place("Fatal Python error\n  File \"cut", &place));
    dt_buf_fini(&place);
}

static void steps_are_found_in_lines(void **state)
{
    static const struct {
        const char *line;
        long long step;
    } cases[] = {{"step 12 loss 3.4", 12}, {"[Step 7/100] loss", 7},
                 {"steps: 9", 9},          {"iter=31, lr", 31},
                 {"iteration  4/ 10", 4},  {"Iteration [5]", 5},
                 {"footstep 3", -1},       {"step", -1},
                 {"step by step", -1},     {"first step, step 2", 2},
                 {"epoch 1 step #3", 3},   {"", -1},
                 {"steps took 12 s", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(dt_step_of_line(cases[i].line, strlen(cases[i].line)), cases[i].step);
}

/* ---- one rank ------------------------------------------------------------------------------ */

static void kinds(void **state)
{
    static const struct {
        struct dt_hang_process process;
        enum dt_hang_kind kind;
        const char *words;
    } cases[] = {
        {{'S', 0, "futex_do_wait", true, {SYS_futex, {0}}, ""},
         DT_HANG_WAITS,
         "waits in futex (futex_do_wait)"},
        {{'S', 0, "", true, {SYS_recvfrom, {5}}, "socket:[99]"},
         DT_HANG_WAITS,
         "waits in recvfrom of a socket"},
        {{'S', 0, "hrtimer_nanosleep", true, {SYS_clock_nanosleep, {0}}, ""},
         DT_HANG_SLEEPS,
         "sleeps in clock_nanosleep (hrtimer_nanosleep)"},
        {{'S', 0, "", true, {SYS_pselect6, {0}}, ""}, DT_HANG_SLEEPS, "sleeps in pselect6"},
        {{'S', 0, "", true, {SYS_pselect6, {4}}, ""}, DT_HANG_WAITS, "waits in pselect6"},
        {{'S', 0, "", true, {SYS_write, {4}}, "pipe:[7]"},
         DT_HANG_WRITES_PIPE,
         "is blocked in write of a pipe, as nobody reads"},
        {{'S', 0, "", true, {SYS_read, {4}}, "fifo /tmp/f"},
         DT_HANG_READS_PIPE,
         "waits in read of fifo /tmp/f, for somebody to write"},
        {{'S', 0, "do_wait", true, {SYS_wait4, {0}}, ""},
         DT_HANG_WAITS_CHILD,
         "waits for a process that it has started in wait4 (do_wait)"},
        {{'R', 1, "", true, {-1, {0}}, ""}, DT_HANG_RUNS, "computes and says nothing"},
        {{'T', 0, "", true, {SYS_read, {0}}, ""},
         DT_HANG_STOPPED,
         "is stopped (state T, SIGSTOP or SIGTSTP)"},
        {{'t', 0, "", false, {0}, ""}, DT_HANG_STOPPED, "is held by a debugger (state t)"},
        {{'D', 0, "", true, {SYS_read, {3}}, "/fsx/d, on lustre (/fsx)"},
         DT_HANG_DISK,
         "is stuck in read of /fsx/d, on lustre (/fsx) in state D: a disk or file system does not "
         "answer"},
        /* the system call may not be read */
        {{'S', 0, "pipe_write", false, {0}, ""},
         DT_HANG_WRITES_PIPE,
         "is blocked (pipe_write), as nobody reads"},
        {{'S', 0, "ep_poll", false, {0}, ""}, DT_HANG_WAITS, "waits (ep_poll)"},
        {{'S', 0, "", false, {0}, ""}, DT_HANG_OTHER, "is"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_buf text = DT_BUF_INIT;
        assert_int_equal(dt_hang_kind_of(&cases[i].process), cases[i].kind);
        dt_hang_describe(&text, &cases[i].process, cases[i].kind);
        assert_string_equal(text.data, cases[i].words);
        dt_buf_fini(&text);
    }
}

/* ---- all ranks ----------------------------------------------------------------------------- */

struct brief {
    enum dt_hang_kind kind;
    const char *doing, *key;
    bool apart;
};

static struct dt_hang_rank *make(const struct brief *briefs, size_t count)
{
    struct dt_hang_rank *ranks = calloc(count, sizeof *ranks);
    for (size_t i = 0; i < count; i++) {
        ranks[i] = (struct dt_hang_rank){.rank = (int)i,
                                         .pid = 100 + (int)i,
                                         .kind = briefs[i].kind,
                                         .connected = !briefs[i].apart};
        ranks[i].node_name = strdup("n1");
        ranks[i].doing = strdup(briefs[i].doing);
        ranks[i].key = briefs[i].key ? strdup(briefs[i].key) : NULL;
    }
    return ranks;
}

/* `odd`: a letter for each rank, 'o' for odd. */
static void expect(const struct brief *briefs, const char *odd, const char *words)
{
    size_t count = strlen(odd);
    struct dt_hang_rank *ranks = make(briefs, count);
    struct dt_buf text = DT_BUF_INIT;
    dt_hang_judge(ranks, count);
    dt_hang_report(&text, ranks, count, 600);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ranks[i].odd, odd[i] == 'o');
    if (!strstr(text.data, words))
        fail_msg("\"%s\" is not in: %s", words, text.data);
    for (size_t i = 0; i < count; i++)
        dt_hang_rank_fini(&ranks[i]);
    free(ranks);
    dt_buf_fini(&text);
}

#define WAIT(key)                                                                                  \
    {                                                                                              \
        DT_HANG_WAITS, "waits in recvfrom", key, false                                             \
    }
#define SLEEP                                                                                      \
    {                                                                                              \
        DT_HANG_SLEEPS, "sleeps", NULL, false                                                      \
    }
#define SPIN                                                                                       \
    {                                                                                              \
        DT_HANG_RUNS, "computes and says nothing", NULL, false                                     \
    }

static void the_odd_one_is_found(void **state)
{
    (void)state;
    expect((struct brief[]){WAIT("a"), WAIT("a"), SLEEP, WAIT("a")}, "--o-",
           "rank 2 on n1 is the odd one out");
    expect((struct brief[]){WAIT("a"), WAIT("a"), WAIT("b"), WAIT("a")}, "--o-",
           "for the key \"b\" of the store");
    /* of two, the one that does not wait as peers do */
    expect((struct brief[]){WAIT("a"), SLEEP}, "-o", "rank 1 on n1 is the odd one out");
    /* ranks that wait by spinning, and one that does not */
    expect((struct brief[]){SPIN, SPIN, WAIT(NULL), SPIN}, "--o-", "rank 2 on n1");
    expect((struct brief[]){SPIN, SPIN, SPIN, {DT_HANG_STOPPED, "is stopped", NULL, false}}, "---o",
           "is stopped");
    /* another line of Python */
    expect((struct brief[]){{DT_HANG_WAITS, "waits, at a", NULL, false},
                            {DT_HANG_WAITS, "waits, at b", NULL, false},
                            {DT_HANG_WAITS, "waits, at a", NULL, false}},
           "-o-", "waits, at b");
    /* not in the store yet, where the others are */
    expect((struct brief[]){WAIT("a"), WAIT("a"), {DT_HANG_OTHER, "is in openat", NULL, true}},
           "--o", "has not connected to the store");
    /* keys of each rank's own say nothing */
    expect((struct brief[]){WAIT("r0"), WAIT("r1"), WAIT("r2"), WAIT("r3"), SLEEP}, "----o",
           "rank 4 on n1");
    /* one suspect among several that differ */
    expect((struct brief[]){WAIT("a"), WAIT("a"), WAIT("a"), WAIT("b"), SLEEP}, "----o",
           "ranks 0-2 (3) each");
    /* one that has ended, though the others go on */
    expect((struct brief[]){WAIT("a"),
                            {DT_HANG_ENDED, "has ended with code 0", NULL, true},
                            WAIT("a")},
           "-o-", "has ended with code 0");
}

static void all_alike(void **state)
{
    (void)state;
    expect((struct brief[]){WAIT("a"), WAIT("a"), WAIT("a")}, "---", "suspect the network");
    expect((struct brief[]){{DT_HANG_DISK, "is stuck", NULL, false},
                            {DT_HANG_DISK, "is stuck", NULL, false},
                            {DT_HANG_DISK, "is stuck", NULL, false}},
           "---", "all do the same\n");
    expect((struct brief[]){SLEEP}, "o", "in any of 1 ranks\n");
}

static void many_ranks(void **state)
{
    enum { COUNT = 10000 };
    struct brief *briefs = calloc(COUNT, sizeof *briefs);
    char *odd = malloc(COUNT + 1);
    (void)state;
    for (int i = 0; i < COUNT; i++)
        briefs[i] = (struct brief){DT_HANG_WAITS, "waits in futex", "k", false};
    briefs[4711] = (struct brief){DT_HANG_SLEEPS, "sleeps", NULL, false};
    memset(odd, '-', COUNT);
    odd[COUNT] = '\0';
    odd[4711] = 'o';
    expect(briefs, odd, "rank 4711 on n1 is the odd one out");
    free(briefs);
    free(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_is_read),
        cmocka_unit_test(syscall_is_read),
        cmocka_unit_test(io_is_read),
        cmocka_unit_test(mounts_are_found),
        cmocka_unit_test(python_place_is_the_main_threads_own),
        cmocka_unit_test(steps_are_found_in_lines),
        cmocka_unit_test(kinds),
        cmocka_unit_test(the_odd_one_is_found),
        cmocka_unit_test(all_alike),
        cmocka_unit_test(many_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
