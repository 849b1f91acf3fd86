/* SPDX-License-Identifier: Apache-2.0 */
/* The words of --bind: a mode, and what --dt-bind of srun takes behind it, in any order. */
#include "bind_words.h"

#include <stdlib.h>
#include <string.h>

#define CORES_MAX 4096

static bool is_one_of(const char *word, size_t len, const char *const *list)
{
    for (; *list; list++) {
        if (strlen(*list) == len && strncmp(*list, word, len) == 0)
            return true;
    }
    return false;
}

static bool keep(char *out, size_t size, const char *word, size_t len)
{
    if (*out || len >= size)
        return false; /* given twice, or no word of ours */
    memcpy(out, word, len);
    out[len] = '\0';
    return true;
}

static bool is_cores(const char *word, size_t len)
{
    return len > 0 && len <= 4 && strspn(word, "0123456789") >= len && atoi(word) <= CORES_MAX;
}

struct state {
    struct dt_bind_words *words;
    bool mode; /* has been given */
};

static bool take_mode(struct state *state, const char *word, size_t len)
{
    static const char *const modes[] = {"auto", "explain", "off", NULL};
    if (state->mode || !is_one_of(word, len, modes))
        return false;
    state->mode = true;
    state->words->wanted = word[0] != 'o';
    state->words->explain = word[0] == 'e';
    return true;
}

/* "reserve=2"; 0 is what dt-node does by itself. */
static bool take_cores(char *out, size_t size, const char *value, size_t len)
{
    return is_cores(value, len) && (strspn(value, "0") >= len || keep(out, size, value, len));
}

static bool take_word(struct state *state, const char *word, size_t len)
{
    static const char *const policies[] = {"preferred", "bind", "interleave", "local", NULL};
    static const char *const gpus[] = {"all", "own", "off", NULL};
    static const char *const nics[] = {"plan", "narrow", "off", NULL};
    struct dt_bind_words *w = state->words;
    const char *equals = memchr(word, '=', len);
    size_t name = equals ? (size_t)(equals - word) + 1 : 0, rest = len - name;
    const char *value = word + name;
    if (!equals && is_one_of(word, len, policies))
        return keep(w->memory, sizeof w->memory, word, len);
    if (name == 5 && strncmp(word, "gpus=", name) == 0)
        return is_one_of(value, rest, gpus) && keep(w->gpus, sizeof w->gpus, value, rest);
    if (name == 4 && strncmp(word, "nic=", name) == 0)
        return is_one_of(value, rest, nics) && keep(w->nic, sizeof w->nic, value, rest);
    if (name == 8 && strncmp(word, "reserve=", name) == 0)
        return take_cores(w->reserve, sizeof w->reserve, value, rest);
    if (name == 8 && strncmp(word, "loaders=", name) == 0)
        return take_cores(w->loaders, sizeof w->loaders, value, rest);
    return take_mode(state, word, len);
}

int dt_bind_words_parse(struct dt_bind_words *words, const char *place, const char *text,
                        struct dt_error *err)
{
    struct state state = {.words = words};
    *words = (struct dt_bind_words){.from = DT_BIND_FROM_USER, .wanted = true};
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        if (!take_word(&state, at, len))
            return dt_error_set(err,
                                "%s is \"%.200s\": '%.*s' is unknown or there twice; auto, explain "
                                "or off is needed, or preferred, bind, interleave, local, "
                                "reserve=CORES, loaders=CORES, gpus=all|own|off, "
                                "nic=plan|narrow|off, separated by commas",
                                place, text, len > 64 ? 64 : (int)len, at);
        at += len;
        if (!*at)
            return 0;
    }
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int dt_bind_words_default(struct dt_bind_words *words, struct dt_error *err)
{
    const char *mode = variable("DT_BIND_MODE"), *wish = variable("DT_BIND");
    if (mode) {
        int rc = dt_bind_words_parse(words, "DT_BIND_MODE", mode, err);
        words->from = DT_BIND_FROM_PLUGIN;
        return rc;
    }
    /* The plugin has been here and bound nothing, because the user's options for srun did. */
    if (!wish || getenv("DT_BIND_CPUS")) {
        *words = (struct dt_bind_words){0};
        return 0;
    }
    return dt_bind_words_parse(words, "DT_BIND", wish, err);
}
