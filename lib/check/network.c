/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of Ethernet and of what is reached by it. EFA is in efa.c. */
#include <string.h>

#include "base/buf.h"
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

struct unknown {
    struct dt_buf names;
    size_t count;
};

static void add_unknown(struct unknown *unknown, const char *name, const char *why)
{
    enum { SHOWN = 3 };
    if (unknown->count++ < SHOWN)
        dt_buf_printf(&unknown->names, "%s%s: %s", unknown->names.len ? "; " : "", name, why);
    else if (unknown->count == SHOWN + 1)
        dt_buf_puts(&unknown->names, "; and others");
}

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    return text ? text : "?";
}

void dt_check_name_resolves(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *others = dt_facts_array(context->facts, "net.others");
    struct unknown unknown = {DT_BUF_INIT, 0};
    long long good;
    const char *name = "its own name";
    if (!dt_facts_int(context->facts, "net.resolves", &good)) {
        dt_check_unknown(context, result, "net.resolves", "run 'getent hosts' on the node");
        return;
    }
    dt_facts_string(context->facts, "node.name", &name);
    if (!good)
        add_unknown(&unknown, name, dt_facts_why(context->facts, "net.resolves"));
    for (size_t i = 0; i < json_array_size(others); i++) {
        const json_t *other = json_array_get(others, i);
        if (!json_is_true(json_object_get(other, "ok")))
            add_unknown(&unknown, text_of(other, "name"), text_of(other, "reason"));
    }
    dt_judge(result, unknown.count ? DT_WARN : DT_PASS, "getaddrinfo");
    if (unknown.count)
        dt_judge_value(result, "%s", unknown.names.data ? unknown.names.data : name);
    else if (json_array_size(others))
        dt_judge_value(result, "%s and %zu other%s of the step have addresses", name,
                       json_array_size(others), json_array_size(others) == 1 ? "" : "s");
    else
        dt_judge_value(result, "%s has an address", name);
    dt_judge_limit(result, "an address in %lld ms (dt.conf)", context->conf->probe_timeout_ms);
    if (unknown.count)
        dt_judge_next(result,
                      "look at /etc/resolv.conf and /etc/hosts, and the VPC's DNS settings");
    dt_buf_fini(&unknown.names);
}
