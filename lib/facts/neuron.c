/* SPDX-License-Identifier: Apache-2.0 */
/* Neuron devices, as the driver shows them in sysfs. Only listed: some files there act when
 * written. */
#include <stdio.h>
#include <string.h>

#include "check/check.h"
#include "facts/system.h"

static const char *const places[] = {"sys/class/neuron_device",
                                     "sys/devices/virtual/neuron_device"};

/* Names below the first place that exists, or -errno. */
static int list_devices(const struct dt_reader *reader, char ***names, const char **place)
{
    int count = -1;
    for (size_t i = 0; count < 0 && i < sizeof places / sizeof places[0]; i++) {
        *place = places[i];
        count = dt_root_list(reader->root, names, "%s", places[i]);
    }
    return count;
}

void dt_read_neuron(struct dt_reader *reader)
{
    char **names;
    const char *place;
    long long devices = 0;
    int count = list_devices(reader, &names, &place);
    for (int n = 0; n < count; n++)
        devices += strncmp(names[n], "neuron", 6) == 0;
    if (count >= 0)
        dt_names_free(names);
    if (count < 0 && !dt_root_exists(reader->root, "sys/class"))
        dt_reader_why(reader, "neuron.count", "/sys is not there");
    else
        dt_reader_int(reader, "neuron.count", devices);
}

/* ---- error counters ------------------------------------------------------------------------- */

/* Names of aws-neuron-driver's sysfs, each since the driver was loaded. Where they lie, driver 2.31
 * has changed: they are looked for by name, once for all devices. */
static const char *const of_device[] = {"mem_ecc_uncorrected", "sram_ecc_uncorrected",
                                        "mem_ecc_repairable_uncorrected", NULL};
static const char *const of_core[] = {"hw_hbm_ue_error", "hw_nc_ue_error", "hw_dma_abort_error",
                                      NULL};
#define FIRST_CORE "neuron_core0"

enum { DEPTH = 4, LISTED_MAX = 200, CORES_MAX = 64, PATH_SIZE = 512 };

struct search {
    const struct dt_root *root;
    const char *wanted; /* a name */
    char device[PATH_SIZE];
    char found[PATH_SIZE]; /* the folder below the device that has it: "stats/hardware" */
    int listed;
};

static bool is_link(const struct search *s, const char *path)
{
    char target[8];
    return dt_root_readlink(s->root, target, sizeof target, "%s/%s", s->device, path) >= 0;
}

/* Links lead out of the device, and in circles: they are not followed. */
static bool look_below(struct search *s, const char *folder, int depth)
{
    char **names, below[PATH_SIZE];
    bool found = false;
    if (depth == 0 || ++s->listed > LISTED_MAX)
        return false;
    int count = dt_root_list(s->root, &names, "%s/%s", s->device, folder);
    for (int i = 0; i < count && !found; i++) {
        found = strcmp(names[i], s->wanted) == 0;
        if (found)
            snprintf(s->found, sizeof s->found, "%s", folder);
    }
    for (int i = 0; i < count && !found; i++) {
        int n = snprintf(below, sizeof below, "%s%s%s", folder, *folder ? "/" : "", names[i]);
        found = n < (int)sizeof below && !is_link(s, below) && look_below(s, below, depth - 1);
    }
    if (count >= 0)
        dt_names_free(names);
    return found;
}

/* The usual place first, which costs one look. false: the driver has no such counter. */
static bool find_folder(struct search *s, const char *usual)
{
    s->listed = 0;
    snprintf(s->found, sizeof s->found, "%s", usual);
    return dt_root_exists(s->root, "%s/%s/%s", s->device, usual, s->wanted) ||
           look_below(s, "", DEPTH);
}

struct counting {
    const struct dt_root *root;
    json_t *errors;
    long long read;
};

static void take(struct counting *c, const char *device, const char *counter, long long value)
{
    c->read++;
    if (value > 0)
        json_array_append_new(c->errors, json_pack("{s:s,s:s,s:I}", "device", device, "counter",
                                                   counter, "count", (json_int_t)value));
}

static void count_device(struct counting *c, const struct search *s, const char *device)
{
    long long value;
    for (size_t i = 0; of_device[i]; i++) {
        if (dt_root_read_long(c->root, &value, "%s/%s/%s", s->device, s->found, of_device[i]) == 0)
            take(c, device, of_device[i], value);
    }
}

/* "neuron3/neuron_core1", and so on until there is no such core. */
static void count_cores(struct counting *c, const struct search *s, const char *device)
{
    const char *behind = s->found + strlen(FIRST_CORE); /* "/stats/status" */
    for (int core = 0; core < CORES_MAX; core++) {
        long long value, read = c->read;
        char name[128];
        snprintf(name, sizeof name, "%s/neuron_core%d", device, core);
        for (size_t i = 0; of_core[i]; i++) {
            if (dt_root_read_long(c->root, &value, "%s/neuron_core%d%s/%s/total", s->device, core,
                                  behind, of_core[i]) == 0)
                take(c, name, of_core[i], value);
        }
        if (c->read == read)
            return;
    }
}

/* Of each device; those of its cores, which are many, from level full on. */
static void count_devices(const struct dt_reader *reader, struct counting *c, char **names,
                          int devices, const char *place)
{
    struct search ecc = {.root = reader->root, .wanted = of_device[0]};
    struct search core = {.root = reader->root, .wanted = of_core[0]};
    bool has_ecc = false, has_core = false, first = true;
    for (int n = 0; n < devices; n++) {
        if (strncmp(names[n], "neuron", 6) != 0)
            continue;
        snprintf(ecc.device, sizeof ecc.device, "%s/%s", place, names[n]);
        snprintf(core.device, sizeof core.device, "%s/%s", place, names[n]);
        if (first) {
            has_ecc = find_folder(&ecc, "stats/hardware");
            has_core = reader->request->level >= DT_LEVEL_FULL &&
                       find_folder(&core, FIRST_CORE "/stats/status") &&
                       strncmp(core.found, FIRST_CORE "/", strlen(FIRST_CORE "/")) == 0;
            first = false;
        }
        if (has_ecc)
            count_device(c, &ecc, names[n]);
        if (has_core)
            count_cores(c, &core, names[n]);
    }
}

void dt_read_neuron_errors(struct dt_reader *reader)
{
    char **names;
    const char *place;
    int devices = list_devices(reader, &names, &place);
    if (devices < 0)
        return; /* no such devices: neuron.count says so */
    struct counting counting = {.root = reader->root, .errors = json_array()};
    count_devices(reader, &counting, names, devices, place);
    dt_names_free(names);
    dt_reader_int(reader, "neuron.counters", counting.read);
    dt_reader_take(reader, "neuron.errors", counting.errors);
}
