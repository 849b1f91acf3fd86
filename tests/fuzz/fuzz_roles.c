/* SPDX-License-Identifier: Apache-2.0 */
/* Roles files: whatever is in one, it is refused in a sentence or gives every node its roles. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "roles/roles.h"

static const char *variable(const char *name)
{
    return strlen(name) % 2 ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { NODES = 9 };
    char *names[NODES] = {"a", "b", "c", NULL, "e"};
    struct dt_roles roles;
    struct dt_error err = {""};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dt_roles_parse(&roles, text, "fuzz", variable, &err) == 0) {
        if (dt_roles_place(&roles, NODES, "fuzz", &err) == 0) {
            for (size_t i = 0; i < roles.count; i++)
                free(dt_roles_expand(&roles, roles.items[i].program[0], names, "fuzz", &err));
        }
        dt_roles_fini(&roles);
    } else if (!err.text[0]) {
        abort();
    }
    free(text);
    return 0;
}
