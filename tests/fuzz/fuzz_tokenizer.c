/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tokenizers: any bytes are refused with a sentence, or make a tokenizer by which any text
 * comes back as it was. The first byte chooses the kind of file. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const struct dt_tokenizer *t, const char *text, size_t length)
{
    struct dt_tokens tokens = {0};
    struct dt_error err = {""};
    size_t at = 0;
    if (dt_tokenizer_encode(t, text, length, &tokens, &err) < 0) {
        if (!err.text[0])
            abort();
        free(tokens.list);
        return;
    }
    for (size_t i = 0; i < tokens.count; i++) {
        size_t bytes;
        const char *token = dt_tokenizer_bytes(t, tokens.list[i], i == 0, &bytes);
        if (tokens.list[i] >= dt_tokenizer_size(t) || bytes > length - at ||
            (bytes > 0 && memcmp(token, text + at, bytes) != 0))
            abort();
        at += bytes;
    }
    if (at != length)
        abort();
    free(tokens.list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "a b\n\n\xff \xc3\xa9\xe6\xbc\xa2 it's 123  \t!";
    struct dt_tokenizer *t = calloc(1, sizeof *t);
    struct dt_error err = {""};
    int rc = -1;
    if (!t || size == 0)
        goto out;
    dt_bpe_init(&t->bpe);
    const char *file = (const char *)data + 1;
    size_t length = size - 1, half = length / 2;
    switch (data[0] % 4) {
    case 0:
        rc = dt_read_json(t, file, length, &err);
        break;
    case 1:
        rc = dt_read_vocabulary(t, (struct dt_text){file, half},
                                (struct dt_text){file + half, length - half}, &err);
        break;
    case 2:
        rc = dt_read_ranks(t, file, length, &err);
        break;
    default:
        rc = dt_read_pieces(t, file, length, &err);
    }
    if (rc < 0 && !err.text[0])
        abort();
    if (rc == 0)
        try_text(t, text, sizeof text - 1);
out:
    if (t && size > 0)
        dt_tokenizer_close(t);
    else
        free(t);
    return 0;
}
