/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/plan: reading a message of lines that ends with "end", and taking its words. */
#ifndef DT_PLAN_LINES_H
#define DT_PLAN_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* Read from fd until "end\n". 0, or 1: end of file before the first byte, or -1. */
int dt_lines_read(struct dt_buf *text, int fd, struct dt_error *err);

struct dt_line {
    char *words[12]; /* not yet decoded; missing ones are NULL */
    size_t count;
    size_t number; /* from 1 */
};

struct dt_lines {
    char *next; /* rest of the text; changed in place */
    char *stop;
    size_t number;
};

void dt_lines_init(struct dt_lines *lines, char *text, size_t len);

/* 1: a line; 0: that was "end", and nothing follows; -1: not a message of ours. */
int dt_lines_next(struct dt_lines *lines, struct dt_line *line, struct dt_error *err);

/* A whole decimal number within [low, high]. */
bool dt_lines_number(const char *word, long long low, long long high, long long *value);

#endif
