/* SPDX-License-Identifier: Apache-2.0 */
/* A node and a user's environment from words, for the tests of the environment judge. */
#ifndef TESTS_UNIT_ENV_SCENE_H
#define TESTS_UNIT_ENV_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "env/env.h"
#include "env/internal.h"
#include "shipped.h"

static const struct dt_instance types[] = {
    {.name = "p4d.24xlarge", .accelerator = DT_ACCELERATOR_NVIDIA, .rdma_read = true, .efas = 4},
    {.name = "p5.48xlarge",
     .accelerator = DT_ACCELERATOR_NVIDIA,
     .rdma_read = true,
     .rdma_write = true,
     .efas = 32},
    {.name = "g5.48xlarge", .accelerator = DT_ACCELERATOR_NVIDIA, .efas = 1},
    {.name = "trn1.32xlarge", .accelerator = DT_ACCELERATOR_NEURON, .rdma_read = true, .efas = 8},
    {.name = "p5en.48xlarge",
     .accelerator = DT_ACCELERATOR_NVIDIA,
     .rdma_read = true,
     .rdma_write = true,
     .efas = 16},
    {.name = "p6-b200.48xlarge",
     .accelerator = DT_ACCELERATOR_NVIDIA,
     .rdma_read = true,
     .rdma_write = true,
     .efas = 8},
    {.name = "g7e.8xlarge",
     .accelerator = DT_ACCELERATOR_NVIDIA,
     .rdma_read = true,
     .rdma_write = true,
     .efas = 1},
    {.name = "hpc7a.96xlarge", .rdma_read = true, .efas = 2},
    {.name = "m5.large"},
};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

static inline const struct dt_instance *type_named(const char *prefix)
{
    for (size_t i = 0; prefix && i < TYPE_COUNT; i++)
        if (!strncmp(types[i].name, prefix, strlen(prefix)))
            return &types[i];
    return NULL;
}

/* ---- a node and a user, from words ----------------------------------------------------------- */

struct scene {
    struct dt_facts facts;
    const struct dt_instance *instance;
    char *words; /* of the environment */
    char *env[32];
};

/* "lo,eth0" */
static inline void set_interfaces(struct dt_facts *facts, char *names)
{
    json_t *list = json_array();
    char *save = NULL;

    for (char *n = strtok_r(names, ",", &save); n; n = strtok_r(NULL, ",", &save))
        json_array_append_new(list, json_pack("{s:s}", "name", n));
    json_object_set_new(facts->doc, "net.interfaces", list);
}

/* "/x/a,/x/b" */
static inline void set_missing(struct dt_facts *facts, char *paths)
{
    json_t *list = json_array();
    char *save = NULL;

    for (char *p = strtok_r(paths, ",", &save); p; p = strtok_r(NULL, ",", &save))
        json_array_append_new(list, json_string(p));
    json_object_set_new(facts->doc, "files.missing", list);
}

static inline void set_fact(struct dt_facts *facts, char *word)
{
    char *value = strchr(word, '=');

    *value++ = '\0';
    if (!strcmp(word, "net.interfaces")) {
        set_interfaces(facts, value);
        return;
    }
    if (!strcmp(word, "files.missing")) {
        set_missing(facts, value);
        return;
    }
    if (strspn(value, "0123456789") == strlen(value))
        dt_facts_set_int(facts, word, atoll(value));
    else
        dt_facts_set_string(facts, word, value);
}

static inline void scene_init(struct scene *scene, const char *type, const char *facts,
                              const char *env)
{
    char *copy = strdup(facts), *save = NULL;
    size_t count = 0;

    memset(scene, 0, sizeof(*scene));
    scene->facts.doc = json_object();
    scene->instance = type_named(type);
    if (scene->instance)
        dt_facts_set_string(&scene->facts, "instance.type", scene->instance->name);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        set_fact(&scene->facts, w);
    free(copy);
    scene->words = strdup(env);
    for (char *w = strtok_r(scene->words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        scene->env[count++] = w;
}

static inline void scene_fini(struct scene *scene)
{
    json_decref(scene->facts.doc);
    free(scene->words);
}

static inline struct dt_env_rules *load_shipped(void)
{
    struct dt_env_rules *rules;
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-rules.conf");

    if (dt_env_rules_load(&rules, path, &err))
        fail_msg("%s", err.text);
    shipped_drop(path);
    return rules;
}

#endif
