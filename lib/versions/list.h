/* SPDX-License-Identifier: Apache-2.0 */
/* A growable list of texts, owned. */
#ifndef DT_VERSIONS_LIST_H
#define DT_VERSIONS_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct dt_list {
    char **items;
    size_t count;
};

int dt_list_take(struct dt_list *list, char *text /* owned; NULL: fails */);
int dt_list_add(struct dt_list *list, const char *text, size_t len);
bool dt_list_has(const struct dt_list *list, const char *text);
void dt_list_fini(struct dt_list *list);

#endif
