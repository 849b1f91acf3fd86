/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's configuration files, of which one is the user's own. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nccl/nccl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_nccl_settings settings = {0};
    struct dt_error err;
    char *own[] = {(char *)"A=1", NULL};
    if (dt_nccl_conf_parse(&settings, "f", (const char *)data, size, &err) == 0) {
        char **all = dt_nccl_environ(own, &settings);
        for (size_t i = 1; all && all[i]; i++)
            if (*all[i] == '=' || strncmp(all[i], "A=", 2) == 0)
                abort();
        dt_nccl_environ_free(all, own);
    }
    dt_nccl_settings_fini(&settings);
    return 0;
}
