/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the facts beside those of the history. A counter that is smaller than it was has begun
 * anew (a driver was loaded, a GPU was reset), and one that was not there has no base: neither has
 * grown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/internal.h"

/* Counters that gpu.devices have among their keys; "recovery" grows when the driver comes to ask. */
static const char *const gpu_keys[] = {
    "recovery",         "ecc_corrected", "ecc_uncorrected", "rows_corrected",
    "rows_uncorrected", "pcie_replay",   "nvlink_errors",
};

typedef int (*counter_fn)(void *argument, const char *name, const char *device, long long value);

static int visit(counter_fn each, void *argument, const char *kind, const char *key,
                 const char *device, const json_t *value)
{
    char name[DT_HISTORY_WORD_MAX + 1];
    int n = snprintf(name, sizeof name, "%s.%s", kind, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || n >= (int)sizeof name ||
        !dt_history_is_word(name) || !device || !dt_history_is_word(device))
        return 0; /* a name that can not be kept: of no kernel that there is */
    return each(argument, name, device, (long long)json_integer_value(value));
}

static int visit_gpus(const struct dt_facts *facts, counter_fn each, void *argument)
{
    const json_t *gpus = dt_facts_array(facts, "gpu.devices");
    const json_t *lost = dt_facts_array(facts, "gpu.lost");
    json_t *count = lost ? json_integer((json_int_t)json_array_size(lost)) : NULL;
    int rc = visit(each, argument, "gpu", "lost", "any", count);
    json_decref(count);
    if (rc < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(gpus); i++) {
        const json_t *gpu = json_array_get(gpus, i);
        const char *device = json_string_value(json_object_get(gpu, "bdf"));
        for (size_t k = 0; k < sizeof gpu_keys / sizeof *gpu_keys; k++) {
            if (visit(each, argument, "gpu", gpu_keys[k], device,
                      json_object_get(gpu, gpu_keys[k])) < 0)
                return -1;
        }
    }
    return 0;
}

static int visit_all(const struct dt_facts *facts, counter_fn each, void *argument)
{
    const json_t *list = dt_facts_array(facts, "counters");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i), *value;
        const char *kind = json_string_value(json_object_get(item, "kind")), *key;
        const char *device = json_string_value(json_object_get(item, "device"));
        json_object_foreach(item, key, value)
        {
            if (kind && visit(each, argument, kind, key, device, value) < 0)
                return -1;
        }
    }
    return visit_gpus(facts, each, argument);
}

/* `next`: where to look first. Counters are mostly asked for in the order in which they were kept. */
static struct dt_history_counter *find(struct dt_history_counter *list, size_t count, size_t *next,
                                       const char *name, const char *device)
{
    for (size_t n = 0; n < count; n++) {
        size_t i = (*next + n) % count;
        if (strcmp(list[i].device, device) != 0 || strcmp(list[i].name, name) != 0)
            continue;
        *next = i + 1;
        return &list[i];
    }
    return NULL;
}

static int put(struct dt_history_counter **list, size_t *count, const char *name,
               const char *device, long long value, long long seconds)
{
    if (*count == DT_HISTORY_COUNTERS_MAX)
        return 0;
    struct dt_history_counter *made = DT_HISTORY_ADD(*list, *count);
    if (!made)
        return -1;
    *made = (struct dt_history_counter){strdup(name), strdup(device), value, seconds};
    return made->name && made->device ? 0 : -1;
}

struct grown {
    const struct dt_history *history;
    const struct dt_history_now *now;
    int (*each)(void *argument, const struct dt_history_growth *growth);
    void *argument;
    size_t next;
};

static int compare(void *argument, const char *name, const char *device, long long value)
{
    struct grown *g = argument;
    const struct dt_history *h = g->history;
    const struct dt_history_counter *base =
        find(h->counters, h->counter_count, &g->next, name, device);
    if (!base || value <= base->value)
        return 0;
    long long seconds = g->now->boot_s - base->seconds;
    struct dt_history_growth growth = {name, device, value - base->value,
                                       seconds > 0 ? seconds : 1};
    return g->each(g->argument, &growth);
}

int dt_history_grown(const struct dt_history *history, const struct dt_facts *facts,
                     const struct dt_history_now *now,
                     int (*each)(void *argument, const struct dt_history_growth *growth),
                     void *argument)
{
    struct grown grown = {history, now, each, argument, 0};
    return visit_all(facts, compare, &grown);
}

struct taking {
    struct dt_history *history;
    const struct dt_history_now *now;
    size_t next;
};

static int take(void *argument, const char *name, const char *device, long long value)
{
    struct taking *t = argument;
    struct dt_history *h = t->history;
    struct dt_history_counter *have = find(h->counters, h->counter_count, &t->next, name, device);
    if (!have)
        return put(&h->counters, &h->counter_count, name, device, value, t->now->boot_s);
    have->value = value;
    have->seconds = t->now->boot_s;
    return 0;
}

int dt_history_take_counters(struct dt_history *history, const struct dt_facts *facts,
                             const struct dt_history_now *now)
{
    struct taking taking = {history, now, 0};
    return visit_all(facts, take, &taking);
}

static int add_growth(void *argument, const struct dt_history_growth *growth)
{
    struct dt_history *h = argument;
    size_t next = 0;
    struct dt_history_counter *have =
        find(h->grew, h->grew_count, &next, growth->name, growth->device);
    if (!have)
        return put(&h->grew, &h->grew_count, growth->name, growth->device, growth->by,
                   growth->seconds);
    if (__builtin_add_overflow(have->value, growth->by, &have->value) ||
        __builtin_add_overflow(have->seconds, growth->seconds, &have->seconds)) {
        have->value = growth->by;
        have->seconds = growth->seconds;
    }
    return 0;
}

int dt_history_add_growth(struct dt_history *history, const struct dt_facts *facts,
                          const struct dt_history_now *now)
{
    return dt_history_grown(history, facts, now, add_growth, history);
}
