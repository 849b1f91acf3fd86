/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json, and vocab.json with merges.txt. Both write a token's bytes as characters: those
 * that can be printed as they are, the others from U+0100 on, in their order. */
#include "read.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The byte that a character stands for, or -1. */
static int byte_of(uint32_t character)
{
    static const uint8_t shifted[] = {127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138,
                                      139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 150,
                                      151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 173};
    if ((character >= 33 && character <= 126) || (character >= 161 && character <= 172) ||
        (character >= 174 && character <= 255))
        return (int)character;
    if (character >= 256 && character <= 288)
        return (int)character - 256; /* 0 to 32 */
    if (character >= 289 && character < 289 + sizeof shifted)
        return shifted[character - 289];
    return -1;
}

/* A token's bytes, in place (they are never longer). False: it is not written in bytes. */
static bool to_bytes(char *text, size_t *length)
{
    size_t out = 0;
    for (size_t at = 0; at < *length; at++) {
        unsigned char c = (unsigned char)text[at];
        uint32_t character = c;
        if (c >= 0xc0 && c < 0xe0 && at + 1 < *length)
            character = (uint32_t)(c & 0x1f) << 6 | ((unsigned char)text[++at] & 0x3f);
        else if (c >= 0x80)
            return false;
        int byte = byte_of(character);
        if (byte < 0)
            return false;
        text[out++] = (char)byte;
    }
    *length = out;
    return true;
}

static int add_word(struct dt_bpe *bpe, const char *text, size_t length, json_int_t number,
                    struct dt_error *err)
{
    char *bytes = malloc(length + 1);
    size_t count = length;
    int rc = -1;
    if (bytes && number >= 0 && number < DT_MOST_TOKENS) {
        memcpy(bytes, text, length);
        bool merges = to_bytes(bytes, &count) && count > 0;
        rc = dt_vocabulary_add(&bpe->vocabulary, (uint32_t)number, merges ? bytes : text,
                               merges ? count : length, 0, merges);
    }
    free(bytes);
    return rc < 0 ? dt_error_set(err,
                                 "its token \"%.40s\" has the number %lld, and 0 to %u is wanted "
                                 "(or there is no memory)",
                                 text, (long long)number, DT_MOST_TOKENS - 1)
                  : 0;
}

static int add_words(struct dt_bpe *bpe, json_t *words, struct dt_error *err)
{
    const char *name;
    json_t *number;
    if (json_object_size(words) == 0)
        return dt_error_set(err, "it has no vocabulary (an object of tokens and their numbers)");
    json_object_foreach(
        words, name, number) if (add_word(bpe, name, strlen(name),
                                          json_is_integer(number) ? json_integer_value(number) : -1,
                                          err) < 0) return -1;
    return 0;
}

/* Special tokens have a meaning that text does not: they are not made from it. */
static int add_special(struct dt_bpe *bpe, uint32_t number, const char *text)
{
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(text, ends[i]) == 0)
            bpe->end = number;
    return dt_vocabulary_add(&bpe->vocabulary, number, text, strlen(text), 0, false);
}

struct half {
    const char *text;
    size_t length;
};

static int add_merge(struct dt_bpe *bpe, struct half left, struct half right, uint32_t rank,
                     struct dt_error *err)
{
    size_t l = left.length, r = right.length;
    char *both = malloc(l + r + 2);
    int rc = -1;
    if (both) {
        memcpy(both, left.text, l);
        memcpy(both + left.length, right.text, r);
        if (to_bytes(both, &l) && to_bytes(both + left.length, &r)) {
            memmove(both + l, both + left.length, r);
            uint32_t a = dt_vocabulary_find(&bpe->vocabulary, both, l);
            uint32_t b = dt_vocabulary_find(&bpe->vocabulary, both + l, r);
            uint32_t ab = dt_vocabulary_find(&bpe->vocabulary, both, l + r);
            if (a != DT_NO_TOKEN && b != DT_NO_TOKEN && ab != DT_NO_TOKEN)
                rc = dt_bpe_merge(bpe, a, b, ab, rank);
        }
    }
    free(both);
    return rc < 0 ? dt_error_set(err,
                                 "merge number %u, \"%.*s\" and \"%.*s\", is of tokens that its "
                                 "vocabulary does not have",
                                 rank, (int)(left.length < 40 ? left.length : 40), left.text,
                                 (int)(right.length < 40 ? right.length : 40), right.text)
                  : 0;
}

static int add_merge_line(struct dt_bpe *bpe, const char *line, size_t length, uint32_t rank,
                          struct dt_error *err)
{
    const char *space = memchr(line, ' ', length);
    if (!space)
        return dt_error_set(err,
                            "merge number %u, \"%.*s\", is not two tokens with a space between",
                            rank, (int)(length < 40 ? length : 40), line);
    size_t left = (size_t)(space - line);
    return add_merge(bpe, (struct half){line, left}, (struct half){space + 1, length - left - 1},
                     rank, err);
}

/* Of tokenizer.json: "a b", or since 2024 ["a", "b"]. */
static int add_merges(struct dt_bpe *bpe, json_t *merges, struct dt_error *err)
{
    size_t i;
    json_t *merge;
    if (json_array_size(merges) == 0)
        return dt_error_set(err, "it has no list of merges");
    json_array_foreach(merges, i, merge)
    {
        const char *left = json_string_value(json_array_get(merge, 0));
        const char *right = json_string_value(json_array_get(merge, 1));
        int rc;
        if (json_is_string(merge))
            rc = add_merge_line(bpe, json_string_value(merge), json_string_length(merge),
                                (uint32_t)i, err);
        else if (left && right)
            rc = add_merge(bpe, (struct half){left, strlen(left)},
                           (struct half){right, strlen(right)}, (uint32_t)i, err);
        else
            rc = dt_error_set(err, "merge number %zu is not two tokens", i);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* A pre-tokenizer, or a sequence of them: a pattern at most, and the writing in bytes. */
static int find_pattern(json_t *step, const char **pattern, struct dt_error *err)
{
    const char *type = text_of(step, "type");
    json_t *inner, *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
    size_t i;
    if (strcmp(type, "Sequence") == 0) {
        json_array_foreach(json_object_get(step, "pretokenizers"), i, inner) if (
            !json_is_object(inner) || strcmp(text_of(inner, "type"), "Sequence") == 0 ||
            find_pattern(inner, pattern, err) <
                0) return dt_error_set(err, "its pre-tokenizers are none that dt-train knows");
        return 0;
    }
    bool words =
        strcmp(type, "ByteLevel") == 0 && !json_is_false(json_object_get(step, "use_regex"));
    bool cuts = strcmp(type, "Split") == 0 && json_is_string(regex) &&
                strcmp(text_of(step, "behavior"), "Isolated") == 0 &&
                !json_is_true(json_object_get(step, "invert"));
    if (json_is_true(json_object_get(step, "add_prefix_space")) ||
        (!cuts && strcmp(type, "ByteLevel") != 0) || ((cuts || words) && *pattern))
        return dt_error_set(err, "its pre-tokenizer %s is none that dt-train knows", type);
    if (cuts || words)
        *pattern = cuts ? json_string_value(regex) : dt_split_gpt2;
    return 0;
}

static int add_all_special(struct dt_bpe *bpe, json_t *list, struct dt_error *err)
{
    size_t i;
    json_t *token;
    json_array_foreach(list, i, token)
    {
        json_t *number = json_object_get(token, "id"), *text = json_object_get(token, "content");
        json_int_t id = json_is_integer(number) ? json_integer_value(number) : -1;
        if (!json_is_string(text) || id < 0 || id >= DT_MOST_TOKENS ||
            add_special(bpe, (uint32_t)id, json_string_value(text)) < 0)
            return dt_error_set(err,
                                "number %zu of its added tokens has no content, or no id from "
                                "0 to %u",
                                i, DT_MOST_TOKENS - 1);
    }
    return 0;
}

static int read_model(struct dt_tokenizer *t, json_t *root, struct dt_error *err)
{
    json_t *model = json_object_get(root, "model");
    const char *type = text_of(model, "type"), *pattern = NULL;
    json_t *normalizer = json_object_get(root, "normalizer");
    if (!json_is_object(model) || (*type && strcmp(type, "BPE") != 0))
        return dt_error_set(err, "its model is \"%s\", and \"BPE\" is wanted", type);
    if (json_is_true(json_object_get(model, "byte_fallback")) ||
        (normalizer && !json_is_null(normalizer)))
        return dt_error_set(err, "it changes the text before it encodes it, as those made from "
                                 "SentencePiece do; give the tokenizer.model beside it");
    t->bpe.whole = json_is_true(json_object_get(model, "ignore_merges"));
    if (find_pattern(json_object_get(root, "pre_tokenizer"), &pattern, err) < 0 ||
        add_words(&t->bpe, json_object_get(model, "vocab"), err) < 0 ||
        add_merges(&t->bpe, json_object_get(model, "merges"), err) < 0 ||
        add_all_special(&t->bpe, json_object_get(root, "added_tokens"), err) < 0 ||
        dt_bpe_finish(&t->bpe, err) < 0)
        return -1;
    t->split = pattern ? dt_split_open(pattern, err) : NULL;
    return pattern && !t->split ? -1 : 0;
}

static json_t *parse(const char *text, size_t length, struct dt_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, length, 0, &why);
    if (!root)
        dt_error_set(err, "line %d is not JSON: %s", why.line, why.text);
    return root;
}

int dt_read_json(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err)
{
    json_t *root = parse(text, length, err);
    int rc = root ? read_model(t, root, err) : -1;
    json_decref(root);
    return rc;
}

int dt_read_vocabulary(struct dt_tokenizer *t, struct dt_text words, struct dt_text merges,
                       struct dt_error *err)
{
    json_t *root = parse(words.text, words.length, err);
    int rc = root ? add_words(&t->bpe, root, err) : -1;
    json_t *end = json_object_get(root, "<|endoftext|>");
    if (rc == 0 && end)
        rc = add_special(&t->bpe, (uint32_t)json_integer_value(end), "<|endoftext|>");
    json_decref(root);
    uint32_t rank = 0;
    for (size_t at = 0; rc == 0 && at < merges.length;) {
        const char *line = merges.text + at, *feed = memchr(line, '\n', merges.length - at);
        size_t length = feed ? (size_t)(feed - line) : merges.length - at;
        at += length + 1;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        if (length > 0 && !(rank == 0 && line[0] == '#'))
            rc = add_merge_line(&t->bpe, line, length, rank++, err);
    }
    if (rc == 0 && rank == 0)
        rc = dt_error_set(err, "merges.txt has no merges");
    if (rc == 0)
        rc = dt_bpe_finish(&t->bpe, err);
    t->split = rc == 0 ? dt_split_open(dt_split_gpt2, err) : NULL;
    return t->split ? 0 : -1;
}
