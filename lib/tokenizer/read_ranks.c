/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 3's tokenizer.model: a line for each token, "BASE64 RANK"; neighbours become what is in the
 * list, the lowest rank first. The 256 special tokens come after the last, and are not in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"

enum { SPECIAL = 256, END_OF_TEXT = 1, MOST_BYTES = 4096 };

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Returns the count of bytes, 0: it is not base64. */
static size_t from_base64(const char *text, size_t length, char *bytes)
{
    size_t count = 0;
    if (length % 4 != 0 || length / 4 * 3 > MOST_BYTES)
        return 0;
    while (length > 0 && text[length - 1] == '=')
        length--;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        int value = digit(text[i]);
        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3)
            bytes[count++] = (char)(bits >> 16 & 0xff);
        if (i % 4 == 3)
            bytes[count++] = (char)(bits >> 8 & 0xff);
        if (i % 4 == 3)
            bytes[count++] = (char)(bits & 0xff);
    }
    if (length % 4 == 2) {
        bytes[count++] = (char)(bits >> 4 & 0xff);
    } else if (length % 4 == 3) {
        bytes[count++] = (char)(bits >> 10 & 0xff);
        bytes[count++] = (char)(bits >> 2 & 0xff);
    }
    return length % 4 == 1 ? 0 : count;
}

static int add_line(struct dt_tokenizer *t, const char *line, size_t length, size_t number,
                    struct dt_error *err)
{
    char bytes[MOST_BYTES], digits[12] = "";
    const char *space = memchr(line, ' ', length);
    size_t code = space ? (size_t)(space - line) : length, count = from_base64(line, code, bytes);
    size_t rest = space ? length - code - 1 : 0;
    if (rest > 0 && rest < sizeof digits)
        memcpy(digits, space + 1, rest);
    char *end = digits;
    unsigned long rank = strtoul(digits, &end, 10);
    if (count == 0 || end == digits || *end || digits[0] < '0' || digits[0] > '9' ||
        rank >= DT_MOST_TOKENS - SPECIAL)
        return dt_error_set(err, "line %zu, \"%.*s\", is not a token in base64 and its rank",
                            number, (int)(length < 40 ? length : 40), line);
    if (dt_vocabulary_add(&t->bpe.vocabulary, (uint32_t)rank, bytes, count, (double)rank, true) < 0)
        return dt_error_set(err, "no memory for the token of line %zu", number);
    return 0;
}

static int add_special(struct dt_tokenizer *t, struct dt_error *err)
{
    uint32_t first = (uint32_t)t->bpe.vocabulary.count;
    for (uint32_t i = 0; i < SPECIAL; i++) {
        char name[40];
        const char *known = i == 0             ? "<|begin_of_text|>"
                            : i == END_OF_TEXT ? "<|end_of_text|>"
                                               : "";
        snprintf(name, sizeof name, "<|reserved_special_token_%u|>", i);
        const char *text = *known ? known : name;
        if (dt_vocabulary_add(&t->bpe.vocabulary, first + i, text, strlen(text), 0, false) < 0)
            return dt_error_set(err, "no memory for the special tokens");
    }
    t->bpe.end = first + END_OF_TEXT;
    return 0;
}

int dt_read_ranks(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err)
{
    size_t number = 0;
    for (size_t at = 0; at < length;) {
        const char *line = text + at, *feed = memchr(line, '\n', length - at);
        size_t size = feed ? (size_t)(feed - line) : length - at;
        at += size + 1;
        number++;
        if (size > 0 && add_line(t, line, size, number, err) < 0)
            return -1;
    }
    t->bpe.whole = true;
    if (dt_bpe_finish(&t->bpe, err) < 0 || add_special(t, err) < 0)
        return -1;
    t->split = dt_split_open(dt_split_llama3, err);
    return t->split ? 0 : -1;
}
