/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ld.so.conf and the files that it includes. */
#include "versions/ldconf.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, FILES_MAX = 1024, FILE_MAX = 64 << 10, FOLDERS_MAX = 4096 };

struct reading {
    struct dt_list *folders;
    const struct dt_root *root;
    int files;
};

static int read_file(struct reading *reading, const char *path, int depth);

/* Every file that matches the pattern's last component, sorted. A relative pattern is relative to
 * the file that includes it. */
static int include(struct reading *reading, const char *from, const char *pattern, int depth)
{
    char *whole = NULL, **names = NULL;
    const char *slash = strrchr(from, '/');
    int rc = -1;
    if (*pattern == '/')
        whole = strdup(pattern);
    else if (asprintf(&whole, "%.*s/%s", slash ? (int)(slash - from) : 0, from, pattern) < 0)
        whole = NULL;
    if (!whole)
        return -1;
    char *last = strrchr(whole, '/');
    *last++ = '\0';
    int count = dt_root_list(reading->root, &names, "%s", *whole ? whole + 1 : ".");
    rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        char *path;
        if (fnmatch(last, names[i], FNM_PERIOD) != 0)
            continue;
        rc = asprintf(&path, "%s/%s", whole, names[i]) < 0 ? -1 : 0;
        if (rc == 0) {
            rc = read_file(reading, path, depth + 1);
            free(path);
        }
    }
    dt_names_free(names);
    free(whole);
    return rc;
}

static int add_folder(struct reading *reading, const char *text)
{
    size_t len = strlen(text);
    while (len > 1 && text[len - 1] == '/')
        len--;
    if (*text != '/' || reading->folders->count >= FOLDERS_MAX)
        return 0;
    char *folder = strndup(text, len);
    if (folder && dt_list_has(reading->folders, folder)) {
        free(folder);
        return 0;
    }
    return dt_list_take(reading->folders, folder);
}

static int read_line(struct reading *reading, const char *path, char *line, int depth)
{
    static const char separators[] = " \t\r,:";
    line[strcspn(line, "#")] = '\0';
    line += strspn(line, " \t");
    bool includes = strncmp(line, "include", 7) == 0 && line[7] && strchr(" \t", line[7]);
    if (strncmp(line, "hwcap", 5) == 0 && line[5] && strchr(" \t", line[5]))
        return 0;
    if (includes)
        line += 7;
    for (char *word; (word = strsep(&line, includes ? " \t\r" : separators));) {
        if (*word && (includes ? include(reading, path, word, depth) : add_folder(reading, word)))
            return -1;
    }
    return 0;
}

static int read_file(struct reading *reading, const char *path, int depth)
{
    int rc = 0;
    if (depth > DEPTH_MAX || reading->files++ >= FILES_MAX)
        return 0;
    char *text = malloc(FILE_MAX);
    if (!text)
        return -1;
    if (dt_root_read(reading->root, text, FILE_MAX, "%s", path + 1) > 0) {
        char *rest = text;
        for (char *line; rc == 0 && (line = strsep(&rest, "\n"));)
            rc = read_line(reading, path, line, depth);
    }
    free(text);
    return rc;
}

int dt_ldconf_read(struct dt_list *folders, const struct dt_root *root)
{
    struct reading reading = {.folders = folders, .root = root};
    return read_file(&reading, "/etc/ld.so.conf", 0);
}
