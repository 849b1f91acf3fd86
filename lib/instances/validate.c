/* SPDX-License-Identifier: Apache-2.0 */
/* Judging one section of the instance table: a table that contradicts itself would make good nodes
 * look broken, so it is refused. */
#include "instances/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dt_instances_error(cfg_t *section, struct dt_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dt_error_vset(err, format, args);
    va_end(args);
    const char *title = cfg_title(section);
    return dt_error_prefix(err, "%s:%d: %s '%s', which ends here", section->filename, section->line,
                           cfg_name(section), title ? title : "");
}

/* "0000:53:00.0", lower case as sysfs has it. */
static bool is_bdf(const char *text)
{
    static const char shape[] = "hhhh:hh:hh.d";
    if (strlen(text) != sizeof shape - 1)
        return false;
    for (size_t i = 0; shape[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        if (shape[i] == 'h' ? !isxdigit(c) || isupper(c)
                            : (shape[i] == 'd' ? c < '0' || c > '7' : c != (unsigned char)shape[i]))
            return false;
    }
    return true;
}

/* "10de:2330" */
static bool is_pci_id(const char *text)
{
    if (strlen(text) != 9 || text[4] != ':')
        return false;
    for (size_t i = 0; i < 9; i++) {
        unsigned char c = (unsigned char)text[i];
        if (i != 4 && (!isxdigit(c) || isupper(c)))
            return false;
    }
    return true;
}

static size_t list_length(char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

static int validate_cpus(const struct dt_instance *in, cfg_t *section, struct dt_error *err)
{
    if (in->cores * in->threads_per_core != in->vcpus)
        return dt_instances_error(section, err,
                                  "cores = %d times threads-per-core = %d is not vcpus = %d",
                                  in->cores, in->threads_per_core, in->vcpus);
    if (in->cores % in->packages != 0)
        return dt_instances_error(section, err,
                                  "cores = %d can not be shared evenly by packages = %d", in->cores,
                                  in->packages);
    if (in->numa_nodes % in->packages != 0)
        return dt_instances_error(section, err, "numa-nodes = %d is no multiple of packages = %d",
                                  in->numa_nodes, in->packages);
    if (in->cores % in->numa_nodes != 0)
        return dt_instances_error(section, err,
                                  "cores = %d can not be shared evenly by numa-nodes = %d",
                                  in->cores, in->numa_nodes);
    if (in->memory_mib < 1)
        return dt_instances_error(section, err, "memory-mib must be 1 or more");
    if (strcmp(in->cpu_vendor, "AuthenticAMD") != 0 &&
        strcmp(in->cpu_vendor, "GenuineIntel") != 0 && strcmp(in->cpu_vendor, "ARM") != 0)
        return dt_instances_error(section, err,
                                  "cpu-vendor = '%s' must be AuthenticAMD, GenuineIntel or ARM",
                                  in->cpu_vendor);
    return 0;
}

static int validate_accelerators(const struct dt_instance *in, cfg_t *section, struct dt_error *err)
{
    if ((in->accelerator == DT_ACCELERATOR_NONE) != (in->accelerators == 0))
        return dt_instances_error(section, err, "accelerator and accelerators = %d contradict",
                                  in->accelerators);
    if (in->accelerators == 0)
        return 0;
    if (!*in->accelerator_model)
        return dt_instances_error(section, err, "accelerator-model is missing");
    if (!is_pci_id(in->accelerator_pci_id))
        return dt_instances_error(section, err,
                                  "accelerator-pci-id = '%s' must be like '10de:2330'",
                                  in->accelerator_pci_id);
    if (in->accelerator_memory_mib < 1)
        return dt_instances_error(section, err, "accelerator-memory-mib is missing");
    return 0;
}

static int validate_efas(const struct dt_instance *in, cfg_t *section, struct dt_error *err)
{
    if ((in->efas == 0) != (in->efa_generation == 0))
        return dt_instances_error(section, err, "efas = %d and efa-generation = %d contradict",
                                  in->efas, in->efa_generation);
    if (in->efas == 0)
        return 0;
    if (!is_pci_id(in->efa_pci_id) || strncmp(in->efa_pci_id, "1d0f:efa", 8) != 0)
        return dt_instances_error(section, err, "efa-pci-id = '%s' must be like '1d0f:efa1'",
                                  in->efa_pci_id);
    if (in->efa_gbps < 1)
        return dt_instances_error(section, err, "efa-gbps is missing");
    return 0;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int validate_addresses(const char **all, size_t count, cfg_t *section, struct dt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_bdf(all[i]))
            return dt_instances_error(
                section, err, "'%s' is no PCI address like '0000:53:00.0' (lower case)", all[i]);
    }
    qsort(all, count, sizeof *all, compare_strings);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(all[i - 1], all[i]) == 0)
            return dt_instances_error(section, err, "PCI address %s is listed twice", all[i]);
    }
    return 0;
}

static int validate_switches(const struct dt_instance *in, cfg_t *section, struct dt_error *err)
{
    size_t gpus = 0, nics = 0, used = 0;
    for (size_t i = 0; i < in->switch_count; i++) {
        const struct dt_instance_switch *sw = &in->switches[i];
        if (sw->numa >= in->numa_nodes)
            return dt_instances_error(section, err,
                                      "switch %zu hangs on numa = %d, but numa-nodes = %d", i + 1,
                                      sw->numa, in->numa_nodes);
        gpus += list_length(sw->gpus);
        nics += list_length(sw->nics);
    }
    if (gpus != (size_t)in->accelerators)
        return dt_instances_error(section, err, "its switches list %zu gpus, but accelerators = %d",
                                  gpus, in->accelerators);
    if (nics != (size_t)in->efas)
        return dt_instances_error(section, err, "its switches list %zu nics, but efas = %d", nics,
                                  in->efas);

    const char **all = calloc(gpus + nics + in->switch_count + 1, sizeof *all);
    if (!all)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < in->switch_count; i++) {
        const struct dt_instance_switch *sw = &in->switches[i];
        if (*sw->bridge)
            all[used++] = sw->bridge;
        for (size_t k = 0; sw->gpus[k]; k++)
            all[used++] = sw->gpus[k];
        for (size_t k = 0; sw->nics[k]; k++)
            all[used++] = sw->nics[k];
    }
    int rc = validate_addresses(all, used, section, err);
    free(all);
    return rc;
}

int dt_instance_validate(const struct dt_instance *instance, cfg_t *section, struct dt_error *err)
{
    /* The name becomes a word of reports and part of paths: EC2's own alphabet, nothing else. */
    if (!*instance->name ||
        strspn(instance->name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(instance->name))
        return dt_instances_error(section, err, "this is no EC2 instance type");
    if (strcmp(instance->name, "host") == 0)
        return dt_instances_error(section, err, "'host' stands for the machine as it is");
    if (!*instance->source)
        return dt_instances_error(section, err,
                                  "source is missing: say where the numbers are from");
    if (validate_cpus(instance, section, err) != 0 ||
        validate_accelerators(instance, section, err) != 0 ||
        validate_efas(instance, section, err) != 0)
        return -1;
    return validate_switches(instance, section, err);
}
