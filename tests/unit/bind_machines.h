/* SPDX-License-Identifier: Apache-2.0 */
/* Machines from a few numbers, and plans for them, for the tests of the binder. */
#ifndef TESTS_UNIT_BIND_MACHINES_H
#define TESTS_UNIT_BIND_MACHINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "bind/bind.h"

/* ---- machines -------------------------------------------------------------------------------- */

struct machine {
    const char *name;
    unsigned packages, nodes_per_package, cores_per_node, threads;
    enum dt_accelerator kind;
    size_t accelerators, nics;
    size_t groups; /* switches, spread over nodes in order; 0: none known */
    int nic_node;  /* >= 0: all NICs are on this node, outside any group */
};

/* As modelled in the EC2 instance table. */
static const struct machine ec2[] = {
    {"p4d.24xlarge", 2, 1, 24, 2, DT_ACCELERATOR_NVIDIA, 8, 4, 4, -1},
    {"p5.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 32, 8, -1},
    {"p5en.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 16, 4, -1},
    {"p6-b200.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 8, 4, -1},
    {"g5.48xlarge", 2, 1, 48, 2, DT_ACCELERATOR_NVIDIA, 8, 1, 0, 1},
    {"trn1.32xlarge", 2, 1, 32, 2, DT_ACCELERATOR_NEURON, 16, 8, 8, -1},
    {"hpc7a.96xlarge", 2, 2, 48, 1, DT_ACCELERATOR_NONE, 0, 2, 0, 0},
    {"host", 1, 1, 2, 1, DT_ACCELERATOR_NONE, 0, 0, 0, -1},
};
#define EC2_COUNT (sizeof(ec2) / sizeof(ec2[0]))

/* Linux numbers first threads of all cores, then second threads. */
static inline hwloc_topology_t synthetic(const struct machine *m)
{
    unsigned cores = m->packages * m->nodes_per_package * m->cores_per_node;
    struct dt_buf text = DT_BUF_INIT;
    hwloc_topology_t hwloc;

    dt_buf_printf(&text, "pack:%u numa:%u core:%u pu:%u(indexes=", m->packages,
                  m->nodes_per_package, m->cores_per_node, m->threads);
    for (unsigned c = 0; c < cores; c++)
        for (unsigned t = 0; t < m->threads; t++)
            dt_buf_printf(&text, "%s%u", c + t ? "," : "", t * cores + c);
    dt_buf_puts(&text, ")");
    assert_false(text.failed);
    assert_int_equal(hwloc_topology_init(&hwloc), 0);
    assert_int_equal(hwloc_topology_set_synthetic(hwloc, text.data), 0);
    assert_int_equal(hwloc_topology_load(hwloc), 0);
    dt_buf_fini(&text);
    return hwloc;
}

static inline struct dt_device *make_devices(const struct machine *m, size_t count, bool nic)
{
    struct dt_device *devices = calloc(count ? count : 1, sizeof(*devices));
    int nodes = (int)(m->packages * m->nodes_per_package);

    assert_non_null(devices);
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof(id), nic ? "rdmap%zus0" : "GPU-%zu", i);
        devices[i].id = strdup(id);
        snprintf(id, sizeof(id), "0000:%02zx:%02x.0", i + 16, nic ? 0x1b : 0x1c);
        devices[i].bdf = strdup(id);
        devices[i].root = -1;
        devices[i].group = m->groups ? (int)(i * m->groups / count) : -1;
        devices[i].numa = nic && m->nic_node >= 0 ? m->nic_node : (int)(i * (size_t)nodes / count);
    }
    return devices;
}

static inline void machine_init(struct dt_topology *topology, const struct machine *m)
{
    memset(topology, 0, sizeof(*topology));
    topology->hwloc = synthetic(m);
    topology->kind = m->kind;
    topology->accelerator_count = m->accelerators;
    topology->accelerators = make_devices(m, m->accelerators, false);
    topology->nic_count = m->nics;
    topology->nics = make_devices(m, m->nics, true);
    topology->source = strdup(m->name);
}

static inline const struct machine *find_machine(const char *name)
{
    for (size_t i = 0; i < EC2_COUNT; i++)
        if (!strcmp(ec2[i].name, name))
            return &ec2[i];
    fail_msg("no machine %s", name);
    return NULL;
}

/* ---- planning -------------------------------------------------------------------------------- */

static inline hwloc_bitmap_t cpus_of(const char *list)
{
    hwloc_bitmap_t bitmap = hwloc_bitmap_alloc();
    assert_int_equal(hwloc_bitmap_list_sscanf(bitmap, list), 0);
    return bitmap;
}

static inline int plan_same(struct dt_bind_plan *plan, const struct dt_topology *topology,
                            size_t ranks, hwloc_const_bitmap_t allowed, const char *visible,
                            struct dt_error *err)
{
    hwloc_const_bitmap_t *masks = calloc(ranks, sizeof(*masks));
    struct dt_bind_request request = {
        .topology = topology, .ranks = ranks, .allowed = masks, .user_visible_devices = visible};
    int rc;

    for (size_t r = 0; r < ranks; r++)
        masks[r] = allowed;
    rc = dt_bind_plan(plan, &request, err);
    free(masks);
    return rc;
}

static inline void assert_cpus(const struct dt_bind_plan *plan, size_t rank, const char *want)
{
    char *have = NULL;
    hwloc_bitmap_list_asprintf(&have, plan->ranks[rank].cpus);
    assert_string_equal(have, want);
    free(have);
}

static inline void assert_indices(const size_t *have, size_t have_count, size_t first, size_t count)
{
    assert_int_equal(have_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(have[i], first + i);
}

#endif
