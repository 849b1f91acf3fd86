/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel was told and has loaded: clock source, transparent huge pages, modules, how long it
 * runs. At every level: a few small files. What it measures (clock, governor) is in system.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"
#include "facts/system.h"

#define CLOCKSOURCE "sys/devices/system/clocksource/clocksource0/current_clocksource"
#define THP         "sys/kernel/mm/transparent_hugepage/enabled"

/* "always [madvise] never": the word in brackets. No such file: a kernel without them. */
static void read_thp(struct dt_reader *reader)
{
    char text[64];
    if (dt_root_read(reader->root, text, sizeof text, THP) <= 0)
        return;
    char *word = strchr(text, '[');
    if (!word)
        return;
    word++;
    word[strcspn(word, "]")] = '\0';
    dt_reader_string(reader, "kernel.thp", word);
}

static void read_uptime(struct dt_reader *reader)
{
    char text[64], *end;
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "proc/uptime");
    long long seconds = n > 0 ? strtoll(text, &end, 10) : -1;
    if (n > 0 && end != text && seconds >= 0)
        dt_reader_int(reader, "boot.uptime_s", seconds);
    else
        dt_reader_why(reader, "boot.uptime_s", "/proc/uptime: %s",
                      n < 0 ? strerror((int)-n) : "not a number");
}

/* Modules that fabrics and accelerators are made of: the set is compared between nodes. Left out are
 * those that come with the first program or mount that needs them (nvidia_uvm, nvidia_drm, lustre):
 * a node that has just booted lacks them, and nothing is wrong with it. */
static void read_modules(struct dt_reader *reader)
{
    static const char *const names[] = {
        "ena",    "efa",       "ib_uverbs",      "nvidia", "nvidia_peermem",
        "gdrdrv", "nvidia_fs", "efa_nv_peermem", "neuron",
    };
    char list[512] = "";
    size_t len = 0;
    if (!dt_root_exists(reader->root, "sys/module")) {
        dt_reader_why(reader, "module.list", "/sys/module is not there");
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (dt_root_exists(reader->root, "sys/module/%s", names[i]))
            len +=
                (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? "," : "", names[i]);
    }
    dt_reader_string(reader, "module.list", len ? list : "none of those that matter");
}

/* dt.conf's required-modules. modprobe takes '-' for '_'; the kernel shows '_' alone. */
static void read_required(struct dt_reader *reader)
{
    char *const *name = reader->request->conf->required_modules;
    if (!name || !*name)
        return;
    json_t *list = json_array();
    for (; *name; name++) {
        char module[64];
        snprintf(module, sizeof module, "%s", *name);
        for (char *c = module; *c; c++)
            *c = *c == '-' ? '_' : *c;
        /* One that is built in shows itself as well, where it has a parameter or a version. */
        json_array_append_new(
            list, json_pack("{s:o,s:b}", "name", dt_printable_json(*name, sizeof module), "ok",
                            !strchr(module, '/') &&
                                dt_root_exists(reader->root, "sys/module/%s", module)));
    }
    dt_reader_take(reader, "module.required", list);
}

void dt_read_kernel(struct dt_reader *reader)
{
    dt_reader_file(reader, "clock.source", CLOCKSOURCE);
    read_thp(reader);
    read_uptime(reader);
    read_modules(reader);
    read_required(reader);
}
