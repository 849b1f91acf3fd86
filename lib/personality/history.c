/* SPDX-License-Identifier: Apache-2.0 */
/* What the node remembers: a healthy machine has seen a job end, with its counters as they stand; so
 * that a counter that is raised afterwards has grown since. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "check/check.h"
#include "facts/facts.h"
#include "history/history.h"
#include "personality/edit.h"

#define DIRECTORY "/var/lib/dt"

static int remember(struct dt_tree *tree, const struct dt_history_step *step)
{
    struct dt_conf conf = {.nvml_library = (char *)"",
                           .state_directory = (char *)DIRECTORY,
                           .probe_timeout_ms = 10000};
    struct dt_root root;
    struct dt_facts facts = {0};
    struct dt_error told, err = {{0}};
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", tree->root);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return dt_tree_fail(tree, "reading the link", link);
    path[len] = '\0';
    if (dt_root_init(&root, path, &err) < 0)
        return dt_edit_complain(tree, err.text);
    struct dt_facts_request request = {.root = &root, .conf = &conf, .level = DT_LEVEL_FULL};
    int rc = dt_facts_collect_counters(&facts, &request, true, &err);
    if (rc == 0)
        rc = dt_history_end(&root, &conf, step, &facts, &told, &err);
    dt_facts_fini(&facts);
    dt_root_fini(&root);
    return rc < 0 ? dt_edit_complain(tree, err.text) : 0;
}

int dt_persona_remember(struct dt_tree *tree)
{
    return tree->failed ? -1 : remember(tree, &(struct dt_history_step){.job = 1});
}

/* A node of a cluster shares the machine's /var. */
static int refuse_node(struct dt_tree *tree)
{
    return faccessat(tree->root, "dt-facts.json", F_OK, 0) == 0
               ? 0
               : dt_edit_complain(tree, "only a tree can be broken so, and this is none");
}

int dt_persona_lose_jobs(struct dt_tree *tree)
{
    int rc = refuse_node(tree);
    for (long long job = 2; rc == 0 && job <= 4; job++)
        rc = remember(tree,
                      &(struct dt_history_step){.job = job, .lost = "the node went down under it"});
    return rc;
}

int dt_persona_raise(struct dt_tree *tree, const char *directory, const char *file)
{
    char path[512];
    int rc = refuse_node(tree);
    snprintf(path, sizeof path, "%s/%s", directory, file);
    if (rc == 0 && faccessat(tree->root, path, F_OK, 0) < 0) {
        dt_tree_enter(tree, "%s", directory);
        dt_tree_file(tree, file, "0\n");
        rc = dt_persona_remember(tree);
    }
    return rc < 0 ? rc : dt_edit_overwrite(tree, path, "1000000000000\n");
}
