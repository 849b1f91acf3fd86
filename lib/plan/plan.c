/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the plan text, and the percent encoding that both texts use. */
#include "plan/plan.h"

#include <string.h>

static bool needs_escape(unsigned char c)
{
    return c == '%' || c < 0x21 || c == 0x7f;
}

void dt_word_append(struct dt_buf *buf, const char *value)
{
    const char *plain = value;
    for (const char *c = value; *c; c++) {
        if (!needs_escape((unsigned char)*c))
            continue;
        dt_buf_append(buf, plain, (size_t)(c - plain));
        dt_buf_printf(buf, "%%%02X", (unsigned char)*c);
        plain = c + 1;
    }
    dt_buf_puts(buf, plain);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int dt_word_decode(char *word)
{
    char *out = word;
    for (char *c = word; *c; c++) {
        if (*c != '%') {
            *out++ = *c;
            continue;
        }
        int high = hex_digit(c[1]);
        int low = high < 0 ? -1 : hex_digit(c[2]);
        if (low < 0 || (high == 0 && low == 0))
            return -1;
        *out++ = (char)(high * 16 + low);
        c += 2;
    }
    *out = '\0';
    return 0;
}

void dt_plan_begin(struct dt_buf *plan)
{
    dt_buf_puts(plan, "dt-plan 1\n");
}

void dt_plan_end(struct dt_buf *plan)
{
    dt_buf_puts(plan, "end\n");
}

/* One line: head, then each argument as a word of its own; a NULL ends them. */
static void put_words(struct dt_buf *plan, const char *const *words)
{
    for (; *words; words++) {
        dt_buf_puts(plan, " ");
        dt_word_append(plan, *words);
    }
    dt_buf_puts(plan, "\n");
}

static void put_rank(struct dt_buf *plan, size_t rank, const char *const *words)
{
    dt_buf_printf(plan, "rank %zu", rank);
    put_words(plan, words);
}

static void put_all(struct dt_buf *plan, const char *const *words)
{
    dt_buf_puts(plan, "all");
    put_words(plan, words);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

void dt_plan_all_set(struct dt_buf *plan, const char *name, const char *value)
{
    put_all(plan, WORDS("set", name, value));
}

void dt_plan_all_default(struct dt_buf *plan, const char *name, const char *value)
{
    put_all(plan, WORDS("default", name, value));
}

void dt_plan_all_unset(struct dt_buf *plan, const char *name)
{
    put_all(plan, WORDS("unset", name));
}

static void put_env(struct dt_buf *plan, int rank, const char *const *words)
{
    if (rank < 0)
        put_all(plan, words);
    else
        put_rank(plan, (size_t)rank, words);
}

void dt_plan_env_default(struct dt_buf *plan, int rank, const char *name, const char *value)
{
    put_env(plan, rank, WORDS("env-default", name, value));
}

void dt_plan_env_set(struct dt_buf *plan, int rank, const char *name, const char *value)
{
    put_env(plan, rank, WORDS("env-set", name, value));
}

void dt_plan_env_unset(struct dt_buf *plan, int rank, const char *name)
{
    put_env(plan, rank, WORDS("env-unset", name));
}

void dt_plan_rank_found(struct dt_buf *plan, size_t rank, const char *cpulist)
{
    put_rank(plan, rank, WORDS("found", cpulist));
}

void dt_plan_rank_bind_set(struct dt_buf *plan, size_t rank, const char *name, const char *value)
{
    put_rank(plan, rank, WORDS("bind-set", name, value));
}

void dt_plan_rank_bind_default(struct dt_buf *plan, size_t rank, const char *name,
                               const char *value)
{
    put_rank(plan, rank, WORDS("bind-default", name, value));
}

void dt_plan_all_bind_set(struct dt_buf *plan, const char *name, const char *value)
{
    put_all(plan, WORDS("bind-set", name, value));
}

void dt_plan_rank_cpus(struct dt_buf *plan, size_t rank, const char *cpulist)
{
    put_rank(plan, rank, WORDS("cpus", cpulist));
}

void dt_plan_rank_memory(struct dt_buf *plan, size_t rank, const char *policy, const char *nodelist)
{
    put_rank(plan, rank, WORDS("memory", policy, nodelist));
}

void dt_plan_rank_set(struct dt_buf *plan, size_t rank, const char *name, const char *value)
{
    put_rank(plan, rank, WORDS("set", name, value));
}

void dt_plan_rank_default(struct dt_buf *plan, size_t rank, const char *name, const char *value)
{
    put_rank(plan, rank, WORDS("default", name, value));
}

void dt_plan_all_look(struct dt_buf *plan, const char *kind, const char *argument)
{
    put_all(plan, WORDS("look", kind, argument));
}

void dt_plan_rank_say(struct dt_buf *plan, size_t rank, const char *line)
{
    put_rank(plan, rank, WORDS("say", line));
}
