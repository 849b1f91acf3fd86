/* SPDX-License-Identifier: Apache-2.0 */
/* Room in the file systems that every program writes to: /, /tmp and /dev/shm, in bytes and in files.
 * Asked in a child, since the root may be on a server too. Those that the job names are tried by files.c,
 * as its user. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "facts/system.h"

static const char *const places[] = {"/", "/tmp", "/dev/shm"};

void dt_probe_space(int out, void *argument)
{
    const struct dt_reader *reader = argument;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct statvfs fs;
        char line[160];
        const char *below = places[i][1] ? places[i] + 1 : ".";
        int fd = dt_root_open(reader->root, O_PATH | O_DIRECTORY, "%s", below);
        if (fd >= 0 && fstatvfs(fd, &fs) == 0) {
            snprintf(line, sizeof line, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", places[i],
                     (uint64_t)fs.f_bavail * fs.f_frsize >> 20, (uint64_t)fs.f_files,
                     (uint64_t)fs.f_favail);
            dt_probe_say(out, line);
        }
        if (fd >= 0)
            close(fd);
    }
}

/* Lines "PATH FREE_MIB FILES FREE_FILES"; a file system that does not count files has 0 of them. */
void dt_read_space(struct dt_reader *reader, const char *lines, const char *failure)
{
    json_t *list = json_array();
    char path[64];
    long long free_mib, files, free_files;
    if (failure || !lines) {
        json_decref(list);
        dt_reader_why(reader, "fs.space", "%s", failure ? failure : "not asked");
        return;
    }
    for (const char *line = lines; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, "%63s %lld %lld %lld", path, &free_mib, &files, &free_files) != 4)
            continue;
        json_t *item = json_pack("{s:s,s:I}", "path", path, "free_mib", (json_int_t)free_mib);
        if (files > 0)
            json_object_set_new(item, "free_files", json_integer(free_files));
        json_array_append_new(list, item);
    }
    dt_reader_take(reader, "fs.space", list);
}
