/* SPDX-License-Identifier: Apache-2.0 */
/* What conditions and values can refer to: facts, a few things that follow from them, and the
 * user's own variables. */
#include <stdio.h>
#include <string.h>

#include "env/internal.h"

static void set_text(struct dt_env_value *value, const char *text)
{
    value->kind = DT_VALUE_TEXT;
    value->text = text;
}

static void set_number(struct dt_env_value *value, long long number)
{
    snprintf(value->own, sizeof(value->own), "%lld", number);
    set_text(value, value->own);
}

static void from_facts(const struct dt_env_world *world, const char *key,
                       struct dt_env_value *value)
{
    const char *text;
    long long number;

    if (dt_facts_string(world->facts, key, &text))
        set_text(value, text);
    else if (dt_facts_int(world->facts, key, &number))
        set_number(value, number);
}

static bool positive(const struct dt_env_world *world, const char *key, bool *known)
{
    long long number;

    if (!dt_facts_int(world->facts, key, &number))
        return false;
    *known = true;
    return number > 0;
}

/* What the node has is believed before what its type should have. */
static void accelerator(const struct dt_env_world *world, const char *key,
                        struct dt_env_value *value)
{
    static const char *const names[] = {"none", "nvidia", "neuron"};
    bool known = false;

    (void)key;
    if (positive(world, "gpu.count", &known) || positive(world, "gpu.pci_count", &known))
        set_text(value, "nvidia");
    else if (positive(world, "neuron.count", &known))
        set_text(value, "neuron");
    else if (world->instance)
        set_text(value, names[world->instance->accelerator]);
    else if (known)
        set_text(value, "none");
}

static void from_instance(const struct dt_env_world *world, const char *key,
                          struct dt_env_value *value)
{
    const struct dt_instance *i = world->instance;

    if (!i)
        return;
    if (!strcmp(key, "instance.rdma_read"))
        set_number(value, i->rdma_read);
    else if (!strcmp(key, "instance.rdma_write"))
        set_number(value, i->rdma_write);
    else if (!strcmp(key, "instance.efas"))
        set_number(value, i->efas);
    else if (!strcmp(key, "instance.accelerators"))
        set_number(value, i->accelerators);
    else
        set_number(value, i->efa_generation);
}

/* NCCL's rules (its src/misc/socket.cc): '^' excludes, '=' wants the whole name, else a prefix. */
static bool nccl_selects(const char *spec, const char *interface)
{
    bool exclude = *spec == '^', exact, match = false;

    spec += exclude;
    exact = *spec == '=';
    spec += exact;
    while (*spec && !match) {
        size_t len = strcspn(spec, ","), name = strcspn(spec, ":,");
        match = name > 0 && !strncmp(spec, interface, name) && (!exact || interface[name] == '\0');
        spec += len + (spec[len] == ',');
    }
    return match != exclude;
}

static void ifname_selects(const struct dt_env_world *world, const char *key,
                           struct dt_env_value *value)
{
    const char *spec = dt_env_user(world, "NCCL_SOCKET_IFNAME"), *interface;

    (void)key;
    if (!spec || !*spec)
        value->kind = DT_VALUE_UNSET;
    else if (dt_facts_string(world->facts, "net.interface", &interface))
        set_number(value, nccl_selects(spec, interface));
}

static const struct {
    const char *name;
    void (*get)(const struct dt_env_world *world, const char *key, struct dt_env_value *value);
} known[] = {
    {"accelerator", accelerator},
    {"instance.type", from_facts},
    {"instance.rdma_read", from_instance},
    {"instance.rdma_write", from_instance},
    {"instance.efas", from_instance},
    {"instance.efa_generation", from_instance},
    {"instance.accelerators", from_instance},
    {"kernel.release", from_facts},
    {"driver.nvidia", from_facts},
    {"driver.efa", from_facts},
    {"driver.neuron", from_facts},
    {"lib.libfabric", from_facts},
    {"lib.nccl", from_facts},
    {"lib.ofi_nccl", from_facts},
    {"efa.installer", from_facts},
    {"efa.count", from_facts},
    {"efa.active", from_facts},
    {"gpu.count", from_facts},
    {"gpu.model", from_facts},
    {"neuron.count", from_facts},
    {"cpu.online", from_facts},
    {"numa.count", from_facts},
    {"mem.total_mib", from_facts},
    {"hugepages.free_mib", from_facts},
    {"net.interface", from_facts},
    {"net.address", from_facts},
    {"nccl.ifname_selects", ifname_selects},
};
#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

bool dt_env_fact_exists(const char *name)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (!strcmp(known[i].name, name) != 0)
            return true;
    return false;
}

void dt_env_fact(const struct dt_env_world *world, const char *name, struct dt_env_value *value)
{
    value->kind = DT_VALUE_UNKNOWN;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known[i].name, name))
            continue;
        known[i].get(world, name, value);
        return;
    }
}

const char *dt_env_user(const struct dt_env_world *world, const char *name)
{
    size_t len = strlen(name);

    for (char *const *entry = world->user_env; entry && *entry; entry++)
        if (!strncmp(*entry, name, len) && (*entry)[len] == '=')
            return *entry + len + 1;
    return NULL;
}

/* Length of the "${name}" at p, 0: there is none; name is NUL-terminated in `name`. */
static size_t reference(const char *p, char *name, size_t size)
{
    const char *end;
    size_t len;

    if (p[0] != '$' || p[1] != '{' || !(end = strchr(p, '}')))
        return 0;
    len = (size_t)(end - p) - 2;
    snprintf(name, size, "%.*s", (int)(len < size ? len : size - 1), p + 2);
    return len + 3;
}

int dt_env_template_expand(const char *text, const struct dt_env_world *world, struct dt_buf *out)
{
    char name[64];

    while (*text) {
        size_t len = reference(text, name, sizeof(name));
        if (len > 0) {
            struct dt_env_value value;
            dt_env_fact(world, name, &value);
            if (value.kind != DT_VALUE_TEXT)
                return -1;
            dt_buf_puts(out, value.text);
        } else {
            dt_buf_append(out, text, len = 1);
        }
        text += len;
    }
    return 0;
}

int dt_env_template_check(const char *text, struct dt_error *err)
{
    char name[64];

    for (const char *p = strchr(text, '$'); p; p = strchr(p + 1, '$'))
        if (!reference(p, name, sizeof(name)) || !dt_env_fact_exists(name))
            return dt_error_set(err, "value '%s' refers to a fact that does not exist", text);
    return 0;
}
