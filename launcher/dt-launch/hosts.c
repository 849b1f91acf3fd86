/* SPDX-License-Identifier: Apache-2.0 */
/* Names of hosts without a resolver: /etc/hosts, and else getent, which nearly every image has; a static
 * binary in a foreign image has no resolver to trust. */
#include "hosts.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

/* Walk /etc/hosts: the first line that has `name`, loopback lines aside, as its address (full: false) or
 * its first name. Caller frees; NULL: none. */
static char *find_line(const char *name, bool full)
{
    FILE *file = fopen("/etc/hosts", "re");
    char *line = NULL, *result = NULL;
    size_t size = 0;
    while (file && !result && getline(&line, &size, file) >= 0) {
        union address address;
        char *rest = line;
        line[strcspn(line, "#\n")] = '\0';
        const char *numeric = strsep(&rest, " \t"), *first = NULL;
        if (!rest || !address_read(&address, numeric) || address_is_loopback(&address))
            continue;
        for (char *word; !result && (word = strsep(&rest, " \t"));) {
            if (!*word)
                continue;
            first = first ? first : word;
            if (strcasecmp(word, name) == 0)
                result = strdup(full ? first : numeric);
        }
    }
    free(line);
    if (file)
        fclose(file);
    return result;
}

char *dt_hosts_lookup(const char *name)
{
    return find_line(name, false);
}

char *dt_hosts_full_name(const char *name)
{
    return find_line(name, true);
}

static bool ask_getent(union address *address, const char *name)
{
    int ends[2];
    char text[256];
    size_t len = 0;
    ssize_t n;
    if (name[0] == '-' || pipe2(ends, O_CLOEXEC))
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("getent", "getent", "ahosts", name, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (pid > 0 && len + 1 < sizeof text &&
           (n = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    text[len] = '\0';
    text[strcspn(text, " \t\n")] = '\0';
    return address_read(address, text);
}

bool dt_hosts_address(union address *address, const char *name)
{
    if (address_read(address, name))
        return true;
    char *numeric = dt_hosts_lookup(name);
    bool found = numeric ? address_read(address, numeric) : ask_getent(address, name);
    free(numeric);
    return found;
}

static bool same_address(const struct sockaddr *a, const union address *b)
{
    if (!a || a->sa_family != b->any.sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr, &b->v6.sin6_addr);
}

bool dt_hosts_is_own(const char *name)
{
    union address address;
    struct ifaddrs *all = NULL;
    char own[256];
    bool found = false;
    if (gethostname(own, sizeof own) == 0 && strcasecmp(own, name) == 0)
        return true;
    if (!dt_hosts_address(&address, name) || getifaddrs(&all))
        return false;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next)
        found = same_address(at->ifa_addr, &address);
    freeifaddrs(all);
    return found;
}
