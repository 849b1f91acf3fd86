/* SPDX-License-Identifier: Apache-2.0 */
/* Versions inside texts, and finding a text inside a large file. */
#ifndef DT_VERSIONS_TEXT_H
#define DT_VERSIONS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version at the start of text ("2.1.0amzn5.0"): a digit, then digits, dots, letters, '-', '+',
 * '_'; at most 63 bytes, with a dot in it. Copied; caller frees. NULL: there is none. */
char *dt_version_take(const char *text, size_t len);

/* The version behind the first `label` in the text, blanks stepped over. Caller frees. */
char *dt_version_after(const char *text, const char *label);

/* Look for `mark` in bytes offset..offset+size of a file and take the version that follows it.
 * Read in pieces: a file of 400 MB costs 256 KiB of memory, and one that shrinks meanwhile is no
 * SIGBUS. At most DT_SCAN_MAX bytes are read. NULL: not there. */
#define DT_SCAN_MAX (64ull << 20)
char *dt_version_scan(int fd, uint64_t offset, uint64_t size, const char *mark);

/* The same, where the library's own layout says which bytes can hold a text: .rodata of an ELF
 * file, the head of any other. */
char *dt_version_scan_library(int fd, const char *mark);

#endif
