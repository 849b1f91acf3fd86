/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's log while the job runs. Reading it needs a right in most places (dmesg_restrict). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evidence.h"
#include "paths.h"
#include "xid/xid.h"

void dt_kernel_log_open(struct dt_kernel_log *log)
{
    log->count = 0;
    log->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (log->fd >= 0)
        lseek(log->fd, 0, SEEK_END);
}

void dt_kernel_log_close(struct dt_kernel_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

/* "PRIORITY,NUMBER,TIME,FLAGS;TEXT". Programs can write into the log too; theirs are not the kernel's
 * facility 0. */
static void take_record(struct dt_kernel_log *log, const char *record, size_t len)
{
    const char *text = memchr(record, ';', len);
    char line[sizeof log->lines[0]];
    if (!text || atol(record) >> 3 != 0)
        return;
    text++;
    snprintf(line, sizeof line, "%.*s", (int)(len - (size_t)(text - record)), text);
    if (!strstr(line, "NVRM: Xid (") && !strstr(line, "Killed process "))
        return;
    if (log->count == DT_KERNEL_LINES) { /* the first ones tell most */
        return;
    }
    for (char *at = line; *at; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    memcpy(log->lines[log->count++], line, sizeof line);
}

static void read_new(struct dt_kernel_log *log)
{
    char records[8192]; /* one a read, of the device; of a file, many lines */
    ssize_t n;
    while (log->fd >= 0 && ((n = read(log->fd, records, sizeof records - 1)) > 0 ||
                            (n < 0 && (errno == EPIPE || errno == EINTR)))) {
        records[n > 0 ? n : 0] = '\0';
        for (const char *at = records; *at;) {
            size_t len = strcspn(at, "\n");
            take_record(log, at, len);
            at += len + (at[len] == '\n');
        }
    }
}

/* dt's own table, where it is installed, or in the share of this program's prefix. */
static FILE *open_table(void)
{
    char path[PATH_MAX];
    FILE *file = fopen(DT_DATADIR "/xid.conf", "re");
    ssize_t n = file ? -1 : readlink("/proc/self/exe", path, sizeof path - 1);
    for (int level = 0; n > 0 && level < 2; level++) { /* PREFIX/bin/dt-launch */
        while (n > 0 && path[n - 1] != '/')
            n--;
        n -= n > 0;
    }
    if (n > 0 && (size_t)n + sizeof "/share/dt/xid.conf" <= sizeof path) {
        snprintf(path + n, sizeof path - (size_t)n, "/share/dt/xid.conf");
        file = fopen(path, "re");
    }
    return file;
}

/* As part of dt it needs no more trust than this program. */
static bool load_table(struct dt_xids *xids)
{
    FILE *file = open_table();
    struct dt_error err;
    char *text = NULL;
    size_t size = 0;
    bool good = file && getdelim(&text, &size, '\0', file) > 0 &&
                dt_xids_parse(xids, "xid.conf", text, &err) == 0;
    if (file)
        fclose(file);
    free(text);
    return good;
}

static bool is_hardware(const char *line)
{
    struct dt_xids xids = {0};
    int code;
    const char *at = strstr(line, "NVRM: Xid (");
    const char *end = at ? strstr(at, "): ") : NULL;
    if (!end || sscanf(end, "): %d", &code) != 1 || !load_table(&xids))
        return false;
    enum dt_xid_action action = dt_xid_judge(&xids, code, at);
    dt_xids_fini(&xids);
    return action == DT_XID_RESET || action == DT_XID_REBOOT || action == DT_XID_REPLACE;
}

void dt_kernel_log_put(struct dt_kernel_log *log, struct dt_buf *text, bool *gpu)
{
    *gpu = false;
    read_new(log);
    for (int i = 0; i < log->count; i++) {
        dt_buf_printf(text, "%s%s", i ? "; " : ": the kernel says: ", log->lines[i]);
        *gpu = *gpu || is_hardware(log->lines[i]);
    }
}
