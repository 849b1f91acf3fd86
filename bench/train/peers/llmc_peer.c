/* SPDX-License-Identifier: Apache-2.0 */
/* llm.c's CPU trainer on dt-train's bench model, for bench-train: compiled there with llm.c's own
 * flags and -ITHE/PATH/TO/llm.c, which the user gives. Speaks as torch_peer.py does: reads a number of
 * steps, makes them, writes their median in milliseconds.
 *
 *   llmc_peer VOCAB SCRATCH-FILE */
#define TESTING /* leaves out its main */
#include "train_gpt2.c"

enum { LAYERS = 6, CHANNELS = 384, HEADS = 6, SEQ = 256, BATCH = 4, MOST = 1000 };

/* Its models begin as checkpoints. */
static void write_model(const char *path, int vocab, int padded)
{
    int header[256] = {20240326, 3, SEQ, vocab, LAYERS, HEADS, CHANNELS, padded};
    size_t sizes[NUM_PARAMETER_TENSORS], count = 0;
    GPT2Config config = {SEQ, vocab, padded, LAYERS, HEADS, CHANNELS};
    FILE *file = fopenCheck(path, "wb");
    fill_in_parameter_sizes(sizes, config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++)
        count += sizes[i];
    fwrite(header, sizeof header, 1, file);
    for (size_t i = 0; i < count; i++) {
        float value = 0.02f * (float)((double)rand() / RAND_MAX - 0.5);
        fwrite(&value, sizeof value, 1, file);
    }
    fcloseCheck(file);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double step(GPT2 *model, int *tokens, int number)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    gpt2_forward(model, tokens, tokens + 1, BATCH, SEQ);
    gpt2_zero_grad(model);
    gpt2_backward(model);
    gpt2_update(model, 3e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, number);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return 1e3 * (double)(end.tv_sec - begin.tv_sec) + 1e-6 * (double)(end.tv_nsec - begin.tv_nsec);
}

int main(int argc, char **argv)
{
    static int tokens[BATCH * SEQ + 1];
    static double times[MOST];
    GPT2 model;
    int vocab = argc == 3 ? atoi(argv[1]) : 0, steps, done = 0;
    if (vocab < 1)
        return 64;
    write_model(argv[2], vocab, (vocab + 127) / 128 * 128);
    gpt2_build_from_checkpoint(&model, argv[2]);
    remove(argv[2]);
    for (int i = 0; i <= BATCH * SEQ; i++)
        tokens[i] = rand() % vocab;
    puts("ready");
    fflush(stdout);
    while (scanf("%d", &steps) == 1 && steps > 0 && steps <= MOST) {
        for (int i = 0; i < steps; i++)
            times[i] = step(&model, tokens, ++done);
        qsort(times, (size_t)steps, sizeof *times, ascending);
        printf("%f\n", times[steps / 2]);
        fflush(stdout);
    }
    return 0;
}
