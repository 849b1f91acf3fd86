/* SPDX-License-Identifier: Apache-2.0 */
/* A machine from hwloc's XML (lstopo --of xml), formats 1 to 3: PUs with their core and package,
 * NUMA nodes, and the PCI tree with those devices that ranks use. Everything else is left out. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/machine.h"
#include "topology/xml.h"

struct walk {
    struct dt_machine *machine;
    struct dt_error *err;
    int core, package;   /* of what is being read; -1: outside of any */
    int cores, packages; /* seen so far */
    bool devices;        /* this pass is for devices: their NUMA nodes may stand behind them */
    hwloc_const_bitmap_t near; /* CPUs of the innermost object that has some, or NULL */
    struct dt_buf path;        /* bridges from the host bridge down */
};

static int read_object(struct walk *walk, const struct dt_xml_node *object);

static int fail_at(const struct walk *walk, const struct dt_xml_node *node, const char *what)
{
    return dt_error_set(walk->err, "%s:%zu: %s; no topology can be read from it",
                        walk->machine->name, node->line, what);
}

static const char *attribute(const struct dt_xml_node *node, const char *name)
{
    const char *value = dt_xml_get(node, name);
    return value ? value : "";
}

static bool number(const char *text, unsigned long long max, unsigned long long *value)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0' && *value <= max;
}

/* Value of <info name=NAME value=...>, or NULL. */
static const char *info(const struct dt_xml_node *node, const char *name)
{
    for (const struct dt_xml_node *child = node->first; child; child = child->next)
        if (dt_xml_is(child, "info") && strcmp(attribute(child, "name"), name) == 0)
            return dt_xml_get(child, "value");
    return NULL;
}

/* ---- CPUs and memory -------------------------------------------------------------------------- */

/* hwloc's masks can say "all that follow"; a file that does is of no real machine. And hwloc (2.9) reads
 * past the end of a text without a character. */
static hwloc_bitmap_t read_set(const char *text)
{
    hwloc_bitmap_t set = strlen(text) > DT_MACHINE_PUS_MAX ? NULL : hwloc_bitmap_alloc();

    if (!set || !*text || hwloc_bitmap_sscanf(set, text) < 0 || hwloc_bitmap_weight(set) < 0 ||
        hwloc_bitmap_last(set) >= DT_MACHINE_PUS_MAX) {
        hwloc_bitmap_free(set);
        return NULL;
    }
    return set;
}

static int read_pu(struct walk *walk, const struct dt_xml_node *object)
{
    unsigned long long os;
    struct dt_machine_pu pu = {.core = walk->core, .package = walk->package};
    const char *online = dt_xml_get(object, "online_cpuset");

    if (!number(attribute(object, "os_index"), DT_MACHINE_PUS_MAX - 1, &os))
        return fail_at(walk, object, "a PU has no os_index that is a number below 16384");
    pu.os = (unsigned)os;
    /* format 1 lists offline PUs too */
    if (online) {
        hwloc_bitmap_t set = read_set(online);
        bool offline = set && !hwloc_bitmap_isset(set, pu.os);
        hwloc_bitmap_free(set);
        if (offline)
            return 0;
    }
    return dt_machine_add_pu(walk->machine, pu, walk->err);
}

static int read_numa(struct walk *walk, const struct dt_xml_node *object)
{
    unsigned long long os, memory = 0;
    hwloc_bitmap_t cpus;
    int rc;

    if (!number(attribute(object, "os_index"), DT_MACHINE_NODES_MAX - 1, &os))
        return fail_at(walk, object, "a NUMA node has no os_index that is a number below 1024");
    number(attribute(object, "local_memory"), ~0ULL, &memory);
    cpus = read_set(attribute(object, "cpuset"));
    if (!cpus)
        return fail_at(walk, object, "a NUMA node's cpuset is no set of CPUs");
    /* The memory of a GPU: near to CPUs, and not for them. */
    if (strcmp(attribute(object, "subtype"), "GPUMemory") == 0)
        hwloc_bitmap_zero(cpus);
    rc = dt_machine_add_node(walk->machine, (unsigned)os, cpus, memory, walk->err);
    hwloc_bitmap_free(cpus);
    return rc;
}

/* ---- devices ---------------------------------------------------------------------------------- */

struct function {
    const struct dt_xml_node *object;
    unsigned class, vendor;
    const char *gpu_id, *gpu_model, *nic; /* from what hangs below it */
    bool accelerates;                     /* some library of accelerators sees it */
};

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static bool is_rdma_name(const char *name)
{
    static const char *const known[] = {"rdmap",   "efa_",  "mlx", "hfi",
                                        "bnxt_re", "irdma", "ib",  "roce"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (begins(name, known[i]) && !begins(name, "ibp"))
            return true;
    return false;
}

/* NICs that are RDMA devices without a verbs device: Slingshot, BXI. */
static bool is_fabric_name(const char *name)
{
    return begins(name, "hsi") || begins(name, "cxi") || begins(name, "bxi");
}

static void read_os_device(struct function *f, const struct dt_xml_node *object)
{
    static const char *const libraries[] = {"nvml", "cuda", "rsmi", "opencl", "ze"};
    const char *name = attribute(object, "name"), *text;

    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
        f->accelerates |= begins(name, libraries[i]);
    if ((text = info(object, "NVIDIAUUID")) || (text = info(object, "AMDUUID")) ||
        (text = info(object, "LevelZeroUUID")))
        f->gpu_id = text;
    if ((text = info(object, "GPUModel")))
        f->gpu_model = text;
    if (strcmp(attribute(object, "osdev_type"), "3") == 0 || is_rdma_name(name))
        f->nic = name;
    else if (!f->nic && is_fabric_name(name))
        f->nic = name;
}

static void read_os_devices(struct function *f, const struct dt_xml_node *object, int depth)
{
    for (const struct dt_xml_node *child = object->first; child; child = child->next) {
        if (!dt_xml_is(child, "object"))
            continue;
        if (strcmp(attribute(child, "type"), "OSDev") == 0)
            read_os_device(f, child);
        if (depth < 2)
            read_os_devices(f, child, depth + 1);
    }
}

/* The NUMA node of the innermost object with CPUs: known once all nodes have been read. */
static int node_near(const struct walk *walk)
{
    const struct dt_machine *machine = walk->machine;
    int best = -1, weight = 0;

    for (size_t n = 0; walk->near && n < machine->node_count; n++) {
        int size = hwloc_bitmap_weight(machine->nodes[n].cpus);
        if (size > 0 && hwloc_bitmap_isincluded(walk->near, machine->nodes[n].cpus) &&
            (best < 0 || size < weight)) {
            best = (int)machine->nodes[n].os;
            weight = size;
        }
    }
    return best;
}

static bool is_gpu(const struct function *f)
{
    unsigned base = f->class >> 8;

    if (f->vendor == 0x10de) /* 0680 is an NVSwitch */
        return base == 0x03 || (f->accelerates && base != 0x06);
    /* A display controller is not yet an accelerator: most are the board's own. */
    if (f->vendor == 0x1002 || f->vendor == 0x8086)
        return f->class == 0x0380 || base == 0x12 || (base == 0x03 && f->accelerates);
    return base == 0x12 && f->accelerates;
}

static bool is_valid_bdf(const char *text)
{
    unsigned domain, bus, slot, function;
    int used = 0;

    return sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &used) == 4 &&
           used > 0 && !text[used];
}

static int add_function(struct walk *walk, const struct function *f, const char *bdf)
{
    struct dt_buf id = DT_BUF_INIT, path = DT_BUF_INIT;
    bool nic = f->nic != NULL;
    struct dt_machine_device device = {.nic = nic,
                                       .kind = f->vendor == 0x10de ? DT_ACCELERATOR_NVIDIA
                                                                   : DT_ACCELERATOR_OTHER,
                                       .bdf = (char *)bdf,
                                       .model = (char *)(nic ? NULL : f->gpu_model),
                                       .node_os = node_near(walk)};
    const char *known = nic ? f->nic : f->gpu_id;
    int rc = -1;

    if (known && *known)
        dt_buf_puts(&id, known);
    else
        dt_buf_printf(&id, "pci:%s", bdf);
    dt_buf_printf(&path, "%s/%s", walk->path.data ? walk->path.data : "", bdf);
    device.id = id.data;
    device.path = path.data;
    if (!id.failed && !path.failed && !walk->path.failed)
        rc = dt_machine_add_device(walk->machine, device, walk->err) ? 0 : -1;
    else
        dt_error_set(walk->err, "%s: no memory left for its topology", walk->machine->name);
    dt_buf_fini(&id);
    dt_buf_fini(&path);
    return rc;
}

/* Partitions of an accelerator (MI300 in CPX mode) are several devices below one function, and one
 * accelerator to dt. */
static int read_pci(struct walk *walk, const struct dt_xml_node *object)
{
    struct function f = {.object = object};
    const char *bdf = attribute(object, "pci_busid");

    if (!is_valid_bdf(bdf))
        return fail_at(walk, object, "a PCI device has no address (pci_busid=\"0000:53:00.0\")");
    if (sscanf(attribute(object, "pci_type"), "%4x [%4x:", &f.class, &f.vendor) != 2)
        return fail_at(walk, object, "a PCI device has no class and vendor (pci_type)");
    read_os_devices(&f, object, 0);
    if (f.nic || is_gpu(&f))
        return add_function(walk, &f, bdf);
    return 0;
}

/* ---- the tree --------------------------------------------------------------------------------- */

static int read_children(struct walk *walk, const struct dt_xml_node *object)
{
    for (const struct dt_xml_node *child = object->first; child; child = child->next)
        if (dt_xml_is(child, "object") && read_object(walk, child))
            return -1;
    return 0;
}

static int read_bridge(struct walk *walk, const struct dt_xml_node *object)
{
    size_t len = walk->path.len;
    unsigned domain, first, last;
    const char *bdf = attribute(object, "pci_busid"), *buses = attribute(object, "bridge_pci");
    int rc;

    if (begins(attribute(object, "bridge_type"), "0-") &&
        sscanf(buses, "%8x:[%2x-%2x]", &domain, &first, &last) == 3)
        dt_buf_printf(&walk->path, "pci%04x:%02x", domain, first);
    else if (is_valid_bdf(bdf))
        dt_buf_printf(&walk->path, "/%s", bdf);
    else
        return fail_at(walk, object,
                       "a PCI bridge has no address (pci_busid, or bridge_pci of a host bridge)");
    rc = read_children(walk, object);
    if (!walk->path.failed) { /* back to where it was */
        walk->path.len = len;
        walk->path.data[len] = '\0';
    }
    return rc;
}

static int read_container(struct walk *walk, const struct dt_xml_node *object)
{
    struct walk outer = *walk;
    const char *type = attribute(object, "type"), *text = dt_xml_get(object, "cpuset");
    hwloc_bitmap_t cpus = text ? read_set(text) : NULL;
    int rc;

    if (text && !cpus)
        return fail_at(walk, object, "an object's cpuset is no set of CPUs");
    if (cpus && !hwloc_bitmap_iszero(cpus))
        walk->near = cpus;
    if (strcmp(type, "Core") == 0)
        walk->core = walk->cores++;
    else if (strcmp(type, "Package") == 0 || strcmp(type, "Socket") == 0)
        walk->package = walk->packages++;
    rc = read_children(walk, object);
    walk->near = outer.near;
    walk->core = outer.core;
    walk->package = outer.package;
    hwloc_bitmap_free(cpus);
    return rc;
}

static bool is_device(const char *type)
{
    return strcmp(type, "Bridge") == 0 || strcmp(type, "PCIDev") == 0;
}

static int read_object(struct walk *walk, const struct dt_xml_node *object)
{
    const char *type = attribute(object, "type");

    if (is_device(type)) {
        if (!walk->devices)
            return 0;
        return strcmp(type, "Bridge") == 0 ? read_bridge(walk, object) : read_pci(walk, object);
    }
    if (!walk->devices && strcmp(type, "PU") == 0)
        return read_pu(walk, object);
    /* format 1 has cores inside of NUMA nodes, later ones have nodes beside them */
    if (!walk->devices && strcmp(type, "NUMANode") == 0 && read_numa(walk, object))
        return -1;
    return read_container(walk, object);
}

static const struct dt_xml_node *machine_object(const struct dt_xml_node *root)
{
    for (const struct dt_xml_node *child = root->first; child; child = child->next)
        if (dt_xml_is(child, "object"))
            return child;
    return NULL;
}

static int walk_twice(struct dt_machine *machine, const struct dt_xml_node *object,
                      struct dt_error *err)
{
    struct walk cpus = {.machine = machine, .err = err, .core = -1, .package = -1};
    struct walk devices = cpus;
    int rc;

    devices.devices = true;
    rc = read_object(&cpus, object);
    if (rc == 0)
        rc = read_object(&devices, object);
    dt_buf_fini(&devices.path);
    return rc;
}

/* ---- distances -------------------------------------------------------------------------------- */

/* Append the numbers in an element's text; false: more than there is room for. */
static bool read_numbers(const char *text, unsigned long long *values, size_t *count, size_t room)
{
    char *end;

    for (;;) {
        text += strspn(text, " \t\r\n");
        if (!isdigit((unsigned char)*text))
            return *text == '\0';
        if (*count >= room)
            return false;
        values[(*count)++] = strtoull(text, &end, 10);
        text = end;
    }
}

static size_t node_index(const struct dt_machine *machine, unsigned long long os)
{
    size_t n = 0;
    while (n < machine->node_count && machine->nodes[n].os != os)
        n++;
    return n;
}

/* Values of the file's nodes, put in the order of ours. */
static int keep_distances(struct dt_machine *machine, const unsigned long long *order,
                          const unsigned long long *values)
{
    size_t count = machine->node_count;
    unsigned long long *kept = calloc(count * count, sizeof(*kept));

    for (size_t a = 0; kept && a < count; a++) {
        for (size_t b = 0; b < count; b++) {
            size_t x = node_index(machine, order[a]), y = node_index(machine, order[b]);
            unsigned long long value = values[a * count + b];
            if (x == count || y == count || value == 0 || value > 1000000) {
                free(kept);
                return 0; /* of no use; nearness is guessed from packages then */
            }
            kept[x * count + y] = value;
        }
    }
    for (size_t i = 0; kept && i < count * count; i++) {
        if (kept[i] == 0) {
            free(kept);
            return 0;
        }
    }
    free(machine->distances);
    machine->distances = kept;
    return kept ? 0 : -1;
}

static int read_matrix(struct dt_machine *machine, const struct dt_xml_node *node)
{
    size_t nodes = machine->node_count, order_count = 0, value_count = 0;
    unsigned long long *order = calloc(nodes, sizeof(*order));
    unsigned long long *values = calloc(nodes * nodes, sizeof(*values));
    bool good = order && values;
    int rc = good ? 0 : -1;

    for (const struct dt_xml_node *child = node->first; child && good; child = child->next) {
        if (dt_xml_is(child, "indexes"))
            good = read_numbers(child->text, order, &order_count, nodes);
        else if (dt_xml_is(child, "u64values"))
            good = read_numbers(child->text, values, &value_count, nodes * nodes);
    }
    if (good && order_count == nodes && value_count == nodes * nodes)
        rc = keep_distances(machine, order, values);
    free(order);
    free(values);
    return rc;
}

static int read_distances(struct dt_machine *machine, const struct dt_xml_node *root,
                          struct dt_error *err)
{
    for (const struct dt_xml_node *node = root->first; node; node = node->next)
        if (machine->node_count > 1 && dt_xml_is(node, "distances2") &&
            strcmp(attribute(node, "type"), "NUMANode") == 0 &&
            strcmp(attribute(node, "name"), "NUMALatency") == 0 &&
            strcmp(attribute(node, "indexing"), "os") == 0 && read_matrix(machine, node))
            return dt_error_set(err, "%s: no memory left for its topology", machine->name);
    return 0;
}

int dt_machine_from_hwloc(struct dt_machine *machine, const char *text, size_t len,
                          struct dt_error *err)
{
    struct dt_xml xml;
    const struct dt_xml_node *object;
    const char *product;
    int rc = -1;

    if (dt_xml_parse(&xml, machine->name, text, len, err))
        return -1;
    object = machine_object(xml.root);
    if (!object || !dt_xml_is(xml.root, "topology")) {
        dt_error_set(err, "%s is no hwloc XML with a machine in it (lstopo --of xml writes one)",
                     machine->name);
        goto out;
    }
    product = info(object, "DMIProductName");
    if (product && !(machine->product = strdup(product))) {
        dt_error_set(err, "%s: no memory left for its topology", machine->name);
        goto out;
    }
    if (walk_twice(machine, object, err) || read_distances(machine, xml.root, err))
        goto out;
    rc = 0;
out:
    dt_xml_fini(&xml);
    return rc;
}
