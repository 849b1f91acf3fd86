/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of many nodes against each other: those of the step that this is a task of, or lines
 * that nodes have printed before. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "versions.h"

static int print_comparison(const struct dt_versions_comparison *found, bool json)
{
    bool missing = found->nodes < found->expected;
    if (json) {
        json_t *object = json_pack("{s:I, s:I, s:O}", "nodes", (json_int_t)found->nodes, "expected",
                                   (json_int_t)found->expected, "findings", found->findings);
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!text)
            return DT_EXIT_HELPER;
        printf("%s\n", text);
        free(text);
    } else {
        fputs(found->text, stdout);
        if (missing)
            printf("only %zu of %zu nodes reported\n", found->nodes, found->expected);
        if (found->differing == 0)
            printf("%zu node%s: all versions are equal\n", found->nodes,
                   found->nodes == 1 ? "" : "s");
    }
    return missing ? DT_EXIT_INCOMPLETE : found->differing ? 1 : 0;
}

/* ---- lines on standard input -------------------------------------------------------------------- */

static int read_nodes(struct dt_versions_nodes *nodes, struct dt_error *err)
{
    char *line = NULL;
    size_t size = 0, number = 0;
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = getline(&line, &size, stdin)) >= 0) {
        number++;
        rc = n > VERSIONS_LINE_MAX ? dt_error_set(err, "longer than %d bytes", VERSIONS_LINE_MAX)
                                   : dt_versions_nodes_add(nodes, line, (size_t)n, err);
    }
    if (rc < 0)
        dt_error_prefix(err, "line %zu of standard input", number);
    else if (ferror(stdin))
        rc = dt_error_set(err, "standard input can not be read: %s", strerror(errno));
    else if (number == 0)
        rc = dt_error_set(err, "standard input is empty; give it the lines that \"dt-env versions "
                               "--json\" printed on the nodes");
    free(line);
    return rc;
}

int versions_compare(const struct versions_options *o, struct dt_error *err)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    struct dt_versions_comparison found;
    int code = DT_EXIT_HELPER;
    if (!nodes)
        dt_error_set(err, "out of memory");
    else if (read_nodes(nodes, err) < 0)
        code = DT_EXIT_USAGE;
    else if (dt_versions_compare(&found, nodes, err) == 0) {
        code = print_comparison(&found, o->json);
        dt_versions_comparison_fini(&found);
    }
    dt_versions_nodes_destroy(nodes);
    return code;
}

/* ---- a step ------------------------------------------------------------------------------------- */

/* All lines of one node, or, where one is wrong, those before it: it counts as not heard. */
static bool take_lines(void *context, const struct dt_buf *text)
{
    struct dt_error err;
    const char *line = text->data, *end = line + text->len;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop ? stop : end) - line);
        if (dt_versions_nodes_add(context, line, len, &err) < 0)
            return false;
        line += len + (stop != NULL);
    }
    return text->len > 0;
}

static void print_missing(const struct step *step, const bool *heard)
{
    char **names = calloc(step->nodes.count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; names && i < step->nodes.count; i++)
        if (!heard[i])
            names[count++] = step->nodes.names[i];
    char *text = names && count ? dt_hostlist_compress(names, count) : NULL;
    if (text)
        printf("not heard in %ld s: %s\n", step->seconds, text);
    free(text);
    free(names);
}

static int print_step(const struct step *step, const struct dt_versions *versions, const char *node,
                      const bool *heard, const struct dt_versions_nodes *nodes,
                      struct dt_error *err)
{
    struct dt_versions_comparison found;
    if (dt_versions_compare(&found, nodes, err) < 0)
        return DT_EXIT_HELPER;
    printf("%s, the first of %zu nodes:\n", node, step->nodes.count);
    int code = DT_EXIT_HELPER;
    if (versions_print(versions, "") == 0) {
        printf("\n");
        code = print_comparison(&found, false);
    }
    print_missing(step, heard);
    dt_versions_comparison_fini(&found);
    return code;
}

static int first_node(const struct step *step, const struct dt_versions *versions, const char *node,
                      const struct dt_buf *own, struct dt_error *err)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    bool *heard = calloc(step->nodes.count, sizeof *heard);
    int code = DT_EXIT_HELPER;
    if (!nodes || !heard || !take_lines(nodes, own)) {
        dt_error_set(err, "out of memory");
    } else {
        heard[0] = true;
        if (step_receive(step, heard, take_lines, nodes, err) == 0)
            code = print_step(step, versions, node, heard, nodes, err);
    }
    free(heard);
    dt_versions_nodes_destroy(nodes);
    return code;
}

/* The first node does not hear it: what it has is not lost. */
static int other_node(const struct step *step, const struct dt_versions *versions, const char *node,
                      const struct dt_buf *own, struct dt_error *err)
{
    char *prefix;
    int rc = -1;
    if (step_send(step, own, err) == 0)
        return 0;
    if (asprintf(&prefix, "%s: ", node) >= 0) {
        rc = versions_print(versions, prefix);
        free(prefix);
    }
    return rc < 0 ? DT_EXIT_HELPER : DT_EXIT_INCOMPLETE;
}

int versions_of_step(const struct step *step, const struct dt_versions *versions, const char *node,
                     struct dt_error *err)
{
    struct dt_buf own = DT_BUF_INIT;
    int code = DT_EXIT_HELPER;
    if (step->local > 0) /* the other tasks of a node see the same */
        return 0;
    if (versions_put_json(&own, versions, node, (long)step->nodes.count) < 0)
        dt_error_set(err, "out of memory");
    else
        code = step->node == 0 ? first_node(step, versions, node, &own, err)
                               : other_node(step, versions, node, &own, err);
    dt_buf_fini(&own);
    return code;
}
