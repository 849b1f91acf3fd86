/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and bytes of tokens; see vocabulary.h. */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"

/* Where the bytes stand in the hash table, or where they would. */
static size_t slot_of(const struct dt_vocabulary *v, const void *bytes, size_t length)
{
    size_t at = dt_fnv(DT_FNV_START, bytes, length) & (v->slot_count - 1);
    for (; v->slots[at] != DT_NO_TOKEN; at = (at + 1) & (v->slot_count - 1)) {
        const struct dt_word *word = &v->words[v->slots[at]];
        if (word->length == length && memcmp(v->arena + word->at, bytes, length) == 0)
            break;
    }
    return at;
}

static int grow_slots(struct dt_vocabulary *v)
{
    size_t count = v->slot_count ? 2 * v->slot_count : 1024;
    uint32_t *old = v->slots, *grown = malloc(count * sizeof *grown);
    if (!grown)
        return -1;
    memset(grown, 0xff, count * sizeof *grown); /* DT_NO_TOKEN */
    size_t old_count = v->slot_count;
    v->slots = grown;
    v->slot_count = count;
    for (size_t i = 0; i < old_count; i++)
        if (old[i] != DT_NO_TOKEN)
            v->slots[slot_of(v, dt_vocabulary_bytes(v, old[i]), v->words[old[i]].length)] = old[i];
    free(old);
    return 0;
}

static int grow_words(struct dt_vocabulary *v, size_t wanted)
{
    size_t room = v->room ? v->room : 1024;
    while (room < wanted)
        room *= 2;
    struct dt_word *grown = realloc(v->words, room * sizeof *grown);
    if (!grown)
        return -1;
    memset(grown + v->room, 0, (room - v->room) * sizeof *grown);
    v->words = grown;
    v->room = room;
    return 0;
}

static int keep_bytes(struct dt_vocabulary *v, const void *bytes, size_t length)
{
    if (v->space - v->used < length) {
        size_t space = 2 * v->space + length + 4096;
        char *grown = realloc(v->arena, space);
        if (!grown)
            return -1;
        v->arena = grown;
        v->space = space;
    }
    if (length > 0)
        memcpy(v->arena + v->used, bytes, length);
    v->used += length;
    return 0;
}

int dt_vocabulary_add(struct dt_vocabulary *v, uint32_t token, const void *bytes, size_t length,
                      double rank, bool merges)
{
    if (token >= DT_MOST_TOKENS || length > UINT32_MAX ||
        (token >= v->room && grow_words(v, (size_t)token + 1) < 0) ||
        (2 * v->filled >= v->slot_count && grow_slots(v) < 0))
        return -1;
    size_t at = v->used;
    if (keep_bytes(v, bytes, length) < 0)
        return -1;
    if (token >= v->count)
        v->count = (size_t)token + 1;
    v->words[token] = (struct dt_word){
        .at = at, .length = (uint32_t)length, .known = true, .merges = merges, .rank = rank};
    if (!merges)
        return 0;
    size_t slot = slot_of(v, bytes, length);
    if (v->slots[slot] == DT_NO_TOKEN) {
        v->slots[slot] = token;
        v->filled++;
    }
    return 0;
}

uint32_t dt_vocabulary_find(const struct dt_vocabulary *v, const void *bytes, size_t length)
{
    return v->slot_count ? v->slots[slot_of(v, bytes, length)] : DT_NO_TOKEN;
}

void dt_vocabulary_fini(struct dt_vocabulary *v)
{
    free(v->words);
    free(v->arena);
    free(v->slots);
    *v = (struct dt_vocabulary){0};
}
