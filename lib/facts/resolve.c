/* SPDX-License-Identifier: Apache-2.0 */
/* Do the node's own name and those of the step's other nodes lead to an address? Gloo, MPI and whoever
 * asks for MASTER_ADDR look them up when they start, and wait as long as the resolver does. Asked in
 * one child, name by name: it writes "NAME TAB", and when the answer is there, the reason for which it
 * is none, and a newline. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hostlist.h"
#include "facts/printable.h"
#include "facts/system.h"

enum { OTHERS_MAX = 16, NAME_SIZE = 256 };

static void ask(int out, const char *name)
{
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    char line[NAME_SIZE + 1];
    snprintf(line, sizeof line, "%s\t", name);
    dt_probe_say(out, line);
    int rc = *name ? getaddrinfo(name, NULL, &hints, &list) : EAI_NONAME;
    if (rc != 0)
        dt_probe_say(out, gai_strerror(rc));
    dt_probe_say(out, "\n");
    if (list)
        freeaddrinfo(list);
}

void dt_probe_resolve(int out, void *argument)
{
    const struct dt_reader *reader = argument;
    const char *nodes = reader->request->nodes, *known = reader->request->node_name;
    struct dt_hostlist list = {0};
    struct dt_error ignored;
    char own[NAME_SIZE] = "";
    gethostname(own, sizeof own - 1);
    ask(out, own);
    if (!nodes || dt_hostlist_parse(&list, nodes, &ignored) < 0)
        return;
    size_t count = list.count < OTHERS_MAX ? list.count : OTHERS_MAX;
    /* The first of the list, which MASTER_ADDR names, is always among them. */
    for (size_t i = 0; i < count; i++) {
        const char *name = list.names[i * list.count / count];
        if (strlen(name) < NAME_SIZE && strcmp(name, own) != 0 &&
            (!known || strcmp(name, known) != 0))
            ask(out, name);
    }
    dt_hostlist_fini(&list);
}

struct answer {
    char name[NAME_SIZE], reason[128]; /* reason "": it leads to an address */
};

/* false: no more. The last name has no newline when the child was ended over it. */
static bool next_answer(const char **at, struct answer *answer, const char *failure)
{
    size_t name = strcspn(*at, "\t\n"), len = strcspn(*at, "\n");
    bool told = (*at)[len] == '\n';
    if ((*at)[name] != '\t')
        return false;
    snprintf(answer->name, sizeof answer->name, "%.*s", (int)name, *at);
    if (told)
        snprintf(answer->reason, sizeof answer->reason, "%.*s", (int)(len - name - 1),
                 *at + name + 1);
    else
        snprintf(answer->reason, sizeof answer->reason, "%s", failure ? failure : "not known");
    *at += len + told;
    return true;
}

static void add(json_t *others, const struct answer *answer)
{
    json_t *item = json_pack("{s:o,s:b}", "name", dt_printable_json(answer->name, NAME_SIZE), "ok",
                             !*answer->reason);
    if (*answer->reason)
        json_object_set_new(item, "reason",
                            dt_printable_json(answer->reason, sizeof answer->reason));
    json_array_append_new(others, item);
}

void dt_read_resolve(struct dt_reader *reader, const char *text, const char *failure)
{
    struct answer answer;
    const char *at = text ? text : "";
    if (!next_answer(&at, &answer, failure))
        snprintf(answer.reason, sizeof answer.reason, "%s", failure ? failure : "not known");
    dt_reader_int(reader, "net.resolves", !*answer.reason);
    if (*answer.reason)
        dt_reader_why(reader, "net.resolves", "%s", answer.reason);
    json_t *others = json_array();
    while (next_answer(&at, &answer, failure))
        add(others, &answer);
    dt_reader_take(reader, "net.others", others);
}
