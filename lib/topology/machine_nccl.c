/* SPDX-License-Identifier: Apache-2.0 */
/* A machine from NCCL's XML (NCCL_TOPO_FILE, or what NCCL_TOPO_DUMP_FILE wrote). NCCL reads these
 * files beside the live machine, so they may leave out CPU masks, device classes and even GPUs; what
 * is missing comes from the instance type whose addresses the file has. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "topology/machine.h"
#include "topology/xml.h"

struct walk {
    struct dt_machine *machine;
    const struct dt_instance *instance; /* NULL: not known */
    struct dt_error *err;
    int node;           /* NUMA node of the <cpu> around, or -1 */
    struct dt_buf path; /* bridges from the <cpu> down */
    size_t unknown;     /* devices of which nothing is said */
    bool x86;
};

static const char *attribute(const struct dt_xml_node *node, const char *name)
{
    const char *value = dt_xml_get(node, name);
    return value ? value : "";
}

static bool is_pci(const struct dt_xml_node *node)
{
    return dt_xml_is(node, "pci");
}

static const struct dt_xml_node *child_of(const struct dt_xml_node *node, const char *name)
{
    const struct dt_xml_node *child = node->first;
    while (child && !dt_xml_is(child, name))
        child = child->next;
    return child;
}

static int no_memory(const struct dt_machine *machine, struct dt_error *err)
{
    return dt_error_set(err, "%s: no memory left for its topology", machine->name);
}

/* ---- which type ------------------------------------------------------------------------------- */

static bool row_has(char *const *row, const char *bdf)
{
    for (; row && *row; row++)
        if (strcasecmp(*row, bdf) == 0)
            return true;
    return false;
}

enum role { NOT_THERE, GPU, NIC };

static enum role role_in(const struct dt_instance *instance, const char *bdf)
{
    for (size_t s = 0; instance && s < instance->switch_count; s++) {
        if (row_has(instance->switches[s].gpus, bdf))
            return GPU;
        if (row_has(instance->switches[s].nics, bdf))
            return NIC;
    }
    return NOT_THERE;
}

/* Addresses are the same in several types; the model of a GPU, where the file has it, is not. */
static bool same_model(const struct dt_instance *instance, const struct dt_xml_node *pci)
{
    const char *device = attribute(pci, "device"), *id = instance->accelerator_pci_id;
    const char *colon = id ? strchr(id, ':') : NULL;

    return !*device || !colon || strncasecmp(device, "0x", 2) != 0 ||
           strcasecmp(device + 2, colon + 1) == 0;
}

static void count_matches(const struct dt_xml_node *node, const struct dt_instance *instance,
                          size_t *leaves, size_t *matches)
{
    for (const struct dt_xml_node *child = node->first; child; child = child->next) {
        if (is_pci(child) && !child_of(child, "pci")) {
            enum role role = role_in(instance, attribute(child, "busid"));
            ++*leaves;
            *matches += role == NIC || (role == GPU && same_model(instance, child));
        }
        count_matches(child, instance, leaves, matches);
    }
}

/* The type that has all addresses of the file: of several, the one with the fewest devices. */
static const struct dt_instance *find_type(const struct dt_instances *table,
                                           const struct dt_xml_node *root)
{
    const struct dt_instance *best = NULL;

    for (size_t i = 0; table && i < table->count; i++) {
        const struct dt_instance *type = &table->items[i];
        size_t leaves = 0, matches = 0;
        count_matches(root, type, &leaves, &matches);
        if (leaves == 0 || matches < leaves)
            continue;
        if (!best || type->accelerators + type->efas < best->accelerators + best->efas)
            best = type;
    }
    return best;
}

/* ---- CPUs ------------------------------------------------------------------------------------- */

/* "000000ff,ffff0000,00ffffff": hexadecimal words of 32 bits, the last one holds CPU 0. */
static hwloc_bitmap_t read_affinity(const char *text)
{
    hwloc_bitmap_t set;

    if (!*text || strspn(text, "0123456789abcdefABCDEF,") != strlen(text) ||
        strlen(text) > DT_MACHINE_PUS_MAX / 3)
        return NULL;
    set = hwloc_bitmap_alloc();
    if (set && (hwloc_bitmap_sscanf(set, text) < 0 || hwloc_bitmap_weight(set) < 0)) {
        hwloc_bitmap_free(set);
        return NULL;
    }
    return set;
}

static int node_number(const struct dt_xml_node *cpu)
{
    const char *text = attribute(cpu, "numaid");
    char *end;
    long value = strtol(text, &end, 10);

    return isdigit((unsigned char)*text) && *end == '\0' && value < DT_MACHINE_NODES_MAX
               ? (int)value
               : -1;
}

/* x86 numbers second threads after all first ones, so each node has two runs of the same length, half
 * of the machine apart. NCCL's files do not say it, so where that is so it is taken for threads. */
static unsigned thread_step(const struct dt_machine *machine)
{
    unsigned total = 0;

    for (size_t n = 0; n < machine->node_count; n++)
        total += (unsigned)hwloc_bitmap_weight(machine->nodes[n].cpus);
    if (total < 2 || total % 2)
        return 0;
    for (size_t n = 0; n < machine->node_count; n++) {
        hwloc_const_bitmap_t cpus = machine->nodes[n].cpus;
        for (int cpu = hwloc_bitmap_first(cpus); cpu >= 0; cpu = hwloc_bitmap_next(cpus, cpu)) {
            unsigned sibling = ((unsigned)cpu + total / 2) % total;
            if ((unsigned)cpu >= total || !hwloc_bitmap_isset(cpus, sibling))
                return 0;
        }
    }
    return total / 2;
}

/* The type that has just these CPUs; NULL: what the file has is all that is known. */
static const struct dt_instance *type_of_cpus(const struct walk *walk)
{
    int total = 0;

    for (size_t n = 0; n < walk->machine->node_count; n++)
        total += hwloc_bitmap_weight(walk->machine->nodes[n].cpus);
    return walk->instance && walk->instance->vcpus == total ? walk->instance : NULL;
}

/* One node alone could as well be a machine without threads. */
static unsigned guess_step(struct walk *walk)
{
    unsigned step = walk->x86 && walk->machine->node_count > 1 ? thread_step(walk->machine) : 0;

    if (step)
        dt_machine_note(walk->machine,
                        "threads of a core are taken to be %u CPUs apart: the file does not say "
                        "which CPUs share a core",
                        step);
    else
        dt_machine_note(walk->machine, "each CPU is taken for a core: the file does not say which "
                                       "CPUs share one");
    return step;
}

static int add_pus(struct walk *walk)
{
    struct dt_machine *machine = walk->machine;
    const struct dt_instance *type = type_of_cpus(walk);
    unsigned step = type ? (unsigned)type->cores : guess_step(walk);

    for (size_t n = 0; n < machine->node_count; n++) {
        hwloc_const_bitmap_t cpus = machine->nodes[n].cpus;
        for (int cpu = hwloc_bitmap_first(cpus); cpu >= 0; cpu = hwloc_bitmap_next(cpus, cpu)) {
            struct dt_machine_pu pu = {.os = (unsigned)cpu,
                                       .core = step ? (int)((unsigned)cpu % step) : cpu,
                                       .package = -1};
            if (type && step)
                pu.package = pu.core * type->packages / type->cores;
            if (dt_machine_add_pu(machine, pu, walk->err))
                return -1;
        }
    }
    return 0;
}

static int add_masks(struct walk *walk, const struct dt_xml_node *root)
{
    for (const struct dt_xml_node *cpu = root->first; cpu; cpu = cpu->next) {
        hwloc_bitmap_t set;
        int node, rc;
        if (!dt_xml_is(cpu, "cpu"))
            continue;
        node = node_number(cpu);
        set = read_affinity(attribute(cpu, "affinity"));
        if (node < 0 || !set) {
            hwloc_bitmap_free(set);
            return dt_error_set(walk->err,
                                "%s:%zu: a <cpu> has no %s; no topology can be read "
                                "from it",
                                walk->machine->name, cpu->line,
                                node < 0 ? "numaid that is a number" : "affinity that is a mask");
        }
        walk->x86 |= strcmp(attribute(cpu, "arch"), "x86_64") == 0;
        rc = dt_machine_add_node(walk->machine, (unsigned)node, set, 0, walk->err);
        hwloc_bitmap_free(set);
        if (rc)
            return -1;
    }
    return 0;
}

static bool any_mask(const struct dt_xml_node *root)
{
    for (const struct dt_xml_node *cpu = root->first; cpu; cpu = cpu->next)
        if (dt_xml_is(cpu, "cpu") && *attribute(cpu, "affinity"))
            return true;
    return false;
}

static int add_cpus(struct walk *walk, const struct dt_xml_node *root)
{
    if (any_mask(root))
        return add_masks(walk, root) || add_pus(walk) ? -1 : 0;
    if (walk->instance) {
        dt_machine_note(walk->machine, "the file has no CPUs: they are those of %s",
                        walk->instance->name);
        return dt_machine_cpus_of_instance(walk->machine, walk->instance, walk->err);
    }
    return dt_error_set(walk->err,
                        "%s says which devices hang on which <cpu> but not which CPUs those are "
                        "(no affinity=), and no instance type has these addresses; name the type "
                        "with --as",
                        walk->machine->name);
}

/* ---- devices ---------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *word)
{
    return strncasecmp(text, word, strlen(word)) == 0;
}

static enum role role_of(const struct walk *walk, const struct dt_xml_node *pci)
{
    const char *class = attribute(pci, "class"), *vendor = attribute(pci, "vendor");

    if (child_of(pci, "gpu"))
        return GPU;
    if (child_of(pci, "nic"))
        return NIC;
    if (begins(class, "0x03") || begins(class, "0x12"))
        return GPU;
    if (begins(class, "0x02") || begins(vendor, "0x1d0f"))
        return NIC;
    return role_in(walk->instance, attribute(pci, "busid"));
}

/* Name of the network device inside, or one made of the address as EFA devices are named. */
static void put_nic_name(struct dt_buf *id, const struct dt_xml_node *pci, const char *bdf,
                         bool efa)
{
    const struct dt_xml_node *nic = child_of(pci, "nic");
    const struct dt_xml_node *net = nic ? child_of(nic, "net") : NULL;
    unsigned domain, bus, slot;

    if (net && *attribute(net, "name"))
        dt_buf_puts(id, attribute(net, "name"));
    else if (efa && sscanf(bdf, "%x:%x:%x", &domain, &bus, &slot) == 3)
        dt_buf_printf(id, "rdmap%us%u", bus, slot);
    else
        dt_buf_printf(id, "pci:%s", bdf);
}

static int add_device(struct walk *walk, const struct dt_xml_node *pci, enum role role)
{
    const char *bdf = attribute(pci, "busid"), *vendor = attribute(pci, "vendor");
    bool nvidia = !*vendor || begins(vendor, "0x10de");
    struct dt_buf id = DT_BUF_INIT, path = DT_BUF_INIT;
    struct dt_machine_device device = {.nic = role == NIC,
                                       .kind =
                                           nvidia ? DT_ACCELERATOR_NVIDIA : DT_ACCELERATOR_OTHER,
                                       .bdf = (char *)bdf,
                                       .node_os = walk->node};
    int rc = -1;

    if (role == NIC)
        put_nic_name(&id, pci, bdf, walk->instance || begins(vendor, "0x1d0f"));
    else
        dt_buf_printf(&id, "pci:%s", bdf);
    dt_buf_printf(&path, "%s/%s", walk->path.data, bdf);
    device.id = id.data;
    device.path = path.data;
    if (id.failed || path.failed)
        no_memory(walk->machine, walk->err);
    else
        rc = dt_machine_add_device(walk->machine, device, walk->err) ? 0 : -1;
    dt_buf_fini(&id);
    dt_buf_fini(&path);
    return rc;
}

static int read_pci(struct walk *walk, const struct dt_xml_node *pci)
{
    const char *bdf = attribute(pci, "busid");
    size_t len = walk->path.len;
    enum role role;
    int rc = 0;

    if (!*bdf || strlen(bdf) > 32 || strspn(bdf, "0123456789abcdefABCDEF:.") != strlen(bdf))
        return dt_error_set(walk->err,
                            "%s:%zu: a <pci> has no address (busid=\"0000:53:00.0\"); no topology "
                            "can be read from it",
                            walk->machine->name, pci->line);
    if (!child_of(pci, "pci")) {
        role = role_of(walk, pci);
        /* a device of the live machine is known by its address alone */
        if (role == NOT_THERE && walk->machine->places_only)
            role = NIC;
        walk->unknown += role == NOT_THERE && !*attribute(pci, "class");
        return role == NOT_THERE ? 0 : add_device(walk, pci, role);
    }
    dt_buf_printf(&walk->path, "/%s", bdf);
    if (walk->path.failed)
        return no_memory(walk->machine, walk->err);
    for (const struct dt_xml_node *child = pci->first; child && rc == 0; child = child->next)
        if (is_pci(child))
            rc = read_pci(walk, child);
    walk->path.len = len;
    walk->path.data[len] = '\0';
    return rc;
}

static int read_devices(struct walk *walk, const struct dt_xml_node *root)
{
    size_t number = 0;

    for (const struct dt_xml_node *cpu = root->first; cpu; cpu = cpu->next) {
        if (!dt_xml_is(cpu, "cpu"))
            continue;
        dt_buf_clear(&walk->path);
        dt_buf_printf(&walk->path, "pci%04zx:00", number++);
        if (walk->path.failed)
            return no_memory(walk->machine, walk->err);
        walk->node = node_number(cpu);
        for (const struct dt_xml_node *child = cpu->first; child; child = child->next)
            if (is_pci(child) && read_pci(walk, child))
                return -1;
    }
    return 0;
}

static size_t count_gpus(const struct dt_machine *machine)
{
    size_t count = 0;
    for (size_t d = 0; d < machine->device_count; d++)
        count += !machine->devices[d].nic;
    return count;
}

/* A GPU that the file leaves out goes below the bridge that its row's NICs hang on in the file. */
static int add_gpu_of_row(struct dt_machine *machine, const struct dt_instance_switch *row,
                          const struct dt_instance *instance, const char *bdf, struct dt_error *err)
{
    struct dt_buf id = DT_BUF_INIT, path = DT_BUF_INIT;
    const struct dt_machine_device *like = NULL;
    struct dt_machine_device device = {.kind = instance->accelerator,
                                       .bdf = (char *)bdf,
                                       .model = instance->accelerator_model,
                                       .node_os = row->numa};
    int rc = -1;

    for (size_t d = 0; d < machine->device_count && !like; d++)
        if (machine->devices[d].nic && row_has(row->nics, machine->devices[d].bdf))
            like = &machine->devices[d];
    dt_buf_printf(&id, "pci:%s", bdf);
    if (like) {
        device.node_os = like->node_os;
        dt_buf_append(&path, like->path, (size_t)(strrchr(like->path, '/') - like->path));
    }
    dt_buf_printf(&path, "%s/%s", like ? "" : "pci0000:00", bdf);
    device.id = id.data;
    device.path = path.data;
    if (id.failed || path.failed)
        no_memory(machine, err);
    else
        rc = dt_machine_add_device(machine, device, err) ? 0 : -1;
    dt_buf_fini(&id);
    dt_buf_fini(&path);
    return rc;
}

static int add_missing_gpus(struct walk *walk)
{
    const struct dt_instance *instance = walk->instance;

    if (!instance || instance->accelerators == 0 || count_gpus(walk->machine) > 0)
        return 0;
    dt_machine_note(walk->machine, "the file has no GPUs: they are those of %s", instance->name);
    for (size_t s = 0; s < instance->switch_count; s++)
        for (char **bdf = instance->switches[s].gpus; bdf && *bdf; bdf++)
            if (add_gpu_of_row(walk->machine, &instance->switches[s], instance, *bdf, walk->err))
                return -1;
    return 0;
}

int dt_machine_from_nccl(struct dt_machine *machine, const char *text, size_t len,
                         const struct dt_instances *table, const struct dt_instance **instance,
                         struct dt_error *err)
{
    struct walk walk = {.machine = machine, .err = err, .node = -1};
    struct dt_xml xml;
    int rc = -1;

    if (dt_xml_parse(&xml, machine->name, text, len, err))
        return -1;
    if (!dt_xml_is(xml.root, "system") || !child_of(xml.root, "cpu")) {
        dt_error_set(err, "%s is no NCCL XML with a <cpu> in its <system>", machine->name);
        goto out;
    }
    if (machine->places_only) {
        rc = read_devices(&walk, xml.root);
        goto out;
    }
    if (!*instance)
        *instance = find_type(table, xml.root);
    walk.instance = *instance;
    if (*instance && !(machine->product = strdup((*instance)->name))) {
        no_memory(machine, err);
        goto out;
    }
    if (add_cpus(&walk, xml.root) || read_devices(&walk, xml.root) || add_missing_gpus(&walk))
        goto out;
    if (walk.unknown > 0)
        dt_machine_note(machine,
                        "%zu devices of the file are left out: it does not say what they are",
                        walk.unknown);
    rc = 0;
out:
    dt_buf_fini(&walk.path);
    dt_xml_fini(&xml);
    return rc;
}
