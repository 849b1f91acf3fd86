/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric IP addresses; see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <string.h>

bool address_read(union address *address, const char *text)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1)
        address->any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1)
        address->any.sa_family = AF_INET6;
    return address->any.sa_family != 0;
}

bool address_write(const union address *address, char *text, size_t size)
{
    int family = address->any.sa_family;
    const void *bytes = family == AF_INET ? (const void *)&address->v4.sin_addr
                                          : (const void *)&address->v6.sin6_addr;
    return inet_ntop(family, bytes, text, (socklen_t)size) != NULL;
}

bool address_is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

void address_set_port(union address *address, int port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons((uint16_t)port);
    else
        address->v6.sin6_port = htons((uint16_t)port);
}

socklen_t address_length(const union address *address)
{
    return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}
