/* SPDX-License-Identifier: Apache-2.0 */
/* Text from a peer, a driver or a file, before it is kept or shown: a terminal must never be driven
 * by it. Control characters (C0, DEL, C1) and the Unicode marks that reorder a line become '?'. */
#ifndef DT_FACTS_PRINTABLE_H
#define DT_FACTS_PRINTABLE_H

#include <jansson.h>

void dt_printable(char *text);

/* A JSON string of the text, made printable and cut at `max` bytes. Bytes that are no UTF-8 become
 * '?'. New reference; NULL: out of memory. */
json_t *dt_printable_json(const char *text, size_t max);

#endif
