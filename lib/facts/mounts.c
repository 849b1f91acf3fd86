/* SPDX-License-Identifier: Apache-2.0 */
/* Do the network and user file systems answer? Each is asked with statfs in a child of its own, all
 * at the same time, so that a hung one is named and the others are still judged. */
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

/* "36 35 98:0 / /fsx rw shared:1 - lustre addr rw": 5th field and the one after " - ". */
static bool parse_line(char *line, char **path, char **type)
{
    char *tail = strstr(line, " - ");
    if (!tail)
        return false;
    *tail = '\0';
    *type = tail + 3;
    (*type)[strcspn(*type, " ")] = '\0';
    for (int field = 0; field < 4; field++) {
        line = strchr(line, ' ');
        if (!line)
            return false;
        line++;
    }
    line[strcspn(line, " ")] = '\0';
    unescape(line);
    *path = line;
    return line[0] == '/';
}

static size_t list_mounts(const struct dt_reader *reader, char *text, struct mount *mounts)
{
    size_t count = 0;
    char *line, *path, *type;
    while (count < MOUNTS_MAX && (line = strsep(&text, "\n"))) {
        if (!parse_line(line, &path, &type) || !may_hang(type))
            continue;
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known |= strcmp(mounts[i].path, path) == 0;
        if (!known)
            mounts[count++] = (struct mount){.reader = reader, .path = path, .type = type};
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
    char *copy = strdup(mountinfo), *rest = copy, *line, *path, *found;
    bool is_mounted = false;
    while (copy && (line = strsep(&rest, "\n"))) {
        if (!parse_line(line, &path, &found) || strcmp(path, place) != 0)
            continue;
        snprintf(type, size, "%s", found);
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
