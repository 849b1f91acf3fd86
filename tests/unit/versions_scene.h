/* SPDX-License-Identifier: Apache-2.0 */
/* A tree with made-up libraries in it, and what dt finds there. */
#ifndef TESTS_UNIT_VERSIONS_SCENE_H
#define TESTS_UNIT_VERSIONS_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "elf_stub.h"
#include "facts_tree.h"
#include "versions/versions.h"

struct world {
    struct tree tree;
    struct dt_root root;
    struct dt_versions versions;
};

static inline int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    strcpy(world->tree.path, "/tmp/dt-versions-XXXXXX");
    if (!mkdtemp(world->tree.path) || dt_root_init(&world->root, world->tree.path, NULL) < 0)
        return -1;
    *state = world;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *world = *state;
    dt_versions_fini(&world->versions);
    dt_root_fini(&world->root);
    nftw(world->tree.path, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(world);
    return 0;
}

static inline void detect_program(struct world *world, const char *program, char *const *env)
{
    struct dt_error err = {""};
    struct dt_versions_request request = {.root = &world->root, .env = env, .program = program};
    dt_versions_fini(&world->versions);
    assert_int_equal(dt_versions_detect(&world->versions, &request, &err), 0);
}

#define DETECT(world, ...) detect_program(world, NULL, (char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static inline void stub(struct world *world, const char *path, struct elf_stub stub)
{
    size_t size;
    unsigned char *data = elf_stub_make(&stub, &size);
    tree_bytes(&world->tree, path, data, size);
    free(data);
}

static inline const struct dt_version *loaded(struct world *world, const char *component)
{
    return dt_versions_loaded(&world->versions, component);
}

static inline void assert_loads(struct world *world, const char *component, const char *version,
                                const char *path)
{
    const struct dt_version *item = loaded(world, component);
    if (!item)
        fail_msg("no %s is loaded", component);
    if (version)
        assert_string_equal(item->version, version);
    else
        assert_null(item->version);
    if (path)
        assert_string_equal(item->path, path);
}

static inline void assert_why(struct world *world, const char *component, const char *word)
{
    const struct dt_version *item = loaded(world, component);
    assert_non_null(item);
    if (!strstr(item->why, word))
        fail_msg("%s: '%s' does not say '%s'", component, item->why, word);
}

static inline size_t copies(struct world *world, const char *component)
{
    size_t count = 0;
    for (size_t i = 0; i < world->versions.count; i++)
        count += strcmp(world->versions.items[i].component, component) == 0;
    return count;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
