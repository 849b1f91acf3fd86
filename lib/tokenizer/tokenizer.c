/* SPDX-License-Identifier: Apache-2.0 */
/* Which file it is, and encoding piece by piece; see tokenizer.h. */
#include "tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read.h"

#define MOST_BYTES (256u << 20) /* of a tokenizer's file; Llama 3's tokenizer.json has 9 MB */

static int read_file(const char *path, char **text, size_t *length, struct dt_error *err)
{
    struct stat st;
    *text = NULL;
    FILE *file = fopen(path, "re");
    if (!file)
        return dt_error_set(err, "tokenizer %s can not be opened: %s", path, strerror(errno));
    int rc = -1;
    if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MOST_BYTES)
        dt_error_set(err, "tokenizer %s is no file of up to %u MB", path, MOST_BYTES >> 20);
    else if (!(*text = malloc((size_t)st.st_size + 1)))
        dt_error_set(err, "no memory for tokenizer %s", path);
    else if ((*length = fread(*text, 1, (size_t)st.st_size, file)) != (size_t)st.st_size)
        dt_error_set(err, "tokenizer %s can not be read: %s", path,
                     ferror(file) ? strerror(errno) : "it has become shorter");
    else
        rc = 0;
    fclose(file);
    if (rc < 0) {
        free(*text);
        *text = NULL;
    }
    return rc;
}

static bool ends_in(const char *path, const char *name)
{
    size_t length = strlen(path), tail = strlen(name);
    return length >= tail && strcmp(path + length - tail, name) == 0;
}

/* Both of GPT-2's files, named by the one that was given. */
static int open_vocabulary(struct dt_tokenizer *t, const char *path, struct dt_error *err)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    char *words = NULL, *merges = NULL;
    struct dt_text text[2] = {{NULL, 0}, {NULL, 0}};
    char *owned[2] = {NULL, NULL};
    int rc = -1;
    if (asprintf(&words, "%.*svocab.json", folder, path) >= 0 &&
        asprintf(&merges, "%.*smerges.txt", folder, path) >= 0 &&
        read_file(words, &owned[0], &text[0].length, err) == 0 &&
        read_file(merges, &owned[1], &text[1].length, err) == 0) {
        text[0].text = owned[0];
        text[1].text = owned[1];
        rc = dt_read_vocabulary(t, text[0], text[1], err);
        if (rc < 0)
            dt_error_prefix(err, "tokenizer %s with %s", words, merges);
    }
    free(words);
    free(merges);
    free(owned[0]);
    free(owned[1]);
    return rc;
}

/* "IQ== 0": base64, a space and a number, where a message of protocol buffers begins with 0x0a. */
static bool looks_like_ranks(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length && text[at] > ' ' && text[at] < 127)
        at++;
    return at > 0 && at + 1 < length && text[at] == ' ' && text[at + 1] >= '0' &&
           text[at + 1] <= '9';
}

static int open_file(struct dt_tokenizer *t, const char *path, struct dt_error *err)
{
    char *text;
    size_t length = 0;
    if (ends_in(path, "vocab.json") || ends_in(path, "merges.txt"))
        return open_vocabulary(t, path, err);
    if (read_file(path, &text, &length, err) < 0)
        return -1;
    int rc = ends_in(path, ".json")           ? dt_read_json(t, text, length, err)
             : looks_like_ranks(text, length) ? dt_read_ranks(t, text, length, err)
                                              : dt_read_pieces(t, text, length, err);
    free(text);
    if (rc < 0)
        dt_error_prefix(err, "tokenizer %s", path);
    return rc;
}

static int open_directory(struct dt_tokenizer *t, const char *path, struct dt_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *inner;
        if (asprintf(&inner, "%s/%s", path, names[i]) < 0)
            return dt_error_set(err, "no memory for the name of tokenizer %s", path);
        bool there = access(inner, F_OK) == 0;
        int rc = there ? open_file(t, inner, err) : 0;
        free(inner);
        if (there)
            return rc;
    }
    return dt_error_set(err,
                        "tokenizer %s has none of tokenizer.json, tokenizer.model and "
                        "vocab.json with merges.txt",
                        path);
}

int dt_tokenizer_open(struct dt_tokenizer **tokenizer, const char *path, struct dt_error *err)
{
    struct stat st;
    struct dt_tokenizer *t = calloc(1, sizeof *t);
    *tokenizer = NULL;
    if (!t)
        return dt_error_set(err, "no memory for tokenizer %s", path);
    dt_bpe_init(&t->bpe);
    bool directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if ((directory ? open_directory : open_file)(t, path, err) < 0) {
        dt_tokenizer_close(t);
        return -1;
    }
    *tokenizer = t;
    return 0;
}

void dt_tokenizer_close(struct dt_tokenizer *t)
{
    if (!t)
        return;
    dt_bpe_fini(&t->bpe);
    dt_split_close(t->split);
    free(t);
}

size_t dt_tokenizer_size(const struct dt_tokenizer *t)
{
    return t->bpe.vocabulary.count;
}

int dt_tokenizer_end(const struct dt_tokenizer *t)
{
    return t->bpe.end == DT_NO_TOKEN ? -1 : (int)t->bpe.end;
}

struct encoding {
    const struct dt_bpe *bpe;
    struct dt_tokens *tokens;
};

static int encode_piece(void *context, const char *piece, size_t length)
{
    const struct encoding *e = context;
    return dt_bpe_encode(e->bpe, piece, length, e->tokens);
}

/* SentencePiece has no pattern, but the public models let no token go on after a line feed, so that
 * each line can be encoded by itself. U+2581 is its space. */
static int encode_lines(const struct dt_tokenizer *t, const char *text, size_t length,
                        struct dt_tokens *tokens)
{
    char *line = malloc(length + 1);
    size_t count = 0, used = 0;
    int rc = line ? 0 : -1;
    if (line && t->space_first && length > 0)
        line[count++] = ' ';
    for (size_t at = 0; rc == 0 && at < length; at += used) {
        bool mark = length - at >= 3 && memcmp(text + at, "\xe2\x96\x81", 3) == 0;
        used = mark ? 3 : 1;
        line[count++] = mark ? ' ' : text[at];
        if ((t->by_line && text[at] == '\n') || at + used == length) {
            rc = dt_bpe_encode(&t->bpe, line, count, tokens);
            count = 0;
        }
    }
    free(line);
    return rc;
}

int dt_tokenizer_encode(const struct dt_tokenizer *t, const void *text, size_t length,
                        struct dt_tokens *tokens, struct dt_error *err)
{
    struct encoding encoding = {&t->bpe, tokens};
    if (t->split)
        return dt_split_each(t->split, text, length, encode_piece, &encoding, err);
    if (encode_lines(t, text, length, tokens) < 0)
        return dt_error_set(err, "no memory for the tokens of %zu bytes of text", length);
    return 0;
}

const char *dt_tokenizer_bytes(const struct dt_tokenizer *t, uint32_t token, bool first,
                               size_t *length)
{
    const struct dt_vocabulary *v = &t->bpe.vocabulary;
    *length = 0;
    if (token >= v->count || !v->words[token].known)
        return "";
    const char *bytes = dt_vocabulary_bytes(v, token);
    bool skip = first && t->space_first && v->words[token].length > 0 && bytes[0] == ' ';
    *length = v->words[token].length - skip;
    return bytes + skip;
}
