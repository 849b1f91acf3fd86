/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the numbers of a line, and putting them back; see numbers.h. */
#include "fold/numbers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fnv.h"

/* Length of the decimal number at `at`, 0: none. A sign belongs to it, an exponent too. */
static size_t number_length(const char *at, const char *end)
{
    const char *from = at;
    at += at < end && (*at == '-' || *at == '+');
    const char *digits = at;
    while (at < end && isdigit((unsigned char)*at))
        at++;
    if (at == digits)
        return 0;
    if (at + 1 < end && *at == '.' && isdigit((unsigned char)at[1])) {
        at++;
        while (at < end && isdigit((unsigned char)*at))
            at++;
    }
    const char *power = at;
    if (power < end && (*power == 'e' || *power == 'E')) {
        power++;
        power += power < end && (*power == '-' || *power == '+');
        const char *first = power;
        while (power < end && isdigit((unsigned char)*power))
            power++;
        at = power > first ? power : at;
    }
    return (size_t)(at - from);
}

static void read_number(double *value, char *text, const char *at, size_t length)
{
    memcpy(text, at, length);
    text[length] = '\0';
    *value = strtod(text, NULL);
}

/* Behind what was read at *at: ".." and another number? Then *at is that. Returns its length. */
static size_t take_next(const char **at, size_t length, const char *end)
{
    const char *dots = *at + length;
    if (end - dots < 3 || dots[0] != '.' || dots[1] != '.')
        return 0;
    size_t more = number_length(dots + 2, end);
    if (more == 0 || more >= DT_NUMBER_TEXT)
        return 0;
    *at = dots + 2;
    return more;
}

/* One number, or up to three with ".." between them. Returns their length; 0: none, or one too long. */
static size_t take(struct dt_number *number, const char *at, const char *end)
{
    const char *from = at;
    size_t length = number_length(at, end), more;
    if (length == 0 || length >= DT_NUMBER_TEXT)
        return 0;
    read_number(&number->least, number->least_text, at, length);
    number->parts = 1;
    if ((more = take_next(&at, length, end)) > 0) {
        length = more;
        number->parts = 2;
    }
    read_number(&number->greatest, number->greatest_text, at, length);
    number->mean = (number->least + number->greatest) / 2;
    if (more > 0 && (more = take_next(&at, length, end)) > 0) {
        length = more;
        number->parts = 3;
        number->mean = number->greatest;
        memcpy(number->mean_text, number->greatest_text, sizeof number->mean_text);
        read_number(&number->greatest, number->greatest_text, at, length);
    }
    return (size_t)(at - from) + length;
}

static bool is_word(unsigned char c)
{
    return isalnum(c) || c == '_' || c >= 0x80;
}

/* A number begins where no word is: "p5-0", "0x1f", "1.2.3" and "rank3" are words behind their first
 * letter or number. */
static bool may_begin(const char *text, const char *at)
{
    size_t before = (size_t)(at - text);
    if (before > 1 && strchr("-+.", at[-1]) && at[-1])
        return !is_word((unsigned char)at[-2]);
    return before == 0 || !is_word((unsigned char)at[-1]);
}

static int keep(struct dt_numbers *numbers, const struct dt_number *number)
{
    struct dt_number *grown =
        reallocarray(numbers->numbers, numbers->count + 1, sizeof *numbers->numbers);
    if (!grown)
        return -1;
    numbers->numbers = grown;
    grown[numbers->count++] = *number;
    return 0;
}

int dt_numbers_init(struct dt_numbers *numbers, const char *text, size_t length, int weight,
                    bool apart)
{
    const char *end = text + length;
    *numbers = (struct dt_numbers){.text = malloc(length + 1), .weight = weight};
    if (!numbers->text)
        return -1;
    if (!apart) {
        memcpy(numbers->text, text, length);
        numbers->length = length;
        return 0;
    }
    for (const char *at = text; at < end;) {
        struct dt_number number = {.at = numbers->length};
        size_t taken = may_begin(text, at) ? take(&number, at, end) : 0;
        if (taken == 0) {
            numbers->text[numbers->length++] = *at++;
            continue;
        }
        if (keep(numbers, &number)) {
            dt_numbers_fini(numbers);
            return -1;
        }
        at += taken;
    }
    return 0;
}

void dt_numbers_fini(struct dt_numbers *numbers)
{
    free(numbers->text);
    free(numbers->numbers);
    *numbers = (struct dt_numbers){0};
}

unsigned long long dt_numbers_hash(const struct dt_numbers *numbers)
{
    return dt_fnv(DT_FNV_START, numbers->text, numbers->length) ^ numbers->count;
}

bool dt_numbers_alike(const struct dt_numbers *a, const struct dt_numbers *b)
{
    if (a->length != b->length || a->count != b->count || memcmp(a->text, b->text, a->length) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->numbers[i].at != b->numbers[i].at)
            return false;
    }
    return true;
}

/* Digits behind the point; -1: it has an exponent. */
static int decimals(const char *number)
{
    const char *point = strchr(number, '.');
    return strpbrk(number, "eE") ? -1 : point ? (int)strlen(point + 1) : 0;
}

/* One digit more than those that it is the mean of; no zeros at its end. */
static void write_mean(struct dt_number *number)
{
    int least = decimals(number->least_text), greatest = decimals(number->greatest_text);
    char *text = number->mean_text;
    int length = least < 0 || greatest < 0
                     ? DT_NUMBER_TEXT
                     : snprintf(text, DT_NUMBER_TEXT, "%.*f",
                                (least > greatest ? least : greatest) + 1, number->mean);
    if (length >= DT_NUMBER_TEXT) {
        snprintf(text, DT_NUMBER_TEXT, "%.6g", number->mean);
        return;
    }
    while (text[length - 1] == '0')
        text[--length] = '\0';
    if (text[length - 1] == '.')
        text[length - 1] = '\0';
}

static bool is_same(const struct dt_number *a, const struct dt_number *b)
{
    return a->parts == b->parts && strcmp(a->least_text, b->least_text) == 0 &&
           strcmp(a->mean_text, b->mean_text) == 0 &&
           strcmp(a->greatest_text, b->greatest_text) == 0;
}

void dt_numbers_widen(struct dt_numbers *numbers, const struct dt_numbers *like)
{
    double own = numbers->weight, others = like->weight;
    numbers->weight += like->weight;
    for (size_t i = 0; i < numbers->count; i++) {
        struct dt_number *to = &numbers->numbers[i];
        const struct dt_number *from = &like->numbers[i];
        if (is_same(to, from))
            continue;
        if (from->least < to->least) {
            to->least = from->least;
            memcpy(to->least_text, from->least_text, sizeof to->least_text);
        }
        if (from->greatest > to->greatest) {
            to->greatest = from->greatest;
            memcpy(to->greatest_text, from->greatest_text, sizeof to->greatest_text);
        }
        to->mean = (to->mean * own + from->mean * others) / (own + others);
        to->parts = 3;
        write_mean(to);
    }
}

char *dt_numbers_take(struct dt_numbers *numbers)
{
    struct dt_buf text = DT_BUF_INIT;
    if (numbers->count == 0) {
        char *whole = numbers->text;
        whole[numbers->length] = '\0';
        numbers->text = NULL;
        return whole;
    }
    size_t at = 0;
    for (size_t i = 0; i < numbers->count; i++) {
        const struct dt_number *number = &numbers->numbers[i];
        dt_buf_append(&text, numbers->text + at, number->at - at);
        dt_buf_puts(&text, number->least_text);
        if (number->parts == 3)
            dt_buf_printf(&text, "..%s", number->mean_text);
        if (number->parts > 1)
            dt_buf_printf(&text, "..%s", number->greatest_text);
        at = number->at;
    }
    dt_buf_append(&text, numbers->text + at, numbers->length - at);
    return dt_buf_take(&text);
}
