/* SPDX-License-Identifier: Apache-2.0 */
/* The history as text: lines of words, the first "dt-history 1", the last "end CHECKSUM". Whatever is
 * not exactly so is refused as a whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fnv.h"
#include "history/internal.h"

#define HEAD "dt-history 1\n"
#define END  "end "

enum { DIGITS = 16 }; /* of the checksum */

struct parser {
    struct dt_history *history;
    size_t line;
    struct dt_error *err;
};

static int refuse(struct parser *p, const char *what)
{
    return dt_error_set(p->err, "line %zu: %s", p->line, what);
}

bool dt_history_is_word(const char *text)
{
    size_t len = strlen(text);
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return false;
    }
    return len > 0 && len <= DT_HISTORY_WORD_MAX;
}

/* A whole number that is not negative, as this writes it. */
static bool take_number(char **rest, long long *value)
{
    char *word = strsep(rest, " "), *end;
    if (!word || !*word || strspn(word, "0123456789") != strlen(word) ||
        (word[0] == '0' && word[1]))
        return false;
    errno = 0;
    *value = strtoll(word, &end, 10);
    return errno == 0;
}

static bool take_word(char **rest, char **to)
{
    char *word = strsep(rest, " ");
    if (!word || !dt_history_is_word(word) || *to)
        return false;
    *to = strdup(word);
    return *to != NULL;
}

static bool is_at_end(const char *rest)
{
    return rest == NULL;
}

static bool take_ended(struct dt_history *h, char *rest)
{
    return h->end_s < 0 && take_number(&rest, &h->end_s) && take_number(&rest, &h->end_wall_s) &&
           take_number(&rest, &h->end_job) && take_number(&rest, &h->end_step) && is_at_end(rest);
}

static bool take_counters(struct dt_history_counter **list, size_t *count, char *rest)
{
    struct dt_history_counter *c = DT_HISTORY_ADD(*list, *count);
    return c && *count <= DT_HISTORY_COUNTERS_MAX && take_word(&rest, &c->name) &&
           take_word(&rest, &c->device) && take_number(&rest, &c->value) &&
           take_number(&rest, &c->seconds) && is_at_end(rest);
}

static bool take_counter(struct dt_history *h, char *rest)
{
    return take_counters(&h->counters, &h->counter_count, rest);
}

static bool take_grew(struct dt_history *h, char *rest)
{
    return take_counters(&h->grew, &h->grew_count, rest);
}

static bool take_running(struct dt_history *h, char *rest)
{
    struct dt_history_job *j = DT_HISTORY_ADD(h->running, h->running_count);
    return j && h->running_count <= DT_HISTORY_RUNNING_MAX && take_number(&rest, &j->job) &&
           take_number(&rest, &j->step) && take_number(&rest, &j->wall_s) &&
           take_number(&rest, &j->pid) && take_number(&rest, &j->pid_start) && is_at_end(rest);
}

/* The reason is the rest of the line. */
static bool take_lost(struct dt_history *h, char *rest)
{
    struct dt_history_job *j = DT_HISTORY_ADD(h->lost, h->lost_count);
    if (!j || h->lost_count > DT_HISTORY_LOST_MAX || !take_number(&rest, &j->job) ||
        !take_number(&rest, &j->step) || !take_number(&rest, &j->wall_s) || !rest || !*rest ||
        strlen(rest) > DT_HISTORY_REASON_MAX)
        return false;
    for (const char *c = rest; *c; c++) {
        if (*c < ' ' || *c > '~')
            return false;
    }
    j->reason = strdup(rest);
    return j->reason != NULL;
}

static bool take_machine(struct dt_history *h, char *rest)
{
    return take_word(&rest, &h->machine) && is_at_end(rest);
}

static bool take_boot(struct dt_history *h, char *rest)
{
    return take_word(&rest, &h->boot) && is_at_end(rest);
}

static int take_line(struct parser *p, char *line)
{
    static const struct {
        const char *word;
        bool (*take)(struct dt_history *history, char *rest);
    } kinds[] = {{"machine", take_machine}, {"boot", take_boot}, {"ended", take_ended},
                 {"counter", take_counter}, {"grew", take_grew}, {"running", take_running},
                 {"lost", take_lost}};
    char *rest = line, *word = strsep(&rest, " ");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(word, kinds[i].word) == 0)
            return rest && kinds[i].take(p->history, rest) ? 0 : refuse(p, "not as dt writes it");
    }
    return refuse(p, "of an unknown kind");
}

/* Cuts the last line off when it is the right checksum of what is before it. */
static bool cut_seal(char *text, size_t len)
{
    char wanted[DIGITS + 1];
    size_t seal = strlen(END) + DIGITS + 1;
    if (len < seal)
        return false;
    char *at = text + len - seal;
    snprintf(wanted, sizeof wanted, "%016" PRIx64, dt_fnv(DT_FNV_START, text, len - seal));
    if (memcmp(at, END, strlen(END)) != 0 || memcmp(at + strlen(END), wanted, DIGITS) != 0 ||
        text[len - 1] != '\n')
        return false;
    *at = '\0';
    return true;
}

static int parse(struct parser *p, char *text, size_t len)
{
    char *rest = text + strlen(HEAD), *line;
    if (len < strlen(HEAD) || strncmp(text, "dt-history ", strlen("dt-history ")) != 0)
        return dt_error_set(p->err, "it does not begin as a history of dt does");
    if (memcmp(text, HEAD, strlen(HEAD)) != 0)
        return dt_error_set(p->err, "it is of another version of dt");
    if (memchr(text, '\0', len) || !cut_seal(text, len))
        return dt_error_set(p->err, "its checksum is wrong");
    p->line = 1;
    while (*rest && (line = strsep(&rest, "\n"))) {
        p->line++;
        if (!rest)
            return refuse(p, "it has no end");
        if (take_line(p, line) < 0)
            return -1;
    }
    return p->history->machine && p->history->boot
               ? 0
               : dt_error_set(p->err, "it does not say of which machine and boot it is");
}

void dt_history_init(struct dt_history *history)
{
    *history = (struct dt_history){.end_s = -1};
}

int dt_history_parse(struct dt_history *history, char *text, size_t len, struct dt_error *err)
{
    struct parser p = {.history = history, .err = err};
    dt_history_init(history);
    if (parse(&p, text, len) == 0)
        return 0;
    dt_history_fini(history);
    return -1;
}

static void format_counters(struct dt_buf *out, const char *kind,
                            const struct dt_history_counter *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dt_buf_printf(out, "%s %s %s %lld %lld\n", kind, list[i].name, list[i].device,
                      list[i].value, list[i].seconds);
}

char *dt_history_format(const struct dt_history *h)
{
    struct dt_buf out = DT_BUF_INIT;
    dt_buf_puts(&out, HEAD);
    dt_buf_printf(&out, "machine %s\nboot %s\n", h->machine, h->boot);
    if (h->end_s >= 0)
        dt_buf_printf(&out, "ended %lld %lld %lld %lld\n", h->end_s, h->end_wall_s, h->end_job,
                      h->end_step);
    format_counters(&out, "counter", h->counters, h->counter_count);
    format_counters(&out, "grew", h->grew, h->grew_count);
    for (size_t i = 0; i < h->running_count; i++)
        dt_buf_printf(&out, "running %lld %lld %lld %lld %lld\n", h->running[i].job,
                      h->running[i].step, h->running[i].wall_s, h->running[i].pid,
                      h->running[i].pid_start);
    for (size_t i = 0; i < h->lost_count; i++)
        dt_buf_printf(&out, "lost %lld %lld %lld %s\n", h->lost[i].job, h->lost[i].step,
                      h->lost[i].wall_s, h->lost[i].reason);
    if (!out.failed)
        dt_buf_printf(&out, END "%016" PRIx64 "\n", dt_fnv(DT_FNV_START, out.data, out.len));
    return dt_buf_take(&out);
}

static void free_counters(struct dt_history_counter *counters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(counters[i].name);
        free(counters[i].device);
    }
    free(counters);
}

void dt_history_forget_growth(struct dt_history *history)
{
    free_counters(history->grew, history->grew_count);
    history->grew = NULL;
    history->grew_count = 0;
}

void dt_history_forget_counters(struct dt_history *history)
{
    free_counters(history->counters, history->counter_count);
    history->counters = NULL;
    history->counter_count = 0;
}

void dt_history_fini(struct dt_history *history)
{
    dt_history_forget_counters(history);
    dt_history_forget_growth(history);
    for (size_t i = 0; i < history->lost_count; i++)
        free(history->lost[i].reason);
    free(history->lost);
    free(history->running);
    free(history->machine);
    free(history->boot);
    dt_history_init(history);
}

void *dt_history_add(void *array_pointer, size_t *count, size_t size)
{
    void *array, *last;
    memcpy(&array, array_pointer, sizeof array);
    void *more = realloc(array, (*count + 1) * size);
    if (!more)
        return NULL;
    memcpy(array_pointer, &more, sizeof more);
    last = (char *)more + *count * size;
    memset(last, 0, size);
    (*count)++;
    return last;
}
