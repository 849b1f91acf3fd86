/* SPDX-License-Identifier: Apache-2.0 */
/* The state that earlier jobs and the hardware have left the memory in: swap in use, free memory that
 * is too scattered for huge pages, errors that the memory controllers and the processors counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/system.h"

#define EDAC "sys/devices/system/edac/mc"

/* Blocks of each order, "Node 0, zone   Normal   355   535 ...", as free MiB in all and in blocks
 * that a huge page fits in. Zones below 4 GiB count too: huge pages are taken from them as well. */
void dt_buddy_count(const char *text, long page_kib, long huge_kib, long long *free_mib,
                    long long *huge_mib)
{
    const long long BLOCK_KIB_MAX = 1LL << 26, BLOCKS_MAX = 1LL << 32, FREE_KIB_MAX = 1LL << 60;
    long long free_kib = 0, huge_free_kib = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *zone = strstr(line, "zone");
        const char *end = line + strcspn(line, "\n");
        if (!zone || zone >= end)
            continue;
        zone += 4;
        zone += strspn(zone, " ");
        zone += strcspn(zone, " \n"); /* its name */
        /* More than any machine has is no such file: the sums stay far from what they can hold. */
        for (long long order_kib = page_kib; zone < end && order_kib < BLOCK_KIB_MAX;
             order_kib *= 2) {
            char *after;
            long long blocks = strtoll(zone, &after, 10);
            if (after == zone || after > end || blocks < 0 || blocks > BLOCKS_MAX ||
                free_kib > FREE_KIB_MAX)
                break;
            zone = after;
            free_kib += blocks * order_kib;
            if (order_kib >= huge_kib)
                huge_free_kib += blocks * order_kib;
        }
    }
    *free_mib = free_kib / 1024;
    *huge_mib = huge_free_kib / 1024;
}

static void read_fragments(struct dt_reader *reader)
{
    char text[65536];
    long long free_mib, huge_mib, size_kib = 2048;
    const json_t *size = json_object_get(reader->doc, "hugepages.size_kib");
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "proc/buddyinfo");
    if (n < 0) {
        dt_reader_why(reader, "mem.free_mib", "/proc/buddyinfo: %s", strerror((int)-n));
        return;
    }
    if (json_is_integer(size) && json_integer_value(size) > 0)
        size_kib = json_integer_value(size);
    dt_buddy_count(text, sysconf(_SC_PAGESIZE) / 1024, (long)size_kib, &free_mib, &huge_mib);
    dt_reader_int(reader, "mem.free_mib", free_mib);
    dt_reader_int(reader, "mem.free_huge_mib", huge_mib);
}

/* "Filename Type Size Used Priority": KiB. */
static void read_swap(struct dt_reader *reader)
{
    char text[16384], *rest = text, *line;
    long long used, sum = 0;
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "proc/swaps");
    if (n < 0) {
        dt_reader_why(reader, "swap.used_mib", "/proc/swaps: %s", strerror((int)-n));
        return;
    }
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, "%*s %*s %*d %lld", &used) == 1 && used > 0)
            sum += used;
    }
    dt_reader_int(reader, "swap.used_mib", sum / 1024);
}

/* Guests have none but on metal; then the facts do not exist. */
static void read_edac(struct dt_reader *reader)
{
    char **names;
    long long value, corrected = 0, uncorrected = 0;
    bool found = false;
    int count = dt_root_list(reader->root, &names, EDAC);
    for (int i = 0; i < count; i++) {
        if (dt_root_read_long(reader->root, &value, EDAC "/%s/ce_count", names[i]) == 0) {
            corrected += value;
            found = true;
        }
        if (dt_root_read_long(reader->root, &value, EDAC "/%s/ue_count", names[i]) == 0) {
            uncorrected += value;
            found = true;
        }
    }
    if (count >= 0)
        dt_names_free(names);
    if (!found)
        return;
    dt_reader_int(reader, "edac.corrected", corrected);
    dt_reader_int(reader, "edac.uncorrected", uncorrected);
}

/* "MCE:  0  0 ...  Machine check exceptions", a column a CPU. */
static void read_machine_checks(struct dt_reader *reader)
{
    enum { INTERRUPTS_MAX = 4 << 20 }; /* a line is 11 bytes a CPU */
    char *text = malloc(INTERRUPTS_MAX);
    ssize_t n = text ? dt_root_read(reader->root, text, INTERRUPTS_MAX, "proc/interrupts") : -1;
    char *line = n > 0 ? strstr(text, "MCE:") : NULL;
    if (line) {
        long long sum = 0;
        char *at = line + 4, *end;
        for (long long value; (value = strtoll(at, &end, 10), end != at) && value >= 0; at = end)
            sum += value;
        dt_reader_int(reader, "cpu.machine_checks", sum);
    }
    free(text);
}

void dt_read_memory_state(struct dt_reader *reader)
{
    read_fragments(reader);
    read_swap(reader);
    read_edac(reader);
    read_machine_checks(reader);
}
