/* SPDX-License-Identifier: Apache-2.0 */
/* dt-drain: the one program of dt that changes a node in Slurm, and with dt-slurm the only one that
 * links libslurm. It drains the node on which it runs, never another; lib/policy/policy.h says how the
 * limit is kept. libslurm ends the process by itself (status 1) when it finds no slurm.conf. */
#include <errno.h>
#include <signal.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "options.h"
#include "policy/policy.h"

enum {
    DRAINED = 0,
    LIMIT = 2,
    LEFT_ALONE = 3,
    LAST_RESORT_S = 25, /* slurmctld may be busy, or gone */
    TRIES = 25,
    PAUSE_US = 200000
};

/* The one line that tells what was done; whoever started this may be gone by then. */
static int say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int say(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    va_start(arguments, format);
    vsyslog(LOG_NOTICE, format, arguments);
    va_end(arguments);
    return code;
}

static int say_slurm(const char *what, const char *node, int error)
{
    bool refused = error == ESLURM_USER_ID_MISSING || error == ESLURM_ACCESS_DENIED;
    return say(refused ? DT_EXIT_APPLY : DT_EXIT_HELPER, "%s%s%s: %s%s", what, *node ? " " : "",
               node, slurm_strerror(error),
               refused ? "; only root and SlurmUser may drain nodes" : "");
}

static bool begins(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

static bool is_ours(const struct options *o, const char *reason)
{
    return begins(reason, o->prefix) || (o->hyperpod && begins(reason, "Action:"));
}

static bool is_out(const node_info_t *node)
{
    return node->node_state & (NODE_STATE_DRAIN | NODE_STATE_FAIL);
}

static bool same_host(const char *a, const char *b)
{
    size_t len = strcspn(a, ".");
    return len == strcspn(b, ".") && len > 0 && strncasecmp(a, b, len) == 0;
}

/* The one node of the cluster that is this machine. */
static const node_info_t *find_self(const node_info_msg_t *nodes, int *code)
{
    char host[256] = "";
    const node_info_t *found = NULL;
    gethostname(host, sizeof host - 1);
    for (uint32_t i = 0; i < nodes->record_count; i++) {
        const node_info_t *node = &nodes->node_array[i];
        if (!node->name || !same_host(node->node_hostname ? node->node_hostname : node->name, host))
            continue;
        if (found) {
            *code = say(LEFT_ALONE, "%s and %s are both this host, %s: which one is meant?",
                        found->name, node->name, host);
            return NULL;
        }
        found = node;
    }
    if (!found)
        *code = say(LEFT_ALONE, "no node of the cluster is this host, %s", host);
    return found;
}

/* Somebody else has this node in hand. */
static const char *whose(const struct options *o, const node_info_t *node)
{
    uint32_t state = node->node_state;
    bool has_reason = node->reason && *node->reason;
    if (has_reason && !is_ours(o, node->reason))
        return "it has a reason that is not dt's";
    if (is_out(node) && !has_reason)
        return "it is drained already, without a reason";
    if ((state & NODE_STATE_BASE) == NODE_STATE_DOWN)
        return "it is down";
    if (state & (NODE_STATE_REBOOT_REQUESTED | NODE_STATE_REBOOT_ISSUED))
        return "it waits for a reboot";
    return NULL;
}

/* ---- the ticket: a word at the end of the node's "extra", whatever else stands there ---------- */

#define TICKET "dt-drain="

static const char *ticket_of(const node_info_t *node)
{
    return node->extra ? strstr(node->extra, TICKET) : NULL;
}

static int update(const node_info_t *node, const char *ticket, const char *reason, uint32_t state)
{
    update_node_msg_t message;
    struct dt_buf extra = DT_BUF_INIT;
    const char *old = ticket_of(node);
    dt_buf_append(&extra, node->extra ? node->extra : "",
                  old           ? (size_t)(old - node->extra)
                  : node->extra ? strlen(node->extra)
                                : 0);
    while (extra.len > 0 && extra.data[extra.len - 1] == ' ')
        extra.data[--extra.len] = '\0';
    if (*ticket)
        dt_buf_printf(&extra, "%s%s", extra.len ? " " : "", ticket);
    slurm_init_update_node_msg(&message);
    message.node_names = node->name;
    message.extra = extra.data ? extra.data : (char *)"";
    if (reason) {
        message.reason = (char *)reason;
        message.reason_uid = getuid();
        message.node_state = state;
    }
    int error = extra.failed ? ENOMEM : slurm_update_node(&message) == SLURM_SUCCESS ? 0 : errno;
    dt_buf_fini(&extra);
    return error;
}

static int ask(const node_info_t *self)
{
    char ticket[64];
    snprintf(ticket, sizeof ticket, TICKET "%lld", (long long)time(NULL));
    return update(self, ticket, NULL, 0);
}

static void give_up(const node_info_t *self)
{
    if (ticket_of(self))
        update(self, "", NULL, 0);
}

/* What stands in the node list: all others that are dt's. */
static enum dt_turn look(const struct options *o, const node_info_msg_t *nodes,
                         const node_info_t *self, size_t *before)
{
    struct dt_ticket *others = calloc(nodes->record_count + 1, sizeof *others);
    size_t count = 0;
    *before = 0;
    if (!others)
        return DT_TURN_NEVER;
    for (uint32_t i = 0; i < nodes->record_count; i++) {
        const node_info_t *node = &nodes->node_array[i];
        const char *ticket = ticket_of(node);
        if (node == self || !node->name)
            continue;
        if (is_out(node) && is_ours(o, node->reason))
            others[count++] = (struct dt_ticket){node->name, node->reason_time, true};
        else if (ticket)
            others[count++] =
                (struct dt_ticket){node->name, strtoll(ticket + strlen(TICKET), NULL, 10), false};
    }
    enum dt_turn turn =
        dt_policy_turn(others, count, self->name, time(NULL), o->max, o->minutes * 60, before);
    free(others);
    return turn;
}

static int say_limit(const struct options *o, const char *node, size_t before)
{
    return say(LIMIT,
               "%s is not drained: %zu other node%s of the cluster %s (limit %ld in %ld min); "
               "reason: %s",
               node, before, before == 1 ? "" : "s",
               before == 1 ? "is drained by dt, or asks for it"
                           : "are drained by dt, or ask for it",
               o->max, o->minutes, o->reason);
}

/* It is this node's turn, and its ticket is there. */
static int drain(const struct options *o, const node_info_t *self)
{
    int error = update(self, "", o->reason, o->fail ? NODE_STATE_FAIL : NODE_STATE_DRAIN);
    return error ? say_slurm("slurmctld did not drain", self->name, error)
                 : say(DRAINED, "%s is drained: %s", self->name, o->reason);
}

/* One look at the cluster, and what follows from it. -1: look again. */
static int step(const struct options *o, const node_info_msg_t *nodes, const node_info_t *self,
                bool *asked, bool last)
{
    size_t before;
    const char *why = whose(o, self);
    if (why || is_out(self))
        give_up(self);
    if (why)
        return say(LEFT_ALONE, "%s is left alone: %s%s%s", self->name, why,
                   self->reason ? ": " : "", self->reason ? self->reason : "");
    if (is_out(self))
        return say(DRAINED, "%s is drained already: %s", self->name, self->reason);
    enum dt_turn turn = look(o, nodes, self, &before);
    if (turn == DT_TURN_NEVER || last) {
        give_up(self);
        return say_limit(o, self->name, before);
    }
    if (o->try_only)
        return say(DRAINED, "%s would be drained: %s", self->name, o->reason);
    if (*asked && turn == DT_TURN_NOW)
        return drain(o, self);
    if (*asked)
        usleep(PAUSE_US);
    int error = *asked ? 0 : ask(self);
    *asked = true;
    return error ? say_slurm("slurmctld takes no ticket for", self->name, error) : -1;
}

static int run(const struct options *o)
{
    bool asked = false;
    int code = -1;
    for (int i = 0; code < 0; i++) {
        node_info_msg_t *nodes = NULL;
        if (slurm_load_node(0, &nodes, SHOW_ALL) != SLURM_SUCCESS)
            return say_slurm("slurmctld could not be asked", "", errno);
        const node_info_t *self = find_self(nodes, &code);
        if (self)
            code = step(o, nodes, self, &asked, i == TRIES);
        slurm_free_node_info_msg(nodes);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    options_parse(&options, argc, argv);
    openlog("dt-drain", LOG_PID, LOG_DAEMON);
    signal(SIGPIPE, SIG_IGN);
    alarm(LAST_RESORT_S);
    slurm_init(NULL);
    int code = run(&options);
    slurm_fini();
    return fflush(stdout) == 0 ? code : DT_EXIT_HELPER;
}
