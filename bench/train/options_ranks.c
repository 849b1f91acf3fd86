/* SPDX-License-Identifier: Apache-2.0 */
/* Options about how the ranks share the work, one a dimension of the mesh (mesh.h). */
#include "options_rows.h"

static const char *const devices[] = {
    [DT_DEVICE_AUTO] = "auto", [DT_DEVICE_CPU] = "cpu", [DT_DEVICE_CUDA] = "cuda", NULL};

static const char *const manners[] = {[DT_COMM_AUTO] = "auto", [DT_COMM_MPI] = "mpi", NULL};

const struct dt_option_row dt_options_of_ranks[] = {
    {"dp", "N", "copies of the model (default: as many as the ranks allow)", dt_take_int,
     DT_AT(mesh.dp), DT_FROM(1, 1 << 20)},
    {"fsdp", "N", "ranks that share each copy in shards (default: 1)", dt_take_int,
     DT_AT(mesh.fsdp), DT_FROM(1, 1 << 20)},
    {"zero", "N", "shard 1: moments, 2: gradients too, 3: parameters too (default: 3)", dt_take_int,
     DT_AT(zero), DT_FROM(1, 3)},
    {"tp", "N", "ranks that share each product of a layer (default: 1)", dt_take_int,
     DT_AT(mesh.tp), DT_FROM(1, 1 << 20)},
    {"sp", NULL, "with --tp: share the rows between its products, too", dt_take_on, DT_AT(mesh.sp)},
    {"pp", "N", "stages of layers, one after the other (default: 1)", dt_take_int, DT_AT(mesh.pp),
     DT_FROM(1, 1 << 20)},
    {"pp-chunks", "N", "runs of layers of each stage, interleaved (default: 1)", dt_take_int,
     DT_AT(mesh.chunks), DT_FROM(1, 1000)},
    {"cp", "N", "ranks that share the positions of a sample (default: 1)", dt_take_int,
     DT_AT(mesh.cp), DT_FROM(1, 1 << 20)},
    {"ep", "N", "ranks that share the experts of a layer (default: 1)", dt_take_int, DT_AT(mesh.ep),
     DT_FROM(1, 1 << 20)},
    {"device", "KIND",
     "cpu, cuda: a GPU a rank, or auto: cuda where all ranks have one (default: auto)",
     dt_take_word, DT_AT(device), .words = devices},
    {"comm", "KIND", "auto: shared memory inside a node; mpi: never (default: auto)", dt_take_word,
     DT_AT(comm), .words = manners},
    {.name = NULL},
};
