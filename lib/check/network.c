/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of Ethernet and of what is reached by it. EFA is in efa.c. */
#include <string.h>

#include "check/judges.h"

void dt_check_ethernet(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *links = dt_facts_array(context->facts, "net.links"), *first = NULL;
    const char *used = "";
    size_t bad = 0, on = 0;
    bool uses_it = false;
    if (!links) {
        dt_check_unknown(context, result, "net.links", "run 'ip link' on the node");
        return;
    }
    dt_facts_string(context->facts, "net.interface", &used);
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        const json_t *carrier = json_object_get(link, "carrier");
        const char *name = json_string_value(json_object_get(link, "name"));
        bool is_on = json_integer_value(json_object_get(link, "on")) != 0;
        on += is_on;
        if (!is_on || (json_is_integer(carrier) && json_integer_value(carrier)))
            continue;
        first = bad++ ? first : link;
        uses_it = uses_it || (name && strcmp(name, used) == 0);
    }
    if (on == 0) {
        dt_check_skip(result, "no Ethernet device that is switched on");
        return;
    }
    /* Jobs talk through the one with the default route; the others may wait for a cable for ever. */
    dt_judge(result, uses_it ? DT_FAIL : bad ? DT_WARN : DT_PASS, "/sys/class/net/*/carrier");
    dt_judge_limit(result, "every device that is switched on has a link");
    if (bad) {
        const char *name = json_string_value(json_object_get(first, "name"));
        dt_judge_value(result, "%s has no link (%zu of %zu)", name ? name : "?", bad, on);
        dt_judge_next(result, "reboot; replace the instance if it stays");
    } else {
        dt_judge_value(result, "%zu up", on);
    }
}

void dt_check_default_route(const struct dt_check_context *context, struct dt_check_result *result)
{
    const char *interface = "?";
    long long there;
    if (!dt_facts_int(context->facts, "net.default_route", &there)) {
        dt_check_unknown(context, result, "net.default_route", "run 'ip route' on the node");
        return;
    }
    dt_facts_string(context->facts, "net.interface", &interface);
    dt_judge(result, there ? DT_PASS : DT_WARN, "/proc/net/route");
    dt_judge_value(result, "%s", there ? interface : "there is none");
    dt_judge_limit(result, "a default route");
    if (!there)
        dt_judge_next(result, "look at 'ip route' and the log of the network service");
}

void dt_check_name_resolves(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long good;
    const char *name = "its own name";
    if (!dt_facts_int(context->facts, "net.resolves", &good)) {
        dt_check_unknown(context, result, "net.resolves", "run 'getent hosts' on the node");
        return;
    }
    dt_facts_string(context->facts, "node.name", &name);
    dt_judge(result, good ? DT_PASS : DT_WARN, "getaddrinfo");
    if (good)
        dt_judge_value(result, "%s has an address", name);
    else
        dt_judge_value(result, "%s: %s", name, dt_facts_why(context->facts, "net.resolves"));
    dt_judge_limit(result, "an address in %lld ms (dt.conf)", context->conf->probe_timeout_ms);
    if (!good)
        dt_judge_next(result,
                      "look at /etc/resolv.conf and /etc/hosts, and the VPC's DNS settings");
}
