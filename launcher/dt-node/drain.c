/* SPDX-License-Identifier: Apache-2.0 */
/* From the verdict to dt-drain. */
#include "drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hostlist.h"

enum { PATIENCE_MS = 500 };

static bool is_named(const char *nodes, const char *node)
{
    struct dt_hostlist list = {0};
    struct dt_error err;
    bool found = false;
    if (!*nodes || dt_hostlist_parse(&list, nodes, &err) < 0)
        return false;
    for (size_t i = 0; i < list.count && !found; i++)
        found = strcmp(list.names[i], node) == 0;
    dt_hostlist_fini(&list);
    return found;
}

/* Is `word` one of "a,b,c"? */
static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len) {
        if ((at == words || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

void drain_self(const struct dt_proposals *proposals, const struct dt_conf *conf,
                const struct dt_decision *decision, const char *node)
{
    if (proposals->count == 0 || geteuid() != 0 || !is_named(decision->drain, node))
        return;
    for (size_t i = 0; i < proposals->count; i++) {
        const struct dt_proposal *proposal = &proposals->items[i];
        char *sentence = NULL;
        if (proposal->print || has_word(decision->shared, proposal->check))
            continue;
        if (dt_policy_drain(conf, proposal, PATIENCE_MS, &sentence) != DT_DRAIN_DONE)
            fprintf(stderr, "dt: %s\n", sentence ? sentence : "out of memory");
        free(sentence);
        return;
    }
}
