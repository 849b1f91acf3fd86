/* SPDX-License-Identifier: Apache-2.0 */
/* Children with a deadline. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <cmocka.h>

#include "facts/probe.h"

static void hang(int out, void *argument)
{
    (void)argument;
    dt_probe_say(out, "first line\n");
    for (;;)
        pause();
}

/* What it said before it hung is kept. 100 ms are little where the machine is busy, so they grow. */
static void probe_that_hangs_is_heard(void **state)
{
    (void)state;
    char *said = NULL;
    for (long long timeout = 100; timeout <= 6400 && !(said && *said); timeout *= 2) {
        struct dt_probe probe;
        struct dt_error err = {0};
        free(said);
        said = NULL;
        assert_int_equal(dt_probe_start(&probe, hang, NULL, -1, timeout, &err), 0);
        assert_int_equal(dt_probe_finish(&probe, &said, &err), -1);
        assert_true(probe.timed_out);
    }
    assert_string_equal(said, "first line\n");
    free(said);
}

static void crash(int out, void *argument)
{
    (void)out;
    (void)argument;
    raise(SIGKILL);
}

static void flood(int out, void *argument)
{
    (void)argument;
    for (;;)
        dt_probe_say(out, "more and more ");
}

static void give_up(int out, void *argument)
{
    (void)out;
    (void)argument;
    _exit(7);
}

static void probe_ends(void **state)
{
    static const struct {
        void (*run)(int, void *);
        const char *reason;
        bool timed_out;
    } rows[] = {{hang, "did not answer in 100 ms", true},
                {crash, "crashed with signal 9", false},
                {flood, "answered with more than", false},
                {give_up, "ended with status 7", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_probe probe;
        struct dt_error err = {0};
        char *said = NULL;
        long long timeout = rows[i].timed_out ? 100 : 5000;
        assert_int_equal(dt_probe_start(&probe, rows[i].run, NULL, -1, timeout, &err), 0);
        pid_t pid = probe.pid;
        assert_int_equal(dt_probe_finish(&probe, &said, &err), -1);
        assert_non_null(strstr(err.text, rows[i].reason));
        assert_int_equal(probe.timed_out, rows[i].timed_out);
        for (int k = 0; k < 5000 && kill(pid, 0) == 0; k++) { /* it was killed, and goes */
            waitpid(pid, NULL, WNOHANG);
            usleep(1000);
        }
        assert_int_equal(kill(pid, 0), -1);
        free(said);
    }
}

static void say_much(int out, void *argument)
{
    for (int i = 0; i < 20000; i++) /* more than a pipe holds */
        dt_probe_say(out, argument);
}

static void probe_here(void **state)
{
    struct dt_error err = {0};
    char *said = NULL;
    (void)state;
    assert_int_equal(dt_probe_here(&said, say_much, "0123456789", &err), 0);
    assert_int_equal(strlen(said), 200000);
    assert_memory_equal(said + 199990, "0123456789", 10);
    free(said);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child was made */
}

/* A child that can not be ended must not keep our pipes open: the other end would never see the
 * end. */
static void probe_holds_nothing(void **state)
{
    struct dt_probe probe;
    struct dt_error err = {0};
    int ends[2];
    char byte;
    char *said = NULL;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dt_probe_start(&probe, hang, NULL, -1, 5000, &err), 0);
    /* its first line tells that the child has dropped what it inherited */
    while (read(probe.fd, &byte, 1) != 1)
        usleep(1000);
    close(ends[1]);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* end of file, not EAGAIN */
    kill(probe.pid, SIGKILL);
    assert_int_equal(dt_probe_finish(&probe, &said, &err), -1);
    free(said);
    close(ends[0]);
}

static int sleep_a_second(void *argument)
{
    (void)argument;
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 1}, NULL);
    return 0;
}

/* One that waits for the end of its vfork is as uninterruptible as one that waits for a server. */
static void held(int out, void *argument)
{
    static char stack[65536] __attribute__((aligned(16)));
    (void)out;
    clone(sleep_a_second, stack + sizeof stack, CLONE_VFORK | SIGCHLD, argument);
}

static void a_child_in_the_kernels_hands_says_where(void **state)
{
    struct dt_probe probe;
    struct dt_error err = {{0}};
    char *text = NULL;
    (void)state;
    assert_int_equal(dt_probe_start(&probe, held, NULL, -1, 100, &err), 0);
    assert_int_equal(dt_probe_finish(&probe, &text, &err), -1);
    if (geteuid() == 0)
        assert_non_null(strstr(err.text, "did not answer in 100 ms (the kernel holds it in "));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_in_the_kernels_hands_says_where),
        cmocka_unit_test(probe_ends),
        cmocka_unit_test(probe_here),
        cmocka_unit_test(probe_that_hangs_is_heard),
        cmocka_unit_test(probe_holds_nothing),
    };
    return cmocka_run_group_tests_name("facts_probe", tests, NULL, NULL);
}
