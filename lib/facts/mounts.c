/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted: where the admin wants something, what the kernel has made read-only, what the nodes
 * of a job should share. And do the network and user file systems answer? Each is asked with statfs in a
 * child of its own, all at the same time, so that a hung one is named and the others are still judged. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "facts/printable.h"
#include "facts/system.h"

enum { MOUNTS_MAX = 64 };

struct mount {
    const struct dt_reader *reader;
    char *path;
    char *type;
    struct dt_probe probe;
    bool started;
};

static bool may_hang(const char *type)
{
    static const char *const types[] = {"nfs",  "nfs4",     "lustre",   "beegfs",   "wekafs",
                                        "gpfs", "ceph",     "cifs",     "smb3",     "efs",
                                        "9p",   "virtiofs", "orangefs", "glusterfs"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i]) == 0)
            return true;
    }
    return strcmp(type, "fuse") == 0 || strncmp(type, "fuse.", 5) == 0;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *c = text; *c;) {
        if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' &&
            c[3] >= '0' && c[3] <= '7') {
            *to++ = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
            c += 4;
        } else {
            *to++ = *c++;
        }
    }
    *to = '\0';
}

static void ask(int out, void *argument)
{
    const struct mount *mount = argument;
    struct statfs fs;
    const char *below = mount->path + strspn(mount->path, "/");
    if (dt_become_user(mount->reader->request) < 0)
        _exit(1);
    int fd = dt_root_open(mount->reader->root, O_PATH | O_DIRECTORY, "%s", *below ? below : ".");
    int rc = fd < 0 ? fd : fstatfs(fd, &fs) < 0 ? -errno : 0;
    /* "Not yours" is an answer: the file system is alive. */
    if (rc < 0 && rc != -EACCES && rc != -EPERM)
        dt_probe_say(out, strerror(-rc));
}

/* One line of mountinfo, cut in place: "36 35 98:0 / /fsx rw,noatime shared:1 - lustre addr rw,flock". */
struct line {
    char *path, *options, *type, *source, *super;
};

static char *next_word(char **rest)
{
    char *word = strsep(rest, " ");
    return word ? word : (char *)"";
}

static bool parse_line(char *text, struct line *line)
{
    char *tail = strstr(text, " - ");
    if (!tail)
        return false;
    *tail = '\0';
    tail += 3;
    line->type = next_word(&tail);
    line->source = next_word(&tail);
    line->super = next_word(&tail);
    for (int field = 0; field < 4; field++)
        next_word(&text);
    line->path = next_word(&text);
    line->options = next_word(&text);
    if (line->path[0] != '/')
        return false;
    unescape(line->path);
    return true;
}

static size_t list_mounts(const struct dt_reader *reader, char *text, struct mount *mounts)
{
    size_t count = 0;
    char *one;
    struct line line;
    while (count < MOUNTS_MAX && (one = strsep(&text, "\n"))) {
        if (!parse_line(one, &line) || !may_hang(line.type))
            continue;
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known |= strcmp(mounts[i].path, line.path) == 0;
        if (!known)
            mounts[count++] =
                (struct mount){.reader = reader, .path = line.path, .type = line.type};
    }
    return count;
}

static json_t *finish(struct mount *mount, const struct dt_error *start_error)
{
    struct dt_error err = *start_error;
    char *text = NULL;
    int rc = mount->started ? dt_probe_finish(&mount->probe, &text, &err) : -1;
    const char *reason = rc < 0 ? err.text : text;
    json_t *item = json_object();
    json_object_set_new(item, "path", dt_printable_json(mount->path, DT_FACT_TEXT_MAX));
    json_object_set_new(item, "type", dt_printable_json(mount->type, 64));
    /* Could not be asked at all: not known, rather than bad. */
    if (rc == 0 || mount->probe.timed_out)
        json_object_set_new(item, "ok", json_boolean(rc == 0 && !*reason));
    if (*reason)
        json_object_set_new(item, "reason", dt_printable_json(reason, 256));
    free(text);
    return item;
}

enum { MOUNTINFO_MAX = 1 << 20 };

/* The text of /proc/self/mountinfo, for the caller to free; NULL: `key` is not known. */
static char *read_mountinfo(struct dt_reader *reader, const char *key)
{
    char *text = malloc(MOUNTINFO_MAX);
    ssize_t n =
        text ? dt_root_read(reader->root, text, MOUNTINFO_MAX, "proc/self/mountinfo") : -ENOMEM;
    if (n >= 0)
        return text;
    dt_reader_why(reader, key, "/proc/self/mountinfo: %s", strerror((int)-n));
    free(text);
    return NULL;
}

/* Type of what is mounted last at a place; false: nothing is. */
static bool mounted_type(const char *mountinfo, const char *place, char *type, size_t size)
{
    char *copy = strdup(mountinfo), *rest = copy, *one;
    struct line line;
    bool is_mounted = false;
    while (copy && (one = strsep(&rest, "\n"))) {
        if (!parse_line(one, &line) || strcmp(line.path, place) != 0)
            continue;
        snprintf(type, size, "%s", line.type);
        is_mounted = true;
    }
    free(copy);
    return is_mounted;
}

void dt_read_mounted(struct dt_reader *reader)
{
    char *text = read_mountinfo(reader, "fs.mounted");
    char *const *place = reader->request->conf->required_mounts;
    if (!text)
        return;
    json_t *list = json_array();
    for (; *place; place++) {
        char type[64] = "";
        bool is_mounted = mounted_type(text, *place, type, sizeof type);
        json_t *item = json_pack("{s:o,s:b}", "path", dt_printable_json(*place, DT_FACT_TEXT_MAX),
                                 "ok", is_mounted);
        json_object_set_new(item, is_mounted ? "type" : "reason",
                            is_mounted ? dt_printable_json(type, sizeof type)
                                       : json_string("nothing is mounted there"));
        json_array_append_new(list, item);
    }
    dt_reader_take(reader, "fs.mounted", list);
    free(text);
}

static bool has_option(const char *options, const char *option)
{
    size_t len = strlen(option);
    for (const char *at = options; (at = strstr(at, option)); at += len) {
        if ((at == options || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

/* The kernel makes a file system read-only as a whole when it is damaged, while the mount still says
 * rw: an admin's "mount -o ro" says ro in both. */
static bool was_made_readonly(const struct line *line)
{
    static const char *const types[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"};
    bool local = false;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        local |= strcmp(line->type, types[i]) == 0;
    return local && has_option(line->options, "rw") && has_option(line->super, "ro");
}

/* Of every node its own, or of no meaning to the job. */
static bool is_private_option(const char *option)
{
    static const char *const prefixes[] = {
        "clientaddr=", "addr=", "mountaddr=", "port=", "mountport=", "fd="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

struct shared {
    char *texts[MOUNTS_MAX];
    size_t count;
};

/* "/fsx lustre 10.0.0.1@tcp:/x rw,noatime,flock": the first two are what must be alike. */
static void add_shared(struct shared *shared, struct line *line)
{
    struct dt_buf text = DT_BUF_INIT;
    char *rest = line->super, *option;
    for (char *c = line->path; *c; c++)
        *c = *c == ' ' ? '_' : *c;
    dt_buf_printf(&text, "%s %s %s %s", line->path, line->type, line->source, line->options);
    while ((option = strsep(&rest, ","))) {
        if (*option && !is_private_option(option) && !has_option(line->options, option))
            dt_buf_printf(&text, ",%s", option);
    }
    shared->texts[shared->count] = dt_buf_take(&text);
    shared->count += shared->texts[shared->count] != NULL;
}

/* What an automounter brings is there or not as somebody needed it. */
static bool is_fixed(const char *path, char *const *automounted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(automounted[i]);
        if (strncmp(path, automounted[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
            return false;
    }
    return strncmp(path, "/run/", 5) != 0 && strncmp(path, "/var/lib/", 9) != 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Up to the blank before the third word; a path has none but in an odd name. */
static size_t place_and_type(const char *text)
{
    size_t len = strcspn(text, " ");
    return text[len] ? len + 1 + strcspn(text + len + 1, " ") : len;
}

static void say_shared(struct dt_reader *reader, struct shared *shared)
{
    struct dt_buf text = DT_BUF_INIT, places = DT_BUF_INIT;
    qsort(shared->texts, shared->count, sizeof shared->texts[0], by_text);
    for (size_t i = 0; i < shared->count; i++) {
        dt_buf_printf(&text, "%s%s", i ? "; " : "", shared->texts[i]);
        dt_buf_printf(&places, "%s%.*s", i ? "; " : "", (int)place_and_type(shared->texts[i]),
                      shared->texts[i]);
    }
    if (!text.failed && !places.failed) {
        dt_reader_string(reader, "fs.network", shared->count ? places.data : "none");
        dt_reader_string(reader, "fs.network_options", shared->count ? text.data : "none");
    }
    dt_buf_fini(&text);
    dt_buf_fini(&places);
    for (size_t i = 0; i < shared->count; i++)
        free(shared->texts[i]);
}

void dt_read_mount_table(struct dt_reader *reader)
{
    char *text = read_mountinfo(reader, "fs.readonly"), *rest = text, *one;
    char *automounted[MOUNTS_MAX];
    size_t automounts = 0;
    struct line line;
    struct shared shared = {.count = 0};
    json_t *readonly = json_array();
    if (!text) {
        dt_reader_why(reader, "fs.network", "/proc/self/mountinfo can not be read");
        json_decref(readonly);
        return;
    }
    while ((one = strsep(&rest, "\n"))) {
        if (!parse_line(one, &line))
            continue;
        if (strcmp(line.type, "autofs") == 0 && automounts < MOUNTS_MAX)
            automounted[automounts++] = line.path;
        if (was_made_readonly(&line))
            json_array_append_new(readonly,
                                  json_pack("{s:o,s:o}", "path",
                                            dt_printable_json(line.path, DT_FACT_TEXT_MAX), "type",
                                            dt_printable_json(line.type, 64)));
        if (may_hang(line.type) && strncmp(line.type, "fuse", 4) != 0 &&
            shared.count < MOUNTS_MAX && is_fixed(line.path, automounted, automounts))
            add_shared(&shared, &line);
    }
    dt_reader_take(reader, "fs.readonly", readonly);
    say_shared(reader, &shared);
    free(text);
}

void dt_read_mounts(struct dt_reader *reader)
{
    struct mount mounts[MOUNTS_MAX];
    struct dt_error errors[MOUNTS_MAX] = {0};
    char *text = read_mountinfo(reader, "fs.mounts");
    if (!text)
        return;
    size_t count = list_mounts(reader, text, mounts);
    for (size_t i = 0; i < count; i++)
        mounts[i].started =
            dt_probe_start(&mounts[i].probe, ask, &mounts[i], reader->root->fd,
                           reader->request->conf->probe_timeout_ms, &errors[i]) == 0;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, finish(&mounts[i], &errors[i]));
    dt_reader_take(reader, "fs.mounts", list);
    free(text);
}
