/* SPDX-License-Identifier: Apache-2.0 */
/* Start and end of MPI, and groups of ranks: one inside a node talks through a window of shared
 * memory, when MPI can make one, and others by messages. */
#include "comm_mpi.h"

#include <stdlib.h>

#include "comm_window.h"

/* The operations of groups, and of the group of all ranks, which ends MPI when it is closed. */
static struct dt_comm_operations windows, messages, all_windows, all_messages;

static enum dt_comm_manner manner_wanted; /* of the program: all its groups are made alike */

/* Memory that MPI shares between the ranks of a node: a window an allocation. */
struct shared {
    MPI_Comm group;
    MPI_Win *windows;
    size_t count;
};

static void close_shared(void *context)
{
    struct shared *shared = context;
    for (size_t i = 0; i < shared->count; i++)
        MPI_Win_free(&shared->windows[i]);
    MPI_Comm_free(&shared->group);
    free(shared->windows);
    free(shared);
}

static char *aligned(void *at)
{
    return (char *)(((uintptr_t)at + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN);
}

/* Each rank's piece begins on a page of its own, so that all see it at the same place in a line. */
static int make_window(const struct shared *shared, size_t bytes, MPI_Win *window)
{
    MPI_Info info;
    void *base;
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true");
    int code =
        MPI_Win_allocate_shared((MPI_Aint)bytes + DT_ALIGN, 1, info, shared->group, &base, window);
    MPI_Info_free(&info);
    return code == MPI_SUCCESS ? 0 : -1;
}

static bool all_agree(const struct shared *shared, bool fine)
{
    int yes = fine;
    return MPI_Allreduce(MPI_IN_PLACE, &yes, 1, MPI_INT, MPI_MIN, shared->group) == MPI_SUCCESS &&
           yes;
}

static int take_shared(void *context, size_t bytes, void **bases)
{
    struct shared *shared = context;
    int size, rank;
    MPI_Win *grown = realloc(shared->windows, (shared->count + 1) * sizeof(MPI_Win));
    if (grown)
        shared->windows = grown;
    if (!all_agree(shared, grown && bytes < SIZE_MAX / 2) || !grown)
        return -1;
    bool made = make_window(shared, bytes, &grown[shared->count]) == 0;
    if (!all_agree(shared, made))
        return -1; /* a window that only some have can not be freed */
    MPI_Win handle = grown[shared->count++];
    MPI_Comm_size(shared->group, &size);
    MPI_Comm_rank(shared->group, &rank);
    for (int r = 0; r < size; r++) {
        MPI_Aint length;
        int unit;
        void *base;
        MPI_Win_shared_query(handle, r, &length, &unit, &base);
        bases[r] = aligned(base);
    }
    memset(bases[rank], 0, bytes);
    MPI_Barrier(shared->group);
    return 0;
}

static void end_all(struct dt_comm *comm, int code)
{
    (void)comm;
    MPI_Abort(MPI_COMM_WORLD, code);
}

static int split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err);

/* All ranks of the group on this node? */
static bool in_one_node(MPI_Comm group)
{
    MPI_Comm node;
    int here, all;
    if (MPI_Comm_split_type(group, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node) != MPI_SUCCESS)
        return false;
    MPI_Comm_size(node, &here);
    MPI_Comm_size(group, &all);
    MPI_Comm_free(&node);
    int yes = here == all;
    return MPI_Allreduce(MPI_IN_PLACE, &yes, 1, MPI_INT, MPI_MIN, group) == MPI_SUCCESS && yes;
}

static int open_window(struct dt_comm *comm, MPI_Comm group)
{
    struct shared *shared = calloc(1, sizeof *shared);
    struct dt_error quiet;
    int rank, size, yes = shared != NULL;
    MPI_Comm_rank(group, &rank);
    MPI_Comm_size(group, &size);
    MPI_Allreduce(MPI_IN_PLACE, &yes, 1, MPI_INT, MPI_MIN, group);
    if (!yes || MPI_Comm_dup(group, &shared->group) != MPI_SUCCESS) {
        free(shared);
        return -1;
    }
    return dt_comm_window_open(
        comm, rank, size, &(struct dt_window_memory){take_shared, close_shared, shared}, &quiet);
}

static int open_group(struct dt_comm *comm, MPI_Comm group, struct dt_error *err)
{
    windows = dt_comm_window_operations;
    messages = dt_mpi_messages_operations;
    windows.split = messages.split = split;
    windows.abort = messages.abort = end_all;
    int size;
    MPI_Comm_set_errhandler(group, MPI_ERRORS_RETURN);
    MPI_Comm_size(group, &size);
    if (manner_wanted == DT_COMM_AUTO && size > 1 && in_one_node(group) &&
        open_window(comm, group) == 0) {
        comm->operations = &windows;
        MPI_Comm_free(&group);
        return 0;
    }
    int rc = dt_mpi_messages_open(comm, group, err);
    comm->operations = &messages;
    return rc;
}

/* Of the group of all ranks only. */
static int split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err)
{
    MPI_Comm group;
    if (dt_mpi_check(comm, MPI_Comm_split(MPI_COMM_WORLD, color, comm->rank, &group), "split",
                     err) < 0)
        return -1;
    int rc = open_group(part, group, err);
    comm->broken |= rc < 0;
    return rc;
}

static void close_all(struct dt_comm *comm)
{
    const struct dt_comm_operations *of_group =
        comm->operations == &all_windows ? &dt_comm_window_operations : &dt_mpi_messages_operations;
    of_group->close(comm);
    MPI_Finalize();
}

/* By what mpirun, dt-launch (the first two) and srun say. */
static bool on_one_node(void)
{
    const char *ranks = getenv("OMPI_COMM_WORLD_SIZE"), *nodes = getenv("SLURM_STEP_NUM_NODES");
    const char *ranks_here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (ranks && ranks_here)
        return strcmp(ranks, ranks_here) == 0;
    return nodes && strcmp(nodes, "1") == 0;
}

/* Manners of Open MPI that suit a program that may share cores, live on a node whose /sys is not
 * the machine's, and speak on a user's terminal. What the user has set stays. */
static void set_manners(void)
{
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    /* openib was replaced by UCX and libfabric long ago, and is loud. ofi (not to be mistaken for the
     * mtl, by which messages go over EFA) aborts the process when an interface of the node goes. */
    setenv("OMPI_MCA_btl", "^openib,ofi", 0);
    setenv("OMPI_MCA_btl_base_warn_component_unused", "0", 0);
    /* Messages inside a node need no library of a network, and to open all there are and ask each for
     * its devices takes longer than the rest of MPI_Init together. */
    if (on_one_node() && !getenv("OMPI_MCA_mtl"))
        setenv("OMPI_MCA_pml", "ob1", 0);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 0); /* the launcher has bound us */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
}

int dt_comm_mpi_open(struct dt_comm *comm, enum dt_comm_manner manner, struct dt_error *err)
{
    MPI_Comm group;
    int provided;
    *comm = (struct dt_comm){0};
    manner_wanted = manner;
    set_manners();
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_dup(MPI_COMM_WORLD, &group);
    if (code != MPI_SUCCESS)
        return dt_error_set(err,
                            "MPI_Init failed with code %d; was the program started by a "
                            "launcher of the same MPI?",
                            code);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (open_group(comm, group, err) < 0)
        MPI_Abort(MPI_COMM_WORLD, 1);
    struct dt_comm_operations *operations =
        comm->operations->poll == dt_comm_window_operations.poll ? &all_windows : &all_messages;
    *operations = *comm->operations;
    operations->close = close_all;
    comm->operations = operations;
    return 0;
}
