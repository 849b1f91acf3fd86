/* SPDX-License-Identifier: Apache-2.0 */
/* What dt.conf has done with this node, for --healthcheck and --prolog. There is no job here whose
 * other nodes could tell a shared cause: the limit over the cluster is what holds a mistake in
 * dt.conf, or a file server that is away, from draining all. */
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "output.h"
#include "policy/policy.h"

enum { PATIENCE_MS = 5000 }; /* Slurm waits 60 s for a HealthCheckProgram, and less for a Prolog */

static bool say(const char *sentence, bool drained)
{
    printf("%s\n", sentence ? sentence : "out of memory");
    if (sentence)
        syslog(drained ? LOG_NOTICE : LOG_WARNING, "%s", sentence);
    return drained;
}

static bool act(const struct dt_conf *conf, const struct dt_proposal *proposal, const char *node)
{
    char *sentence = NULL;
    if (proposal->print) {
        sentence = dt_policy_command(proposal, node);
        say(sentence, false);
        free(sentence);
        return false;
    }
    bool drained = dt_policy_drain(conf, proposal, PATIENCE_MS, &sentence) == DT_DRAIN_DONE;
    say(sentence, drained);
    free(sentence);
    return drained;
}

bool policy_drain(const struct outcome *outcome, const struct options *options)
{
    const struct dt_conf *conf = &outcome->inspection->conf;
    struct dt_proposals proposals;
    struct dt_error err;
    const char *node = "";
    bool drained = false;
    if (outcome->verdict != DT_FAIL)
        return false;
    if (options->root) /* a tree is not this node */
        return say("not drained: --root looks at another machine", false);
    if (dt_policy_propose(&proposals, conf, &outcome->inspection->checks, &err) < 0)
        return say(err.text, false);
    dt_facts_string(&outcome->inspection->facts, "node.name", &node);
    if (proposals.count > 0)
        drained = act(conf, &proposals.items[0], node);
    else
        say("not drained: drain-on in dt.conf names none of these severities for checks of the "
            "node",
            false);
    dt_proposals_fini(&proposals);
    return drained;
}
