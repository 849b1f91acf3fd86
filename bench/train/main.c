/* SPDX-License-Identifier: Apache-2.0 */
/* dt-train: trains a transformer on text, alone or data-parallel; the built-in workload of dt. */
#include <errno.h>
#include <limits.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "train.h"

/* Asked for between steps instead of caught; blocked first of all, so that one that comes while the
 * program is starting, or before it starts once more, is kept. */
static void hold_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a progress reader that left is no reason to die */
}

/* OpenMP's threads spin for milliseconds at the end of a parallel loop, which makes a step ten
 * times as long where cores are shared. The library reads its settings before main, so the program
 * starts once more with a short spin set; it costs a millisecond. What the user has set stays. */
static void calm_openmp(char **argv)
{
    const char *threads = getenv("OMP_NUM_THREADS");
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") ||
        (threads && strcmp(threads, "1") == 0))
        return;
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0)
        execv("/proc/self/exe", argv); /* comes back only when it can not: then as it is */
}

static int choose_threads(struct dt_comm *comm, int *threads, struct dt_error *err)
{
    const char *text = getenv("OMP_NUM_THREADS");
    if (dt_comm_cpu_share(comm, threads, err) < 0)
        return -1;
    if (text && *text) {
        char *end;
        errno = 0;
        long value = strtol(text, &end, 10); /* "4,2": threads of the outer level first */
        if (errno || end == text || (*end && *end != ',') || value < 1 || value > 4096)
            return dt_error_set(err, "OMP_NUM_THREADS=%s: a number from 1 to 4096 is wanted", text);
        *threads = (int)value;
    }
    omp_set_num_threads(*threads);
    return 0;
}

/* --write-tokens: by one rank, and nothing else. */
static int write_tokens(struct dt_comm *comm, const struct dt_options *o, struct dt_error *err)
{
    struct dt_data data = {0};
    int code = DT_EXIT_REPORT, rc = 0;
    if (comm->rank == 0) {
        rc = dt_data_open(&data, o->data, o->data_count,
                          &(struct dt_data_setup){
                              .seq = 1, .vocab = (size_t)o->model.vocab, .tokenizer = o->tokenizer},
                          err);
        if (rc == 0)
            rc = dt_data_write(&data, o->write_tokens, err);
        if (rc == 0)
            printf("%llu tokens in %s\n", (unsigned long long)data.size, o->write_tokens);
        dt_data_close(&data);
    }
    return dt_comm_agree(comm, rc < 0, &code, err) < 0 ? code : 0;
}

static int run(struct dt_comm *comm, const struct dt_options *options, struct dt_error *err)
{
    struct dt_train train;
    int threads, code = DT_EXIT_USAGE;
    if (options->write_tokens)
        return write_tokens(comm, options, err);
    int rc = choose_threads(comm, &threads, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    struct dt_device device;
    if (dt_device_open(&device, options->device, options->bf16, comm, &code, err) == 0) {
        code = dt_train_open(&train, options, &device, threads, err);
        if (code == 0)
            code = dt_train_run(&train, err);
        dt_train_close(&train);
    }
    dt_device_close(&device);
    return code;
}

int main(int argc, char **argv)
{
    struct dt_error err = {""};
    struct dt_options options;
    struct dt_comm comm;
    int code = DT_EXIT_USAGE;
    hold_signals();
    calm_openmp(argv);
    prctl(PR_SET_NAME, program_invocation_short_name); /* which that has made "exe" */
    int rc = dt_options_parse(&options, argc, argv, &err);
    if (rc == 0 || dt_comm_launched()) {
        struct dt_error comm_error = {""};
        if (dt_comm_open(&comm, options.comm, &comm_error) < 0) {
            if (comm_error.text[0])
                fprintf(stderr, "dt-train: %s\n", comm_error.text);
            dt_options_fini(&options);
            return DT_EXIT_USAGE;
        }
        rc = dt_comm_agree(&comm, rc < 0, &code, &err); /* one rank tells it, not all */
    } else {
        dt_comm_single_open(&comm);
    }
    if (rc == 0)
        code = run(&comm, &options, &err);
    if (err.text[0] && (comm.rank == 0 || comm.broken))
        fprintf(stderr, "dt-train: %s\n", err.text);
    dt_options_fini(&options);
    if (comm.broken)
        comm.operations->abort(&comm, code);
    comm.operations->close(&comm);
    return code;
}
