/* SPDX-License-Identifier: Apache-2.0 */
/* A stage of the pipeline at work; see pipe.h. Forward goes from stage to stage through the group
 * `pipe`, and from the last to the first, whose next chunk follows, through `ends`; backward the other
 * way. So two ranks of a group send each other messages of one kind only in each direction, and the
 * order in which a stage sends them is that in which the other takes them. */
#include "pipe.h"

#include <stdlib.h>

#include "kernels.h"

enum { FORWARD, BACKWARD };

static const struct dt_part *part_of(const struct dt_pipe *pipe)
{
    return &pipe->model->layout.part;
}

static struct dt_schedule_sizes schedule_sizes(const struct dt_part *part, int micros)
{
    return (struct dt_schedule_sizes){.stage = part->stage,
                                      .stages = dt_part_stages(part),
                                      .chunks = dt_part_chunks(part),
                                      .micros = micros};
}

int dt_pipe_slots(const struct dt_mesh *mesh, int micros)
{
    const struct dt_part part = dt_mesh_part(&mesh->sizes, &mesh->at);
    const struct dt_schedule_sizes sizes = schedule_sizes(&part, micros);
    return dt_schedule_slots(&sizes);
}

static void wait_for(struct dt_pipe *pipe, const struct dt_pipe_line *line,
                     const struct dt_message *message)
{
    if (!pipe->model->failed)
        dt_model_note(pipe->model, dt_comm_wait_message(line->comm, message, &pipe->model->error));
}

static void start_receive(struct dt_pipe *pipe, struct dt_pipe_line *line, size_t count)
{
    size_t i = line->started % DT_PIPE_BUFFERS;
    if (line->left == 0 || pipe->model->failed)
        return;
    line->left--;
    line->started++;
    dt_model_note(pipe->model, line->comm->operations->receive_start(
                                   line->comm, &line->messages[i], line->buffers[i], count,
                                   line->peer, &pipe->model->error));
}

/* This many will come. */
static void expect(struct dt_pipe *pipe, int direction, size_t messages, size_t count)
{
    struct dt_pipe_line *line = &pipe->in[direction];
    line->left = messages;
    for (int i = 0; i < DT_PIPE_BUFFERS; i++)
        start_receive(pipe, line, count);
}

static void take_in(struct dt_pipe *pipe, int direction, real *to, size_t count)
{
    struct dt_pipe_line *line = &pipe->in[direction];
    size_t i = line->taken++ % DT_PIPE_BUFFERS;
    wait_for(pipe, line, &line->messages[i]);
    pipe->model->blas->kernels->copy(to, line->buffers[i], count);
    start_receive(pipe, line, count);
}

static void send_out(struct dt_pipe *pipe, int direction, const real *from, size_t count)
{
    struct dt_pipe_line *line = &pipe->out[direction];
    size_t i = line->started % DT_PIPE_BUFFERS;
    if (line->started++ >= DT_PIPE_BUFFERS)
        wait_for(pipe, line, &line->messages[i]);
    pipe->model->blas->kernels->copy(line->buffers[i], from, count);
    if (!pipe->model->failed)
        dt_model_note(pipe->model, line->comm->operations->send_start(
                                       line->comm, &line->messages[i], line->buffers[i], count,
                                       line->peer, &pipe->model->error));
}

/* The hooks of the model's work: messages of the pipeline move, too. */
static void params_needed(void *context, size_t bucket, size_t next)
{
    const struct dt_model_hooks *inner = ((struct dt_pipe *)context)->inner;
    if (inner && inner->params_needed)
        inner->params_needed(inner->context, bucket, next);
}

static void grads_needed(void *context, size_t bucket)
{
    const struct dt_model_hooks *inner = ((struct dt_pipe *)context)->inner;
    if (inner && inner->grads_needed)
        inner->grads_needed(inner->context, bucket);
}

static void bucket_ready(void *context, size_t bucket)
{
    const struct dt_model_hooks *inner = ((struct dt_pipe *)context)->inner;
    if (inner && inner->bucket_ready)
        inner->bucket_ready(inner->context, bucket);
}

static void between(void *context)
{
    struct dt_pipe *pipe = context;
    for (int direction = FORWARD; direction <= BACKWARD; direction++) {
        struct dt_comm *out = pipe->out[direction].comm;
        if (!pipe->model->failed)
            dt_model_note(pipe->model, dt_comm_poll(out, &pipe->model->error));
    }
    dt_model_between(pipe->inner);
}

static int *slot_of(struct dt_pipe *pipe, const struct dt_action *action)
{
    return &pipe->slots[action->micro * dt_part_chunks(part_of(pipe)) + action->chunk];
}

/* What the model is to do in this action. */
static struct dt_pass pass_of(struct dt_pipe *pipe, const struct dt_pipe_work *work,
                              const struct dt_action *action, const struct dt_model_hooks *hooks)
{
    size_t at = (size_t)action->micro * work->batch * pipe->model->time;
    return (struct dt_pass){.chunk = action->chunk,
                            .slot = (size_t)*slot_of(pipe, action),
                            .tokens = work->tokens + at,
                            .targets = work->targets + at,
                            .batch = work->batch,
                            .scale = work->scale,
                            .add = work->add && action->micro > 0,
                            .hooks = hooks};
}

static void forward(struct dt_pipe *pipe, const struct dt_pass *pass)
{
    struct dt_model *model = pipe->model;
    size_t count = dt_model_stream(model, pass->batch);
    if (!dt_model_begins(model, pass->chunk))
        take_in(pipe, FORWARD, model->slots[pass->slot].in, count);
    const real *out = dt_model_forward(model, pass);
    if (!dt_model_ends(model, pass->chunk))
        send_out(pipe, FORWARD, out, count);
}

static double backward(struct dt_pipe *pipe, const struct dt_pass *pass)
{
    struct dt_model *model = pipe->model;
    size_t count = dt_model_stream(model, pass->batch);
    if (!dt_model_ends(model, pass->chunk))
        take_in(pipe, BACKWARD, model->d_stream, count);
    double loss = dt_model_backward(model, pass);
    if (!dt_model_begins(model, pass->chunk))
        send_out(pipe, BACKWARD, model->d_stream, count);
    return loss;
}

static void take_slot(struct dt_pipe *pipe, const struct dt_action *action)
{
    int slot = 0;
    while (pipe->busy[slot])
        slot++;
    pipe->busy[slot] = true;
    *slot_of(pipe, action) = slot;
}

/* hooks: of one stage alone, those of the work itself. */
static const struct dt_model_hooks *begin_action(struct dt_pipe *pipe,
                                                 const struct dt_pipe_work *work,
                                                 const struct dt_action *action,
                                                 const struct dt_model_hooks *own)
{
    pipe->inner = work->begin ? work->begin(work->context, action) : NULL;
    return dt_part_stages(part_of(pipe)) > 1 ? own : pipe->inner;
}

static double act(struct dt_pipe *pipe, const struct dt_pipe_work *work,
                  const struct dt_action *action)
{
    const struct dt_model_hooks own = {.params_needed = params_needed,
                                       .grads_needed = grads_needed,
                                       .bucket_ready = bucket_ready,
                                       .between = between,
                                       .context = pipe};
    const struct dt_model_hooks *hooks = begin_action(pipe, work, action, &own);
    double loss = 0;
    if (!action->backward)
        take_slot(pipe, action);
    const struct dt_pass pass = pass_of(pipe, work, action, hooks);
    if (action->backward) {
        loss = backward(pipe, &pass);
        pipe->busy[pass.slot] = false;
    } else {
        forward(pipe, &pass);
    }
    if (work->end)
        work->end(work->context, action);
    return loss;
}

/* Nothing is left in the buffers for those who come next. */
static void empty_lines(struct dt_pipe *pipe)
{
    for (int direction = FORWARD; direction <= BACKWARD; direction++) {
        const struct dt_pipe_line *line = &pipe->out[direction];
        for (size_t i = 0; i < DT_PIPE_BUFFERS && i < line->started; i++)
            wait_for(pipe, line, &line->messages[i]);
    }
}

double dt_pipe_learn(struct dt_pipe *pipe, const struct dt_pipe_work *work)
{
    const struct dt_model *model = pipe->model;
    size_t count = dt_model_stream(model, work->batch), micros = (size_t)pipe->micros;
    size_t chunks = (size_t)dt_part_chunks(part_of(pipe));
    double loss = 0;
    expect(pipe, FORWARD, micros * (chunks - dt_part_is_first(part_of(pipe))), count);
    expect(pipe, BACKWARD, micros * (chunks - dt_part_is_last(part_of(pipe))), count);
    for (size_t i = 0; i < pipe->schedule.count; i++)
        loss += act(pipe, work, &pipe->schedule.actions[i]);
    empty_lines(pipe);
    return loss;
}

double dt_pipe_evaluate(struct dt_pipe *pipe, const struct dt_pipe_work *work)
{
    int chunks = dt_part_chunks(part_of(pipe));
    double loss = 0;
    expect(pipe, FORWARD, (size_t)(chunks - dt_part_is_first(part_of(pipe))),
           dt_model_stream(pipe->model, work->batch));
    for (int chunk = 0; chunk < chunks; chunk++) {
        const struct dt_action action = {.chunk = chunk};
        act(pipe, work, &action);
        if (dt_model_ends(pipe->model, chunk)) {
            const struct dt_pass pass = pass_of(pipe, work, &action, pipe->inner);
            loss = dt_model_loss(pipe->model, &pass);
        }
        pipe->busy[*slot_of(pipe, &action)] = false;
    }
    empty_lines(pipe);
    return loss;
}

/* Where this stage's lines lead. The groups' memory is for what is sent: others read it there. */
static int open_lines(struct dt_pipe *pipe, const struct dt_mesh *mesh, size_t count)
{
    const struct dt_part *part = part_of(pipe);
    const bool first = dt_part_is_first(part), last = dt_part_is_last(part);
    struct dt_comm *ends = mesh->ends, *pipes = mesh->pipe;
    const size_t stretch = DT_PIPE_BUFFERS * count;
    real *to_pipe = pipes->operations->memory(pipes, 2 * stretch);
    real *to_end = dt_part_chunks(part) > 1 && (first || last)
                       ? ends->operations->memory(ends, stretch)
                       : to_pipe;
    pipe->received = dt_reals(2 * stretch);
    if (!to_pipe || !to_end || !pipe->received)
        return -1;
    const struct dt_pipe_line ring[2] = {{.comm = ends, .peer = 0}, {.comm = ends, .peer = 1}};
    const struct dt_pipe_line after = {.comm = pipes, .peer = part->stage + 1};
    const struct dt_pipe_line before = {.comm = pipes, .peer = part->stage - 1};
    pipe->in[FORWARD] = first ? ring[1] : before;
    pipe->out[FORWARD] = last ? ring[0] : after;
    pipe->in[BACKWARD] = last ? ring[0] : after;
    pipe->out[BACKWARD] = first ? ring[1] : before;
    for (int direction = FORWARD; direction <= BACKWARD; direction++) {
        bool turns = direction == FORWARD ? last : first;
        real *out = turns ? to_end : to_pipe + (size_t)direction * stretch;
        for (size_t i = 0; i < DT_PIPE_BUFFERS; i++) {
            pipe->in[direction].buffers[i] =
                pipe->received + ((size_t)direction * DT_PIPE_BUFFERS + i) * count;
            pipe->out[direction].buffers[i] = out + i * count;
        }
    }
    return 0;
}

int dt_pipe_open(struct dt_pipe *pipe, const struct dt_mesh *mesh, struct dt_model *model,
                 int micros, struct dt_error *err)
{
    *pipe = (struct dt_pipe){.model = model, .micros = micros};
    const struct dt_part *part = part_of(pipe);
    const struct dt_schedule_sizes sizes = schedule_sizes(part, micros);
    size_t count = dt_model_stream(model, model->max_batch);
    pipe->slots = calloc((size_t)micros * (size_t)sizes.chunks, sizeof *pipe->slots);
    pipe->busy = calloc(model->slot_count, sizeof *pipe->busy);
    if (dt_schedule_make(&pipe->schedule, &sizes, err) < 0)
        return -1;
    if (!pipe->slots || !pipe->busy || (sizes.stages > 1 && open_lines(pipe, mesh, count) < 0))
        return dt_comm_break(mesh->pipe, err,
                             "no memory for what %d stages send each other: 8 x %zu MiB",
                             sizes.stages, count * sizeof(real) >> 20);
    return 0;
}

void dt_pipe_close(struct dt_pipe *pipe)
{
    dt_schedule_fini(&pipe->schedule);
    dt_memory_free(pipe->received);
    free(pipe->slots);
    free(pipe->busy);
    *pipe = (struct dt_pipe){0};
}
