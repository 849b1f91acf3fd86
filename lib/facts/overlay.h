/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that no file of a tree can show (the kernel's clock, a mount): a tree that stands for a
 * machine may bring them in dt-facts.json, an object as facts.h has it; a null takes a fact away. */
#ifndef DT_FACTS_OVERLAY_H
#define DT_FACTS_OVERLAY_H

#include "facts/facts.h"

/* Nothing is done where the root is the machine's own, or the file is not there. */
int dt_facts_overlay(struct dt_facts *facts, const struct dt_root *root, struct dt_error *err);

/* Does the file bring this fact? A file with a mistake brings none; dt_facts_overlay tells of it. */
bool dt_facts_overlay_brings(const struct dt_root *root, const char *key);

#endif
