/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a line as a shell parts them: blanks, quotes, backslashes, $NAME; nothing else of a shell. */
#include "roles/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct line {
    const char *at, *end;
    const char *(*variable)(const char *name);
    struct dt_error *err;
};

/* $NAME or ${NAME}; a $ before anything else is a $. */
static int put_variable(struct line *line, struct dt_buf *word)
{
    const char *at = line->at + 1;
    bool braces = at < line->end && *at == '{';
    const char *name = at + braces, *stop = name;
    while (stop < line->end && (isalnum((unsigned char)*stop) || *stop == '_'))
        stop++;
    if (stop == name || isdigit((unsigned char)*name)) {
        dt_buf_puts(word, "$");
        line->at++;
        return 0;
    }
    if (braces && (stop == line->end || *stop != '}'))
        return dt_error_set(line->err, "\"%.*s\" has no }", (int)(stop - line->at), line->at);
    char *copy = strndup(name, (size_t)(stop - name));
    const char *value = copy ? line->variable(copy) : NULL;
    int result = value ? 0
                       : dt_error_set(line->err, "the variable %s is not set in the environment",
                                      copy ? copy : "");
    if (value)
        dt_buf_puts(word, value);
    free(copy);
    line->at = stop + braces;
    return result;
}

static int put_quoted(struct line *line, struct dt_buf *word)
{
    char quote = *line->at++;
    while (line->at < line->end && *line->at != quote) {
        bool escape = quote == '"' && *line->at == '\\' && line->at + 1 < line->end &&
                      strchr("\"\\$", line->at[1]) && line->at[1];
        if (quote == '"' && *line->at == '$') {
            if (put_variable(line, word))
                return -1;
            continue;
        }
        line->at += escape;
        dt_buf_append(word, line->at++, 1);
    }
    if (line->at == line->end)
        return dt_error_set(line->err, "a %c has no end", quote);
    line->at++;
    return 0;
}

static int put_word(struct line *line, struct dt_buf *word)
{
    while (line->at < line->end && !isspace((unsigned char)*line->at)) {
        int result = 0;
        if (*line->at == '\'' || *line->at == '"') {
            result = put_quoted(line, word);
        } else if (*line->at == '$') {
            result = put_variable(line, word);
        } else {
            line->at += *line->at == '\\' && line->at + 1 < line->end;
            dt_buf_append(word, line->at++, 1);
        }
        if (result)
            return -1;
    }
    return 0;
}

int dt_words_split(char ***words, size_t *count, const char *text, size_t length,
                   const char *(*variable)(const char *name), struct dt_error *err)
{
    struct line line = {text, text + length, variable, err};
    *words = calloc(1, sizeof **words);
    *count = 0;
    int result = *words ? 0 : dt_error_set(err, "out of memory");
    while (result == 0) {
        struct dt_buf word = DT_BUF_INIT;
        while (line.at < line.end && isspace((unsigned char)*line.at))
            line.at++;
        if (line.at == line.end || *line.at == '#')
            return 0;
        result = put_word(&line, &word);
        char **grown = reallocarray(*words, *count + 2, sizeof **words);
        char *taken = dt_buf_take(&word);
        if (grown)
            *words = grown;
        if (result == 0 && (!grown || !taken))
            result = dt_error_set(err, "out of memory");
        if (result != 0 || !grown) {
            free(taken);
            break;
        }
        grown[(*count)++] = taken;
        grown[*count] = NULL;
    }
    dt_words_free(*words);
    *words = NULL;
    return -1;
}

void dt_words_free(char **words)
{
    for (char **at = words; at && *at; at++)
        free(*at);
    free(words);
}
