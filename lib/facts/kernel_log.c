/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own log since boot: NVIDIA Xid and SXid events, errors of the EFA driver, of Neuron
 * devices, of memory and of NVMe disks. Which of them make a node unfit is for lib/check to say. */
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

/* "NEURON_HW_ERR=HBM_UNCORRECTABLE_ERROR ..." of aws-neuron-driver */
static json_t *neuron(const char *text)
{
    return strstr(text, "NEURON_HW_ERR=") ? json_pack("{s:s}", "kind", "neuron") : NULL;
}

static json_t *other(const char *text, long priority)
{
    if (strncmp(text, "mce: [Hardware Error]", 21) == 0 ||
        strncmp(text, "EDAC ", 5) == 0) /* memory errors, where the guest is told */
        return (priority & 7) <= 3 ? json_pack("{s:s}", "kind", "memory") : NULL;
    if (strncmp(text, "I/O error, dev nvme", 19) == 0 ||
        strncmp(text, "blk_update_request: I/O error, dev nvme", 39) == 0)
        return json_pack("{s:s}", "kind", "disk");
    return NULL;
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
        if (!event)
            event = neuron(line);
        if (!event)
            event = other(line, priority);
    }
    if (!event)
        return NULL;
    long long age = now_us > at_us && at_us >= 0 ? (now_us - at_us) / 1000000 : 0;
    json_object_set_new(event, "age_s", json_integer(age));
    json_object_set_new(event, "text", dt_printable_json(line, 200));
    return event;
}

struct log {
    json_t *events;
    long long records, now_us;
};

static bool agree(const json_t *a, const json_t *b, const char *key)
{
    const json_t *one = json_object_get(a, key), *other = json_object_get(b, key);
    return one && other ? json_equal(one, other) : one == other;
}

/* Where the text alone tells apart: NVLink 5's codes, each of which stands for many things, and errors
 * of Neuron devices. */
static bool text_matters(const json_t *event)
{
    enum { NVLINK5_FIRST = 144, NVLINK5_LAST = 150 };
    json_int_t code = json_integer_value(json_object_get(event, "code"));
    const char *kind = json_string_value(json_object_get(event, "kind"));
    return (code >= NVLINK5_FIRST && code <= NVLINK5_LAST) || strcmp(kind, "neuron") == 0;
}

static bool is_the_same(const json_t *a, const json_t *b)
{
    return agree(a, b, "code") && agree(a, b, "kind") && agree(a, b, "bdf") &&
           (!text_matters(a) || agree(a, b, "text"));
}

/* Of events that are the same the newest is kept, with their number: a program that makes hundreds of
 * them does not push out the one that matters. */
static void take_record(struct log *log, const char *record)
{
    json_int_t times = 1;
    log->records++;
    json_t *event = dt_kernel_log_record(record, log->now_us);
    if (!event)
        return;
    for (size_t i = json_array_size(log->events); i > 0; i--) {
        const json_t *before = json_array_get(log->events, i - 1);
        if (!is_the_same(before, event))
            continue;
        times += json_integer_value(json_object_get(before, "times"));
        json_array_remove(log->events, i - 1);
        break;
    }
    if (json_array_size(log->events) >= EVENTS_MAX)
        json_array_remove(log->events, 0);
    json_object_set_new(event, "times", json_integer(times));
    json_array_append_new(log->events, event);
}

/* 0, or errno. */
static int read_device(int fd, struct log *log)
{
    char record[8192];
    log->now_us = dt_monotonic_us();
    while (log->records < RECORDS_MAX) {
        ssize_t n = read(fd, record, sizeof record - 1);
        if (n < 0 && (errno == EPIPE || errno == EINTR)) /* EPIPE: overwritten while we read */
            continue;
        if (n <= 0)
            return n < 0 && errno != EAGAIN ? errno : 0;
        record[n] = '\0';
        take_record(log, record);
    }
    return 0;
}

/* In a tree the log is a file, one record a line; its last record is what happened just now. */
static int read_file(int fd, struct log *log)
{
    char *line = NULL;
    size_t size = 0;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!file) {
        int reason = errno;
        if (copy >= 0)
            close(copy);
        return reason;
    }
    while (getline(&line, &size, file) >= 0)
        sscanf(line, "%*d,%*d,%lld", &log->now_us);
    rewind(file);
    while (log->records < RECORDS_MAX && getline(&line, &size, file) >= 0)
        take_record(log, line);
    free(line);
    fclose(file);
    return 0;
}

void dt_read_kernel_log(struct dt_reader *reader)
{
    int fd = dt_root_open(reader->root, O_RDONLY | O_NONBLOCK, "dev/kmsg");
    if (fd < 0) {
        dt_reader_why(reader, "log.errors", "/dev/kmsg: %s", strerror(-fd));
        return;
    }
    struct log log = {.events = json_array()};
    int reason = reader->root->fake ? read_file(fd, &log) : read_device(fd, &log);
    close(fd);
    if (reason) {
        dt_reader_why(reader, "log.errors", "/dev/kmsg: %s", strerror(reason));
        json_decref(log.events);
        return;
    }
    dt_reader_int(reader, "log.records", log.records);
    dt_reader_int(reader, "log.now_s", log.now_us / 1000000);
    dt_reader_take(reader, "log.errors", log.events);
}
