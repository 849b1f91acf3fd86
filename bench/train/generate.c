/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing tokens, and the text of them; see generate.h. */
#include "generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

static int falling(const void *left, const void *right)
{
    real a = *(const real *)left, b = *(const real *)right;
    return a < b ? 1 : a > b ? -1 : 0;
}

/* The lowest of the `top` highest. -INFINITY: all count, or there is no memory to sort them. */
static real threshold(const real *logits, size_t vocab, long top)
{
    if (top <= 0 || (size_t)top >= vocab)
        return -INFINITY;
    real *sorted = malloc(vocab * sizeof *sorted);
    if (!sorted)
        return -INFINITY;
    memcpy(sorted, logits, vocab * sizeof *sorted);
    qsort(sorted, vocab, sizeof *sorted, falling);
    real least = sorted[top - 1];
    free(sorted);
    return least;
}

int dt_generate_draw(real *logits, size_t vocab, double temperature, long top, double number)
{
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    if (temperature <= 0)
        return (int)best;
    real least = threshold(logits, vocab, top), highest = logits[best];
    for (size_t i = 0; i < vocab; i++) {
        logits[i] =
            logits[i] < least ? 0 : (real)exp(((double)logits[i] - (double)highest) / temperature);
        sum += (double)logits[i];
    }
    double left = number * sum;
    for (size_t i = 0; i < vocab; i++) {
        left -= (double)logits[i];
        if (left < 0)
            return (int)i;
    }
    return (int)best;
}

struct text {
    FILE *out;
    const struct dt_tokenizer *tokenizer;
    struct dt_tokens tokens; /* the prompt's and what was drawn */
};

static void write_token(const struct text *t, uint32_t token, bool first)
{
    size_t length = 1;
    char byte = (char)token;
    const char *bytes =
        t->tokenizer ? dt_tokenizer_bytes(t->tokenizer, token, first, &length) : &byte;
    fwrite(bytes, 1, length, t->out);
    fflush(t->out); /* it is looked at as it comes */
}

/* What a text comes after, where no prompt is given. */
static uint32_t before_text(const struct text *t)
{
    int end = t->tokenizer ? dt_tokenizer_end(t->tokenizer) : '\n';
    return end >= 0 ? (uint32_t)end : 0;
}

static int read_prompt(struct text *t, const char *prompt, size_t vocab, struct dt_error *err)
{
    if (!prompt)
        return dt_tokens_add(&t->tokens, before_text(t)) < 0
                   ? dt_error_set(err, "no memory for the text")
                   : 0;
    size_t length = strlen(prompt);
    int rc = t->tokenizer ? dt_tokenizer_encode(t->tokenizer, prompt, length, &t->tokens, err) : 0;
    for (size_t i = 0; rc == 0 && !t->tokenizer && i < length; i++)
        if (dt_tokens_add(&t->tokens, (unsigned char)prompt[i]) < 0)
            rc = dt_error_set(err, "no memory for the prompt");
    for (size_t i = 0; rc == 0 && i < t->tokens.count; i++)
        if (t->tokens.list[i] >= vocab)
            rc = dt_error_set(err,
                              "--prompt has token %u, and --vocab is %zu; is the model made "
                              "with another tokenizer?",
                              t->tokens.list[i], vocab);
    return rc;
}

/* The last `count` tokens, into an empty decoder. */
static void take_last(struct dt_decoder *d, const struct text *t, size_t count)
{
    dt_decoder_restart(d);
    for (size_t i = t->tokens.count - count; i < t->tokens.count; i++)
        dt_decoder_take(d, (int)t->tokens.list[i]);
}

static int draw_all(struct dt_decoder *d, struct text *t, const struct dt_generate_setup *s,
                    struct dt_error *err)
{
    enum { STREAM = 0x20000 };
    const size_t vocab = (size_t)d->layout->config.vocab, seq = (size_t)d->layout->config.seq;
    take_last(d, t, t->tokens.count < seq ? t->tokens.count : seq);
    for (long n = 0; n < s->tokens; n++) {
        double number =
            (double)(dt_rng_bits(s->seed, STREAM, (uint64_t)n) >> 11) / 9007199254740992.0;
        int token = dt_generate_draw(d->logits, vocab, s->temperature, s->top, number);
        if (t->tokenizer && token == dt_tokenizer_end(t->tokenizer))
            return 0;
        if (dt_tokens_add(&t->tokens, (uint32_t)token) < 0)
            return dt_error_set(err, "no memory for %zu tokens", t->tokens.count);
        write_token(t, (uint32_t)token, false);
        if (d->place == seq)
            take_last(d, t, seq > 1 ? seq / 2 : 1);
        else
            dt_decoder_take(d, token);
    }
    return 0;
}

int dt_generate(FILE *out, const struct dt_layout *layout, real *params, const struct dt_blas *blas,
                const struct dt_generate_setup *s, struct dt_error *err)
{
    struct dt_decoder decoder;
    struct text text = {.out = out, .tokenizer = s->tokenizer};
    if (dt_decoder_init(&decoder, layout, params, blas, err) < 0)
        return -1;
    int rc = read_prompt(&text, s->prompt, (size_t)layout->config.vocab, err);
    for (size_t i = 0; rc == 0 && s->prompt && i < text.tokens.count; i++)
        write_token(&text, text.tokens.list[i], i == 0);
    if (rc == 0)
        rc = draw_all(&decoder, &text, s, err);
    if (rc == 0 && (fputc('\n', out) == EOF || fflush(out) == EOF))
        rc = dt_error_set(err, "the text can not be written");
    free(text.tokens.list);
    dt_decoder_fini(&decoder);
    return rc;
}
