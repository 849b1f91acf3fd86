/* SPDX-License-Identifier: Apache-2.0 */
/* Reading NCCL's configuration files in a child that is the user: home directories may hang, and
 * what a user names must never be opened with root's rights. The child says "F path", "S line
 * NAME=VALUE" and "E reason", a line each. */
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

struct asked {
    const struct dt_facts_request *request;
    const char *conf_file; /* NULL: not obeyed, or not set */
};

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

static void read_file(int out, const struct dt_root *root, const char *path, bool named)
{
    char *text;
    ssize_t len;
    if (strchr(path, '\n'))
        return; /* could not be said in a line */
    text = malloc(FILE_MAX);
    len = text ? read_all(root, path, text) : -ENOMEM;
    if (len != -ENOENT || named) {
        say(out, 'F', path);
        if (len < 0)
            say(out, 'E', len == -EINVAL ? "is no regular file" : strerror((int)-len));
        else if ((size_t)len == FILE_MAX)
            say(out, 'E', "is longer than 64 KiB; the rest was not read");
        if (len > 0)
            say_settings(out, path, text, (size_t)len);
    }
    free(text);
}

static void probe(int out, void *argument)
{
    const struct asked *asked = argument;
    const struct dt_facts_request *request = asked->request;
    const struct passwd *user;
    char *path = NULL;
    if (dt_become_user(request) < 0)
        _exit(1);
    if (asked->conf_file) {
        bool absolute = *asked->conf_file == '/';
        if (asprintf(&path, "%s%s%s",
                     absolute       ? ""
                     : request->cwd ? request->cwd
                                    : "",
                     absolute ? "" : "/", asked->conf_file) < 0)
            _exit(1);
        read_file(out, request->root, path, true);
    } else if ((user = getpwuid(request->uid)) && user->pw_dir) {
        if (asprintf(&path, "%s/.nccl.conf", strcmp(user->pw_dir, "/") != 0 ? user->pw_dir : "") <
            0)
            _exit(1);
        read_file(out, request->root, path, false);
    }
    free(path);
    read_file(out, request->root, "/etc/nccl.conf", false);
}

/* One line of the child. */
static int take_line(struct dt_nccl_settings *settings, char *line, const char **file,
                     struct dt_error *err)
{
    char *rest = line + 2, *equals;
    long number;
    if (strlen(line) < 2 || line[1] != ' ')
        return 0;
    if (*line == 'F')
        *file = rest;
    else if (*line == 'E')
        return dt_nccl_trouble(settings, *file, rest, err);
    else if (*line == 'S') {
        number = strtol(rest, &rest, 10);
        equals = strchr(rest, '=');
        if (*rest != ' ' || !equals)
            return 0;
        *equals = '\0';
        return dt_nccl_add(settings, *file, (int)number, rest + 1, equals + 1, err);
    }
    return 0;
}

static int take_text(struct dt_nccl_settings *settings, char *text, struct dt_error *err)
{
    const char *file = "nccl.conf";
    char *line;
    while (text && (line = strsep(&text, "\n")))
        if (take_line(settings, line, &file, err) < 0)
            return -1;
    return 0;
}

int dt_nccl_conf_read(struct dt_nccl_settings *settings, const struct dt_facts_request *request,
                      const char *conf_file, const char *nccl, struct dt_error *err)
{
    bool obeyed = conf_file && *conf_file && (!nccl || dt_version_compare(nccl, "2.23") >= 0);
    struct asked asked = {request, obeyed ? conf_file : NULL};
    struct dt_probe child;
    struct dt_error why = {{0}};
    char *text = NULL;
    int rc = 0;
    *settings = (struct dt_nccl_settings){0};
    if (dt_probe_start(&child, probe, &asked, request->root->fd,
                       request->conf ? request->conf->probe_timeout_ms : TIMEOUT_MS, &why) < 0 ||
        dt_probe_finish(&child, &text, &why) < 0)
        rc = dt_nccl_trouble(settings, "NCCL's configuration files", why.text, err);
    if (rc == 0)
        rc = take_text(settings, text, err);
    free(text);
    if (rc < 0)
        dt_nccl_settings_fini(settings);
    return rc;
}
