/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of a text file, as an anonymous file of memory: what reads shards from a disk reads these,
 * too. */
#include "encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shard.h"

#define MOST_TEXT (UINT64_C(4) << 30) /* bytes; the tokens of larger texts belong in a file */

static int read_text(int fd, char *text, size_t size, struct dt_error *err)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(fd, text + at, size - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_error_set(err, "it can not be read at byte %zu: %s", at,
                                got < 0 ? strerror(errno) : "it has become shorter");
        at += (size_t)got;
    }
    return 0;
}

/* In place: tokens of 32 bits become those of 16. */
static void narrow(uint32_t *tokens, size_t count)
{
    uint16_t *to = (uint16_t *)(void *)tokens;
    for (size_t i = 0; i < count; i++) {
        uint16_t token = (uint16_t)tokens[i];
        memcpy(to + i, &token, sizeof token);
    }
}

static int write_shard(int fd, const struct dt_tokens *tokens, size_t width)
{
    char header[DT_SHARD_HEADER];
    dt_shard_header(header, width, tokens->count);
    if (write(fd, header, sizeof header) != (ssize_t)sizeof header)
        return -1;
    const char *at = (const char *)tokens->list;
    for (size_t rest = tokens->count * width; rest > 0;) {
        ssize_t done = write(fd, at, rest);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        at += done;
        rest -= (size_t)done;
    }
    return 0;
}

static int encode(const char *text, size_t size, const struct dt_tokenizer *tokenizer,
                  struct dt_tokens *tokens, struct dt_error *err)
{
    int end = dt_tokenizer_end(tokenizer);
    if (dt_tokenizer_encode(tokenizer, text, size, tokens, err) < 0)
        return -1;
    if (end >= 0 && dt_tokens_add(tokens, (uint32_t)end) < 0)
        return dt_error_set(err, "no memory for its tokens");
    if (tokens->count > DT_SHARD_MOST)
        return dt_error_set(err, "it makes %zu tokens, and %d are the most; cut it into files",
                            tokens->count, DT_SHARD_MOST);
    return 0;
}

int dt_encode_file(int *fd, uint64_t size, const struct dt_tokenizer *tokenizer,
                   struct dt_error *err)
{
    if (size > MOST_TEXT)
        return dt_error_set(err, "it has %llu bytes, and %llu are the most; cut it into files",
                            (unsigned long long)size, (unsigned long long)MOST_TEXT);
    struct dt_tokens tokens = {0};
    char *text = malloc((size_t)size + 1);
    int rc =
        text ? read_text(*fd, text, (size_t)size, err)
             : dt_error_set(err, "no memory for its text of %llu bytes", (unsigned long long)size);
    if (rc == 0)
        rc = encode(text, (size_t)size, tokenizer, &tokens, err);
    free(text);
    int made = -1;
    if (rc == 0) {
        size_t width = dt_tokenizer_size(tokenizer) <= UINT16_MAX + 1u ? 2 : 4;
        if (width == 2)
            narrow(tokens.list, tokens.count);
        made = memfd_create("dt-train-tokens", MFD_CLOEXEC);
        if (made < 0 || write_shard(made, &tokens, width) < 0)
            rc = dt_error_set(err, "no memory for its %zu tokens: %s", tokens.count,
                              strerror(errno));
    }
    free(tokens.list);
    if (rc < 0) {
        if (made >= 0)
            close(made);
        return -1;
    }
    close(*fd);
    *fd = made;
    return 0;
}
