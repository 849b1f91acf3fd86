/* SPDX-License-Identifier: Apache-2.0 */
/* Text between the plugin and its helpers: a growable string, percent-encoded words, CPU lists. CPU
 * sets are sized at run time: a machine may have more CPUs than a cpu_set_t holds. */
#ifndef DT_SPANK_TEXT_H
#define DT_SPANK_TEXT_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* NUL-terminated whenever not NULL */
    size_t len, cap;
    bool failed; /* out of memory: checked once, at the end */
};

void text_fini(struct text *text);
void text_add(struct text *text, const char *bytes, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_word(struct text *text, const char *value); /* percent-encoded */

/* In place. -1: a bad escape, or one that stands for NUL. */
int word_decode(char *word);

/* Cut control characters out of text that goes to a terminal. */
void text_printable(char *string);

/* How many host names "p5-[1-3,007],login" stands for; 0 where it can not be told. */
size_t hostlist_count(const char *list);

struct cpus {
    cpu_set_t *set;
    size_t size; /* bytes of set */
};

void cpus_fini(struct cpus *cpus);
int cpus_parse(struct cpus *cpus, const char *list); /* -1: no CPU list, or no memory */
void cpus_format(struct text *text, const struct cpus *cpus);
int cpus_of_task(struct cpus *cpus, pid_t pid); /* 0: the caller. -errno */
bool cpus_equal(const struct cpus *a, const struct cpus *b);

#endif
