/* SPDX-License-Identifier: Apache-2.0 */
/* Merging of neighbours, the best pair first; see bpe.h. The pieces of a text are a list, the pairs
 * that can be made one a heap; a pair one half of which has become something else is passed over
 * when it comes up. */
#include "bpe.h"

#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

struct node {
    size_t at, length; /* bytes of the piece */
    size_t before, after;
    uint32_t token;
};

struct pair {
    double rank;
    size_t left; /* node; right is the one after it */
    uint32_t left_token, right_token, becomes;
};

struct work {
    const struct dt_bpe *bpe;
    const char *piece;
    struct node *nodes;
    size_t node_count;
    struct pair *heap;
    size_t heap_count;
};

void dt_bpe_init(struct dt_bpe *bpe)
{
    *bpe = (struct dt_bpe){.end = DT_NO_TOKEN};
    memset(bpe->of_byte, 0xff, sizeof bpe->of_byte);
}

void dt_bpe_fini(struct dt_bpe *bpe)
{
    dt_vocabulary_fini(&bpe->vocabulary);
    free(bpe->merges);
    *bpe = (struct dt_bpe){0};
}

static struct dt_merge *merge_slot(struct dt_merge *table, size_t slots, uint32_t left,
                                   uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(key >> 20) & (slots - 1);
    while (table[at].token != DT_NO_TOKEN && (table[at].left != left || table[at].right != right))
        at = (at + 1) & (slots - 1);
    return &table[at];
}

static int grow_merges(struct dt_bpe *bpe)
{
    size_t slots = bpe->merge_slots ? 2 * bpe->merge_slots : 1024;
    struct dt_merge *grown = malloc(slots * sizeof *grown);
    if (!grown)
        return -1;
    memset(grown, 0xff, slots * sizeof *grown); /* token: DT_NO_TOKEN */
    for (size_t i = 0; i < bpe->merge_slots; i++) {
        const struct dt_merge *old = &bpe->merges[i];
        if (old->token != DT_NO_TOKEN)
            *merge_slot(grown, slots, old->left, old->right) = *old;
    }
    free(bpe->merges);
    bpe->merges = grown;
    bpe->merge_slots = slots;
    return 0;
}

int dt_bpe_merge(struct dt_bpe *bpe, uint32_t left, uint32_t right, uint32_t token, uint32_t rank)
{
    if (2 * bpe->merge_count >= bpe->merge_slots && grow_merges(bpe) < 0)
        return -1;
    struct dt_merge *slot = merge_slot(bpe->merges, bpe->merge_slots, left, right);
    if (slot->token == DT_NO_TOKEN) {
        *slot = (struct dt_merge){.left = left, .right = right, .token = token, .rank = rank};
        bpe->merge_count++;
    }
    return 0;
}

int dt_bpe_finish(struct dt_bpe *bpe, struct dt_error *err)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        if (bpe->of_byte[byte] == DT_NO_TOKEN)
            bpe->of_byte[byte] = dt_vocabulary_find(&bpe->vocabulary, &text, 1);
        if (bpe->of_byte[byte] == DT_NO_TOKEN)
            return dt_error_set(err,
                                "it has no token for the byte 0x%02x, so that not every text "
                                "can be encoded",
                                byte);
    }
    return 0;
}

/* ---- the heap of pairs: lowest rank first, of equals the leftmost ------------------------------ */

static bool sooner(const struct pair *a, const struct pair *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static void swap(struct pair *a, struct pair *b)
{
    struct pair keep = *a;
    *a = *b;
    *b = keep;
}

static void push(struct work *w, struct pair pair)
{
    size_t at = w->heap_count++;
    w->heap[at] = pair;
    for (; at > 0 && sooner(&w->heap[at], &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&w->heap[at], &w->heap[(at - 1) / 2]);
}

static struct pair pop(struct work *w)
{
    struct pair first = w->heap[0];
    w->heap[0] = w->heap[--w->heap_count];
    for (size_t at = 0;;) {
        size_t least = 2 * at + 1;
        if (least >= w->heap_count)
            return first;
        if (least + 1 < w->heap_count && sooner(&w->heap[least + 1], &w->heap[least]))
            least++;
        if (!sooner(&w->heap[least], &w->heap[at]))
            return first;
        swap(&w->heap[least], &w->heap[at]);
        at = least;
    }
}

/* ---- the list of pieces ------------------------------------------------------------------------ */

/* What the neighbours become, if anything. */
static bool joins(const struct work *w, size_t left, struct pair *pair)
{
    const struct dt_bpe *bpe = w->bpe;
    const struct node *l = &w->nodes[left], *r = &w->nodes[l->after];
    *pair = (struct pair){.left = left, .left_token = l->token, .right_token = r->token};
    if (l->token == DT_NO_TOKEN || r->token == DT_NO_TOKEN)
        return false;
    if (bpe->merges) {
        const struct dt_merge *m = merge_slot(bpe->merges, bpe->merge_slots, l->token, r->token);
        pair->becomes = m->token;
        pair->rank = m->rank;
    } else {
        pair->becomes =
            dt_vocabulary_find(&bpe->vocabulary, w->piece + l->at, l->length + r->length);
        if (pair->becomes != DT_NO_TOKEN)
            pair->rank = bpe->vocabulary.words[pair->becomes].rank;
    }
    return pair->becomes != DT_NO_TOKEN;
}

static void consider(struct work *w, size_t left)
{
    struct pair pair;
    if (left != NONE && w->nodes[left].after != NONE && joins(w, left, &pair))
        push(w, pair);
}

/* Bytes of the character of UTF-8 that begins here; 1 where none does. */
static size_t character_length(const char *text, size_t rest)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (length > rest)
        return 1;
    for (size_t i = 1; i < length; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 1;
    return length;
}

static void cut(struct work *w, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t bytes = w->bpe->characters ? character_length(w->piece + at, length - at) : 1;
        size_t index = w->node_count++;
        w->nodes[index] = (struct node){
            .at = at,
            .length = bytes,
            .before = index > 0 ? index - 1 : NONE,
            .after = at + bytes < length ? index + 1 : NONE,
            .token = w->bpe->characters
                         ? dt_vocabulary_find(&w->bpe->vocabulary, w->piece + at, bytes)
                         : w->bpe->of_byte[(unsigned char)w->piece[at]]};
        at += bytes;
    }
    for (size_t i = 0; i + 1 < w->node_count; i++)
        consider(w, i);
}

static void merge(struct work *w)
{
    while (w->heap_count > 0) {
        struct pair pair = pop(w);
        struct node *left = &w->nodes[pair.left];
        if (left->length == 0 || left->after == NONE || left->token != pair.left_token ||
            w->nodes[left->after].token != pair.right_token)
            continue;
        struct node *right = &w->nodes[left->after];
        left->token = pair.becomes;
        left->length += right->length;
        right->length = 0;
        left->after = right->after;
        if (left->after != NONE)
            w->nodes[left->after].before = pair.left;
        consider(w, left->before);
        consider(w, pair.left);
    }
}

int dt_tokens_add(struct dt_tokens *tokens, uint32_t token)
{
    if (tokens->count == tokens->room) {
        size_t room = tokens->room ? 2 * tokens->room : 256;
        uint32_t *grown = realloc(tokens->list, room * sizeof *grown);
        if (!grown)
            return -1;
        tokens->list = grown;
        tokens->room = room;
    }
    tokens->list[tokens->count++] = token;
    return 0;
}

/* What has become no token goes byte by byte. */
static int hand_over(const struct work *w, struct dt_tokens *tokens)
{
    for (size_t i = w->node_count > 0 ? 0 : NONE; i != NONE; i = w->nodes[i].after) {
        const struct node *node = &w->nodes[i];
        if (node->token != DT_NO_TOKEN && dt_tokens_add(tokens, node->token) < 0)
            return -1;
        for (size_t b = 0; node->token == DT_NO_TOKEN && b < node->length; b++)
            if (dt_tokens_add(tokens, w->bpe->of_byte[(unsigned char)w->piece[node->at + b]]) < 0)
                return -1;
    }
    return 0;
}

int dt_bpe_encode(const struct dt_bpe *bpe, const char *piece, size_t length,
                  struct dt_tokens *tokens)
{
    enum { SHORT = 64 };
    struct node few_nodes[SHORT];
    struct pair few_pairs[3 * SHORT];
    if (bpe->whole) {
        uint32_t token = dt_vocabulary_find(&bpe->vocabulary, piece, length);
        if (token != DT_NO_TOKEN)
            return dt_tokens_add(tokens, token);
    }
    struct work w = {.bpe = bpe, .piece = piece, .nodes = few_nodes, .heap = few_pairs};
    int rc = -1;
    if (length > SHORT) {
        w.nodes = malloc(length * sizeof *w.nodes);
        w.heap = malloc(3 * length * sizeof *w.heap); /* each merge brings two pairs at most */
    }
    if (w.nodes && w.heap) {
        cut(&w, length);
        merge(&w);
        rc = hand_over(&w, tokens);
    }
    if (length > SHORT) {
        free(w.nodes);
        free(w.heap);
    }
    return rc;
}
