/* SPDX-License-Identifier: Apache-2.0 */
/* How NCCL reads NCCL_SOCKET_IFNAME. */
#include <string.h>

#include "env/env.h"

bool dt_env_nccl_selects(const char *spec, const char *interface)
{
    bool exclude = *spec == '^', exact, match = false, any = false;

    spec += exclude;
    exact = *spec == '=';
    spec += exact;
    while (*spec) {
        size_t len = strcspn(spec, ","), name = strcspn(spec, ":,");
        if (name > 0) {
            any = true;
            match =
                match || (!strncmp(spec, interface, name) && (!exact || interface[name] == '\0'));
        }
        spec += len + (spec[len] == ',');
    }
    /* A list without a name in it matches everything, so "^" alone excludes everything. */
    return (match || !any) != exclude;
}
