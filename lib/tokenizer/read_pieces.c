/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's tokenizer.model: a message of protocol buffers. Of it are read, by the numbers in
 * sentencepiece_model.proto: pieces (1: text, score, type), of the trainer (2) its type (3), of the
 * normalizer (3) its table (2) and the treatment of spaces (3 to 5). */
#include <string.h>

#include "read.h"

enum { VARINT, EIGHT, BYTES, FOUR = 5 }; /* how a field is written */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { BPE = 2 };

struct reader {
    const unsigned char *at, *end;
};

struct field {
    unsigned number, manner;
    uint64_t value;      /* varint, or the bits of a fixed one */
    struct reader bytes; /* BYTES */
};

static bool varint(struct reader *r, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        unsigned char byte = *r->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool fixed(struct reader *r, size_t bytes, uint64_t *value)
{
    *value = 0;
    if ((size_t)(r->end - r->at) < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)*r->at++ << 8 * i;
    return true;
}

/* Returns 1: a field; 0: the end; -1: damage. */
static int next_field(struct reader *r, struct field *f)
{
    uint64_t key;
    if (r->at == r->end)
        return 0;
    if (!varint(r, &key))
        return -1;
    *f = (struct field){.number = (unsigned)(key >> 3), .manner = (unsigned)(key & 7)};
    if (f->manner == VARINT)
        return varint(r, &f->value) ? 1 : -1;
    if (f->manner == EIGHT || f->manner == FOUR)
        return fixed(r, f->manner == FOUR ? 4 : 8, &f->value) ? 1 : -1;
    if (f->manner != BYTES || !varint(r, &f->value) || f->value > (uint64_t)(r->end - r->at))
        return -1;
    f->bytes = (struct reader){r->at, r->at + f->value};
    r->at += f->value;
    return 1;
}

static int damage(struct dt_error *err, const char *what)
{
    return dt_error_set(err, "its %s can not be read: it is damaged, or no model of SentencePiece",
                        what);
}

static const char mark[] = "\xe2\x96\x81"; /* U+2581, which stands for a space */

static size_t with_spaces(char *to, const unsigned char *from, size_t length)
{
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        bool space = length - at >= 3 && memcmp(from + at, mark, 3) == 0;
        to[count++] = space ? ' ' : (char)from[at];
        at += space ? 3 : 1;
    }
    return count;
}

struct piece {
    struct reader text;
    float score;
    uint64_t type;
};

/* "<0x0A>" */
static int byte_piece(const struct piece *p)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *text = (const char *)p->text.at;
    if (p->text.end - p->text.at != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const char *high = text[3] ? strchr(digits, text[3]) : NULL;
    const char *low = text[4] ? strchr(digits, text[4]) : NULL;
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static int add_piece(struct dt_tokenizer *t, const struct piece *p, uint32_t number,
                     struct dt_error *err)
{
    struct dt_bpe *bpe = &t->bpe;
    char text[1024];
    size_t length = (size_t)(p->text.end - p->text.at);
    if (length > sizeof text)
        return dt_error_set(err, "its piece %u has %zu bytes, and %zu are the most", number, length,
                            sizeof text);
    size_t count = with_spaces(text, p->text.at, length);
    bool merges = p->type == NORMAL && count > 0;
    if (p->type == BYTE) {
        int byte = byte_piece(p);
        if (byte < 0)
            return damage(err, "piece of a byte");
        text[0] = (char)byte;
        count = 1;
        bpe->of_byte[byte] = number;
    }
    if (merges && memchr(text, '\n', count - 1))
        t->by_line = false;
    if (count == 4 && p->type == CONTROL && memcmp(text, "</s>", 4) == 0)
        bpe->end = number;
    if (dt_vocabulary_add(&bpe->vocabulary, number, text, count, -(double)p->score, merges) < 0)
        return dt_error_set(err, "no memory for its piece %u", number);
    return 0;
}

static int read_piece(struct dt_tokenizer *t, struct reader r, uint32_t number,
                      struct dt_error *err)
{
    struct piece piece = {.type = NORMAL, .text = {r.at, r.at}};
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) > 0) {
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.manner == BYTES)
            piece.text = f.bytes;
        else if (f.number == 2 && f.manner == FOUR)
            memcpy(&piece.score, &bits, sizeof bits);
        else if (f.number == 3 && f.manner == VARINT)
            piece.type = f.value;
    }
    return rc < 0 ? damage(err, "piece") : add_piece(t, &piece, number, err);
}

/* The value of a number in a message, or what it is by default. */
static int number_in(struct reader r, unsigned number, uint64_t *value)
{
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) > 0)
        if (f.number == number && f.manner == VARINT)
            *value = f.value;
    return rc;
}

/* Llama's changes nothing but spaces. */
static int read_normalizer(struct dt_tokenizer *t, struct reader r, struct dt_error *err)
{
    uint64_t first = 1, remove = 1, escape = 1;
    struct field f;
    struct reader all = r;
    if (number_in(r, 3, &first) < 0 || number_in(r, 4, &remove) < 0 || number_in(r, 5, &escape) < 0)
        return damage(err, "normalizer");
    while (next_field(&all, &f) > 0)
        if (f.number == 2 && f.manner == BYTES && f.value > 0)
            remove = 1; /* a table of characters that become others */
    if (remove || !escape)
        return dt_error_set(err, "it changes the text before it encodes it, which Llama's do not; "
                                 "it is of another family");
    t->space_first = first != 0;
    return 0;
}

int dt_read_pieces(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err)
{
    struct reader r = {(const unsigned char *)text, (const unsigned char *)text + length};
    struct field f;
    uint32_t count = 0;
    uint64_t type = 1;
    bool normalizer = false;
    int rc;
    t->by_line = true;
    while ((rc = next_field(&r, &f)) > 0) {
        if (f.manner != BYTES)
            continue;
        if (f.number == 1 && (count == DT_MOST_TOKENS || read_piece(t, f.bytes, count++, err) < 0))
            return -1;
        if (f.number == 2 && number_in(f.bytes, 3, &type) < 0)
            return damage(err, "trainer");
        if (f.number == 3 && read_normalizer(t, f.bytes, err) < 0)
            return -1;
        normalizer |= f.number == 3;
    }
    if (rc < 0 || count == 0 || !normalizer)
        return damage(err, "content");
    if (type != BPE)
        return dt_error_set(err, "its model is of type %llu, and Llama's are of type %d (BPE)",
                            (unsigned long long)type, BPE);
    t->bpe.characters = true;
    return dt_bpe_finish(&t->bpe, err);
}
