/* SPDX-License-Identifier: Apache-2.0 */
/* The machine itself: name, type, kernel, CPUs, memory and huge pages. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/reader.h"

#define DMI "sys/devices/virtual/dmi/id/product_name"

static void read_name(struct dt_reader *reader)
{
    char name[256];
    if (reader->request->node_name) {
        dt_reader_string(reader, "node.name", reader->request->node_name);
        return;
    }
    if (gethostname(name, sizeof name) < 0)
        return;
    name[sizeof name - 1] = '\0';
    name[strcspn(name, ".")] = '\0';
    dt_reader_string(reader, "node.name", name);
}

static void read_type(struct dt_reader *reader)
{
    const char *type = reader->request->conf->instance_type;
    if (type && *type) {
        dt_reader_string(reader, "instance.type", type);
        dt_reader_string(reader, "instance.source", "config");
    } else if (dt_reader_file(reader, "instance.type", DMI)) {
        dt_reader_string(reader, "instance.source", "dmi");
    }
}

long long dt_count_list(const char *list)
{
    long long count = 0;
    while (*list) {
        char *end;
        if (!isdigit((unsigned char)*list))
            return -1;
        long first = strtol(list, &end, 10);
        long last = first;
        if (*end == '-') {
            list = end + 1;
            if (!isdigit((unsigned char)*list))
                return -1;
            last = strtol(list, &end, 10);
        }
        if (last < first || last > 1 << 20 || (*end && *end != ','))
            return -1;
        count += last - first + 1;
        list = *end == ',' ? end + 1 : end;
    }
    return count;
}

/* A list such as "0-191" as a count, and, with a key for it, as a text. */
static void read_list(struct dt_reader *reader, const char *path, const char *count_key,
                      const char *list_key)
{
    char list[4096];
    ssize_t n = dt_root_read(reader->root, list, sizeof list, "%s", path);
    long long count = n > 0 ? dt_count_list(list) : -1;
    if (count < 0) {
        dt_reader_why(reader, count_key, "/%s: %s", path,
                      n < 0 ? strerror((int)-n) : "not a list of numbers");
        return;
    }
    dt_reader_int(reader, count_key, count);
    if (list_key)
        dt_reader_string(reader, list_key, list);
}

void dt_read_host(struct dt_reader *reader)
{
    read_name(reader);
    dt_reader_file(reader, "node.boot_id", "proc/sys/kernel/random/boot_id");
    read_type(reader);
    dt_reader_file(reader, "kernel.release", "proc/sys/kernel/osrelease");
    read_list(reader, "sys/devices/system/cpu/online", "cpu.online", "cpu.list");
    read_list(reader, "sys/devices/system/cpu/present", "cpu.present", NULL);
    read_list(reader, "sys/devices/system/node/online", "numa.count", NULL);
}

/* Number after "NAME:" at the start of a line; -1: no such line. */
static long long meminfo(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            return strtoll(line + len + 1, NULL, 10);
    }
    return -1;
}

void dt_read_memory(struct dt_reader *reader)
{
    static const struct {
        const char *key, *name;
        enum { KIB_AS_MIB, PLAIN, PAGES_AS_MIB } unit;
    } rows[] = {
        {"mem.total_mib", "MemTotal", KIB_AS_MIB},
        {"mem.available_mib", "MemAvailable", KIB_AS_MIB},
        {"hugepages.size_kib", "Hugepagesize", PLAIN},
        {"hugepages.total_mib", "HugePages_Total", PAGES_AS_MIB},
        {"hugepages.free_mib", "HugePages_Free", PAGES_AS_MIB},
    };
    char text[16384];
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "proc/meminfo");
    long long page_kib = n > 0 ? meminfo(text, "Hugepagesize") : -1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        long long value = n > 0 ? meminfo(text, rows[i].name) : -1;
        if (value < 0 || (rows[i].unit == PAGES_AS_MIB && page_kib < 0)) {
            dt_reader_why(reader, rows[i].key, "/proc/meminfo: %s",
                          n < 0 ? strerror((int)-n) : "no such line");
            continue;
        }
        if (rows[i].unit == PAGES_AS_MIB)
            value *= page_kib;
        dt_reader_int(reader, rows[i].key, rows[i].unit == PLAIN ? value : value / 1024);
    }
}
