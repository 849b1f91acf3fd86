/* SPDX-License-Identifier: Apache-2.0 */
/* Inside dt-personality: changing a tree that is there. Functions that return an int give -1, with
 * the tree's error set, when they fail. */
#ifndef DT_PERSONALITY_EDIT_H
#define DT_PERSONALITY_EDIT_H

#include "personality.h"

#define PCI "sys/bus/pci/devices"

int edit_complain(struct tree *tree, const char *sentence); /* returns -1 */
char *edit_read_all(struct tree *tree, const char *path);   /* caller frees; NULL and errno */
int edit_overwrite(struct tree *tree, const char *path, const char *text);
/* Replace every `from` in a file. A file that is not there, or has none, stays: 0; changed: 1. */
int edit_substitute(struct tree *tree, const char *path, const char *from, const char *to);
/* Scale the number in the lines "[Node N ]KEY   NUMBER ..." of a meminfo file. */
int edit_scale_lines(struct tree *tree, const char *path, const char *const *keys, int percent);
/* Sorted names in a directory, without dot names; NULL-terminated. */
char **edit_list_names(struct tree *tree, const char *path);
void edit_free_names(char **names);
int edit_remove_tree(struct tree *tree, const char *path);
int edit_remove_linked(struct tree *tree, const char *directory, const char *name);
/* Address of the last device on the PCI bus of this vendor and class; false: none. */
bool edit_last_device(struct tree *tree, const char *vendor, const char *class, char bdf[32]);
/* Name of the last entry of a sysfs class; false: none. */
bool edit_last_name(struct tree *tree, const char *path, char name[64]);

#endif
