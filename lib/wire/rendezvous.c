/* SPDX-License-Identifier: Apache-2.0 */
/* The rendezvous text and the token in it. */
#include "wire/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"

#define ADDRESSES_MAX 16

static bool is_address(char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t len = strlen(text);
    if (len < 2 || text[0] != '[' || text[len - 1] != ']')
        return inet_pton(AF_INET, text, bytes) == 1;
    memmove(text, text + 1, len - 2);
    text[len - 2] = '\0';
    return inet_pton(AF_INET6, text, bytes) == 1;
}

static int take_addresses(struct dt_rendezvous *rendezvous, char *text, struct dt_error *err)
{
    rendezvous->addresses = calloc(ADDRESSES_MAX + 1, sizeof *rendezvous->addresses);
    if (!rendezvous->addresses)
        return dt_error_set(err, "out of memory");
    char *rest = text, *word;
    for (size_t n = 0; (word = strsep(&rest, ",")); n++) {
        if (n == ADDRESSES_MAX)
            return dt_error_set(err, "rendezvous text names more than %d addresses", ADDRESSES_MAX);
        if (!is_address(word))
            return dt_error_set(err, "rendezvous text: '%s' is no numeric address", word);
        rendezvous->addresses[n] = strdup(word);
        if (!rendezvous->addresses[n])
            return dt_error_set(err, "out of memory");
    }
    return 0;
}

static int take_port(struct dt_rendezvous *rendezvous, const char *text, struct dt_error *err)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || port == 0 || port > 65535)
        return dt_error_set(err, "rendezvous text: '%s' is no port", text);
    rendezvous->port = (uint16_t)port;
    return 0;
}

static int take_token(struct dt_rendezvous *rendezvous, const char *text, struct dt_error *err)
{
    if (strlen(text) != DT_TOKEN_HEX || strspn(text, "0123456789abcdef") != DT_TOKEN_HEX)
        return dt_error_set(err, "rendezvous text: the token is not %d hex digits", DT_TOKEN_HEX);
    memcpy(rendezvous->token, text, DT_TOKEN_HEX + 1);
    return 0;
}

int dt_rendezvous_parse(struct dt_rendezvous *rendezvous, const char *text, struct dt_error *err)
{
    *rendezvous = (struct dt_rendezvous){0};
    char *copy = strdup(text);
    if (!copy)
        return dt_error_set(err, "out of memory");
    char *rest = copy;
    char *version = strsep(&rest, "/"), *addresses = strsep(&rest, "/");
    char *port = strsep(&rest, "/"), *token = strsep(&rest, "/");
    int rc = -1;
    if (strcmp(version, "1") != 0 || !token || rest)
        dt_error_set(err, "rendezvous text is not of the form 1/ADDRESS,.../PORT/TOKEN; srun and "
                          "this node run different versions of dt");
    else if (take_addresses(rendezvous, addresses, err) == 0 &&
             take_port(rendezvous, port, err) == 0)
        rc = take_token(rendezvous, token, err);
    free(copy);
    if (rc < 0)
        dt_rendezvous_fini(rendezvous);
    return rc;
}

char *dt_rendezvous_format(const struct dt_rendezvous *rendezvous)
{
    struct dt_buf buf = DT_BUF_INIT;
    dt_buf_puts(&buf, "1/");
    for (char **a = rendezvous->addresses; a && *a; a++)
        dt_buf_printf(&buf, strchr(*a, ':') ? "%s[%s]" : "%s%s",
                      a == rendezvous->addresses ? "" : ",", *a);
    dt_buf_printf(&buf, "/%u/%s", rendezvous->port, rendezvous->token);
    return dt_buf_take(&buf);
}

void dt_rendezvous_fini(struct dt_rendezvous *rendezvous)
{
    for (char **a = rendezvous->addresses; a && *a; a++)
        free(*a);
    free(rendezvous->addresses);
    explicit_bzero(rendezvous, sizeof *rendezvous);
}

bool dt_token_equal(const char *a, const char *b)
{
    if (strlen(a) != DT_TOKEN_HEX || strlen(b) != DT_TOKEN_HEX)
        return false;
    unsigned char differ = 0;
    for (size_t i = 0; i < DT_TOKEN_HEX; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

int dt_token_create(char token[DT_TOKEN_HEX + 1], struct dt_error *err)
{
    unsigned char bytes[DT_TOKEN_HEX / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return dt_error_set(err, "the kernel gave no random bytes: %s", strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++) {
        token[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        token[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    token[DT_TOKEN_HEX] = '\0';
    return 0;
}
