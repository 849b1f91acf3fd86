/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people and for programs; see report.h. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "version.h"

static int open_progress(int *fd, struct dt_error *err)
{
    const char *text = getenv("DT_PROGRESS_FD");
    *fd = -1;
    if (!text || !*text)
        return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || value < 0 || value > 1 << 20 || fcntl((int)value, F_GETFD) < 0)
        return dt_error_set(err, "DT_PROGRESS_FD=%s is not the number of an open descriptor", text);
    *fd = (int)value;
    return 0;
}

/* About twenty lines, at round numbers of steps. */
static long choose_cadence(long steps)
{
    for (long ten = 1;; ten *= 10)
        for (long unit = 1; unit <= 5; unit = unit == 1 ? 2 : unit == 2 ? 5 : 10)
            if (steps / (ten * unit) <= 20)
                return ten * unit;
}

int dt_report_open(struct dt_report *report, const struct dt_options *options, int rank, int ranks,
                   struct dt_error *err)
{
    const struct dt_model_config *model = &options->model;
    *report = (struct dt_report){.steps = options->steps, .progress_fd = -1};
    report->print_every =
        options->print_every ? options->print_every : choose_cadence(options->steps);
    report->tokens_per_step = (double)options->global_batch * model->seq;
    report->flops_per_step = dt_model_flops(model, report->tokens_per_step) / ranks;
    if (open_progress(&report->progress_fd, err) < 0)
        return -1;
    if (rank != 0)
        return 0;
    report->out = stdout;
    if (!options->log)
        return 0;
    report->log = fopen(options->log, "ae");
    if (!report->log)
        return dt_error_set(err, "log %s can not be opened for appending: %s", options->log,
                            strerror(errno));
    return 0;
}

static const char *plural(long count)
{
    return count == 1 ? "" : "s";
}

/* ", pp 2 in 2 chunks, 4 micro-batches (bubble 11%)" */
static void print_stages(FILE *out, const struct dt_report_setup *setup)
{
    int pp = setup->mesh->pp, chunks = setup->mesh->chunks > 1 ? setup->mesh->chunks : 1;
    fprintf(out, ", pp %d", pp);
    if (chunks > 1)
        fprintf(out, " in %d chunks", chunks);
    fprintf(out, ", %d micro-batch%s (bubble %.0f%%)", setup->micros,
            setup->micros == 1 ? "" : "es",
            100.0 * (pp - 1) / (double)(chunks * setup->micros + pp - 1));
}

/* "2 copies of the model, tp 2, in 4 shards each (zero 3)" */
static void print_mesh(FILE *out, const struct dt_report_setup *setup)
{
    const struct dt_mesh_sizes *m = setup->mesh;
    fprintf(out, "%d %s of the model", m->dp, m->dp == 1 ? "copy" : "copies");
    if (m->tp > 1)
        fprintf(out, ", tp %d%s", m->tp, m->sp ? " with sp" : "");
    if (m->pp > 1)
        print_stages(out, setup);
    if (m->cp > 1)
        fprintf(out, ", cp %d", m->cp);
    if (m->ep > 1)
        fprintf(out, ", ep %d", m->ep);
    if (setup->zero > 0)
        fprintf(out, " in %d shard%s each (zero %d)", m->fsdp, plural(m->fsdp), setup->zero);
}

void dt_report_header(struct dt_report *report, const struct dt_report_setup *setup)
{
    const struct dt_model_config *m = &setup->options->model;
    report->blas_rate = setup->blas_rate;
    if (!report->out)
        return;
    fprintf(report->out,
            "dt-train %s: %s, %d layer%s x %d channels, %d head%s, context %d, %.2f M parameters, "
            "%s\n",
            DT_VERSION, dt_family_name(m->family), m->layers, plural(m->layers), m->channels,
            m->heads, plural(m->heads), m->seq, (double)setup->params * 1e-6,
            setup->options->bf16 ? "products in bf16, all else in fp32" : DT_REAL_NAME);
    fprintf(report->out,
            "%d rank%s x %d thread%s, %ld sample%s a step; %s, measured %.0f GFLOP/s\n",
            setup->ranks, plural(setup->ranks), setup->threads, plural(setup->threads),
            setup->options->global_batch, plural(setup->options->global_batch), setup->blas_name,
            setup->blas_rate);
    print_mesh(report->out, setup);
    fprintf(
        report->out,
        ", %.1f MiB of parameters, gradients and moments and %.1f MiB of activations a rank; %s\n",
        (double)setup->bytes / (1 << 20), (double)setup->kept_bytes / (1 << 20), setup->manner);
    if (setup->why_cpu[0])
        fprintf(report->out, "on CPUs: %s\n", setup->why_cpu);
    if (setup->first_step > 0)
        fprintf(report->out, "resumed after step %ld\n", setup->first_step);
    else if (setup->options->resume)
        fprintf(report->out, "%s holds no checkpoint: training begins at step 0\n",
                setup->options->checkpoint);
    fprintf(report->out, "%8s %9s %11s %9s %5s %8s %5s %5s %5s\n", "step", "loss", "tokens/s",
            "ms/step", "MFU", "compute", "comm", "data", "save");
    fflush(report->out);
}

/* Floating-point operations done, as a share of what the library was measured to do; 0: it was not
 * measured. */
static double mfu(const struct dt_report *report, double steps, double seconds)
{
    double gflops = report->flops_per_step * steps / seconds * 1e-9;
    return report->blas_rate > 0 ? gflops / report->blas_rate : 0;
}

static double compute_s(const struct dt_step_numbers *n)
{
    return n->seconds - n->exposed_s - n->data_s - n->checkpoint_s;
}

static void add(struct dt_step_numbers *sum, const struct dt_step_numbers *n)
{
    sum->seconds += n->seconds;
    sum->exposed_s += n->exposed_s;
    sum->data_s += n->data_s;
    sum->checkpoint_s += n->checkpoint_s;
}

static void print_line(struct dt_report *report)
{
    const struct dt_step_numbers *n = &report->since;
    double seconds = n->seconds, steps = (double)report->unprinted, percent = 100 / seconds;
    if (report->out) {
        fprintf(report->out, "%8ld %9.4f %11.0f %9.1f %4.0f%% %7.0f%% %4.0f%% %4.0f%% %4.0f%%\n",
                report->last.step, report->last.loss, report->tokens_per_step * steps / seconds,
                1e3 * seconds / steps, 100 * mfu(report, steps, seconds), percent * compute_s(n),
                percent * n->exposed_s, percent * n->data_s, percent * n->checkpoint_s);
        fflush(report->out);
    }
    report->since = (struct dt_step_numbers){0};
    report->unprinted = 0;
}

/* A log on a full disk is no reason to end a training run, and none to keep quiet. */
static void flush_log(struct dt_report *report)
{
    if (fflush(report->log) == 0 && !ferror(report->log))
        return;
    fprintf(stderr, "dt-train: log can not be written any more: %s; training goes on without it\n",
            strerror(errno));
    dt_report_close(report);
}

static void write_log(struct dt_report *report, const struct dt_step_numbers *n)
{
    fprintf(report->log,
            "{\"step\":%ld,\"loss\":%.9g,\"tokens_per_s\":%.1f,\"mfu\":%.4g,\"ms\":%.3f,"
            "\"compute_ms\":%.3f,\"exposed_ms\":%.3f,\"data_ms\":%.3f,\"checkpoint_ms\":%.3f,"
            "\"lr\":%.6g",
            n->step, n->loss, report->tokens_per_step / n->seconds, mfu(report, 1, n->seconds),
            1e3 * n->seconds, 1e3 * compute_s(n), 1e3 * n->exposed_s, 1e3 * n->data_s,
            1e3 * n->checkpoint_s, n->rate);
    if (n->balance > 0)
        fprintf(report->log, ",\"balance\":%.6g", n->balance);
    if (n->length > 0)
        fprintf(report->log, ",\"grad_norm\":%.6g", n->length);
    fputs("}\n", report->log);
    flush_log(report);
}

void dt_report_step(struct dt_report *report, const struct dt_step_numbers *numbers)
{
    if (report->done++ == 0)
        report->first = *numbers;
    report->last = *numbers;
    add(&report->run, numbers);
    add(&report->since, numbers);
    report->unprinted++;
    if (report->done == 1 || numbers->step % report->print_every == 0 ||
        numbers->step == report->steps)
        print_line(report);
    if (report->log)
        write_log(report, numbers);
    if (report->progress_fd >= 0 &&
        dprintf(report->progress_fd, "step %ld loss %.6f tokens/s %.0f\n", numbers->step,
                numbers->loss, report->tokens_per_step / numbers->seconds) < 0)
        report->progress_fd = -1; /* nobody listens any more */
}

void dt_report_saved(struct dt_report *report, long step, const char *directory, double seconds)
{
    dt_report_say(report, "%8ld saved in %s", step, directory);
    if (report->log) {
        fprintf(report->log, "{\"step\":%ld,\"saved_s\":%.3f}\n", step, seconds);
        flush_log(report);
    }
}

void dt_report_eval(struct dt_report *report, long step, double loss)
{
    dt_report_say(report, "%8ld %9.4f on held-out data", step, loss);
    if (report->log) {
        fprintf(report->log, "{\"step\":%ld,\"eval_loss\":%.9g}\n", step, loss);
        flush_log(report);
    }
}

void dt_report_say(struct dt_report *report, const char *format, ...)
{
    if (!report->out)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(report->out, format, args);
    va_end(args);
    fputc('\n', report->out);
    fflush(report->out);
}

void dt_report_summary(struct dt_report *report)
{
    if (report->done == 0)
        return;
    const struct dt_step_numbers *n = &report->run;
    double steps = (double)report->done, percent = 100 / n->seconds;
    dt_report_say(report, "%ld step%s in %.1f s: loss %.4f -> %.4f, %.0f tokens/s", report->done,
                  plural(report->done), n->seconds, report->first.loss, report->last.loss,
                  report->tokens_per_step * steps / n->seconds);
    dt_report_say(report,
                  "%.1f GFLOP/s a rank (%.0f%% of measured); compute %.0f%%, exposed communication "
                  "%.0f%%, data %.0f%%, checkpoints %.1f%%",
                  report->flops_per_step * steps / n->seconds * 1e-9,
                  100 * mfu(report, steps, n->seconds), percent * compute_s(n),
                  percent * n->exposed_s, percent * n->data_s, percent * n->checkpoint_s);
}

void dt_report_close(struct dt_report *report)
{
    if (report->log)
        fclose(report->log);
    report->log = NULL;
}
