/* SPDX-License-Identifier: Apache-2.0 */
/* Reading headers of ELF files. */
#include "versions/elf.h"

#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTIONS_MAX = 4096, SEGMENTS_MAX = 512, DYNAMIC_MAX = 4096, TEXT_MAX = 65536 };

static bool read_at(int fd, void *to, size_t len, uint64_t offset)
{
    if (offset > INT64_MAX - len)
        return false;
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, (char *)to + done, len - done, (off_t)(offset + done));
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void *read_table(int fd, size_t count, size_t size, uint64_t offset)
{
    void *table = calloc(count ? count : 1, size);
    if (table && read_at(fd, table, count * size, offset))
        return table;
    free(table);
    return NULL;
}

/* The NUL-terminated text there; NULL: none within the bounds. Caller frees. */
static char *read_text(int fd, uint64_t offset)
{
    size_t size = 256;
    for (;; size *= 4) {
        char *text = calloc(1, size + 1);
        if (!text || offset > INT64_MAX - size) {
            free(text);
            return NULL;
        }
        ssize_t n = pread(fd, text, size, (off_t)offset);
        if (n > 0 && memchr(text, '\0', (size_t)n))
            return text;
        free(text);
        if (n < (ssize_t)size || size >= TEXT_MAX)
            return NULL;
    }
}

/* Where .rodata lies, by name; section headers survive strip(1). */
static void find_rodata(struct dt_elf *elf, int fd, const Elf64_Ehdr *header)
{
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shnum > SECTIONS_MAX ||
        header->e_shstrndx >= header->e_shnum)
        return;
    Elf64_Shdr *sections = read_table(fd, header->e_shnum, sizeof *sections, header->e_shoff);
    for (size_t i = 0; sections && i < header->e_shnum; i++) {
        char name[8];
        uint64_t names = sections[header->e_shstrndx].sh_offset;
        if (sections[i].sh_type != SHT_PROGBITS || names > INT64_MAX - UINT32_MAX)
            continue;
        if (read_at(fd, name, sizeof name, names + sections[i].sh_name) &&
            memcmp(name, ".rodata", sizeof name) == 0) {
            elf->rodata_offset = sections[i].sh_offset;
            elf->rodata_size = sections[i].sh_size;
            break;
        }
    }
    free(sections);
}

/* Where an address of the loaded library lies in the file. */
static bool file_offset(const Elf64_Phdr *segments, size_t count, uint64_t address,
                        uint64_t *offset)
{
    for (size_t i = 0; i < count; i++) {
        const Elf64_Phdr *s = &segments[i];
        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz) {
            *offset = address - s->p_vaddr + s->p_offset;
            return *offset >= s->p_offset;
        }
    }
    return false;
}

static void take_dynamic(struct dt_elf *elf, int fd, const Elf64_Dyn *dynamic, size_t count,
                         const Elf64_Phdr *segments, size_t segment_count)
{
    uint64_t strings = 0;
    bool known = false;
    for (size_t i = 0; i < count && dynamic[i].d_tag != DT_NULL; i++) {
        if (dynamic[i].d_tag == DT_STRTAB)
            known = file_offset(segments, segment_count, dynamic[i].d_un.d_ptr, &strings);
    }
    for (size_t i = 0; known && i < count && dynamic[i].d_tag != DT_NULL; i++) {
        char **to = dynamic[i].d_tag == DT_SONAME    ? &elf->soname
                    : dynamic[i].d_tag == DT_RPATH   ? &elf->rpath
                    : dynamic[i].d_tag == DT_RUNPATH ? &elf->runpath
                                                     : NULL;
        if (to && !*to && strings <= INT64_MAX && dynamic[i].d_un.d_val <= UINT32_MAX)
            *to = read_text(fd, strings + dynamic[i].d_un.d_val);
    }
}

static void find_dynamic(struct dt_elf *elf, int fd, const Elf64_Ehdr *header)
{
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > SEGMENTS_MAX)
        return;
    Elf64_Phdr *segments = read_table(fd, header->e_phnum, sizeof *segments, header->e_phoff);
    for (size_t i = 0; segments && i < header->e_phnum; i++) {
        size_t count = (size_t)(segments[i].p_filesz / sizeof(Elf64_Dyn));
        if (segments[i].p_type != PT_DYNAMIC || count > DYNAMIC_MAX)
            continue;
        Elf64_Dyn *dynamic = read_table(fd, count, sizeof *dynamic, segments[i].p_offset);
        if (dynamic)
            take_dynamic(elf, fd, dynamic, count, segments, header->e_phnum);
        free(dynamic);
        break;
    }
    free(segments);
}

int dt_elf_read(struct dt_elf *elf, int fd)
{
    Elf64_Ehdr header;
    const int order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    *elf = (struct dt_elf){0};
    if (!read_at(fd, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != order)
        return -1;
    elf->machine = header.e_machine;
    find_rodata(elf, fd, &header);
    find_dynamic(elf, fd, &header);
    return 0;
}

void dt_elf_fini(struct dt_elf *elf)
{
    free(elf->soname);
    free(elf->rpath);
    free(elf->runpath);
    *elf = (struct dt_elf){0};
}
