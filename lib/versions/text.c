/* SPDX-License-Identifier: Apache-2.0 */
/* Versions inside texts, and finding a text inside a large file. */
#include "versions/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "versions/elf.h"

enum { VERSION_MAX = 63, PIECE = 256 << 10, OVERLAP = 192 };

static bool is_part(char c)
{
    return isalnum((unsigned char)c) || (c && strchr(".-+_", c));
}

char *dt_version_take(const char *text, size_t len)
{
    size_t n = 0;
    if (len == 0 || !isdigit((unsigned char)*text))
        return NULL;
    while (n < len && n <= VERSION_MAX && is_part(text[n]))
        n++;
    if (n > VERSION_MAX)
        return NULL;
    while (n > 0 && !isalnum((unsigned char)text[n - 1]))
        n--;
    return memchr(text, '.', n) ? strndup(text, n) : NULL;
}

char *dt_version_after(const char *text, const char *label)
{
    const char *at = strstr(text, label);
    if (!at)
        return NULL;
    at += strlen(label);
    at += strspn(at, " \t");
    return dt_version_take(at, strlen(at));
}

/* Every place of the mark in the piece; the first with a version behind it counts. */
static char *version_in(const char *data, size_t len, const char *mark)
{
    size_t mark_len = strlen(mark);
    const char *end = data + len;
    char *version = NULL;
    for (const char *at = data; !version && at < end; at++) {
        at = memmem(at, (size_t)(end - at), mark, mark_len);
        if (!at)
            return NULL;
        const char *text = at + mark_len;
        version = dt_version_take(text, (size_t)(end - text));
    }
    return version;
}

char *dt_version_scan(int fd, uint64_t offset, uint64_t size, const char *mark)
{
    char *version = NULL, *data = malloc(OVERLAP + PIECE);
    uint64_t at = offset, stop;
    size_t kept = 0;
    if (size > DT_SCAN_MAX)
        size = DT_SCAN_MAX;
    if (!data || offset > INT64_MAX - DT_SCAN_MAX)
        goto done;
    stop = offset + size;
    while (!version && at < stop) {
        size_t want = stop - at < PIECE ? (size_t)(stop - at) : PIECE;
        ssize_t n = pread(fd, data + kept, want, (off_t)at);
        if (n <= 0)
            break;
        at += (uint64_t)n;
        size_t len = kept + (size_t)n;
        /* A version that may go on in the next piece waits for it, in the overlap. */
        size_t sure = at < stop && len > OVERLAP / 2 ? len - OVERLAP / 2 : len;
        const char *last = memmem(data, len, mark, strlen(mark));
        if (last && (size_t)(last - data) < sure)
            version = version_in(data, len, mark);
        kept = len < OVERLAP ? len : OVERLAP;
        memmove(data, data + len - kept, kept);
    }
    if (!version && kept) /* the file ended before it said it would */
        version = version_in(data, kept, mark);
done:
    free(data);
    return version;
}

char *dt_version_scan_library(int fd, const char *mark)
{
    struct dt_elf elf;
    char *version = NULL;
    if (dt_elf_read(&elf, fd) < 0)
        return dt_version_scan(fd, 0, DT_SCAN_MAX, mark);
    if (elf.rodata_size)
        version = dt_version_scan(fd, elf.rodata_offset, elf.rodata_size, mark);
    else
        version = dt_version_scan(fd, 0, DT_SCAN_MAX, mark);
    dt_elf_fini(&elf);
    return version;
}
