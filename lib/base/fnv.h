/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, 64 bits: against accident, not against attack; trust comes from a file's owner. */
#ifndef DT_BASE_FNV_H
#define DT_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

#define DT_FNV_START UINT64_C(0xcbf29ce484222325)
#define DT_FNV_PRIME UINT64_C(0x100000001b3)

static inline uint64_t dt_fnv(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * DT_FNV_PRIME;
    return hash;
}

#endif
