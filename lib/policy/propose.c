/* SPDX-License-Identifier: Apache-2.0 */
/* From the results of a node's checks to what dt.conf wants done about them. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "facts/printable.h"
#include "policy/policy.h"

enum { MOST = 8 }; /* the worst are enough: a node is drained once */

static void proposal_fini(struct dt_proposal *proposal)
{
    free(proposal->check);
    free(proposal->state);
    free(proposal->reason);
}

void dt_proposals_fini(struct dt_proposals *proposals)
{
    for (size_t i = 0; i < proposals->count; i++)
        proposal_fini(&proposals->items[i]);
    free(proposals->items);
    *proposals = (struct dt_proposals){0};
}

static bool drains(const struct dt_conf *conf, enum dt_severity severity)
{
    for (char **name = conf->drain_on; name && *name; name++) {
        if (strcmp(*name, dt_severity_name(severity)) == 0)
            return true;
    }
    return false;
}

static bool is_nodes_own(const struct dt_check_result *result)
{
    const struct dt_check *check = dt_check_find(result->name);
    return check && check->scope == DT_SCOPE_NODE;
}

/* Cut, where it must be, between two characters. */
static void cut(char *text)
{
    size_t len = strlen(text);
    if (len <= DT_REASON_MAX)
        return;
    len = DT_REASON_MAX - 3;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    memcpy(text + len, "...", 4);
}

/* The agent of HyperPod looks for exactly these. */
static const char *hyperpod_action(enum dt_severity severity)
{
    switch (severity) {
    case DT_SEVERITY_REPLACE:
        return "Action:Replace";
    case DT_SEVERITY_REBOOT:
    case DT_SEVERITY_RESET: /* a new start of the instance resets its devices, too */
        return "Action:Reboot";
    default:
        return NULL;
    }
}

static char *evidence(const struct dt_conf *conf, const struct dt_check_result *result)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "%s %s: %s", conf->drain_prefix, result->name, result->value);
    if (*result->limit)
        dt_buf_printf(&text, "; wanted: %s", result->limit);
    dt_buf_printf(&text, " (%s)", dt_severity_name(result->severity));
    char *taken = dt_buf_take(&text);
    if (taken) {
        dt_printable(taken);
        cut(taken);
    }
    return taken;
}

static int propose(struct dt_proposal *proposal, const struct dt_conf *conf,
                   const struct dt_check_result *result)
{
    const char *action =
        conf->drain_style == DT_DRAIN_STYLE_HYPERPOD ? hyperpod_action(result->severity) : NULL;
    *proposal = (struct dt_proposal){.check = strdup(result->name),
                                     .state = strdup(action ? "FAIL" : "DRAIN"),
                                     .reason = action ? strdup(action) : evidence(conf, result),
                                     .print = conf->drain_how == DT_DRAIN_PRINT};
    return proposal->check && proposal->state && proposal->reason ? 0 : -1;
}

int dt_policy_propose(struct dt_proposals *proposals, const struct dt_conf *conf,
                      const struct dt_check_results *results, struct dt_error *err)
{
    *proposals = (struct dt_proposals){.items = calloc(MOST, sizeof *proposals->items)};
    int rc = proposals->items ? 0 : -1;
    for (int severity = DT_SEVERITY_REPLACE; severity > DT_SEVERITY_NONE; severity--) {
        for (size_t i = 0; rc == 0 && i < results->count && proposals->count < MOST; i++) {
            const struct dt_check_result *result = &results->items[i];
            if (result->result != DT_FAIL || (int)result->severity != severity ||
                !drains(conf, result->severity) || !is_nodes_own(result))
                continue;
            rc = propose(&proposals->items[proposals->count++], conf, result);
        }
    }
    if (rc == 0)
        return 0;
    dt_proposals_fini(proposals);
    return dt_error_set(err, "out of memory");
}

json_t *dt_proposals_to_json(const struct dt_proposals *proposals)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < proposals->count; i++) {
        const struct dt_proposal *p = &proposals->items[i];
        json_t *object =
            json_pack("{s:s,s:s,s:o,s:b}", "check", p->check, "state", p->state, "reason",
                      dt_printable_json(p->reason, DT_REASON_MAX), "print", p->print);
        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static int take(struct dt_proposal *proposal, const json_t *object, struct dt_error *err)
{
    const char *check = NULL, *state = NULL, *reason = NULL;
    int print = 0;
    if (json_unpack((json_t *)object, "{s:s,s:s,s:s,s:b}", "check", &check, "state", &state,
                    "reason", &reason, "print", &print) < 0 ||
        !dt_check_find(check) || (strcmp(state, "DRAIN") != 0 && strcmp(state, "FAIL") != 0))
        return dt_error_set(err, "a proposal to drain that can not be understood");
    *proposal = (struct dt_proposal){
        .check = strdup(check), .state = strdup(state), .reason = strdup(reason), .print = print};
    if (!proposal->check || !proposal->state || !proposal->reason)
        return dt_error_set(err, "out of memory");
    dt_printable(proposal->reason);
    cut(proposal->reason);
    return 0;
}

int dt_proposals_from_json(struct dt_proposals *proposals, const json_t *array,
                           struct dt_error *err)
{
    size_t count = json_array_size(array);
    *proposals = (struct dt_proposals){.items = calloc(MOST, sizeof *proposals->items)};
    int rc = proposals->items ? 0 : dt_error_set(err, "out of memory");
    if (rc == 0 && (!json_is_array(array) || count > MOST))
        rc = dt_error_set(err, "proposals to drain that can not be understood");
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = take(&proposals->items[proposals->count++], json_array_get(array, i), err);
    if (rc < 0)
        dt_proposals_fini(proposals);
    return rc;
}

/* 'text' for a shell. */
static void put_quoted(struct dt_buf *out, const char *text)
{
    dt_buf_puts(out, "'");
    for (; *text; text++)
        dt_buf_printf(out, *text == '\'' ? "'\\''" : "%c", *text);
    dt_buf_puts(out, "'");
}

char *dt_policy_command(const struct dt_proposal *proposal, const char *node)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "scontrol update NodeName=");
    put_quoted(&text, node);
    dt_buf_printf(&text, " State=%s Reason=", proposal->state);
    put_quoted(&text, proposal->reason);
    char *command = dt_buf_take(&text);
    if (command)
        dt_printable(command);
    return command;
}
