/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the instance table: from libconfuse's tree into structs. Whether the numbers make sense
 * is judged in validate.c. */
#include "instances/instances.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "instances/internal.h"

static int take_int(int *to, cfg_t *section, const char *name, long min, long max,
                    struct dt_error *err)
{
    if (cfg_size(section, name) == 0)
        return dt_instances_error(section, err, "%s is missing", name);
    long value = cfg_getint(section, name);
    if (value < min || value > max)
        return dt_instances_error(section, err, "%s = %ld must be between %ld and %ld", name, value,
                                  min, max);
    *to = (int)value;
    return 0;
}

static int take_long(long long *to, cfg_t *section, const char *name, struct dt_error *err)
{
    int value = 0;
    if (take_int(&value, section, name, 0, INT_MAX, err) != 0)
        return -1;
    *to = value;
    return 0;
}

static int take_string(char **to, cfg_t *section, const char *name, struct dt_error *err)
{
    const char *value = cfg_getstr(section, name);
    *to = strdup(value ? value : "");
    return *to ? 0 : dt_error_set(err, "out of memory");
}

static int take_list(char ***to, cfg_t *section, const char *name, struct dt_error *err)
{
    unsigned count = cfg_size(section, name);
    char **list = calloc((size_t)count + 1, sizeof *list);
    *to = list;
    if (!list)
        return dt_error_set(err, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        list[i] = strdup(cfg_getnstr(section, name, i));
        if (!list[i])
            return dt_error_set(err, "out of memory");
    }
    return 0;
}

static int take_accelerator_kind(struct dt_instance *instance, cfg_t *section, struct dt_error *err)
{
    static const char *const names[] = {
        [DT_ACCELERATOR_NONE] = "none",
        [DT_ACCELERATOR_NVIDIA] = "nvidia",
        [DT_ACCELERATOR_NEURON] = "neuron",
        [DT_ACCELERATOR_OTHER] = "other",
    };
    const char *word = cfg_getstr(section, "accelerator");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(word, names[i]) == 0) {
            instance->accelerator = (enum dt_accelerator)i;
            return 0;
        }
    }
    return dt_instances_error(section, err,
                              "accelerator = '%s' must be none, nvidia, neuron or other", word);
}

static int take_switches(struct dt_instance *instance, cfg_t *section, struct dt_error *err)
{
    unsigned count = cfg_size(section, "switch");
    if (count == 0)
        return 0;
    instance->switches = calloc(count, sizeof *instance->switches);
    if (!instance->switches)
        return dt_error_set(err, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        cfg_t *from = cfg_getnsec(section, "switch", i);
        struct dt_instance_switch *to = &instance->switches[instance->switch_count++];
        if (take_int(&to->numa, from, "numa", 0, 1023, err) != 0 ||
            take_string(&to->bridge, from, "bridge", err) != 0 ||
            take_list(&to->gpus, from, "gpus", err) != 0 ||
            take_list(&to->nics, from, "nics", err) != 0)
            return -1;
    }
    return 0;
}

static int take_instance(struct dt_instance *to, cfg_t *section, struct dt_error *err)
{
    to->name = strdup(cfg_title(section));
    if (!to->name)
        return dt_error_set(err, "out of memory");
    if (take_int(&to->vcpus, section, "vcpus", 1, 4096, err) != 0 ||
        take_int(&to->cores, section, "cores", 1, 4096, err) != 0 ||
        take_int(&to->threads_per_core, section, "threads-per-core", 1, 8, err) != 0 ||
        take_int(&to->packages, section, "packages", 1, 64, err) != 0 ||
        take_int(&to->numa_nodes, section, "numa-nodes", 1, 1024, err) != 0 ||
        take_string(&to->cpu_vendor, section, "cpu-vendor", err) != 0 ||
        take_long(&to->memory_mib, section, "memory-mib", err) != 0 ||
        take_long(&to->local_storage_gb, section, "local-storage-gb", err) != 0 ||
        take_accelerator_kind(to, section, err) != 0 ||
        take_string(&to->accelerator_model, section, "accelerator-model", err) != 0 ||
        take_string(&to->accelerator_pci_id, section, "accelerator-pci-id", err) != 0 ||
        take_int(&to->accelerators, section, "accelerators", 0, 64, err) != 0 ||
        take_long(&to->accelerator_memory_mib, section, "accelerator-memory-mib", err) != 0 ||
        take_int(&to->nvlinks, section, "nvlinks", 0, 64, err) != 0 ||
        take_int(&to->efas, section, "efas", 0, 64, err) != 0 ||
        take_int(&to->efa_generation, section, "efa-generation", 0, 4, err) != 0 ||
        take_string(&to->efa_pci_id, section, "efa-pci-id", err) != 0 ||
        take_int(&to->efa_gbps, section, "efa-gbps", 0, 10000, err) != 0 ||
        take_string(&to->source, section, "source", err) != 0 ||
        take_switches(to, section, err) != 0)
        return -1;
    to->topology_measured = cfg_getbool(section, "topology-measured") == cfg_true;
    to->rdma_read = cfg_getbool(section, "rdma-read") == cfg_true;
    to->rdma_write = cfg_getbool(section, "rdma-write") == cfg_true;
    return dt_instance_validate(to, section, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dt_instance *)a)->name, ((const struct dt_instance *)b)->name);
}

static int take_table(struct dt_instances *table, cfg_t *cfg, struct dt_error *err)
{
    unsigned count = cfg_size(cfg, "instance");
    if (count == 0)
        return dt_error_set(err, "%s: no instance is described in it", cfg->filename);
    table->items = calloc(count, sizeof *table->items);
    if (!table->items)
        return dt_error_set(err, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        if (take_instance(&table->items[table->count++], cfg_getnsec(cfg, "instance", i), err) != 0)
            return -1;
    }
    qsort(table->items, table->count, sizeof *table->items, by_name);
    return 0;
}

#define LIST_OF_SWITCH_OPTIONS                                                                     \
    {                                                                                              \
        CFG_INT("numa", 0, CFGF_NODEFAULT), CFG_STR("bridge", "", CFGF_NONE),                      \
            CFG_STR_LIST("gpus", NULL, CFGF_NODEFAULT),                                            \
            CFG_STR_LIST("nics", NULL, CFGF_NODEFAULT), CFG_END(),                                 \
    }

/* `text` NULL: read the file called `name`. */
static int load(struct dt_instances *table, const char *name, const char *text, size_t len,
                struct dt_error *err)
{
    cfg_opt_t switch_options[] = LIST_OF_SWITCH_OPTIONS;
    cfg_opt_t instance_options[] = {
        CFG_INT("vcpus", 0, CFGF_NODEFAULT),
        CFG_INT("cores", 0, CFGF_NODEFAULT),
        CFG_INT("threads-per-core", 0, CFGF_NODEFAULT),
        CFG_INT("packages", 0, CFGF_NODEFAULT),
        CFG_INT("numa-nodes", 0, CFGF_NODEFAULT),
        CFG_STR("cpu-vendor", "", CFGF_NONE),
        CFG_BOOL("topology-measured", cfg_false, CFGF_NONE),
        CFG_INT("memory-mib", 0, CFGF_NODEFAULT),
        CFG_INT("local-storage-gb", 0, CFGF_NONE),
        CFG_STR("accelerator", "none", CFGF_NONE),
        CFG_STR("accelerator-model", "", CFGF_NONE),
        CFG_STR("accelerator-pci-id", "", CFGF_NONE),
        CFG_INT("accelerators", 0, CFGF_NONE),
        CFG_INT("accelerator-memory-mib", 0, CFGF_NONE),
        CFG_INT("nvlinks", 0, CFGF_NONE),
        CFG_INT("efas", 0, CFGF_NONE),
        CFG_INT("efa-generation", 0, CFGF_NONE),
        CFG_STR("efa-pci-id", "", CFGF_NONE),
        CFG_INT("efa-gbps", 0, CFGF_NONE),
        CFG_BOOL("rdma-read", cfg_false, CFGF_NONE),
        CFG_BOOL("rdma-write", cfg_false, CFGF_NONE),
        CFG_SEC("switch", switch_options, CFGF_MULTI),
        CFG_STR("source", "", CFGF_NONE),
        CFG_END(),
    };
    cfg_opt_t options[] = {
        CFG_SEC("instance", instance_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_END(),
    };

    *table = (struct dt_instances){0};
    cfg_t *cfg = NULL;
    int rc = text ? dt_conf_parse_text(&cfg, options, name, text, len, err)
                  : dt_conf_parse_file(&cfg, options, name, err);
    if (rc == 0)
        rc = take_table(table, cfg, err);
    if (cfg)
        cfg_free(cfg);
    if (rc != 0)
        dt_instances_fini(table);
    return rc;
}

int dt_instances_load(struct dt_instances *table, const char *path, struct dt_error *err)
{
    return load(table, path, NULL, 0, err);
}

/* One section, with as many empty lines before it as there are in the file, so that errors name the
 * right line. Caller frees. */
static char *cut_out(const char *text, size_t begin, size_t end)
{
    size_t lines = 0;
    for (size_t i = 0; i < begin; i++)
        lines += text[i] == '\n';
    char *cut = malloc(lines + (end - begin) + 1);
    if (cut) {
        memset(cut, '\n', lines);
        memcpy(cut + lines, text + begin, end - begin);
        cut[lines + (end - begin)] = '\0';
    }
    return cut;
}

int dt_instances_load_type(struct dt_instances *table, const char *path, const char *type,
                           struct dt_error *err)
{
    size_t len = 0, begin = 0, end = 0;
    int open_errno, rc = -1;
    *table = (struct dt_instances){0};
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    if (!text)
        return -1;
    dt_conf_blank_comments(text);
    int found = dt_instances_locate(text, type, &begin, &end);
    if (found > 0) {
        char *cut = cut_out(text, begin, end);
        rc = cut ? load(table, path, cut, strlen(cut), err) : dt_error_set(err, "out of memory");
        free(cut);
    } else {
        rc = found == 0 ? 0 : load(table, path, text, len, err);
    }
    free(text);
    return rc;
}

int dt_instances_parse(struct dt_instances *table, const char *name, const char *text, size_t len,
                       struct dt_error *err)
{
    return load(table, name, text, len, err);
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void instance_fini(struct dt_instance *instance)
{
    for (size_t i = 0; i < instance->switch_count; i++) {
        free(instance->switches[i].bridge);
        free_list(instance->switches[i].gpus);
        free_list(instance->switches[i].nics);
    }
    free(instance->switches);
    free(instance->name);
    free(instance->cpu_vendor);
    free(instance->accelerator_model);
    free(instance->accelerator_pci_id);
    free(instance->efa_pci_id);
    free(instance->source);
}

void dt_instances_fini(struct dt_instances *table)
{
    for (size_t i = 0; i < table->count; i++)
        instance_fini(&table->items[i]);
    free(table->items);
    *table = (struct dt_instances){0};
}

const struct dt_instance *dt_instances_find(const struct dt_instances *table, const char *name)
{
    if (!name || table->count == 0)
        return NULL;
    struct dt_instance key = {.name = (char *)(uintptr_t)name};
    return bsearch(&key, table->items, table->count, sizeof *table->items, by_name);
}
