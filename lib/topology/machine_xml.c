/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU side of a machine as hwloc's XML, object by object from its tree. */
#include <stdlib.h>
#include <string.h>

#include "topology/machine_tree.h"

static void put_set(struct dt_buf *out, const char *name, hwloc_const_bitmap_t set)
{
    char *text = NULL;

    if (hwloc_bitmap_asprintf(&text, set) < 0)
        out->failed = true;
    else
        dt_buf_printf(out, " %s=\"%s\" complete_%s=\"%s\"", name, text, name, text);
    free(text);
}

static void put_open(struct dt_buf *out, struct dt_machine_tree *layout, const char *type, int os,
                     hwloc_const_bitmap_t cpus, hwloc_const_bitmap_t nodes)
{
    dt_buf_printf(out, "<object type=\"%s\"", type);
    if (os >= 0)
        dt_buf_printf(out, " os_index=\"%d\"", os);
    put_set(out, "cpuset", cpus);
    put_set(out, "nodeset", nodes);
    dt_buf_printf(out, " gp_index=\"%u\"", layout->next_index++);
}

/* NUMA nodes that the CPUs are near to. */
static hwloc_bitmap_t nodes_of(const struct dt_machine_tree *layout, hwloc_const_bitmap_t cpus)
{
    hwloc_bitmap_t nodes = hwloc_bitmap_alloc();

    for (size_t n = 0; nodes && n < layout->machine->node_count; n++)
        if (hwloc_bitmap_intersects(layout->machine->nodes[n].cpus, cpus))
            hwloc_bitmap_set(nodes, layout->machine->nodes[n].os);
    return nodes;
}

static void put_node(struct dt_buf *out, struct dt_machine_tree *layout,
                     const struct dt_machine_node *node)
{
    hwloc_bitmap_t own = hwloc_bitmap_alloc();

    if (!own || hwloc_bitmap_only(own, node->os)) {
        out->failed = true;
    } else {
        put_open(out, layout, "NUMANode", (int)node->os, node->cpus, own);
        dt_buf_printf(out, " local_memory=\"%llu\"/>\n", node->memory);
    }
    hwloc_bitmap_free(own);
}

/* Nodes of a set, rising, as hwloc wants them; nodes without CPUs hang on the machine. */
static void put_nodes(struct dt_buf *out, struct dt_machine_tree *layout, size_t index)
{
    const struct dt_machine *machine = layout->machine;

    for (size_t i = 0; i < machine->node_count; i++) {
        const struct dt_machine_node *node = &machine->nodes[layout->node_order[i]];
        if (hwloc_bitmap_iszero(node->cpus)
                ? index == 0
                : hwloc_bitmap_isequal(node->cpus, layout->sets[index].cpus))
            put_node(out, layout, node);
    }
}

static void put_core(struct dt_buf *out, struct dt_machine_tree *layout,
                     const struct dt_machine_core *core, hwloc_const_bitmap_t nodes)
{
    hwloc_bitmap_t one = hwloc_bitmap_alloc();
    int pu;

    put_open(out, layout, "Core", (int)core->number, core->cpus, nodes);
    dt_buf_puts(out, ">\n");
    for (pu = hwloc_bitmap_first(core->cpus); one && pu >= 0;
         pu = hwloc_bitmap_next(core->cpus, pu)) {
        hwloc_bitmap_only(one, (unsigned)pu);
        put_open(out, layout, "PU", pu, one, nodes);
        dt_buf_puts(out, "/>\n");
    }
    dt_buf_puts(out, "</object>\n");
    out->failed |= !one;
    hwloc_bitmap_free(one);
}

static void put_subset(struct dt_buf *out, struct dt_machine_tree *layout, size_t index);

/* Cores and sets below a set, by their first CPU. */
static void put_children(struct dt_buf *out, struct dt_machine_tree *layout,
                         const struct dt_machine_set *set, hwloc_const_bitmap_t nodes)
{
    size_t s = 0, c = 0;

    while (s < set->child_count || c < set->core_count) {
        int of_set =
            s < set->child_count ? hwloc_bitmap_first(layout->sets[set->children[s]].cpus) : -1;
        int of_core =
            c < set->core_count ? hwloc_bitmap_first(layout->cores[set->cores[c]].cpus) : -1;
        if (of_core < 0 || (of_set >= 0 && of_set < of_core))
            put_subset(out, layout, set->children[s++]);
        else
            put_core(out, layout, &layout->cores[set->cores[c++]], nodes);
    }
}

static int child_order(const void *a, const void *b, void *context)
{
    const struct dt_machine_tree *layout = context;
    return hwloc_bitmap_first(layout->sets[*(const size_t *)a].cpus) -
           hwloc_bitmap_first(layout->sets[*(const size_t *)b].cpus);
}

static void put_subset(struct dt_buf *out, struct dt_machine_tree *layout, size_t index)
{
    struct dt_machine_set *set = &layout->sets[index];
    hwloc_bitmap_t nodes = index ? nodes_of(layout, set->cpus) : hwloc_bitmap_dup(layout->nodes);
    const char *type = !index ? "Machine" : set->package >= 0 ? "Package" : "Group";

    /* One package around everything: hwloc wants it inside the machine, not in its place. */
    bool wrapped = index == 0 && set->package >= 0;

    if (!nodes) {
        out->failed = true;
        return;
    }
    put_open(out, layout, type, index ? set->package : 0, set->cpus, nodes);
    if (strcmp(type, "Group") == 0)
        dt_buf_puts(out, " kind=\"0\" subkind=\"0\"");
    dt_buf_puts(out, ">\n");
    if (index == 0)
        dt_buf_puts(out, "<info name=\"Backend\" value=\"dt\"/>\n");
    put_nodes(out, layout, index);
    if (wrapped) {
        put_open(out, layout, "Package", set->package, set->cpus, nodes);
        dt_buf_puts(out, ">\n");
    }
    if (set->child_count)
        qsort_r(set->children, set->child_count, sizeof(size_t), child_order, layout);
    put_children(out, layout, set, nodes);
    dt_buf_puts(out, wrapped ? "</object>\n</object>\n" : "</object>\n");
    hwloc_bitmap_free(nodes);
}

/* hwloc's reader wants numbers in lines of at most a few, with their length. */
static void put_numbers(struct dt_buf *out, const char *element, const struct dt_machine *machine,
                        bool values)
{
    size_t n = machine->node_count;

    for (size_t row = 0; row < (values ? n : 1); row++) {
        struct dt_buf line = DT_BUF_INIT;
        for (size_t i = 0; i < n; i++)
            dt_buf_printf(&line, "%llu ",
                          values ? machine->distances[row * n + i]
                                 : (unsigned long long)machine->nodes[i].os);
        out->failed |= line.failed;
        dt_buf_printf(out, "<%s length=\"%zu\">%s</%s>\n", element, line.len,
                      line.data ? line.data : "", element);
        dt_buf_fini(&line);
    }
}

static void put_distances(struct dt_buf *out, const struct dt_machine *machine)
{
    if (!machine->distances || machine->node_count < 2)
        return;
    dt_buf_printf(out,
                  "<distances2 type=\"NUMANode\" nbobjs=\"%zu\" kind=\"5\" name=\"NUMALatency\" "
                  "indexing=\"os\">\n",
                  machine->node_count);
    put_numbers(out, "indexes", machine, false);
    put_numbers(out, "u64values", machine, true);
    dt_buf_puts(out, "</distances2>\n");
}

char *dt_machine_hwloc_xml(struct dt_machine *machine, struct dt_error *err)
{
    struct dt_machine_tree layout = {.machine = machine, .next_index = 1, .err = err};
    struct dt_buf out = DT_BUF_INIT;
    char *text = NULL;

    if (dt_machine_tree_make(&layout) == 0) {
        dt_buf_puts(&out,
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                    "<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology version=\"2.0\">\n");
        put_subset(&out, &layout, 0);
        put_distances(&out, machine);
        dt_buf_puts(&out, "</topology>\n");
        text = dt_buf_take(&out);
        if (!text)
            dt_error_set(err, "%s: no memory left for its topology", machine->name);
    }
    dt_machine_tree_fini(&layout);
    return text;
}
