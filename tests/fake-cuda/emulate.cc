/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of a block as contexts of their own (ucontext) that take turns; see emulate.h. */
#include "emulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

struct dt_index threadIdx, blockIdx, blockDim, gridDim;

enum { MOST = 1024 /* threads of a block */, WARP = 32, STACK = 256 * 1024 };

enum state { READY, AT_BLOCK, AT_WARP, ENDED };

struct thread {
    ucontext_t context;
    enum state state;
    struct dt_index index;
    void *stack, *fake; /* fake: the sanitizer's */
    unsigned exchanges;
    /* What it gave to the last two exchanges: a lane may be one ahead of another. */
    uint64_t given[2];
    uint32_t operands[2][6];
};

static struct thread threads[MOST];
static size_t count; /* threads of the block */
static struct thread *running;
static ucontext_t scheduler;
#ifdef __SANITIZE_ADDRESS__
static void *scheduler_fake;
static const void *scheduler_stack;
static size_t scheduler_stack_size;
#endif
static dt_emulated_body *body;
static void *body_context;
static void *shared_memory;
static int any;        /* of __syncthreads_or: of the barrier that fills, */
static int any_before; /* and of the one that was left */

/* ---- lots ---- */

static uint64_t lots = 1;

void dt_emulate_seed(uint64_t seed)
{
    lots = seed * 2 + 1;
}

static size_t draw(size_t below)
{
    lots = lots * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((lots >> 33) % below);
}

[[noreturn]] static void fail(const char *what)
{
    fprintf(stderr, "emulated kernel: %s (block %u %u %u, thread %u %u %u)\n", what, blockIdx.x,
            blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    abort();
}

/* ---- taking turns ---- */

static void leave(enum state state)
{
    running->state = state;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(state == ENDED ? NULL : &running->fake, scheduler_stack,
                                   scheduler_stack_size);
#endif
    swapcontext(&running->context, &scheduler);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(running->fake, NULL, NULL);
#endif
}

static void begin(void)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_size);
#endif
    body(body_context);
    leave(ENDED);
}

static void run(struct thread *thread)
{
    running = thread;
    threadIdx = thread->index;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&scheduler_fake, thread->stack, STACK);
#endif
    swapcontext(&scheduler, &thread->context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL);
#endif
}

static void prepare(struct thread *thread, size_t number)
{
    if (!thread->stack)
        thread->stack = calloc(1, STACK);
    if (!thread->stack)
        fail("no memory for a thread");
    memset(&thread->context, 0, sizeof thread->context);
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK;
    thread->context.uc_link = NULL;
    makecontext(&thread->context, begin, 0);
    thread->state = READY;
    thread->exchanges = 0;
    unsigned n = (unsigned)number;
    thread->index.x = n % blockDim.x;
    thread->index.y = n / blockDim.x % blockDim.y;
    thread->index.z = n / blockDim.x / blockDim.y;
}

static size_t count_in(enum state state, size_t first, size_t end)
{
    size_t found = 0;
    for (size_t i = first; i < end; i++)
        found += threads[i].state == state;
    return found;
}

static void release(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (threads[i].state != ENDED)
            threads[i].state = READY;
}

/* 0 to `size` - 1, as the lots have it. */
static void shuffle(size_t *order, size_t size)
{
    for (size_t i = 0; i < size; i++)
        order[i] = i;
    for (size_t i = size; i > 1; i--) {
        size_t j = draw(i), kept = order[j];
        order[j] = order[i - 1];
        order[i - 1] = kept;
    }
}

/* A warp as far as it comes without others: to the block's barrier, or its end. */
static void run_warp(size_t first)
{
    size_t order[WARP], size = count - first < WARP ? count - first : (size_t)WARP;
    for (;;) {
        shuffle(order, size);
        for (size_t i = 0; i < size; i++)
            if (threads[first + order[i]].state == READY)
                run(&threads[first + order[i]]);
        size_t waiting = count_in(AT_WARP, first, first + size);
        if (waiting == 0)
            return;
        if (waiting + count_in(ENDED, first, first + size) < size)
            fail("some lanes wait for their warp, and others for the block; the last that ran");
        release(first, first + size);
    }
}

/* False: all threads have ended. */
static bool open_barrier(void)
{
    if (count_in(ENDED, 0, count) == count)
        return false;
    if (count_in(AT_BLOCK, 0, count) < count)
        fail("threads wait at a barrier that others never reach; the last that ran");
    any_before = any;
    any = 0;
    release(0, count);
    return true;
}

static void run_block(size_t shared)
{
    memset(shared_memory, 0xff, shared); /* NaN */
    any = 0;
    for (size_t i = 0; i < count; i++)
        prepare(&threads[i], i);
    do {
        size_t order[MOST / WARP], warps = (count + WARP - 1) / WARP;
        shuffle(order, warps);
        for (size_t i = 0; i < warps; i++)
            run_warp(order[i] * WARP);
    } while (open_barrier());
}

void dt_emulate_run(dim3 grid, dim3 block, size_t shared, dt_emulated_body *what, void *context)
{
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    count = (size_t)block.x * block.y * block.z;
    gridDim = {grid.x, grid.y, grid.z};
    blockDim = {block.x, block.y, block.z};
    body = what;
    body_context = context;
    if (blocks == 0)
        return;
    if (count == 0 || count > MOST || grid.y > 65535 || grid.z > 65535)
        fail("a launch of sizes that no GPU takes");
    size_t *order = static_cast<size_t *>(malloc(blocks * sizeof *order));
    shared_memory = malloc(shared ? shared : 1);
    if (!order || !shared_memory)
        fail("no memory for a launch");
    shuffle(order, blocks);
    for (size_t i = 0; i < blocks; i++) {
        size_t b = order[i];
        blockIdx = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                    (unsigned)(b / grid.x / grid.y)};
        run_block(shared);
    }
    free(shared_memory);
    free(order);
}

void *dt_emulated_shared(void)
{
    return shared_memory;
}

/* ---- what threads wait for ---- */

static struct {
    const char *file; /* the compiler's name, the same for all calls from a line */
    int line;
    char name[64];
} barriers[64];
static size_t barrier_count, left_out = DT_EMULATE_WHOLE;

size_t dt_emulate_barriers(void)
{
    return barrier_count;
}

const char *dt_emulate_barrier(size_t barrier)
{
    return barriers[barrier].name;
}

void dt_emulate_leave_out(size_t barrier)
{
    left_out = barrier;
}

static size_t barrier_at(const char *file, int line)
{
    size_t i = 0;
    while (i < barrier_count && (barriers[i].line != line || strcmp(barriers[i].file, file) != 0))
        i++;
    if (i < barrier_count)
        return i;
    if (i == sizeof barriers / sizeof *barriers)
        fail("more barriers than there is room for");
    const char *base = strrchr(file, '/');
    barriers[i].file = file;
    barriers[i].line = line;
    snprintf(barriers[i].name, sizeof barriers[i].name, "%s:%d", base ? base + 1 : file, line);
    return barrier_count++;
}

void dt_emulated_barrier(const char *file, int line)
{
    if (barrier_at(file, line) != left_out)
        leave(AT_BLOCK);
}

int __syncthreads_or(int predicate)
{
    any |= predicate != 0;
    leave(AT_BLOCK);
    return any_before;
}

void __syncwarp(void)
{
    leave(AT_WARP);
}

uint64_t dt_emulated_exchange(uint64_t value, int mask)
{
    struct thread *me = running;
    size_t number = (size_t)(me - threads), other = number ^ (size_t)mask;
    unsigned turn = me->exchanges++ % 2;
    me->given[turn] = value;
    leave(AT_WARP);
    if (other >= count || threads[other].exchanges < me->exchanges)
        fail("a shuffle with a lane that is not there");
    return threads[other].given[turn];
}

static float bf16_at(const struct thread *lane, unsigned turn, size_t word, size_t half)
{
    uint32_t bits = lane->operands[turn][word] >> (16 * half) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void dt_emulated_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    struct thread *me = running;
    size_t lane = (size_t)(me - threads) % WARP, first = (size_t)(me - threads) - lane;
    unsigned turn = me->exchanges++ % 2;
    memcpy(me->operands[turn], a, sizeof a);
    memcpy(me->operands[turn] + 4, b, sizeof b);
    leave(AT_WARP);
    for (size_t i = first; i < first + WARP; i++)
        if (i >= count || threads[i].exchanges < me->exchanges)
            fail("a matrix product without some lanes of the warp");
    for (size_t i = 0; i < 4; i++) {
        size_t row = lane / 4, column = lane % 4 * 2 + i % 2;
        for (size_t k = 0; k < 16; k++)
            c[i] += bf16_at(&threads[first + row * 4 + k % 8 / 2], turn, i / 2 + k / 8 * 2, k % 2) *
                    bf16_at(&threads[first + column * 4 + k % 8 / 2], turn, 4 + k / 8, k % 2);
    }
}
