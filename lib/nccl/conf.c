/* SPDX-License-Identifier: Apache-2.0 */
/* Reading NCCL's configuration files in a child that is the user: home directories may hang, and
 * what a user names must never be opened with root's rights. For each file the child says a head,
 * "N path" (the one that NCCL_CONF_FILE names), "H path" (the one at home) or "F path", and below it
 * "S line NAME=VALUE" and "E reason", a line each. Which of "N" and "H" counts hangs on NCCL's
 * version, which the child does not know. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env/env.h"
#include "facts/reader.h"
#include "nccl/internal.h"

#define FILE_MAX 65536u

/* Same deadline as other probes where the caller has no dt.conf. */
enum { TIMEOUT_MS = 500 };

static void say(int out, char kind, const char *text)
{
    char head[3] = {kind, ' ', '\0'};
    dt_probe_say(out, head);
    dt_probe_say(out, text);
    dt_probe_say(out, "\n");
}

static void say_settings(int out, const char *path, const char *text, size_t len)
{
    struct dt_nccl_settings settings = {0};
    struct dt_error err;
    if (dt_nccl_conf_parse(&settings, path, text, len, &err) < 0)
        say(out, 'E', err.text);
    for (size_t i = 0; i < settings.count; i++) {
        const struct dt_nccl_setting *item = &settings.items[i];
        char *line;
        if (asprintf(&line, "%d %s=%s", item->line, item->name, item->value) < 0)
            _exit(1);
        say(out, 'S', line);
        free(line);
    }
    dt_nccl_settings_fini(&settings);
}

/* At most FILE_MAX bytes. Returns the length, or -errno. */
static ssize_t read_all(const struct dt_root *root, const char *path, char *text)
{
    struct stat st;
    size_t len = 0;
    ssize_t n = 1;
    int fd = dt_root_open(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "%s", path + strspn(path, "/"));
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    while (n > 0 && len < FILE_MAX) {
        n = read(fd, text + len, FILE_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return n < 0 ? -EIO : (ssize_t)len;
}

static void read_file(int out, const struct dt_root *root, char kind, const char *path)
{
    char *text;
    ssize_t len;
    if (strchr(path, '\n'))
        return; /* could not be said in a line */
    text = malloc(FILE_MAX);
    len = text ? read_all(root, path, text) : -ENOMEM;
    if (len != -ENOENT || kind == 'N') {
        say(out, kind, path);
        if (len < 0)
            say(out, 'E', len == -EINVAL ? "is no regular file" : strerror((int)-len));
        else if ((size_t)len == FILE_MAX)
            say(out, 'E', "is longer than 64 KiB; the rest was not read");
        if (len > 0)
            say_settings(out, path, text, (size_t)len);
    }
    free(text);
}

/* As the path stands in the job: relative to its working directory. Caller frees. */
static char *named_path(const struct dt_facts_request *request, const char *conf_file)
{
    char *path = NULL;
    int n = *conf_file == '/'
                ? asprintf(&path, "%s", conf_file)
                : asprintf(&path, "%s/%s", request->cwd ? request->cwd : "", conf_file);
    return n < 0 ? NULL : path;
}

static char *home_path(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);
    char *path = NULL;
    if (!user || !user->pw_dir)
        return NULL;
    const char *folder = strcmp(user->pw_dir, "/") != 0 ? user->pw_dir : "";
    return asprintf(&path, "%s/.nccl.conf", folder) < 0 ? NULL : path;
}

void dt_nccl_conf_ask(int out, void *argument)
{
    const struct dt_nccl_asked *asked = argument;
    const struct dt_root *root = asked->request->root;
    bool named = asked->conf_file && *asked->conf_file;
    char *path = named ? named_path(asked->request, asked->conf_file) : NULL;
    if (path)
        read_file(out, root, 'N', path);
    free(path);
    path = home_path(asked->request->uid);
    if (path)
        read_file(out, root, 'H', path);
    free(path);
    read_file(out, root, 'F', "/etc/nccl.conf");
}

/* What a file's lines mean for the one that is being taken. */
struct taking {
    const char *file;
    char skipped; /* 'N' or 'H': the kind that NCCL does not read */
    bool skip;
};

/* One line of the child. */
static int take_line(struct dt_nccl_settings *settings, char *line, struct taking *taking,
                     struct dt_error *err)
{
    char *rest = line + 2, *equals;
    long number;
    if (strlen(line) < 2 || line[1] != ' ')
        return 0;
    if (strchr("NHF", *line)) {
        taking->file = rest;
        taking->skip = *line == taking->skipped;
    } else if (*line == 'E' && !taking->skip) {
        return dt_nccl_trouble(settings, taking->file, rest, err);
    } else if (*line == 'S' && !taking->skip) {
        number = strtol(rest, &rest, 10);
        equals = strchr(rest, '=');
        if (*rest != ' ' || !equals)
            return 0;
        *equals = '\0';
        return dt_nccl_add(settings, taking->file, (int)number, rest + 1, equals + 1, err);
    }
    return 0;
}

int dt_nccl_conf_take(struct dt_nccl_settings *settings, char *text, const char *failure,
                      const struct dt_nccl_asked *asked, const char *nccl, struct dt_error *err)
{
    bool named = asked->conf_file && *asked->conf_file;
    bool obeyed = named && (!nccl || dt_version_compare(nccl, "2.23") >= 0);
    struct taking taking = {.file = "nccl.conf", .skipped = obeyed ? 'H' : 'N'};
    char *line;
    *settings = (struct dt_nccl_settings){0};
    int rc = failure ? dt_nccl_trouble(settings, "NCCL's configuration files", failure, err) : 0;
    while (rc == 0 && text && (line = strsep(&text, "\n")))
        rc = take_line(settings, line, &taking, err);
    if (rc < 0)
        dt_nccl_settings_fini(settings);
    return rc;
}

static void probe(int out, void *argument)
{
    const struct dt_nccl_asked *asked = argument;
    if (dt_become_user(asked->request) < 0)
        _exit(1);
    dt_nccl_conf_ask(out, argument);
}

int dt_nccl_conf_read(struct dt_nccl_settings *settings, const struct dt_facts_request *request,
                      const char *conf_file, const char *nccl, struct dt_error *err)
{
    struct dt_nccl_asked asked = {request, conf_file};
    struct dt_probe child;
    struct dt_error why = {{0}};
    char *text = NULL;
    long long timeout_ms = request->conf ? request->conf->probe_timeout_ms : TIMEOUT_MS;
    int rc = dt_probe_start(&child, probe, &asked, request->root->fd, timeout_ms, &why);
    if (rc == 0)
        rc = dt_probe_finish(&child, &text, &why);
    rc = dt_nccl_conf_take(settings, text, rc < 0 ? why.text : NULL, &asked, nccl, err);
    free(text);
    return rc;
}
