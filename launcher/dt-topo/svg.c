/* SPDX-License-Identifier: Apache-2.0 */
/* The drawing as SVG: a panel a NUMA node, a square a core, a frame a PCIe switch with its devices, and
 * what a rank has in the rank's colour. Everything tells its name when pointed at. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"

enum {
    MARGIN = 24,
    PANEL = 440, /* width */
    GAP = 20,
    INSET = 16,
    CELL = 22,
    PER_ROW = 16,
    GPU_HEIGHT = 34,
    NIC_WIDTH = 92,
    NIC_HEIGHT = 22,
    NICS_PER_ROW = 4,
    LEGEND_LINE = 20,
};

#define FONT "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\""

/* Pale enough for black letters, and told apart by those who see no red or green, neighbours first. */
static const char *const fills[] = {"#9ecae1", "#fdae6b", "#a1d99b", "#bcbddc",
                                    "#ffd92f", "#80cdc1", "#f4a6a6", "#c7a27c",
                                    "#b3de69", "#f5b5dd", "#bdbdbd", "#8da0cb"};

struct canvas {
    struct dt_buf *out;
    const struct view *view;
    int y; /* where the next thing of the panel goes */
};

static void put_escaped(struct dt_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            dt_buf_puts(out, "&lt;");
        else if (*text == '>')
            dt_buf_puts(out, "&gt;");
        else if (*text == '&')
            dt_buf_puts(out, "&amp;");
        else if (*text == '"')
            dt_buf_puts(out, "&quot;");
        else if ((unsigned char)*text < 0x20)
            dt_buf_puts(out, "?");
        else
            dt_buf_append(out, text, 1);
    }
}

static void put_text(struct dt_buf *out, int x, int y, int size, const char *extra,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));
static void put_text(struct dt_buf *out, int x, int y, int size, const char *extra,
                     const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    dt_buf_printf(out, "<text x=\"%d\" y=\"%d\" font-size=\"%d\" %s>", x, y, size, extra);
    if (text)
        put_escaped(out, text);
    else
        out->failed = true;
    dt_buf_puts(out, "</text>\n");
    free(text);
}

static const char *rank_fill(size_t rank)
{
    return fills[rank % (sizeof(fills) / sizeof(fills[0]))];
}

static const char *fill_of(const struct canvas *canvas, struct owners owners, const char *none)
{
    if (!canvas->view->planning)
        return "#dfe7ee";
    if (owners.count == 0)
        return none;
    return owners.count > 1 ? "url(#shared)" : rank_fill(owners.first);
}

static void put_owners(struct dt_buf *out, const struct canvas *canvas, struct owners owners)
{
    if (!canvas->view->planning)
        return;
    if (owners.count == 1)
        dt_buf_printf(out, ": rank %zu", owners.first);
    else
        dt_buf_printf(out, owners.count ? ": shared by %zu ranks" : ": no rank", owners.count);
}

/* ---- cores ------------------------------------------------------------------------------------ */

static void put_core(struct canvas *canvas, hwloc_const_bitmap_t core, int x, int y)
{
    const struct planning *planning = canvas->view->planning;
    struct owners owners = {0};
    bool allowed = true;
    char *pus = cpus_text(core);

    if (planning) {
        owners = owners_of_pus(&planning->plan, core);
        allowed = hwloc_bitmap_intersects(planning->allowed, core);
    }
    dt_buf_printf(canvas->out, "<g><title>PUs %s", pus ? pus : "");
    put_owners(canvas->out, canvas, owners);
    dt_buf_printf(canvas->out,
                  "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" fill=\"%s\" "
                  "stroke=\"#5b6770\" stroke-width=\"0.6\"%s/>",
                  x, y, CELL - 3, CELL - 3, fill_of(canvas, owners, "#ffffff"),
                  allowed ? "" : " stroke-dasharray=\"2 2\" opacity=\"0.5\"");
    if (owners.count == 1)
        dt_buf_printf(canvas->out,
                      "<text x=\"%d\" y=\"%d\" font-size=\"9\" text-anchor=\"middle\">%zu</text>",
                      x + (CELL - 3) / 2, y + (CELL - 3) / 2 + 3, owners.first);
    dt_buf_puts(canvas->out, "</g>\n");
    canvas->out->failed |= !pus;
    free(pus);
}

static void put_cores(struct canvas *canvas, const struct areas *areas, const struct area *area,
                      int x)
{
    for (size_t i = 0; i < area->core_count; i++) {
        hwloc_const_bitmap_t core = areas->cores[area->cores[i]];
        if (i % PER_ROW == 0)
            put_text(canvas->out, x + 34, canvas->y + (int)(i / PER_ROW) * CELL + 14, 10,
                     "text-anchor=\"end\" fill=\"#5b6770\"", "%d", hwloc_bitmap_first(core));
        put_core(canvas, core, x + 42 + (int)(i % PER_ROW) * CELL,
                 canvas->y + (int)(i / PER_ROW) * CELL);
    }
    canvas->y += (int)((area->core_count + PER_ROW - 1) / PER_ROW) * CELL + 8;
}

/* ---- devices ---------------------------------------------------------------------------------- */

static void put_box(struct canvas *canvas, struct owners owners, int x, int y, int width,
                    int height, const struct dt_device *device)
{
    dt_buf_puts(canvas->out, "<title>");
    put_escaped(canvas->out, device->id);
    if (*device->bdf) {
        dt_buf_puts(canvas->out, " at ");
        put_escaped(canvas->out, device->bdf);
    }
    put_owners(canvas->out, canvas, owners);
    dt_buf_printf(canvas->out,
                  "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" "
                  "stroke=\"#5b6770\" stroke-width=\"0.8\"/>\n",
                  x, y, width, height, fill_of(canvas, owners, "#ffffff"));
}

static void put_gpu(struct canvas *canvas, size_t index, int x, int width)
{
    const struct dt_topology *topology = canvas->view->topology;
    const struct dt_device *gpu = &topology->accelerators[index];
    struct owners owners = {0};
    struct dt_buf label = DT_BUF_INIT;

    if (canvas->view->planning)
        owners = owners_of_device(&canvas->view->planning->plan, index, false);
    dt_buf_puts(canvas->out, "<g>");
    put_box(canvas, owners, x, canvas->y, width, GPU_HEIGHT - 6, gpu);
    dt_buf_printf(&label, "%s %zu", accelerator_label(topology), index);
    put_owners(&label, canvas, owners);
    if (gpu->partitioned)
        dt_buf_puts(&label, " (MIG)");
    put_text(canvas->out, x + 8, canvas->y + 18, 12, "font-weight=\"bold\"", "%s",
             label.data ? label.data : "");
    put_text(canvas->out, x + width - 8, canvas->y + 18, 10, "text-anchor=\"end\" fill=\"#37424a\"",
             "%s", gpu->bdf);
    dt_buf_puts(canvas->out, "</g>\n");
    canvas->out->failed |= label.failed;
    dt_buf_fini(&label);
    canvas->y += GPU_HEIGHT;
}

static void put_nic(struct canvas *canvas, size_t index, int x, int y)
{
    const struct dt_device *nic = &canvas->view->topology->nics[index];
    struct owners owners = {0};

    if (canvas->view->planning)
        owners = owners_of_device(&canvas->view->planning->plan, index, true);
    dt_buf_puts(canvas->out, "<g>");
    put_box(canvas, owners, x, y, NIC_WIDTH - 6, NIC_HEIGHT - 4, nic);
    put_text(canvas->out, x + (NIC_WIDTH - 6) / 2, y + 13, 10, "text-anchor=\"middle\"", "%.14s",
             nic->id);
    dt_buf_puts(canvas->out, "</g>\n");
}

static bool has_group(const struct canvas *canvas, const struct area *area, int group)
{
    const struct dt_topology *t = canvas->view->topology;

    for (size_t i = 0; i < area->gpu_count; i++)
        if (t->accelerators[area->gpus[i]].group == group)
            return true;
    for (size_t i = 0; i < area->nic_count; i++)
        if (t->nics[area->nics[i]].group == group)
            return true;
    return false;
}

/* The frame is written before what stands in it, so its height is known only by counting. */
static int group_height(const struct canvas *canvas, const struct area *area, int group)
{
    const struct dt_topology *t = canvas->view->topology;
    int gpus = 0, nics = 0;

    for (size_t i = 0; i < area->gpu_count; i++)
        gpus += t->accelerators[area->gpus[i]].group == group;
    for (size_t i = 0; i < area->nic_count; i++)
        nics += t->nics[area->nics[i]].group == group;
    return gpus * GPU_HEIGHT + (nics + NICS_PER_ROW - 1) / NICS_PER_ROW * NIC_HEIGHT;
}

static void put_group(struct canvas *canvas, const struct area *area, int group, int x)
{
    const struct dt_topology *t = canvas->view->topology;
    int top = canvas->y, height = group_height(canvas, area, group), nics = 0;

    if (!has_group(canvas, area, group))
        return;
    if (group >= 0) {
        dt_buf_printf(canvas->out,
                      "<g><title>PCIe switch %d</title><rect x=\"%d\" y=\"%d\" width=\"%d\" "
                      "height=\"%d\" rx=\"6\" fill=\"none\" stroke=\"#8795a1\"/></g>\n",
                      group, x + 28, top, PANEL - 2 * INSET - 28, height + 12);
        put_text(canvas->out, x + 22, top + height / 2 + 10, 10,
                 "text-anchor=\"end\" fill=\"#5b6770\"", "%d", group);
    }
    canvas->y += 8;
    for (size_t i = 0; i < area->gpu_count; i++)
        if (t->accelerators[area->gpus[i]].group == group)
            put_gpu(canvas, area->gpus[i], x + 36, PANEL - 2 * INSET - 44);
    for (size_t i = 0; i < area->nic_count; i++) {
        if (t->nics[area->nics[i]].group != group)
            continue;
        put_nic(canvas, area->nics[i], x + 36 + nics % NICS_PER_ROW * NIC_WIDTH,
                canvas->y + nics / NICS_PER_ROW * NIC_HEIGHT);
        nics++;
    }
    canvas->y = top + height + 20;
}

static int highest_group(const struct dt_topology *topology)
{
    int highest = -1;

    for (size_t i = 0; i < topology->accelerator_count; i++)
        if (topology->accelerators[i].group > highest)
            highest = topology->accelerators[i].group;
    for (size_t i = 0; i < topology->nic_count; i++)
        if (topology->nics[i].group > highest)
            highest = topology->nics[i].group;
    return highest;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Returns the panel's lower edge. The frame comes last and lies below by having no fill. */
static int put_panel(struct canvas *canvas, const struct areas *areas, const struct area *area,
                     int x, int y)
{
    struct dt_buf title = DT_BUF_INIT, size = DT_BUF_INIT;

    put_area_name(&title, area);
    put_area_size(&size, area);
    put_text(canvas->out, x + INSET, y + 26, 14, "font-weight=\"bold\"", "%s",
             title.data ? title.data : "");
    put_text(canvas->out, x + PANEL - INSET, y + 26, 12, "text-anchor=\"end\" fill=\"#37424a\"",
             "%s", size.data ? size.data : "");
    canvas->out->failed |= title.failed | size.failed;
    dt_buf_fini(&title);
    dt_buf_fini(&size);
    canvas->y = y + 42;
    put_cores(canvas, areas, area, x + INSET - 10);
    for (int group = 0; group <= highest_group(canvas->view->topology); group++)
        put_group(canvas, area, group, x + INSET);
    put_group(canvas, area, -1, x + INSET);
    dt_buf_printf(canvas->out,
                  "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"10\" fill=\"none\" "
                  "stroke=\"#37424a\" stroke-width=\"1.4\"/>\n",
                  x, y, PANEL, canvas->y - y + 4);
    return canvas->y + 4;
}

/* Panels in rows of two, or four where there are many nodes. */
static int put_panels(struct canvas *canvas, const struct areas *areas, int columns, int top)
{
    int column = 0, bottom = top, row = top;

    for (size_t a = 0; a < areas->count; a++) {
        const struct area *area = &areas->items[a];
        int end;
        if (!area->node && area->core_count + area->gpu_count + area->nic_count == 0)
            continue;
        if (column == columns) {
            column = 0;
            row = bottom + GAP;
        }
        end = put_panel(canvas, areas, area, MARGIN + column * (PANEL + GAP), row);
        bottom = end > bottom ? end : bottom;
        column++;
    }
    return bottom;
}

static int put_legend(struct canvas *canvas, int y)
{
    const struct planning *planning = canvas->view->planning;

    for (size_t r = 0; planning && r < planning->plan.rank_count; r++) {
        const struct dt_bind_rank *rank = &planning->plan.ranks[r];
        char *cpus = cpus_text(rank->cpus), *nodes = cpus_text(rank->numa);
        dt_buf_printf(canvas->out,
                      "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"14\" rx=\"3\" fill=\"%s\" "
                      "stroke=\"#5b6770\" stroke-width=\"0.6\"/>\n",
                      MARGIN, y, rank_fill(r));
        put_text(canvas->out, MARGIN + 22, y + 12, 12, "", "rank %zu: PUs %s%s%s%s%s", r,
                 cpus ? cpus : "", nodes && *nodes ? ", memory " : "",
                 nodes && *nodes ? planning->plan.memory : "", nodes && *nodes ? " " : "",
                 nodes ? nodes : "");
        canvas->out->failed |= !cpus || !nodes;
        free(cpus);
        free(nodes);
        y += LEGEND_LINE;
    }
    return y;
}

static int columns_of(const struct areas *areas)
{
    size_t panels = 0;

    for (size_t a = 0; a < areas->count; a++)
        panels += areas->items[a].node || areas->items[a].core_count + areas->items[a].gpu_count;
    return panels <= 2 ? (int)(panels ? panels : 1) : panels <= 6 ? 2 : 4;
}

int draw_svg(struct dt_buf *out, const struct view *view)
{
    struct dt_buf body = DT_BUF_INIT, heading = DT_BUF_INIT;
    struct canvas canvas = {.out = &body, .view = view};
    struct areas areas;
    int columns, width, y = MARGIN + 16;

    if (areas_init(&areas, view->topology))
        return -1;
    columns = columns_of(&areas);
    width = 2 * MARGIN + columns * PANEL + (columns - 1) * GAP;
    put_heading(&heading, view->topology);
    put_text(&body, MARGIN, y, 17, "font-weight=\"bold\"", "%s", heading.data ? heading.data : "");
    put_text(&body, MARGIN, y += 22, 12, "fill=\"#37424a\"", "topology from: %s",
             view->topology->source);
    if (view->planning)
        put_text(&body, MARGIN, y += 18, 12, "fill=\"#37424a\"", "%s",
                 view->planning->plan.summary);
    y = put_panels(&canvas, &areas, columns, y + 18);
    y = put_legend(&canvas, y + GAP);
    areas_fini(&areas);
    if (width < 760)
        width = 760; /* the heading's */
    dt_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" " FONT " fill=\"#101418\">\n",
                  width, y + MARGIN, width, y + MARGIN);
    dt_buf_puts(out, "<title>");
    put_escaped(out, heading.data ? heading.data : "");
    dt_buf_puts(out, "</title>\n<defs><pattern id=\"shared\" width=\"6\" height=\"6\" "
                     "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect "
                     "width=\"6\" height=\"6\" fill=\"#eceff1\"/><rect width=\"2\" height=\"6\" "
                     "fill=\"#90a4ae\"/></pattern></defs>\n");
    dt_buf_printf(out, "<rect width=\"%d\" height=\"%d\" fill=\"#fcfdfd\"/>\n", width, y + MARGIN);
    dt_buf_puts(out, body.data ? body.data : "");
    dt_buf_puts(out, "</svg>\n");
    out->failed |= body.failed | heading.failed;
    dt_buf_fini(&body);
    dt_buf_fini(&heading);
    return out->failed ? -1 : 0;
}
