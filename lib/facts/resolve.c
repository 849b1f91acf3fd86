/* SPDX-License-Identifier: Apache-2.0 */
/* Does the node's own name lead to an address? Gloo and MPI look it up when they start, and wait as long
 * as the resolver does. Asked in a child. */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "facts/system.h"

void dt_probe_resolve(int out, void *argument)
{
    char name[256] = "";
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    (void)argument;
    gethostname(name, sizeof name - 1);
    int rc = *name ? getaddrinfo(name, NULL, &hints, &list) : EAI_NONAME;
    if (rc != 0)
        dt_probe_say(out, gai_strerror(rc));
    if (list)
        freeaddrinfo(list);
}

/* Nothing said: it does. */
void dt_read_resolve(struct dt_reader *reader, const char *text, const char *failure)
{
    bool resolves = !failure && text && !*text;
    dt_reader_int(reader, "net.resolves", resolves);
    if (!resolves)
        dt_reader_why(reader, "net.resolves", "%s", failure ? failure : text ? text : "not known");
}
