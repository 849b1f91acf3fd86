/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of what a distributed job stands on: drivers, EFA installer, libfabric, rdma-core, NCCL,
 * aws-ofi-nccl, CUDA, Neuron, PyTorch. All copies that the job's own environment leads to are
 * listed, and of each library the one that the program will load is marked, with the reason.
 *
 * Files alone are read, in bounded pieces: no tool is spawned and no library is opened with dlopen
 * (libfabric and NCCL would run code of theirs). It reads what the user names, so call it as the
 * user; dt-node, which is root and in a hurry, reads the usual places only (lib/facts/versions.c).
 *
 * The search is glibc's: LD_PRELOAD, DT_RPATH of who asks and of the program, LD_LIBRARY_PATH,
 * DT_RUNPATH of who asks, /etc/ld.so.cache (where there is none: the directories of ld.so.conf),
 * the system's directories. The program is the python (or --program) that PATH leads to. Who asks:
 * libtorch_cuda.so for NCCL, NCCL for aws-ofi-nccl (names as NCCL_NET_PLUGIN and
 * NCCL_TUNER_PLUGIN make them), aws-ofi-nccl for libfabric, libfabric for rdma-core. Not emulated:
 * glibc-hwcaps directories, a program that sets its own paths at run time. */
#ifndef DT_VERSIONS_VERSIONS_H
#define DT_VERSIONS_VERSIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/root.h"
#include "facts/facts.h"

/* Components: kernel, nvidia-driver, efa-driver, neuron-driver, efa-nv-peermem, gdrdrv,
 * efa-installer, libfabric, rdma-core, nccl, ofi-nccl, ofi-nccl-tuner, cuda-driver, cuda, neuron,
 * ofi-nccom, torch, torch-neuronx, neuronx-cc. */
struct dt_version {
    char *component;
    char *version; /* "2.1.0amzn5.0"; NULL: not known */
    char *path;    /* "/opt/amazon/efa/lib/libfabric.so.1" */
    char *found;   /* where the version stands: "libfabric.pc", "file name", "embedded text"; or,
                      of an unknown one, why it is not known */
    char *why;     /* why the program loads this copy, or does not */
    bool loads;
};

struct dt_versions {
    struct dt_version *items; /* by component; a copy that loads comes before the others */
    size_t count;
};

struct dt_versions_request {
    const struct dt_root *root;
    char *const *env;    /* NAME=VALUE of the job; NULL-terminated */
    const char *cwd;     /* what relative names are relative to; NULL: they are left out */
    const char *program; /* absolute, or a name that is looked up in PATH; NULL: python3, python */
};

/* Absence is no error: a machine without any of these gives an empty list. -1: out of memory. */
int dt_versions_detect(struct dt_versions *versions, const struct dt_versions_request *request,
                       struct dt_error *err);
void dt_versions_fini(struct dt_versions *versions);

/* The copy that loads, or NULL. */
const struct dt_version *dt_versions_loaded(const struct dt_versions *versions,
                                            const char *component);

/* Put the versions that the program will load into the facts (lib.nccl ...), in place of what the
 * usual places hold. */
int dt_versions_to_facts(const struct dt_versions *versions, struct dt_facts *facts,
                         struct dt_error *err);

/* One item as {"node","nodes","component","version","loads","path","found","why"}: one short line
 * an item, because srun may cut lines over 1 KiB between nodes. nodes: how many the step has; 0:
 * not known. New reference. */
json_t *dt_version_json(const struct dt_version *version, const char *node, long nodes);

/* ---- comparing nodes ------------------------------------------------------------------------ */

struct dt_versions_nodes;                                 /* what the nodes of a step printed */
struct dt_versions_nodes *dt_versions_nodes_create(void); /* NULL: out of memory */
void dt_versions_nodes_destroy(struct dt_versions_nodes *nodes);
/* One line of JSON; an empty one is stepped over. -1: it is none of ours. */
int dt_versions_nodes_add(struct dt_versions_nodes *nodes, const char *line, size_t len,
                          struct dt_error *err);

/* What differs: for people, one line a finding, "" where nothing does (caller frees), and counts.
 * A value that more than half of the nodes have makes the others odd, by name; with no majority the
 * groups are named. */
struct dt_versions_comparison {
    char *text;
    json_t *findings; /* array of {"component","nodes","version","others"} */
    size_t nodes;     /* that reported */
    size_t expected;  /* by their own word; 0: not known */
    size_t differing; /* findings */
};
int dt_versions_compare(struct dt_versions_comparison *comparison,
                        const struct dt_versions_nodes *nodes, struct dt_error *err);
void dt_versions_comparison_fini(struct dt_versions_comparison *comparison);

#endif
