/* SPDX-License-Identifier: Apache-2.0 */
/* From connections to sentences. */
#include "hang_wires.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs.h"
#include "progress.h"

#define NAMED    8  /* lines; of the others the number is enough */
#define OWN_MAX  64 /* ends of connections of a rank that the lead is told of */
#define WIRE_MAX 16 /* notable connections of a rank */
#define PROBES   1 /* so many are on their way to a peer that only does not read: it answers them */

void dt_wires_fini(struct dt_wires *wires)
{
    free(wires->list);
    *wires = (struct dt_wires){0};
}

void dt_wires_add(struct dt_wires *wires, const struct dt_wire *wire)
{
    for (size_t i = 0; i < wires->count; i++) { /* workers that were forked have it, too */
        const struct dt_wire *known = &wires->list[i];
        if (known->rank == wire->rank && known->kind == wire->kind &&
            strcmp(known->peer, wire->peer) == 0)
            return;
    }
    struct dt_wire *more = reallocarray(wires->list, wires->count + 1, sizeof *more);
    if (!more)
        return;
    wires->list = more;
    more[wires->count++] = *wire;
}

/* ---- looking ------------------------------------------------------------------------------- */

void dt_wire_look_begin(struct dt_wire_look *look, int port)
{
    *look = (struct dt_wire_look){.port = port};
    look->connections = dt_tcp_list(&look->connection_count);
    look->processes = look->connections ? dt_processes_list(&look->process_count) : NULL;
}

void dt_wire_look_end(struct dt_wire_look *look)
{
    free(look->connections);
    free(look->processes);
}

/* The socket that a descriptor is; 0: it is none. */
static unsigned socket_of(const char *target)
{
    unsigned inode;
    return sscanf(target, "socket:[%u]", &inode) == 1 ? inode : 0;
}

/* The socket from which, or to which, the rank's process waits in a system call; 0: none. */
static unsigned heard_socket(pid_t rank)
{
    char text[512];
    struct dt_proc_syscall call;
    pid_t pid = dt_progress_acting(rank);
    if (!dt_procfs_read(text, sizeof text, pid, "syscall") || !dt_proc_syscall_parse(&call, text) ||
        !dt_syscall_takes_fd(call.number) || !dt_procfs_fd(text, sizeof text, pid, call.args[0]))
        return 0;
    return socket_of(text);
}

static bool is_store(const struct dt_tcp *tcp, int port)
{
    const char *own = strrchr(tcp->own, ':'), *peer = strrchr(tcp->peer, ':');
    return (own && atoi(own + 1) == port) || (peer && atoi(peer + 1) == port);
}

static bool is_notable(struct dt_wire *wire, const struct dt_tcp *tcp, bool hears)
{
    wire->silent_s = tcp->silent_s;
    wire->count = tcp->tries;
    snprintf(wire->peer, sizeof wire->peer, "%s", tcp->peer);
    if (tcp->state == TCP_SYN_SENT) {
        wire->kind = DT_WIRE_CONNECTS;
    } else if (tcp->tries > (tcp->timer == DT_TCP_TIMER_PROBE ? PROBES : 0)) {
        wire->kind = DT_WIRE_RESENDS;
    } else if (tcp->timer == DT_TCP_TIMER_PROBE) {
        wire->kind = DT_WIRE_FULL;
        wire->count = tcp->unsent;
    } else if (tcp->unread > 0) {
        wire->kind = DT_WIRE_UNREAD;
        wire->count = tcp->unread;
    } else if (hears) {
        wire->kind = DT_WIRE_HEARS;
    } else {
        return false;
    }
    return true;
}

struct tally {
    int owned, notable;
};

static void look_at_process(struct dt_wires *wires, struct dt_buf *own,
                            const struct dt_wire_look *look, int rank, int pid, unsigned heard,
                            struct tally *tally)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    for (struct dirent *entry; fds && (entry = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        unsigned inode = socket_of(target);
        const struct dt_tcp *tcp =
            inode ? dt_tcp_find(look->connections, look->connection_count, inode) : NULL;
        struct dt_wire wire = {.rank = rank};
        if (!tcp || is_store(tcp, look->port))
            continue;
        if (tally->owned++ < OWN_MAX)
            dt_buf_printf(own, "%s%s", own->len ? " " : "", tcp->own);
        if (is_notable(&wire, tcp, inode == heard) && tally->notable++ < WIRE_MAX)
            dt_wires_add(wires, &wire);
    }
    if (fds)
        closedir(fds);
}

void dt_wire_look_at(struct dt_wires *wires, struct dt_buf *own, const struct dt_wire_look *look,
                     const struct dt_worker *workers, int worker_count, int index)
{
    const struct dt_worker *worker = &workers[index];
    struct tally tally = {0};
    if (!worker->running || !look->processes)
        return;
    unsigned heard = heard_socket(worker->pid);
    for (size_t i = 0; i < look->process_count; i++) {
        if (dt_processes_owner(look->processes, look->process_count, &look->processes[i], workers,
                               worker_count) == index)
            look_at_process(wires, own, look, worker->rank, look->processes[i].pid, heard, &tally);
    }
}

/* ---- telling ------------------------------------------------------------------------------- */

/* The worst first, then by rank. */
static int compare(const void *a, const void *b)
{
    const struct dt_wire *left = a, *right = b;
    return left->kind != right->kind ? (int)right->kind - (int)left->kind
                                     : left->rank - right->rank;
}

static const struct dt_hang_rank *rank_of(int rank, const struct dt_hang_rank *ranks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ranks[i].rank == rank)
            return &ranks[i];
    }
    return NULL;
}

static void put_peer(struct dt_buf *text, const struct dt_wire *wire,
                     const struct dt_hang_rank *peer)
{
    if (peer)
        dt_buf_printf(text, "rank %d on %s (%s)", peer->rank, peer->node_name, wire->peer);
    else
        dt_buf_puts(text, wire->peer);
}

static void put_wire(struct dt_buf *text, const struct dt_wire *wire,
                     const struct dt_hang_rank *self, const struct dt_hang_rank *peer)
{
    static const char *const words[DT_WIRE_KINDS] = {
        [DT_WIRE_HEARS] = "waits to hear from ",
        [DT_WIRE_UNREAD] = "does not read what has come from ",
        [DT_WIRE_FULL] = "can send no more to ",
        [DT_WIRE_CONNECTS] = "gets no connection to ",
        [DT_WIRE_RESENDS] = "gets no answer from ",
    };
    dt_buf_printf(text, "  | rank %d on %s %s", wire->rank, self ? self->node_name : "?",
                  words[wire->kind]);
    put_peer(text, wire, peer);
    if (wire->kind == DT_WIRE_UNREAD)
        dt_buf_printf(text, ": %lld bytes", wire->count);
    else if (wire->kind == DT_WIRE_FULL)
        dt_buf_printf(text, ", which does not read: %lld bytes wait", wire->count);
    else if (wire->kind == DT_WIRE_CONNECTS)
        dt_buf_printf(text, ": asked %lld times", wire->count + 1);
    else if (wire->kind == DT_WIRE_RESENDS)
        dt_buf_printf(text, " since %.0f s: sent again %lld times", wire->silent_s, wire->count);
    if (wire->kind >= DT_WIRE_CONNECTS && self && peer &&
        strcmp(self->node_name, peer->node_name) != 0)
        dt_buf_puts(text, "; suspect the network between the two nodes");
    else if (wire->kind >= DT_WIRE_CONNECTS && !peer)
        dt_buf_puts(text, "; suspect the network, or that machine");
    dt_buf_puts(text, "\n");
}

void dt_wires_report(struct dt_buf *text, struct dt_wires *wires, bool all_alike,
                     dt_wire_owner_fn *owner, const struct dt_hang_rank *ranks, size_t count,
                     const void *argument)
{
    size_t told = 0, more = 0;
    if (wires->list)
        qsort(wires->list, wires->count, sizeof *wires->list, compare);
    for (size_t i = 0; wires->list && i < wires->count; i++) {
        const struct dt_wire *wire = &wires->list[i];
        if (wire->kind == DT_WIRE_HEARS && !all_alike)
            continue;
        if (told++ < NAMED)
            put_wire(text, wire, rank_of(wire->rank, ranks, count), owner(wire->peer, argument));
        else
            more++;
    }
    if (more)
        dt_buf_printf(text, "  | and %zu more such connections\n", more);
}
