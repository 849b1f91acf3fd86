/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own log since boot: NVIDIA Xid and SXid events, and errors of the EFA driver. Which
 * of them make a node unfit is for lib/check to say. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/printable.h"
#include "facts/reader.h"

enum { EVENTS_MAX = 64, RECORDS_MAX = 200000 };

/* "NVRM: Xid (PCI:0000:3b:00): 79, pid=..." and "nvidia-nvswitch2: SXid (PCI:0000:85:00.0): 12028,
 * ..." */
static json_t *xid(const char *text, const char *kind, const char *mark)
{
    char bdf[32];
    long code;
    const char *at = strstr(text, mark);
    if (!at || sscanf(at + strlen(mark), "%31[0-9a-fA-F:.]): %ld", bdf, &code) != 2)
        return NULL;
    return json_pack("{s:s,s:s,s:i}", "kind", kind, "bdf", bdf, "code", (int)code);
}

static json_t *efa(const char *text, long priority)
{
    /* Priorities 0 to 3 are error and worse. */
    if ((priority & 7) > 3 || strncmp(text, "efa ", 4) != 0)
        return NULL;
    char bdf[32] = "";
    if (sscanf(text + 4, "%31[0-9a-fA-F:.]:", bdf) == 1 && bdf[strlen(bdf) - 1] == ':')
        bdf[strlen(bdf) - 1] = '\0';
    return json_pack("{s:s,s:s}", "kind", "efa", "bdf", bdf);
}

json_t *dt_kernel_log_record(const char *record, long long now_us)
{
    char *end;
    long priority = strtol(record, &end, 10);
    if (*end != ',')
        return NULL;
    strtoull(end + 1, &end, 10); /* sequence number */
    if (*end != ',')
        return NULL;
    long long at_us = strtoll(end + 1, &end, 10);
    const char *text = strchr(end, ';');
    if (!text)
        return NULL;
    char line[512];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text + 1, "\n"), text + 1);
    json_t *event = NULL;
    /* Programs can write into the log too; theirs are not the kernel's facility 0. */
    if (priority >> 3 == 0) {
        if (!(event = xid(line, "sxid", "SXid (PCI:")) && strncmp(line, "NVRM:", 5) == 0)
            event = xid(line, "xid", "Xid (PCI:");
        if (!event)
            event = efa(line, priority);
    }
    if (!event)
        return NULL;
    long long age = now_us > at_us && at_us >= 0 ? (now_us - at_us) / 1000000 : 0;
    json_object_set_new(event, "age_s", json_integer(age));
    json_object_set_new(event, "text", dt_printable_json(line, 200));
    return event;
}

void dt_read_kernel_log(struct dt_reader *reader)
{
    char record[8192];
    if (reader->root->fake) {
        dt_reader_why(reader, "log.errors", "a tree has no kernel log");
        return;
    }
    int fd = dt_root_open(reader->root, O_RDONLY | O_NONBLOCK, "dev/kmsg");
    if (fd < 0) {
        dt_reader_why(reader, "log.errors", "/dev/kmsg: %s", strerror(-fd));
        return;
    }
    long long records = 0;
    json_t *events = json_array();
    long long now_us = dt_monotonic_us();
    int reason = 0;
    while (records < RECORDS_MAX) {
        ssize_t n = read(fd, record, sizeof record - 1);
        if (n < 0 && (errno == EPIPE || errno == EINTR)) /* EPIPE: overwritten while we read */
            continue;
        if (n <= 0) {
            reason = n < 0 && errno != EAGAIN ? errno : 0;
            break;
        }
        record[n] = '\0';
        records++;
        json_t *event = dt_kernel_log_record(record, now_us);
        if (event && json_array_size(events) >= EVENTS_MAX)
            json_array_remove(events, 0);
        if (event)
            json_array_append_new(events, event);
    }
    close(fd);
    if (reason) {
        dt_reader_why(reader, "log.errors", "/dev/kmsg: %s", strerror(reason));
        json_decref(events);
        return;
    }
    dt_reader_int(reader, "log.records", records);
    dt_reader_take(reader, "log.errors", events);
}
