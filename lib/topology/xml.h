/* SPDX-License-Identifier: Apache-2.0 */
/* A small reader of XML for topology files (hwloc, NCCL): elements, attributes, character data and
 * the five named entities; comments, declarations and DOCTYPE are stepped over, nothing is fetched
 * and nothing is expanded. Input is not trusted: sizes and depth are bounded, every mistake is one
 * sentence with its line. */
#ifndef DT_TOPOLOGY_XML_H
#define DT_TOPOLOGY_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DT_XML_DEPTH_MAX 128
#define DT_XML_NODES_MAX 1000000

struct dt_xml_attribute {
    const char *name, *value;
};

struct dt_xml_node {
    const char *name;
    const char *text; /* character data before the first child, without leading blanks; "" */
    size_t line;
    struct dt_xml_attribute *attributes;
    size_t attribute_count;
    struct dt_xml_node *parent, *first, *last, *next; /* children in the file's order */
    struct dt_xml_node *made_before;                  /* owner's list */
};

struct dt_xml {
    struct dt_xml_node *root;
    struct dt_xml_node *newest;
    size_t count;
    char *text; /* copy of the input, cut up in place */
};

/* `name` is what errors call the file. On failure nothing is left to free. */
int dt_xml_parse(struct dt_xml *xml, const char *name, const char *text, size_t len,
                 struct dt_error *err);
void dt_xml_fini(struct dt_xml *xml);

/* Value of an attribute, or NULL. */
const char *dt_xml_get(const struct dt_xml_node *node, const char *attribute);
bool dt_xml_is(const struct dt_xml_node *node, const char *name);

/* The first element's name without reading further ("topology", "system"); false: none. */
bool dt_xml_peek_root(const char *text, size_t len, const char *name);

#endif
