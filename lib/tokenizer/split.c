/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting by a regular expression, with PCRE2; see split.h. */
#include "split.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Of openai/gpt-2's encoder.py and meta-llama/llama3's tokenizer.py. */
const char dt_split_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                             "|\\s+(?!\\S)|\\s+";
const char dt_split_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct dt_split {
    pcre2_code *code;
    pcre2_match_data *match;
};

struct dt_split *dt_split_open(const char *pattern, struct dt_error *err)
{
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR why[128];
    struct dt_split *split = calloc(1, sizeof *split);
    if (!split) {
        dt_error_set(err, "no memory for the pattern of words");
        return NULL;
    }
    split->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &at, NULL);
    if (!split->code) {
        pcre2_get_error_message(code, why, sizeof why);
        dt_error_set(err, "its pattern of words can not be used at character %zu: %s", at,
                     (const char *)why);
        dt_split_close(split);
        return NULL;
    }
    pcre2_jit_compile(split->code, PCRE2_JIT_COMPLETE); /* only faster */
    split->match = pcre2_match_data_create(1, NULL);
    if (!split->match) {
        dt_error_set(err, "no memory for the pattern of words");
        dt_split_close(split);
        return NULL;
    }
    return split;
}

void dt_split_close(struct dt_split *split)
{
    if (!split)
        return;
    pcre2_match_data_free(split->match);
    pcre2_code_free(split->code);
    free(split);
}

int dt_split_each(const struct dt_split *split, const char *text, size_t length,
                  int (*piece)(void *context, const char *piece, size_t length), void *context,
                  struct dt_error *err)
{
    for (size_t at = 0; at < length;) {
        int rc = pcre2_match(split->code, (PCRE2_SPTR)text, length, at, PCRE2_NOTEMPTY,
                             split->match, NULL);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
            return dt_error_set(err,
                                "byte %zu of the text can not be cut into words: code %d of "
                                "PCRE2",
                                at, rc);
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(split->match);
        size_t begin = rc < 0 ? length : ends[0], end = rc < 0 ? length : ends[1];
        if ((begin > at && piece(context, text + at, begin - at) < 0) ||
            (end > begin && piece(context, text + begin, end - begin) < 0))
            return dt_error_set(err, "no memory for the tokens of %zu bytes of text", length);
        at = end;
    }
    return 0;
}
