/* SPDX-License-Identifier: Apache-2.0 */
/* The loop over steps: read, train, sum, update, tell; evaluate and save when it is time. */
#include "train.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "adamw.h"
#include "base/exitcode.h"
#include "clock.h"
#include "export.h"
#include "generate.h"
#include "length.h"

/* A signal to a whole job reaches its ranks over some steps: one request, not one a rank. */
#define SAME_REQUEST_S 2.0

double dt_train_rate(const struct dt_options *o, long step)
{
    if (step < o->warmup)
        return o->rate * (double)(step + 1) / (double)o->warmup;
    double span = o->steps > o->warmup ? (double)(o->steps - o->warmup) : 1;
    double done = (double)(step - o->warmup) / span;
    return o->rate * (0.1 + 0.45 * (1 + cos(3.14159265358979323846 * (done > 1 ? 1 : done))));
}

/* What every rank learns of all others at the end of a step, in one sum. */
enum { NEWS_LOSS, NEWS_BALANCE, NEWS_SAVE, NEWS_END, NEWS_UNREADABLE, NEWS_WRITING, NEWS_COUNT };

/* SIGUSR1 and SIGTERM are blocked in every thread, and asked for here. */
static void collect_signals(const struct dt_train *train, double *news)
{
    const struct timespec none = {0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    for (int got; (got = sigtimedwait(&set, NULL, &none)) > 0;)
        if (got == SIGTERM)
            news[NEWS_END] = 1;
        else if (dt_seconds() - train->asked_at > SAME_REQUEST_S)
            news[NEWS_SAVE] = 1;
}

/* Of the sample at `place` in the data, the positions that are this rank's. */
static int read_sample(struct dt_train *train, uint64_t place, size_t row, struct dt_error *err)
{
    const struct dt_model *model = &train->model;
    const int *tokens = train->sample, *targets = train->sample + model->config.seq;
    if (dt_data_read(&train->data, place, train->sample, train->sample + model->config.seq, 0,
                     err) < 0)
        return -1;
    for (size_t i = 0; i < model->time; i++) {
        train->tokens[row * model->time + i] = tokens[model->places[i]];
        train->targets[row * model->time + i] = targets[model->places[i]];
    }
    return 0;
}

/* This rank's share of the step's samples. */
static int read_batch(struct dt_train *train, struct dt_error *err)
{
    uint64_t first = (uint64_t)train->step * (uint64_t)train->options->global_batch +
                     (uint64_t)train->share * train->batch;
    for (size_t i = 0; i < train->batch; i++)
        if (read_sample(train, dt_data_place(&train->data, first + i), i, err) < 0)
            return -1;
    return 0;
}

/* A failure that all ranks know of: whose it was is found out now, since there is time. */
static int judge_news(struct dt_train *train, const double *news, double mine, bool unreadable,
                      int *code, struct dt_error *err)
{
    if (news[NEWS_UNREADABLE] == 0 && isfinite(news[NEWS_LOSS]))
        return 0;
    if (!unreadable && !isfinite(mine))
        dt_error_set(err,
                     "loss is not a number at step %ld; a lower --lr (now %g) or a longer "
                     "--warmup (now %ld) may help",
                     train->step + 1, train->options->rate, train->options->warmup);
    *code = unreadable ? DT_EXIT_CONFIG : 1;
    return dt_comm_agree(train->comm, unreadable || !isfinite(mine), code, err) < 0 ? -1 : 0;
}

/* Has the loss jumped? Whose share of it is the largest is found out when it has. */
static int judge_spike(struct dt_train *train, double loss, double mine, struct dt_error *err)
{
    struct dt_comm *comm = train->comm;
    int code = 1;
    double away = dt_spike_away(&train->spike, loss), largest = mine;
    if (train->options->spike == 0 || away <= train->options->spike) {
        dt_spike_note(&train->spike, loss);
        return 0;
    }
    double *all = calloc((size_t)comm->size, sizeof *all);
    if (!all)
        return dt_comm_break(comm, err, "no memory for the losses of %d ranks", comm->size);
    int rc = comm->operations->allgather(comm, &mine, all, sizeof mine, err);
    for (int i = 0; rc == 0 && i < comm->size; i++)
        largest = all[i] > largest ? all[i] : largest;
    free(all);
    if (rc < 0)
        return -1;
    dt_error_set(err,
                 "loss %.4f at step %ld is %.1f standard deviations above that of the last steps "
                 "(--spike %g), and this rank's own is the highest, %.4f; look at its data and "
                 "node, or go on from the checkpoint before with a lower --lr (now %g)",
                 loss, train->step + 1, away, train->options->spike,
                 mine * train->shares * train->mesh.sizes.cp, train->options->rate);
    return dt_comm_agree(comm, mine >= largest, &code, err);
}

/* Is a checkpoint to be written after this step? *asked: by the user, who wants to know that it is whole; the job's time
 * may be over soon. */
static bool is_saved(const struct dt_options *o, const double *news, long step, bool *asked)
{
    *asked = news[NEWS_END] > 0 || news[NEWS_SAVE] > 0 || step == o->steps;
    return o->checkpoint && (*asked || (o->save_every && step % o->save_every == 0));
}

/* The length of the gradient, where it is wanted; and where a checkpoint follows it must be a number: a loss that is no
 * number comes a step too late for that. */
static int measure_gradient(struct dt_train *train, const double *news, double *length,
                            struct dt_error *err)
{
    const struct dt_options *o = train->options;
    int code = 1;
    bool asked;
    *length = 0;
    if (o->clip <= 0 && !is_saved(o, news, train->step + 1, &asked))
        return 0;
    if (dt_parallel_squares(&train->parallel, length, err) < 0)
        return -1;
    *length = sqrt(*length);
    if (!isfinite(*length))
        dt_error_set(err,
                     "gradient is not a number at step %ld, and the loss is one, %.4f; nothing of "
                     "this step is kept; a lower --lr (now %g) may help, and if it comes back on "
                     "this node, suspect the node",
                     train->step + 1, news[NEWS_LOSS], o->rate);
    return dt_comm_agree(train->comm, !isfinite(*length), &code, err) < 0 ? -1 : 0;
}

/* Forward and backward of this rank's samples. Returns its share of the loss. */
static double learn(struct dt_train *train)
{
    const struct dt_options *o = train->options;
    double scale = 1.0 / ((double)o->global_batch * o->model.seq);
    train->model.moe.loss = 0;
    return scale *
           dt_parallel_learn(&train->parallel, train->tokens, train->targets, train->micro, scale);
}

static int one_step(struct dt_train *train, double *news, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    double begin = dt_seconds(), exposed = 0, length = 0;
    struct dt_error read_error;
    bool unreadable = read_batch(train, &read_error) < 0;
    double read_s = dt_seconds() - begin, loss = learn(train);
    news[NEWS_LOSS] = loss;
    news[NEWS_BALANCE] = train->model.moe.loss / ((double)o->global_batch * o->model.seq);
    news[NEWS_UNREADABLE] = unreadable;
    news[NEWS_WRITING] = dt_saver_busy(&train->saver);
    collect_signals(train, news);
    if (train->comm->operations->sum_start(train->comm, news, NEWS_COUNT, DT_COMM_DOUBLE, err) <
            0 ||
        dt_parallel_finish(&train->parallel, &exposed, err) < 0 ||
        dt_comm_drain(train->comm, err) < 0)
        return -1;
    if (unreadable)
        *err = read_error;
    if (judge_news(train, news, loss, unreadable, code, err) < 0 ||
        judge_spike(train, news[NEWS_LOSS], loss, err) < 0)
        return -1;
    if (measure_gradient(train, news, &length, err) < 0)
        return -1;
    struct dt_adamw adamw = {.rate = dt_train_rate(o, train->step),
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .epsilon = 1e-8,
                             .decay = o->decay,
                             .scale = dt_clip_scale(length, o->clip),
                             .step = train->step + 1};
    if (dt_parallel_update(&train->parallel, &adamw, err) < 0)
        return -1;
    exposed += dt_mesh_spent(&train->mesh); /* and behind the sums of gradients */
    train->step++;
    dt_report_step(&train->report,
                   &(struct dt_step_numbers){.step = train->step,
                                             .loss = news[NEWS_LOSS],
                                             .balance = news[NEWS_BALANCE],
                                             .seconds = dt_seconds() - begin + train->stall_s,
                                             .exposed_s = exposed,
                                             .data_s = read_s,
                                             .checkpoint_s = train->stall_s,
                                             .length = o->clip > 0 ? length : 0,
                                             .rate = adamw.rate});
    train->stall_s = 0;
    return 0;
}

/* The same windows every time, spread over the held-out text and dealt to the shares in turn: to each
 * as many, as the ranks wait for each other inside the model. (A text that has fewer windows than
 * there are shares has some taken twice.) */
static int evaluate(struct dt_train *train, int *code, struct dt_error *err)
{
    uint64_t held = dt_data_held_out(&train->data), shares = (uint64_t)train->shares;
    uint64_t wanted = 4 * (uint64_t)train->options->global_batch;
    uint64_t windows = (held < wanted ? held : wanted) / shares * shares;
    windows = windows > 0 ? windows : shares;
    double sum = 0;
    bool unreadable = false;
    for (uint64_t w = (uint64_t)train->share; w < windows;) {
        size_t batch = 0;
        for (; batch < train->micro && w < windows; batch++, w += shares) {
            uint64_t place = train->data.train + held * w / windows * train->data.seq;
            if (!unreadable)
                unreadable = read_sample(train, place, batch, err) < 0;
        }
        sum += dt_parallel_evaluate(&train->parallel, train->tokens, train->targets, batch);
    }
    if (train->model.failed) {
        *err = train->model.error;
        train->comm->broken = true; /* the others wait */
        return -1;
    }
    *code = unreadable ? DT_EXIT_CONFIG : 1;
    if (dt_comm_agree(train->comm, unreadable, code, err) < 0 ||
        dt_comm_sum(train->comm, &sum, 1, DT_COMM_DOUBLE, err) < 0)
        return -1;
    dt_report_eval(&train->report, train->step, sum / (double)(windows * train->data.seq));
    return 0;
}

/* The trained model, for others: read by public programs, or heard of. Both want it whole, on rank
 * 0. */
static int use_whole(struct dt_train *train,
                     int (*use)(struct dt_train *train, const struct dt_layout *layout,
                                real *params, struct dt_error *err),
                     int *code, struct dt_error *err)
{
    struct dt_layout layout;
    real *whole = NULL;
    if (dt_layout_init(&layout, &train->options->model, NULL, err) < 0)
        return dt_comm_break(train->comm, err, "no memory for the table of tensors");
    int failed = 0, rc = dt_parallel_collect(&train->parallel, &layout, &whole, err);
    if (rc == 0 && train->comm->rank == 0)
        failed = use(train, &layout, whole, err) < 0;
    free(whole);
    dt_layout_fini(&layout);
    *code = DT_EXIT_REPORT;
    return rc < 0 ? -1 : dt_comm_agree(train->comm, failed, code, err);
}

static int export_model(struct dt_train *train, const struct dt_layout *layout, real *params,
                        struct dt_error *err)
{
    const char *directory = train->options->export_to;
    if (dt_export(directory, layout, params, err) < 0)
        return -1;
    dt_report_say(&train->report, "%8ld exported to %s", train->step, directory);
    return 0;
}

static int generate(struct dt_train *train, const struct dt_layout *layout, real *params,
                    struct dt_error *err)
{
    const struct dt_options *o = train->options;
    struct dt_blas blas; /* one row at a time, and one rank: the CPU's */
    if (dt_blas_open(&blas, o->bf16 ? DT_BLAS_BF16 : o->blas, train->threads, err) < 0)
        return -1;
    int rc = dt_generate(stdout, layout, params, &blas,
                         &(struct dt_generate_setup){.prompt = o->prompt,
                                                     .tokens = o->generate,
                                                     .temperature = o->temperature,
                                                     .top = o->top,
                                                     .seed = o->seed,
                                                     .tokenizer = o->tokenizer},
                         err);
    dt_blas_close(&blas);
    return rc;
}

/* What comes after a step's update. *end: the user wants the run to stop here. */
static int after_step(struct dt_train *train, const double *news, bool *end, int *code,
                      struct dt_error *err)
{
    const struct dt_options *o = train->options;
    *end = news[NEWS_END] > 0;
    if (o->eval_every && train->step % o->eval_every == 0 && evaluate(train, code, err) < 0)
        return -1;
    if (*end) {
        dt_report_say(&train->report, "SIGTERM: ending after step %ld%s", train->step,
                      o->checkpoint ? "" : "; nothing is saved without --checkpoint");
    } else if (news[NEWS_SAVE] > 0) {
        train->asked_at = dt_seconds();
        dt_report_say(&train->report, "SIGUSR1: %s",
                      o->checkpoint ? "saving" : "nothing is saved without --checkpoint");
    }
    if (o->validate_every && train->step % o->validate_every == 0 && dt_train_check(train, err) < 0)
        return -1;
    if (news[NEWS_WRITING] == 0 && dt_train_saved(train, code, err) < 0)
        return -1;
    bool asked;
    return is_saved(o, news, train->step, &asked) ? dt_train_save(train, asked, code, err) : 0;
}

/* Up to `steps`, or until the user wants an end. */
static int train_all(struct dt_train *train, long steps, bool *end, int *code, struct dt_error *err)
{
    while (!*end && train->step < steps) {
        double news[NEWS_COUNT] = {0};
        if (one_step(train, news, code, err) < 0 || after_step(train, news, end, code, err) < 0)
            return -1;
    }
    if (dt_train_check(train, err) < 0 ||
        (train->options->export_to && !*end && use_whole(train, export_model, code, err) < 0))
        return -1;
    return 0;
}

int dt_train_run(struct dt_train *train, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    long steps = o->data_count > 0 ? o->steps : 0;
    bool end = false;
    int code = 1;
    if (train->step >= steps && o->data_count > 0)
        dt_report_say(&train->report, "nothing to do: step %ld of %ld is done", train->step, steps);
    if (train_all(train, steps, &end, &code, err) < 0) {
        struct dt_error later; /* that of the failure is told */
        int later_code = 1;
        if (!train->comm->broken)
            dt_train_settle(train, &later_code, &later);
        return code;
    }
    dt_report_summary(&train->report);
    if (o->generate && !end && use_whole(train, generate, &code, err) < 0)
        return code;
    return end ? DT_EXIT_SIGNAL + SIGTERM : 0;
}
