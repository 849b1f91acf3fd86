/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration or data file: opened under dt's trust rules, parsed by libconfuse, and every
 * complaint of libconfuse turned into one sentence with file and line. What the options mean is not
 * decided here. */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1 << 20)

/* Private bits in cfg_opt_t.flags, above those of libconfuse: the file has set this option; and for
 * a list that is being read, how many values there were at the last look. */
#define OPTION_SEEN (1 << 28)
#define COUNT_SHIFT 16
#define COUNT_MASK  0xfffu

/* libconfuse hands its error callback no pointer of the caller's, and its scanner is one per
 * process anyway: while a file is parsed, this is where its first error goes. */
static _Thread_local struct parse {
    struct dt_error *err;
    const char *text;
    bool failed;
} * current;

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t min = a < b ? a : b;
    return min < c ? min : c;
}

/* Levenshtein distance, for words shorter than the row; longer ones are never near. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1];
    size_t width = strlen(b);
    if (width > LONGEST || strlen(a) > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t above = row[j];
            size_t same = corner + (a[i - 1] != b[j - 1]);
            row[j] = min3(above + 1, row[j - 1] + 1, same);
            corner = above;
        }
    }
    return row[width];
}

static const char *nearest_option(const cfg_t *cfg, const char *word)
{
    const char *nearest = NULL;
    size_t best = strlen(word) / 3 + 1; /* further than that is another word, not a slip */
    for (const cfg_opt_t *opt = cfg->opts; opt && opt->name; opt++) {
        size_t d = distance(word, opt->name);
        if (d <= best && (!nearest || d < best)) {
            best = d;
            nearest = opt->name;
        }
    }
    return nearest;
}

/* The line that the error is in, without indentation: it shows the value that libconfuse hides. */
static char *line_of_text(const char *text, int number)
{
    for (int i = 1; i < number && text; i++) {
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    if (!text)
        return NULL;
    text += strspn(text, " \t");
    return strndup(text, strcspn(text, "\r\n"));
}

static void unknown_option(const cfg_t *cfg, const char *word)
{
    const char *near = nearest_option(cfg, word);
    const char *within = cfg->title ? cfg->title : "";
    dt_error_set(current->err, "%s:%d: unknown option '%s'%s%s%s%s%s", cfg->filename, cfg->line,
                 word, *within ? " in " : "", within, near ? "; did you mean '" : "",
                 near ? near : "", near ? "'?" : "");
}

static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    if (!current || current->failed)
        return; /* the first error is the one to fix */
    current->failed = true;

    if (strcmp(format, "no such option '%s'") == 0) {
        unknown_option(cfg, va_arg(args, const char *));
        return;
    }
    dt_error_vset(current->err, format, args);
    char *line = line_of_text(current->text, cfg->line);
    if (line && *line) {
        struct dt_error what = {0};
        if (current->err)
            what = *current->err;
        dt_error_set(current->err, "%s, in the line: %s", what.text, line);
    }
    free(line);
    dt_error_prefix(current->err, "%s:%d", cfg->filename, cfg->line);
}

/* Runs after each option is set: libconfuse would take the last value in silence. For a list it
 * runs after each value, and once more at the end. */
int dt_conf_once(cfg_t *cfg, cfg_opt_t *opt)
{
    if (opt->flags & OPTION_SEEN) {
        cfg_error(cfg, "option '%s' is set twice, keep one", opt->name);
        return -1;
    }
    unsigned seen = ((unsigned)opt->flags >> COUNT_SHIFT) & COUNT_MASK;
    unsigned count = opt->nvalues & COUNT_MASK;
    if ((opt->flags & CFGF_LIST) && count != seen)
        opt->flags = (opt->flags & ~(int)(COUNT_MASK << COUNT_SHIFT)) | (int)(count << COUNT_SHIFT);
    else
        opt->flags |= OPTION_SEEN;
    return 0;
}

static void watch_for_duplicates(cfg_opt_t *options)
{
    for (cfg_opt_t *opt = options; opt && opt->name; opt++) {
        if (!opt->validcb && !(opt->flags & CFGF_MULTI))
            opt->validcb = dt_conf_once;
        watch_for_duplicates(opt->subopts);
    }
}

static int check_trust(int fd, const char *path, off_t *size, struct dt_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dt_error_set(err, "%s can not be examined: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dt_error_set(err, "%s is not a regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return dt_error_set(err,
                            "%s belongs to user %lu; it must belong to root or to the user who "
                            "reads it (%lu): chown it",
                            path, (unsigned long)st.st_uid, (unsigned long)geteuid());
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return dt_error_set(err, "%s is writable by %s (mode %04o): chmod go-w it", path,
                            st.st_mode & S_IWOTH ? "everyone" : "its group",
                            (unsigned)(st.st_mode & 07777));
    if (st.st_size > FILE_MAX_BYTES)
        return dt_error_set(err, "%s has %lld bytes; more than %d is no file of dt's", path,
                            (long long)st.st_size, FILE_MAX_BYTES);
    *size = st.st_size;
    return 0;
}

char *dt_conf_read_text(const char *path, size_t *len, int *open_errno, struct dt_error *err)
{
    char *text = NULL;
    off_t size = 0;
    *open_errno = 0;
    /* Not blocking: a FIFO in place of the file must not hang the reader. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        *open_errno = errno;
        dt_error_set(err, "%s can not be read: %s", path, strerror(errno));
        return NULL;
    }
    if (check_trust(fd, path, &size, err) != 0)
        goto out;
    text = malloc((size_t)size + 1);
    if (!text) {
        dt_error_set(err, "%s: out of memory", path);
        goto out;
    }
    *len = 0;
    while (*len < (size_t)size) {
        ssize_t n = read(fd, text + *len, (size_t)size - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            dt_error_set(err, "%s can not be read: %s", path, strerror(errno));
            free(text);
            text = NULL;
            goto out;
        }
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    text[*len] = '\0';
out:
    close(fd);
    return text;
}

static void say_stray(const char *name, char stray, int line, struct dt_error *err)
{
    if (stray == '"' || stray == '\'')
        dt_error_set(err, "%s:%d: the string that begins in this line is not closed", name, line);
    else
        dt_error_set(err, "%s:%d: a '%c' stands outside quotes: put the value in quotes", name,
                     line, stray);
}

int dt_conf_parse_text(cfg_t **cfg, cfg_opt_t *options, const char *name, const char *text,
                       size_t len, struct dt_error *err)
{
    *cfg = NULL;
    if (memchr(text, '\0', len))
        return dt_error_set(err, "%s holds a NUL byte: not a text file", name);
    int rc = -1, unclosed = 0, stray_line = 0;
    char stray = '\0';
    struct parse parse = {.err = err, .text = text};
    /* fmemopen takes no empty buffer: an empty line in its place. */
    char *copy = malloc(len + 2);
    FILE *stream = NULL;
    if (copy) {
        memcpy(copy, text, len);
        memcpy(copy + len, "\n", 2);
        dt_conf_blank_comments(copy);
        unclosed = dt_conf_unclosed(copy);
        stray = dt_conf_stray(copy, &stray_line);
        stream = fmemopen(copy, len > 0 ? len : 1, "r");
    }
    cfg_t *made = stream ? cfg_init(options, CFGF_NONE) : NULL;
    if (!made) {
        dt_error_set(err, "%s: out of memory", name);
        goto out;
    }
    if (stray) {
        say_stray(name, stray, stray_line, err);
        goto out;
    }
    watch_for_duplicates(made->opts);
    cfg_set_error_function(made, on_error);
    made->filename = strdup(name);

    current = &parse;
    int parsed = made->filename ? cfg_parse_fp(made, stream) : CFG_PARSE_ERROR;
    current = NULL;
    if (parsed == CFG_SUCCESS && !parse.failed && unclosed) {
        dt_error_set(err, "%s:%d: the '{' in this line is not closed before the file ends", name,
                     unclosed);
    } else if (parsed == CFG_SUCCESS && !parse.failed) {
        *cfg = made;
        made = NULL;
        rc = 0;
    } else if (!parse.failed) {
        dt_error_set(err, "%s:%d: not in the form 'option = value'", name, made->line);
    }
out:
    if (made)
        cfg_free(made);
    if (stream)
        fclose(stream);
    free(copy);
    return rc;
}

int dt_conf_parse_file(cfg_t **cfg, cfg_opt_t *options, const char *path, struct dt_error *err)
{
    size_t len = 0;
    int open_errno;
    *cfg = NULL;
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    if (!text)
        return -1;
    int rc = dt_conf_parse_text(cfg, options, path, text, len, err);
    free(text);
    return rc;
}
