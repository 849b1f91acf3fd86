/* SPDX-License-Identifier: Apache-2.0 */
/* dt-topo's parts: options, the machine that an answer is about, the plan for its ranks, and the ways
 * to show them. */
#ifndef DT_TOPO_H
#define DT_TOPO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/root.h"
#include "bind/bind.h"
#include "conf/conf.h"
#include "facts/facts.h"
#include "instances/instances.h"
#include "topology/topology.h"

enum command { COMMAND_DRAW, COMMAND_PLAN, COMMAND_COMPARE };

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SVG, FORMAT_PNG };

struct options {
    enum command command;
    const char *as, *topology, *root, *config, *node; /* NULL: not given */
    const char *override;                             /* file, or NULL: dt.conf's */
    bool live;
    size_t ranks; /* 0: draw the machine alone */
    const char *allowed, *gpus, *memory;
    bool explain;
    enum format format;
    const char *output; /* NULL: standard output */
    size_t width;       /* columns of text; 0: the terminal's */
    const char *color;  /* "auto", "always", "never" */
};

/* Fills options; leaves the program itself with a usage error. */
void options_parse(struct options *options, int argc, char **argv);

/* ---- subject.c: the machine ------------------------------------------------------------------- */

struct subject {
    struct dt_root root;
    struct dt_conf conf;
    struct dt_instances instances;
    struct dt_facts facts;
    struct dt_topology topology;
    bool loaded;
};

/* 0 or an exit code. */
int subject_load(struct subject *subject, const struct options *options, struct dt_error *err);
void subject_fini(struct subject *subject);

/* ---- planning.c: the ranks -------------------------------------------------------------------- */

struct planning {
    struct dt_bind_plan plan;
    hwloc_bitmap_t allowed;  /* OS PU numbers that ranks may have */
    size_t *gpus, gpu_count; /* that the job has; NULL: all */
};

/* Plans for options->ranks (0: nothing to plan). 0 or an exit code. */
int planning_make(struct planning *planning, const struct dt_topology *topology,
                  const struct options *options, struct dt_error *err);
void planning_fini(struct planning *planning);

/* "0-7,96-103"; caller frees, NULL: no memory. */
char *cpus_text(hwloc_const_bitmap_t cpus);

/* Ranks that have a device or some of the PUs: the first of them, and how many. */
struct owners {
    size_t first, count;
};
struct owners owners_of_pus(const struct dt_bind_plan *plan, hwloc_const_bitmap_t pus);
struct owners owners_of_device(const struct dt_bind_plan *plan, size_t index, bool nic);

/* ---- shows ------------------------------------------------------------------------------------ */

struct view {
    const struct dt_topology *topology;
    const struct planning *planning; /* NULL: the machine alone */
};

/* One NUMA node's part of the machine, or that of what has no node. */
struct area {
    hwloc_obj_t node;    /* NULL: devices of which no node is known */
    hwloc_obj_t package; /* NULL: not known, or several */
    size_t *cores, core_count;
    size_t *gpus, gpu_count;
    size_t *nics, nic_count;
};

struct areas {
    struct area *items;
    size_t count;
    hwloc_bitmap_t *cores; /* each core's PUs */
    size_t core_count;
};

int areas_init(struct areas *areas, const struct dt_topology *topology);
void areas_fini(struct areas *areas);
/* The first line of every drawing: "p5.48xlarge: 2 packages, ...". */
void put_heading(struct dt_buf *out, const struct dt_topology *topology);
/* "package 0, NUMA node 1" and "48 cores, 1024 GiB". */
void put_area_name(struct dt_buf *out, const struct area *area);
void put_area_size(struct dt_buf *out, const struct area *area);
const char *accelerator_label(const struct dt_topology *topology);

/* Each appends to out, -1: no memory. */
int draw_text(struct dt_buf *out, const struct view *view, size_t width, bool color, bool utf8);
int draw_svg(struct dt_buf *out, const struct view *view);
int draw_json(struct dt_buf *out, const struct view *view);
int plan_json(struct dt_buf *out, const struct view *view);
int compare_show(struct dt_buf *out, const struct dt_topology *topology,
                 const struct planning *planning, bool json);

/* SVG to PNG with librsvg, opened only here. */
int png_write(const char *path, const struct dt_buf *svg, struct dt_error *err);

/* node.c: the same command on a node of the cluster, through srun. An exit code. */
int node_ask(const struct options *options, struct dt_buf *out, struct dt_error *err);

#endif
