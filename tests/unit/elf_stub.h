/* SPDX-License-Identifier: Apache-2.0 */
/* A small but true 64-bit shared object, made by the tests at run time: a dynamic section with
 * soname, DT_RPATH and DT_RUNPATH, and a .rodata with a text, behind as much padding as wanted. */
#ifndef DT_TEST_ELF_STUB_H
#define DT_TEST_ELF_STUB_H

#include <elf.h>
#include <stdlib.h>
#include <string.h>

struct elf_stub {
    const char *soname, *rpath, *runpath, *text;
    size_t padding; /* bytes of .rodata before the text */
};

/* Returns malloc'd bytes. */
static inline unsigned char *elf_stub_make(const struct elf_stub *stub, size_t *size)
{
    static const char names[] = "\0.rodata\0.shstrtab";
    const char *texts[] = {stub->soname, stub->rpath, stub->runpath};
    const Elf64_Sxword tags[] = {DT_SONAME, DT_RPATH, DT_RUNPATH};
    size_t strings = 4096, dynamic = 8192, rodata = 12288;
    size_t rodata_size = stub->padding + (stub->text ? strlen(stub->text) : 0) + 1;
    size_t section_names = rodata + rodata_size;
    size_t sections = (section_names + sizeof names + 63) & ~(size_t)63;
    *size = sections + 3 * sizeof(Elf64_Shdr);
    unsigned char *data = calloc(1, *size);
    Elf64_Ehdr *header = (Elf64_Ehdr *)data;
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_ident[EI_VERSION] = EV_CURRENT;
    header->e_type = ET_DYN;
    header->e_machine = EM_X86_64;
    header->e_phoff = sizeof *header;
    header->e_phentsize = sizeof(Elf64_Phdr);
    header->e_phnum = 2;
    header->e_shoff = sections;
    header->e_shentsize = sizeof(Elf64_Shdr);
    header->e_shnum = 3;
    header->e_shstrndx = 2;
    Elf64_Phdr *segments = (Elf64_Phdr *)(data + sizeof *header);
    /* loaded 64 KiB higher than it lies in the file: addresses are not offsets */
    segments[0] =
        (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = rodata, .p_memsz = rodata};
    Elf64_Dyn *entries = (Elf64_Dyn *)(data + dynamic);
    size_t count = 0, at = 1;
    for (size_t i = 0; i < 3; i++) {
        if (!texts[i])
            continue;
        strcpy((char *)data + strings + at, texts[i]);
        entries[count].d_tag = tags[i];
        entries[count++].d_un.d_val = at;
        at += strlen(texts[i]) + 1;
    }
    entries[count].d_tag = DT_STRTAB;
    entries[count++].d_un.d_ptr = strings + 0x10000;
    segments[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                               .p_offset = dynamic,
                               .p_vaddr = dynamic + 0x10000,
                               .p_filesz = (count + 1) * sizeof *entries};
    if (stub->text)
        strcpy((char *)data + rodata + stub->padding, stub->text);
    memcpy(data + section_names, names, sizeof names);
    Elf64_Shdr *table = (Elf64_Shdr *)(data + sections);
    table[1] = (Elf64_Shdr){
        .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = rodata, .sh_size = rodata_size};
    table[2] = (Elf64_Shdr){
        .sh_name = 9, .sh_type = SHT_STRTAB, .sh_offset = section_names, .sh_size = sizeof names};
    return data;
}

#endif
