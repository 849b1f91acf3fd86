/* SPDX-License-Identifier: Apache-2.0 */
/* A tree, a request that reads it, and short ways to look at the facts. */
#ifndef DT_TEST_FACTS_WORLD_H
#define DT_TEST_FACTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check/check.h"
#include "facts/reader.h"
#include "facts_tree.h"

struct world {
    struct tree tree;
    struct dt_root root;
    struct dt_conf conf;
    struct dt_facts_request request;
    struct dt_facts facts;
    char *no_paths[1];
};

static inline int setup(void **state)
{
    struct dt_error err;
    struct world *world = calloc(1, sizeof *world);
    tree_make(&world->tree);
    assert_int_equal(dt_root_init(&world->root, world->tree.path, &err), 0);
    world->conf = (struct dt_conf){.nvml_library = (char *)"",
                                   .instance_type = (char *)"",
                                   .writable_paths = world->no_paths,
                                   .probe_timeout_ms = 5000};
    world->request = (struct dt_facts_request){.root = &world->root,
                                               .conf = &world->conf,
                                               .node_name = "dt-1",
                                               .cwd = "/fsx/home",
                                               .memlock = -1,
                                               .nofile = 65536,
                                               .level = DT_LEVEL_FAST};
    *state = world;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *world = *state;
    dt_facts_fini(&world->facts);
    dt_root_fini(&world->root);
    tree_destroy(&world->tree);
    free(world);
    return 0;
}

static inline void collect(struct world *world)
{
    struct dt_error err = {0};
    dt_facts_fini(&world->facts);
    if (dt_facts_collect(&world->facts, &world->request, &err) < 0)
        fail_msg("%s", err.text);
}

static inline long long number(const struct world *world, const char *key)
{
    long long value = -999;
    if (!dt_facts_int(&world->facts, key, &value))
        fail_msg("%s is absent: %s", key, dt_facts_why(&world->facts, key));
    return value;
}

static inline const char *text(const struct world *world, const char *key)
{
    const char *value = NULL;
    if (!dt_facts_string(&world->facts, key, &value))
        fail_msg("%s is absent: %s", key, dt_facts_why(&world->facts, key));
    return value;
}

static inline void assert_absent(const struct world *world, const char *key, const char *why)
{
    assert_null(json_object_get(world->facts.doc, key));
    if (!strstr(dt_facts_why(&world->facts, key), why))
        fail_msg("why.%s is '%s', not '%s'", key, dt_facts_why(&world->facts, key), why);
}

static inline const char *item(const struct world *world, const char *key, size_t index,
                               const char *field)
{
    const json_t *array = dt_facts_array(&world->facts, key);
    const char *value = json_string_value(json_object_get(json_array_get(array, index), field));
    return value ? value : "(absent)";
}

#endif
