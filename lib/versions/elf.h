/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader reads of a 64-bit ELF library, and where its texts lie. Nothing in the file is
 * believed: every offset and count is checked, and little of it is read. */
#ifndef DT_VERSIONS_ELF_H
#define DT_VERSIONS_ELF_H

#include <stdint.h>

struct dt_elf {
    uint64_t rodata_offset, rodata_size; /* size 0: has none */
    char *soname, *rpath, *runpath;      /* NULL: has none */
    int machine;                         /* EM_X86_64 ... */
};

/* -1: not a 64-bit ELF file of this byte order, or a broken one; nothing to free then. */
int dt_elf_read(struct dt_elf *elf, int fd);
void dt_elf_fini(struct dt_elf *elf);

#endif
