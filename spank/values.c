/* SPDX-License-Identifier: Apache-2.0 */
/* What a value of a setting may be. A wrong one gets a sentence with the place, the value, what is
 * allowed, and the likely meaning of a typing error. */
#include "values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const char *const validate_words[] = {"fast", "full", "deep", "off", "fresh", NULL};
static const char *const mode_words[] = {"auto", "explain", "off", NULL};
static const char *const policy_words[] = {"preferred", "bind", "interleave", "local", NULL};
static const char *const gpus_words[] = {"gpus=all", "gpus=own", "gpus=off", NULL};
static const char *const bind_words[] = {
    "auto",          "explain",       "off",      "preferred", "bind",     "interleave", "local",
    "reserve=CORES", "loaders=CORES", "gpus=all", "gpus=own",  "gpus=off", NULL};
static const char *const shim_words[] = {"on", "off", NULL};
static const char *const on_fail_words[] = {"abort", "warn", NULL};
static const char *const nic_words[] = {"plan", "narrow", "off", NULL};

static const char *find(const char *const *words, const char *value, size_t len)
{
    for (; *words; words++) {
        if (strlen(*words) == len && strncmp(*words, value, len) == 0)
            return *words;
    }
    return NULL;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edit distance of two short words; longer ones are simply far apart. */
static size_t distance(const char *a, const char *b, size_t len)
{
    enum { MAX = 16 };
    size_t width = strlen(a), row[MAX + 1];
    if (width > MAX || len > MAX)
        return MAX;
    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t j = 1; j <= len; j++) {
        size_t diagonal = row[0];
        row[0] = j;
        for (size_t i = 1; i <= width; i++) {
            size_t above = row[i];
            row[i] = min3(above + 1, row[i - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[width];
}

static const char *nearest(const char *const *words, const char *value, size_t len)
{
    const char *best = NULL;
    size_t least = 3;
    for (; *words; words++) {
        size_t d = distance(*words, value, len);
        if (d < least && d < strlen(*words)) {
            least = d;
            best = *words;
        }
    }
    return best;
}

static int unknown(const char *place, const char *value, size_t len, const char *const *words,
                   struct sentence *why)
{
    struct text allowed = {0};
    for (const char *const *word = words; *word; word++)
        text_printf(&allowed, "%s%s", word == words ? "" : word[1] ? ", " : " or ", *word);
    const char *guess = nearest(words, value, len);
    int shown = len > 64 ? 64 : (int)len;
    snprintf(why->text, sizeof why->text, "%s=%.*s: '%.*s' is unknown; it must be %s%s%s%s", place,
             shown, value, shown, value, allowed.data ? allowed.data : "another word",
             guess ? " (did you mean " : "", guess ? guess : "", guess ? "?)" : "");
    text_printable(why->text);
    text_fini(&allowed);
    return -1;
}

static int one_word(const char *value, const char *const *words, const char *place, char **out,
                    struct sentence *why)
{
    size_t len = strlen(value);
    const char *word = find(words, value, len);
    if (!word)
        return unknown(place, value, len, words, why);
    *out = strdup(word);
    return 0;
}

#define CORES_MAX 4096 /* of "reserve=" and "loaders=" */

/* "reserve=2": a number of cores behind that name? */
static bool is_cores(const char *word, size_t len, const char *name)
{
    size_t at = strlen(name);
    unsigned long cores = 0;
    if (len <= at || strncmp(word, name, at) != 0)
        return false;
    for (; at < len; at++) {
        if (word[at] < '0' || word[at] > '9' || cores > CORES_MAX)
            return false;
        cores = cores * 10 + (unsigned long)(word[at] - '0');
    }
    return cores <= CORES_MAX;
}

/* The kinds of words that --dt-bind takes, each once at most, in any order. */
enum bind_word { WORD_MODE, WORD_POLICY, WORD_RESERVE, WORD_LOADERS, WORD_GPUS, WORD_KINDS };

static enum bind_word bind_word(const char *word, size_t len)
{
    if (find(mode_words, word, len))
        return WORD_MODE;
    if (find(policy_words, word, len))
        return WORD_POLICY;
    if (is_cores(word, len, "reserve="))
        return WORD_RESERVE;
    if (is_cores(word, len, "loaders="))
        return WORD_LOADERS;
    return find(gpus_words, word, len) ? WORD_GPUS : WORD_KINDS;
}

/* "explain", "local", "interleave,auto,reserve=2": the mode is put first. */
static int bind_value(const char *value, const char *place, char **out, struct sentence *why)
{
    const char *mode = NULL;
    bool seen[WORD_KINDS + 1] = {false};
    struct text rest = {0}, text = {0};
    for (const char *c = value; c;) {
        size_t len = strcspn(c, ",");
        enum bind_word kind = bind_word(c, len);
        if (kind == WORD_KINDS) {
            text_fini(&rest);
            return unknown(place, c, len, bind_words, why);
        }
        if (seen[kind]) {
            snprintf(why->text, sizeof why->text,
                     "%s=%.64s: give one mode (auto, explain or off), one memory policy "
                     "(preferred, bind, interleave or local), and each of reserve, loaders and "
                     "gpus once at most",
                     place, value);
            text_printable(why->text);
            text_fini(&rest);
            return -1;
        }
        seen[kind] = true;
        if (kind == WORD_MODE)
            mode = find(mode_words, c, len);
        else
            text_printf(&rest, ",%.*s", (int)len, c);
        c = c[len] ? c + len + 1 : NULL;
    }
    text_puts(&text, mode ? mode : "auto");
    text_puts(&text, rest.data ? rest.data : "");
    text_fini(&rest);
    *out = text.data;
    return 0;
}

/* "deep", "deep,fresh", "fresh": the level is put first. */
static int validate_value(const char *value, const char *place, char **out, struct sentence *why)
{
    const char *level = NULL;
    bool fresh = false, again = false;
    struct text text = {0};
    for (const char *c = value; c;) {
        size_t len = strcspn(c, ",");
        const char *word = find(validate_words, c, len);
        if (!word)
            return unknown(place, c, len, validate_words, why);
        bool is_fresh = strcmp(word, "fresh") == 0;
        again |= is_fresh ? fresh : level != NULL;
        fresh |= is_fresh;
        level = is_fresh ? level : word;
        c = c[len] ? c + len + 1 : NULL;
    }
    if (again || (fresh && level && strcmp(level, "off") == 0)) {
        snprintf(
            why->text, sizeof why->text,
            "%s=%.64s: give one level (fast, full, deep or off), and fresh once at most, which "
            "does not go with off",
            place, value);
        text_printable(why->text);
        return -1;
    }
    text_printf(&text, "%s%s", level ? level : "fast", fresh ? ",fresh" : "");
    *out = text.data;
    return 0;
}

static int timeout_value(const char *value, const char *place, char **out, struct sentence *why)
{
    char *stop;
    size_t plain = strspn(value, "0123456789.");
    errno = 0;
    double seconds = strtod(value, &stop);
    if (errno || value[plain] || *stop || stop == value || !(seconds >= 0.1 && seconds <= 600)) {
        snprintf(why->text, sizeof why->text,
                 "%s=%.64s: it must be a number of seconds from 0.1 to 600", place, value);
        text_printable(why->text);
        return -1;
    }
    *out = strdup(value);
    return 0;
}

static int missing(const char *place, const char *what, struct sentence *why)
{
    snprintf(why->text, sizeof why->text, "%s needs a value: %s", place, what);
    return -1;
}

int value_normalize(enum setting setting, const char *value, const char *place, char **out,
                    struct sentence *why)
{
    int rc = -1;
    *out = NULL;
    switch (setting) {
    case SETTING_VALIDATE:
        rc = validate_value(value ? value : "fast", place, out, why);
        break;
    case SETTING_ENV:
        rc = one_word(value ? value : "auto", mode_words, place, out, why);
        break;
    case SETTING_BIND:
        rc = bind_value(value ? value : "auto", place, out, why);
        break;
    case SETTING_SHIM:
        rc = one_word(value ? value : "on", shim_words, place, out, why);
        break;
    case SETTING_ON_FAIL:
        rc = value ? one_word(value, on_fail_words, place, out, why)
                   : missing(place, "abort or warn", why);
        break;
    case SETTING_REPORT:
        rc = value ? 0 : missing(place, "the file to write", why);
        *out = value ? strdup(value) : NULL;
        break;
    case SETTING_TIMEOUT:
        rc = value ? timeout_value(value, place, out, why)
                   : missing(place, "seconds, 0.1 to 600", why);
        break;
    case SETTING_NIC:
        rc = value ? one_word(value, nic_words, place, out, why)
                   : missing(place, "plan, narrow or off", why);
        break;
    case SETTINGS:
        break;
    }
    if (rc == 0 && !*out) {
        snprintf(why->text, sizeof why->text, "%s: out of memory", place);
        rc = -1;
    }
    return rc;
}

int value_ports(const char *text)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return -1;
    unsigned long low = strtoul(text, &stop, 10);
    if (*stop != '-' || stop[1] < '0' || stop[1] > '9')
        return -1;
    unsigned long high = strtoul(stop + 1, &stop, 10);
    return *stop || low < 1024 || high > 65535 || low > high ? -1 : 0;
}
