/* SPDX-License-Identifier: Apache-2.0 */
/* hwloc wants a tree: sets of CPUs that contain each other or have nothing in common. Packages and
 * NUMA nodes make up its upper part, cores and PUs hang on the smallest set that holds them. What does
 * not fit is left out and noted: packages before NUMA nodes, since memory is what binding is about. */
#include <stdlib.h>
#include <string.h>

#include "topology/machine_tree.h"

static int no_memory(const struct dt_machine_tree *layout)
{
    return dt_error_set(layout->err, "%s: no memory left for its topology", layout->machine->name);
}

/* ---- what the machine says, made consistent --------------------------------------------------- */

static int by_os(const void *a, const void *b)
{
    const struct dt_machine_pu *x = a, *y = b;
    return (x->os > y->os) - (x->os < y->os);
}

static int collect_pus(struct dt_machine_tree *layout)
{
    struct dt_machine *machine = layout->machine;

    if (machine->pu_count == 0)
        return dt_error_set(layout->err, "%s names no CPU (PU), so nothing can be planned on it",
                            machine->name);
    qsort(machine->pus, machine->pu_count, sizeof(*machine->pus), by_os);
    for (size_t p = 0; p < machine->pu_count; p++) {
        if (p && machine->pus[p].os == machine->pus[p - 1].os)
            return dt_error_set(layout->err, "%s: CPU %u stands in it twice", machine->name,
                                machine->pus[p].os);
        if (hwloc_bitmap_set(layout->all, machine->pus[p].os))
            return no_memory(layout);
    }
    return 0;
}

/* A machine without NUMA has one node. CPUs that the file does not list are no node's. */
static int collect_nodes(struct dt_machine_tree *layout)
{
    struct dt_machine *machine = layout->machine;
    bool any = false;

    for (size_t n = 0; n < machine->node_count; n++) {
        struct dt_machine_node *node = &machine->nodes[n];
        if (hwloc_bitmap_and(node->cpus, node->cpus, layout->all))
            return no_memory(layout);
        any |= !hwloc_bitmap_iszero(node->cpus);
    }
    for (unsigned os = 0; !any; os++) {
        bool taken = false;
        for (size_t n = 0; n < machine->node_count; n++)
            taken |= machine->nodes[n].os == os;
        if (taken)
            continue;
        if (dt_machine_add_node(machine, os, layout->all, 0, layout->err))
            return -1;
        free(machine->distances); /* they were of other nodes */
        machine->distances = NULL;
        any = true;
    }
    for (size_t n = 0; n < machine->node_count; n++)
        if (hwloc_bitmap_set(layout->nodes, machine->nodes[n].os))
            return no_memory(layout);
    return 0;
}

static int order_nodes(struct dt_machine_tree *layout)
{
    const struct dt_machine *machine = layout->machine;

    layout->node_order = calloc(machine->node_count, sizeof(size_t));
    if (!layout->node_order)
        return no_memory(layout);
    for (size_t n = 0; n < machine->node_count; n++) {
        size_t at = n;
        for (; at > 0 && machine->nodes[layout->node_order[at - 1]].os > machine->nodes[n].os; at--)
            layout->node_order[at] = layout->node_order[at - 1];
        layout->node_order[at] = n;
    }
    return 0;
}

/* ---- the upper part of the tree --------------------------------------------------------------- */

static bool crosses(hwloc_const_bitmap_t a, hwloc_const_bitmap_t b)
{
    return hwloc_bitmap_intersects(a, b) && !hwloc_bitmap_isincluded(a, b) &&
           !hwloc_bitmap_isincluded(b, a);
}

static struct dt_machine_set *find_set(struct dt_machine_tree *layout, hwloc_const_bitmap_t cpus)
{
    for (size_t s = 0; s < layout->set_count; s++)
        if (hwloc_bitmap_isequal(layout->sets[s].cpus, cpus))
            return &layout->sets[s];
    return NULL;
}

/* 0: added or there already; 1: it crosses another; -1: no memory. */
static int add_set(struct dt_machine_tree *layout, hwloc_const_bitmap_t cpus, int package)
{
    struct dt_machine_set *found = find_set(layout, cpus);

    for (size_t s = 0; !found && s < layout->set_count; s++)
        if (crosses(layout->sets[s].cpus, cpus))
            return 1;
    if (!found) {
        found = &layout->sets[layout->set_count];
        *found = (struct dt_machine_set){.cpus = hwloc_bitmap_dup(cpus), .package = -1};
        if (!found->cpus)
            return no_memory(layout);
        layout->set_count++;
    }
    if (package >= 0)
        found->package = package;
    return 0;
}

static int add_nodes(struct dt_machine_tree *layout)
{
    struct dt_machine *machine = layout->machine;

    for (size_t n = 0; n < machine->node_count; n++) {
        int rc = hwloc_bitmap_iszero(machine->nodes[n].cpus)
                     ? 0
                     : add_set(layout, machine->nodes[n].cpus, -1);
        if (rc > 0)
            return dt_error_set(layout->err,
                                "%s: NUMA node %u shares some of its CPUs with another node, "
                                "which no machine does",
                                machine->name, machine->nodes[n].os);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int add_package(struct dt_machine_tree *layout, int package, hwloc_bitmap_t cpus)
{
    int rc;

    hwloc_bitmap_zero(cpus);
    for (size_t p = 0; p < layout->machine->pu_count; p++)
        if (layout->machine->pus[p].package == package &&
            hwloc_bitmap_set(cpus, layout->machine->pus[p].os))
            return no_memory(layout);
    rc = add_set(layout, cpus, package);
    if (rc > 0)
        dt_machine_note(layout->machine,
                        "package %d is left out: some NUMA nodes are half inside it", package);
    return rc < 0 ? -1 : 0;
}

/* Package numbers, each once, rising. NULL: no memory. */
static int *package_numbers(const struct dt_machine *machine, size_t *count)
{
    int *numbers = calloc(machine->pu_count, sizeof(int));

    *count = 0;
    for (size_t p = 0; numbers && p < machine->pu_count; p++) {
        int package = machine->pus[p].package;
        size_t at = 0;
        while (at < *count && numbers[at] < package)
            at++;
        if (package < 0 || (at < *count && numbers[at] == package))
            continue;
        memmove(&numbers[at + 1], &numbers[at], (*count - at) * sizeof(int));
        numbers[at] = package;
        ++*count;
    }
    return numbers;
}

static int add_packages(struct dt_machine_tree *layout, const int *numbers, size_t count)
{
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
    int rc = cpus ? 0 : no_memory(layout);

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_package(layout, numbers[i], cpus);
    hwloc_bitmap_free(cpus);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    const struct dt_machine_set *x = a, *y = b;
    int p = hwloc_bitmap_weight(x->cpus), q = hwloc_bitmap_weight(y->cpus);

    if (p != q)
        return (p < q) - (p > q);
    p = hwloc_bitmap_first(x->cpus);
    q = hwloc_bitmap_first(y->cpus);
    return (p > q) - (p < q);
}

static int make_sets(struct dt_machine_tree *layout)
{
    size_t packages;
    int *numbers = package_numbers(layout->machine, &packages);
    int rc = -1;

    if (!numbers || packages > DT_MACHINE_NODES_MAX) {
        dt_error_set(layout->err, "%s: more than %d packages", layout->machine->name,
                     DT_MACHINE_NODES_MAX);
        goto out;
    }
    layout->sets = calloc(1 + layout->machine->node_count + packages, sizeof(*layout->sets));
    if (!layout->sets) {
        no_memory(layout);
        goto out;
    }
    if (add_set(layout, layout->all, -1) || add_nodes(layout) ||
        add_packages(layout, numbers, packages))
        goto out;
    qsort(layout->sets + 1, layout->set_count - 1, sizeof(*layout->sets), by_size);
    rc = 0;
out:
    free(numbers);
    return rc;
}

/* ---- cores ------------------------------------------------------------------------------------ */

/* The smallest set that holds the CPU. */
static size_t home_of(const struct dt_machine_tree *layout, unsigned cpu)
{
    size_t s = layout->set_count;
    while (--s > 0 && !hwloc_bitmap_isset(layout->sets[s].cpus, cpu))
        ;
    return s;
}

struct place {
    size_t home;
    int core;
    unsigned os;
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->home != y->home)
        return x->home < y->home ? -1 : 1;
    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return (x->os > y->os) - (x->os < y->os);
}

/* PUs of one core and one home make up a core; a core whose PUs live apart becomes several. */
static int make_cores(struct dt_machine_tree *layout)
{
    const struct dt_machine *machine = layout->machine;
    struct place *places = calloc(machine->pu_count, sizeof(*places));
    int rc = 0;

    layout->cores = calloc(machine->pu_count, sizeof(*layout->cores));
    if (!places || !layout->cores) {
        free(places);
        return no_memory(layout);
    }
    for (size_t p = 0; p < machine->pu_count && rc == 0; p++)
        places[p] = (struct place){.home = home_of(layout, machine->pus[p].os),
                                   .core = machine->pus[p].core,
                                   .os = machine->pus[p].os};
    if (rc == 0)
        qsort(places, machine->pu_count, sizeof(*places), by_place);
    for (size_t p = 0; p < machine->pu_count && rc == 0; p++) {
        bool same = p && places[p].core >= 0 && places[p].core == places[p - 1].core &&
                    places[p].home == places[p - 1].home;
        struct dt_machine_core *core =
            &layout->cores[same ? layout->core_count - 1 : layout->core_count++];
        if (!same)
            *core = (struct dt_machine_core){.home = places[p].home, .cpus = hwloc_bitmap_alloc()};
        if (!core->cpus || hwloc_bitmap_set(core->cpus, places[p].os))
            rc = no_memory(layout);
    }
    free(places);
    return rc;
}

static int core_by_first(const void *a, const void *b)
{
    const struct dt_machine_core *x = a, *y = b;
    return hwloc_bitmap_first(x->cpus) - hwloc_bitmap_first(y->cpus);
}

static int add_index(size_t **list, size_t *count, size_t index)
{
    if ((*count & (*count - 1)) == 0) {
        size_t *grown = realloc(*list, (*count ? 2 * *count : 1) * sizeof(*grown));
        if (!grown)
            return -1;
        *list = grown;
    }
    (*list)[(*count)++] = index;
    return 0;
}

static int connect_tree(struct dt_machine_tree *layout)
{
    qsort(layout->cores, layout->core_count, sizeof(*layout->cores), core_by_first);
    for (size_t c = 0; c < layout->core_count; c++) {
        struct dt_machine_set *home = &layout->sets[layout->cores[c].home];
        layout->cores[c].number = (unsigned)c;
        if (add_index(&home->cores, &home->core_count, c))
            return no_memory(layout);
    }
    for (size_t s = 1; s < layout->set_count; s++) {
        size_t parent = s;
        while (--parent > 0 &&
               !hwloc_bitmap_isincluded(layout->sets[s].cpus, layout->sets[parent].cpus))
            ;
        layout->sets[s].parent = parent;
        if (add_index(&layout->sets[parent].children, &layout->sets[parent].child_count, s))
            return no_memory(layout);
    }
    return 0;
}

int dt_machine_tree_make(struct dt_machine_tree *layout)
{
    layout->all = hwloc_bitmap_alloc();
    layout->nodes = hwloc_bitmap_alloc();
    if (!layout->all || !layout->nodes)
        return no_memory(layout);
    return collect_pus(layout) || collect_nodes(layout) || order_nodes(layout) ||
                   make_sets(layout) || make_cores(layout) || connect_tree(layout)
               ? -1
               : 0;
}

void dt_machine_tree_fini(struct dt_machine_tree *layout)
{
    for (size_t s = 0; s < layout->set_count; s++) {
        hwloc_bitmap_free(layout->sets[s].cpus);
        free(layout->sets[s].children);
        free(layout->sets[s].cores);
    }
    for (size_t c = 0; c < layout->core_count; c++)
        hwloc_bitmap_free(layout->cores[c].cpus);
    free(layout->sets);
    free(layout->cores);
    free(layout->node_order);
    hwloc_bitmap_free(layout->all);
    hwloc_bitmap_free(layout->nodes);
}
