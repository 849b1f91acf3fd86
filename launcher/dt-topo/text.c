/* SPDX-License-Identifier: Apache-2.0 */
/* The drawing as text: a box a NUMA node, a character a core, devices by PCIe switch, and the rank of
 * each in its colour. Without colours and UTF-8 it says the same. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"

#define NO_RANK ((size_t)-1)

struct pen {
    struct dt_buf *out;
    struct dt_buf line; /* of the box, without its sides */
    size_t columns;     /* that the line takes so far */
    size_t width;
    bool color, utf8;
};

/* Twelve hues of the 256-colour palette that are told apart on dark and on light. */
static const int hues[] = {39, 208, 34, 170, 220, 44, 196, 141, 112, 205, 173, 67};

static size_t columns_of(const char *text, size_t len)
{
    size_t columns = 0;

    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80; /* UTF-8 continues in 10xxxxxx */
    return columns;
}

static void put_plain(struct pen *pen, const char *text)
{
    pen->columns += columns_of(text, strlen(text));
    dt_buf_puts(&pen->line, text);
}

static void put(struct pen *pen, size_t rank, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(struct pen *pen, size_t rank, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (!text) {
        pen->line.failed = true;
        return;
    }
    if (rank != NO_RANK && pen->color)
        dt_buf_printf(&pen->line, "\033[38;5;%dm", hues[rank % (sizeof(hues) / sizeof(hues[0]))]);
    put_plain(pen, text);
    if (rank != NO_RANK && pen->color)
        dt_buf_puts(&pen->line, "\033[0m");
    free(text);
}

static const char *sign(const struct pen *pen, const char *utf8, const char *ascii)
{
    return pen->utf8 ? utf8 : ascii;
}

static void end_line(struct pen *pen)
{
    dt_buf_printf(pen->out, "%s %s", sign(pen, "│", "|"), pen->line.data ? pen->line.data : "");
    for (size_t c = pen->columns; c + 4 < pen->width; c++)
        dt_buf_puts(pen->out, " ");
    dt_buf_printf(pen->out, " %s\n", sign(pen, "│", "|"));
    pen->out->failed |= pen->line.failed;
    dt_buf_clear(&pen->line);
    pen->columns = 0;
}

static void rule(struct pen *pen, const char *left, const char *title, const char *right)
{
    size_t used = 2;

    dt_buf_puts(pen->out, left);
    if (title) {
        dt_buf_printf(pen->out, "%s %s ", sign(pen, "─", "-"), title);
        used += strlen(title) + 3; /* titles are ASCII */
    }
    for (; used < pen->width; used++)
        dt_buf_puts(pen->out, sign(pen, "─", "-"));
    dt_buf_printf(pen->out, "%s\n", right);
}

/* ---- cores ------------------------------------------------------------------------------------ */

/* 0-9, a-z, A-Z; beyond that ranks are told apart by colour and in the list only. */
static char rank_letter(size_t rank)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return rank < sizeof(letters) - 1 ? letters[rank] : '#';
}

static void put_core(struct pen *pen, const struct view *view, hwloc_const_bitmap_t core)
{
    const struct planning *planning = view->planning;
    struct owners owners;

    if (!planning) {
        put(pen, NO_RANK, "%s", sign(pen, "▪", "o"));
        return;
    }
    owners = owners_of_pus(&planning->plan, core);
    if (owners.count > 1)
        put(pen, NO_RANK, "%s", sign(pen, "±", "*"));
    else if (owners.count == 1)
        put(pen, owners.first, "%c", rank_letter(owners.first));
    else
        put(pen, NO_RANK, "%s",
            hwloc_bitmap_intersects(planning->allowed, core) ? "." : sign(pen, "×", "x"));
}

/* Rows of whole groups of eight. */
static void put_cores(struct pen *pen, const struct view *view, const struct areas *areas,
                      const struct area *area)
{
    size_t label = 12, room = pen->width - 4 - label;
    size_t per_row = room / 9 * 8 >= 8 ? room / 9 * 8 : 8;

    if (per_row > 64)
        per_row = 64;
    for (size_t i = 0; i < area->core_count; i++) {
        hwloc_const_bitmap_t core = areas->cores[area->cores[i]];
        if (i % per_row == 0) {
            if (i)
                end_line(pen);
            put(pen, NO_RANK, "%-5s %5d ", i ? "" : "cores", hwloc_bitmap_first(core));
        } else if (i % 8 == 0) {
            put(pen, NO_RANK, " ");
        }
        put_core(pen, view, core);
    }
    if (area->core_count)
        end_line(pen);
}

/* ---- devices ---------------------------------------------------------------------------------- */

static void put_owners(struct pen *pen, const struct view *view, size_t index, bool nic)
{
    struct owners owners;

    if (!view->planning)
        return;
    owners = owners_of_device(&view->planning->plan, index, nic);
    if (owners.count == 1)
        put(pen, owners.first, "  rank %zu", owners.first);
    else if (owners.count > 1)
        put(pen, owners.first, "  %zu ranks", owners.count);
    else
        put(pen, NO_RANK, "  no rank");
}

/* The first text that fits what is left of the line is put after two blanks. */
static void put_if_fits(struct pen *pen, const char *text)
{
    if (*text && pen->columns + 2 + strlen(text) + 4 <= pen->width)
        put(pen, NO_RANK, "  %s", text);
}

static void put_gpu(struct pen *pen, const struct view *view, const char *branch, size_t index)
{
    const struct dt_device *gpu = &view->topology->accelerators[index];

    put(pen, NO_RANK, "%s", branch);
    put(pen, NO_RANK, "%s %-2zu", accelerator_label(view->topology), index);
    put_owners(pen, view, index, false);
    put_if_fits(pen, gpu->bdf);
    if (gpu->partitioned)
        put_if_fits(pen, "MIG");
    put_if_fits(pen, gpu->model);
    if (strncmp(gpu->id, "pci:", 4) != 0 && strncmp(gpu->id, "neuron", 6) != 0)
        put_if_fits(pen, gpu->id);
    end_line(pen);
}

/* NICs of one group that the same ranks have stand in one line, as many as fit. */
static void put_nics(struct pen *pen, const struct view *view, const char *branch,
                     const size_t *nics, size_t count)
{
    size_t indent = 0;

    for (size_t i = 0; i < count; i++) {
        const char *id = view->topology->nics[nics[i]].id;
        if (i && pen->columns + 1 + strlen(id) + 4 > pen->width) {
            end_line(pen);
            put(pen, NO_RANK, "%*s", (int)indent, "");
        }
        if (i == 0) {
            put(pen, NO_RANK, "%s%-6s", branch, count == 1 ? "NIC" : "NICs");
            put_owners(pen, view, nics[0], true);
            put(pen, NO_RANK, "  ");
            indent = pen->columns;
        } else if (pen->columns > indent) {
            put(pen, NO_RANK, " ");
        }
        put(pen, NO_RANK, "%s", id);
    }
    if (count)
        end_line(pen);
}

static bool same_owners(const struct view *view, size_t a, size_t b)
{
    struct owners x, y;

    if (!view->planning)
        return true;
    x = owners_of_device(&view->planning->plan, a, true);
    y = owners_of_device(&view->planning->plan, b, true);
    return x.count == y.count && x.first == y.first;
}

static void put_group(struct pen *pen, const struct view *view, const struct area *area, int group)
{
    const char *first = group < 0 ? "            " : "switch      ";
    char name[32];
    size_t run[64], count = 0;

    if (group >= 0) {
        snprintf(name, sizeof(name), "switch %-5d", group);
        first = name;
    }
    for (size_t i = 0; i < area->gpu_count; i++) {
        if (view->topology->accelerators[area->gpus[i]].group != group)
            continue;
        put_gpu(pen, view, first, area->gpus[i]);
        first = "            ";
    }
    for (size_t i = 0; i < area->nic_count; i++) {
        size_t nic = area->nics[i];
        if (view->topology->nics[nic].group != group)
            continue;
        if (count && (count == sizeof(run) / sizeof(run[0]) || !same_owners(view, run[0], nic))) {
            put_nics(pen, view, first, run, count);
            first = "            ";
            count = 0;
        }
        run[count++] = nic;
    }
    put_nics(pen, view, first, run, count);
}

static void put_devices(struct pen *pen, const struct view *view, const struct area *area)
{
    int highest = -1;

    for (size_t i = 0; i < area->gpu_count; i++)
        if (view->topology->accelerators[area->gpus[i]].group > highest)
            highest = view->topology->accelerators[area->gpus[i]].group;
    for (size_t i = 0; i < area->nic_count; i++)
        if (view->topology->nics[area->nics[i]].group > highest)
            highest = view->topology->nics[area->nics[i]].group;
    for (int group = 0; group <= highest; group++)
        put_group(pen, view, area, group);
    put_group(pen, view, area, -1);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static void put_area(struct pen *pen, const struct view *view, const struct areas *areas,
                     const struct area *area)
{
    struct dt_buf title = DT_BUF_INIT;

    put_area_name(&title, area);
    if (area->node) {
        dt_buf_puts(&title, ": ");
        put_area_size(&title, area);
    }
    rule(pen, sign(pen, "╭", "+"), title.data ? title.data : "", sign(pen, "╮", "+"));
    pen->out->failed |= title.failed;
    dt_buf_fini(&title);
    put_cores(pen, view, areas, area);
    put_devices(pen, view, area);
    rule(pen, sign(pen, "╰", "+"), NULL, sign(pen, "╯", "+"));
}

/* One line a rank would repeat the drawing; its CPUs and memory are what the drawing can not say. */
static void put_ranks(struct pen *pen, const struct view *view)
{
    const struct dt_bind_plan *plan = &view->planning->plan;

    for (size_t r = 0; r < plan->rank_count; r++) {
        char *cpus = cpus_text(plan->ranks[r].cpus), *nodes = cpus_text(plan->ranks[r].numa);
        if (!cpus || !nodes)
            pen->line.failed = true;
        put(pen, r, "rank %-3zu %c", r, rank_letter(r));
        put(pen, NO_RANK, "  PUs %s", cpus ? cpus : "");
        if (nodes && *nodes)
            put(pen, NO_RANK, ", memory %s %s", plan->memory, nodes);
        dt_buf_printf(pen->out, "  %s\n", pen->line.data ? pen->line.data : "");
        pen->out->failed |= pen->line.failed;
        dt_buf_clear(&pen->line);
        pen->columns = 0;
        free(cpus);
        free(nodes);
    }
}

/* Lines that are too long go on below, indented; words are not cut. */
static void put_wrapped(struct dt_buf *out, const char *text, size_t width)
{
    size_t used = 0;

    while (*text) {
        size_t blanks = strspn(text, " "), len = blanks + strcspn(text + blanks, " \n");
        size_t columns = columns_of(text, len);
        if (used > 2 && used + columns > width) {
            dt_buf_puts(out, "\n  ");
            used = 2;
            text += blanks;
            len -= blanks;
            columns -= blanks;
        }
        dt_buf_append(out, text, len);
        used += columns;
        text += len;
        if (*text == '\n') {
            dt_buf_append(out, text++, 1);
            used = 0;
        }
    }
}

static void put_notes(struct dt_buf *out, const char *notes)
{
    while (*notes) {
        size_t len = strcspn(notes, "\n");
        dt_buf_puts(out, "note: ");
        dt_buf_append(out, notes, len);
        dt_buf_puts(out, "\n");
        notes += len + (notes[len] == '\n');
    }
}

/* What stands above the boxes. */
static void put_head(struct dt_buf *out, const struct view *view, size_t width)
{
    struct dt_buf head = DT_BUF_INIT;

    put_heading(&head, view->topology);
    dt_buf_printf(&head, "\ntopology from: %s\n", view->topology->source);
    if (view->planning)
        dt_buf_printf(&head, "plan: %s\n", view->planning->plan.summary);
    put_notes(&head, view->topology->notes);
    if (view->planning)
        put_notes(&head, view->planning->plan.notes);
    put_wrapped(out, head.data ? head.data : "", width);
    out->failed |= head.failed;
    dt_buf_fini(&head);
}

int draw_text(struct dt_buf *out, const struct view *view, size_t width, bool color, bool utf8)
{
    struct pen pen = {.out = out, .width = width, .color = color, .utf8 = utf8};
    struct areas areas;

    if (areas_init(&areas, view->topology))
        return -1;
    put_head(out, view, width);
    for (size_t a = 0; a < areas.count; a++) {
        const struct area *area = &areas.items[a];
        if (area->node || area->gpu_count + area->nic_count + area->core_count)
            put_area(&pen, view, &areas, area);
    }
    if (view->planning)
        put_ranks(&pen, view);
    areas_fini(&areas);
    dt_buf_fini(&pen.line);
    return out->failed ? -1 : 0;
}
