/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /etc/ld.so.cache: glibc's sysdeps/generic/dl-cache.h, format "glibc-ld.so.cache1.1",
 * alone or behind the old "ld.so-1.7.0" table. */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "versions/ldconf.h"

enum { CACHE_MAX = 16 << 20, ENTRIES_MAX = 200000 };

struct old_header {
    char magic[12]; /* "ld.so-1.7.0" and padding */
    uint32_t count;
};
enum { OLD_ENTRY = 12 };

struct header {
    char magic[20]; /* "glibc-ld.so.cache" "1.1" */
    uint32_t count, strings_size;
    uint8_t flags, padding[3];
    uint32_t extensions, unused[3];
};

struct entry {
    int32_t flags; /* low byte 3: a library of glibc; the next: the machine */
    uint32_t key, value, os;
    uint64_t hwcap;
};

static int wanted_flags(void)
{
#if defined(__x86_64__)
    return 0x0303;
#elif defined(__aarch64__)
    return 0x0a03;
#else
    return 0x0003;
#endif
}

/* A text that lies wholly in the file. */
static const char *text_at(const unsigned char *data, size_t size, size_t offset)
{
    if (offset >= size || !memchr(data + offset, '\0', size - offset))
        return NULL;
    return (const char *)data + offset;
}

int dt_ldcache_parse(struct dt_list *pairs, const unsigned char *data, size_t size)
{
    static const char magic[] = "glibc-ld.so.cache1.1", old_magic[] = "ld.so-1.7.0";
    size_t start = 0;
    struct header header;
    if (size >= sizeof(struct old_header) && memcmp(data, old_magic, sizeof old_magic - 1) == 0) {
        struct old_header old;
        memcpy(&old, data, sizeof old);
        if (old.count > ENTRIES_MAX)
            return 0;
        start = (sizeof old + (size_t)old.count * OLD_ENTRY + 7) & ~(size_t)7;
    }
    if (start > size || size - start < sizeof header ||
        memcmp(data + start, magic, sizeof magic - 1) != 0)
        return 0;
    memcpy(&header, data + start, sizeof header);
    size_t room = (size - start - sizeof header) / sizeof(struct entry);
    for (size_t i = 0; i < header.count && i < room && i < ENTRIES_MAX; i++) {
        struct entry entry;
        memcpy(&entry, data + start + sizeof header + i * sizeof entry, sizeof entry);
        /* Texts are counted from the start of this header. */
        const char *name = text_at(data + start, size - start, entry.key);
        const char *path = text_at(data + start, size - start, entry.value);
        if (entry.flags != wanted_flags() || entry.hwcap || !name || !path || *path != '/')
            continue;
        if (dt_list_add(pairs, name, strlen(name)) < 0 || dt_list_add(pairs, path, strlen(path)))
            return -1;
    }
    return 1;
}

int dt_ldcache_read(struct dt_list *pairs, const struct dt_root *root)
{
    int fd = dt_root_open(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "etc/ld.so.cache");
    if (fd < 0)
        return 0;
    unsigned char *data = NULL;
    size_t size = 0, capacity = 0;
    int rc = -1;
    for (;;) {
        if (size == capacity) {
            capacity = capacity ? capacity * 2 : 64 << 10;
            rc = capacity > CACHE_MAX ? 0 : -1; /* no cache of this world is so large */
            unsigned char *more = rc == 0 ? NULL : realloc(data, capacity);
            if (!more)
                goto done;
            data = more;
        }
        ssize_t n = read(fd, data + size, capacity - size);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    rc = dt_ldcache_parse(pairs, data, size);
done:
    free(data);
    close(fd);
    return rc;
}
