/* SPDX-License-Identifier: Apache-2.0 */
/* What conditions and values can refer to: facts, a few things that follow from them, and the
 * user's own variables. */
#include <stdio.h>
#include <stdlib.h>
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

static void from_facts(struct dt_env_world *world, const char *key, struct dt_env_value *value)
{
    const char *text;
    long long number;

    if (dt_facts_string(world->facts, key, &text))
        set_text(value, text);
    else if (dt_facts_int(world->facts, key, &number))
        set_number(value, number);
}

static bool positive(struct dt_env_world *world, const char *key, bool *known)
{
    long long number;

    if (!dt_facts_int(world->facts, key, &number))
        return false;
    *known = true;
    return number > 0;
}

/* What the node has is believed before what its type should have. */
static void accelerator(struct dt_env_world *world, const char *key, struct dt_env_value *value)
{
    static const char *const names[] = {"none", "nvidia", "neuron", "other"};
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

static void from_instance(struct dt_env_world *world, const char *key, struct dt_env_value *value)
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

/* Does the user's NCCL_SOCKET_IFNAME select the interface of the default route? NCCL steps over a
 * text of one character. */
static void ifname_selects(struct dt_env_world *world, const char *key, struct dt_env_value *value)
{
    const char *spec = dt_env_user(world, "NCCL_SOCKET_IFNAME"), *interface;

    (void)key;
    if (!spec || strlen(spec) < 2)
        value->kind = DT_VALUE_UNSET;
    else if (strcmp(spec, DT_ENV_VALUE_UNKNOWN) != 0 &&
             dt_facts_string(world->facts, "net.interface", &interface))
        set_number(value, dt_env_nccl_selects(spec, interface));
}

static const char *interface_name(const json_t *item)
{
    return json_string_value(json_is_object(item) ? json_object_get(item, "name") : item);
}

static bool has_interface(const json_t *interfaces, const char *name, size_t len)
{
    for (size_t i = 0; i < json_array_size(interfaces); i++) {
        const char *other = interface_name(json_array_get(interfaces, i));
        if (other && !strncmp(other, name, len) && !other[len])
            return true;
    }
    return false;
}

/* How many interfaces of the node does it select? They are texts, or objects with a "name". */
static void ifname_matches(struct dt_env_world *world, const char *key, struct dt_env_value *value)
{
    const char *spec = dt_env_user(world, "NCCL_SOCKET_IFNAME");
    json_t *interfaces = dt_facts_array(world->facts, "net.interfaces"), *item;
    long long count = 0;
    size_t i;

    (void)key;
    if (!spec || strlen(spec) < 2) {
        value->kind = DT_VALUE_UNSET;
        return;
    }
    if (!interfaces || !strcmp(spec, DT_ENV_VALUE_UNKNOWN))
        return;
    json_array_foreach(interfaces, i, item)
    {
        const char *name = interface_name(item);
        count += name && dt_env_nccl_selects(spec, name);
    }
    set_number(value, count);
}

/* How many names of GLOO_SOCKET_IFNAME are no interface of the node? Gloo wants whole names. */
static void gloo_missing(struct dt_env_world *world, const char *key, struct dt_env_value *value)
{
    const char *spec = dt_env_user(world, "GLOO_SOCKET_IFNAME");
    json_t *interfaces = dt_facts_array(world->facts, "net.interfaces");
    long long missing = 0;

    (void)key;
    if (!spec || !*spec) {
        value->kind = DT_VALUE_UNSET;
        return;
    }
    if (!interfaces || !strcmp(spec, DT_ENV_VALUE_UNKNOWN))
        return;
    while (*spec) {
        size_t len = strcspn(spec, ",");
        missing += len > 0 && !has_interface(interfaces, spec, len);
        spec += len + (spec[len] == ',');
    }
    set_number(value, missing);
}

static const struct {
    const char *name;
    void (*get)(struct dt_env_world *world, const char *key, struct dt_env_value *value);
    const char *label; /* in a sentence: "... is not known" */
} known[] = {
    {"accelerator", accelerator, "the accelerator"},
    {"instance.type", from_facts, "the instance type"},
    {"instance.rdma_read", from_instance, "the instance type"},
    {"instance.rdma_write", from_instance, "the instance type"},
    {"instance.efas", from_instance, "the instance type"},
    {"instance.efa_generation", from_instance, "the instance type"},
    {"instance.accelerators", from_instance, "the instance type"},
    {"platform", from_facts, "the platform"},
    {"container", from_facts, "whether this is a container"},
    {"kernel.release", from_facts, "the version of the kernel"},
    {"driver.nvidia", from_facts, "the version of the NVIDIA driver"},
    {"driver.efa", from_facts, "the version of the EFA driver"},
    {"driver.neuron", from_facts, "the version of the Neuron driver"},
    {"lib.libfabric", from_facts, "the version of libfabric"},
    {"lib.nccl", from_facts, "the version of NCCL"},
    {"lib.ofi_nccl", from_facts, "the version of aws-ofi-nccl"},
    {"lib.rdma_core", from_facts, "the version of rdma-core"},
    {"lib.cuda", from_facts, "the version of CUDA"},
    {"lib.torch", from_facts, "the version of PyTorch"},
    {"lib.neuron", from_facts, "the version of the Neuron runtime"},
    {"torch.libuv", from_facts, "how PyTorch was built"},
    {"blas.name", from_facts, "which BLAS is used"},
    {"cpu.isa", from_facts, "what the processor can do"},
    {"cpu.openblas_coretype", from_facts, "the kernels of OpenBLAS"},
    {"efa.installer", from_facts, "the version of the EFA installer"},
    {"efa.count", from_facts, "the number of EFA devices"},
    {"efa.active", from_facts, "the number of EFA devices"},
    {"gpu.count", from_facts, "the number of GPUs"},
    {"gpu.model", from_facts, "the model of the GPUs"},
    {"neuron.count", from_facts, "the number of Neuron devices"},
    {"cpu.online", from_facts, "the number of CPUs"},
    {"numa.count", from_facts, "the number of NUMA nodes"},
    {"mem.total_mib", from_facts, "the size of the memory"},
    {"hugepages.free_mib", from_facts, "the number of huge pages"},
    {"net.interface", from_facts, "the interface of the default route"},
    {"net.address", from_facts, "the address of the default route"},
    {"nccl.ifname_selects", ifname_selects, "the interface of the default route"},
    {"nccl.ifname_matches", ifname_matches, "the interfaces of the node"},
    {"gloo.ifname_missing", gloo_missing, "the interfaces of the node"},
    {"rank.local", from_facts, "the local rank"},
    {"rank.cores", from_facts, "the cores of the rank"},
    {"rank.gpus", from_facts, "the GPUs of the rank"},
    {"rank.nics", from_facts, "the network cards of the rank"},
};
#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))
_Static_assert(KNOWN_COUNT <= DT_ENV_FACT_COUNT, "struct dt_env_world has too few answers");

int dt_env_fact_index(const char *name, size_t len)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (known[i].name[0] == *name && !strncmp(known[i].name, name, len) &&
            known[i].name[len] == '\0')
            return (int)i;
    return -1;
}

const char *dt_env_fact_name(size_t index)
{
    return index < KNOWN_COUNT ? known[index].name : NULL;
}

const char *dt_env_fact_label(int index)
{
    return known[index].label;
}

const struct dt_env_value *dt_env_fact(struct dt_env_world *world, int index)
{
    struct dt_env_value *value = &world->answers[index];

    if (value->kind == DT_VALUE_NOT_ASKED) {
        value->kind = DT_VALUE_UNKNOWN;
        known[index].get(world, known[index].name, value);
    }
    return value;
}

/* The environment is gone through once; as in getenv, the first of two entries counts. */
int dt_env_world_init(struct dt_env_world *world, const struct dt_env_names *names,
                      const struct dt_facts *facts, const struct dt_instance *instance,
                      char *const *user_env)
{
    memset(world, 0, sizeof(*world));
    world->facts = facts;
    world->instance = instance;
    world->user_env = user_env;
    world->names = names;
    world->users = calloc(names->count + 1, sizeof(*world->users));
    if (!world->users)
        return -1;
    for (char *const *entry = user_env; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        uint16_t index = DT_ENV_NO_NAME;
        if (equals)
            index = dt_env_names_find(names, *entry, (size_t)(equals - *entry));
        if (index != DT_ENV_NO_NAME && !world->users[index])
            world->users[index] = equals + 1;
    }
    return 0;
}

void dt_env_world_fini(struct dt_env_world *world)
{
    free(world->users);
    memset(world, 0, sizeof(*world));
}

/* For names that need not be in the rules. */
const char *dt_env_user(const struct dt_env_world *world, const char *name)
{
    size_t len = strlen(name);
    uint16_t index = dt_env_names_find(world->names, name, len);

    if (index != DT_ENV_NO_NAME)
        return world->users[index];
    for (char *const *entry = world->user_env; entry && *entry; entry++)
        if (!strncmp(*entry, name, len) && (*entry)[len] == '=')
            return *entry + len + 1;
    return NULL;
}

/* Of the paths in text (":", "," or a blank between), is one known to lead nowhere? "files.missing" lists
 * what was tried in vain; without it nothing was tried. */
enum dt_truth dt_env_path_missing(const struct dt_env_world *world, const char *text)
{
    const json_t *missing = dt_facts_array(world->facts, "files.missing");
    size_t len;

    if (!missing || !strcmp(text, DT_ENV_VALUE_UNKNOWN))
        return DT_UNKNOWN;
    for (; *text; text += len + (text[len] != '\0')) {
        len = strcspn(text, ":, ");
        for (size_t i = 0; len > 0 && i < json_array_size(missing); i++) {
            const char *path = json_string_value(json_array_get(missing, i));
            if (path && !strncmp(path, text, len) && !path[len])
                return DT_TRUE;
        }
    }
    return DT_FALSE;
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

int dt_env_template_expand(const char *text, struct dt_env_world *world, struct dt_buf *out)
{
    char name[64];

    while (*text) {
        size_t len = reference(text, name, sizeof(name));
        if (len > 0) {
            int index = dt_env_fact_index(name, strlen(name));
            const struct dt_env_value *value = index < 0 ? NULL : dt_env_fact(world, index);
            if (!value || value->kind != DT_VALUE_TEXT)
                return -1;
            dt_buf_puts(out, value->text);
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
        if (!reference(p, name, sizeof(name)) || dt_env_fact_index(name, strlen(name)) < 0)
            return dt_error_set(err, "value '%s' refers to a fact that does not exist", text);
    return 0;
}
