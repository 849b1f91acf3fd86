/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's configuration files, of which one is the user's own, and what a child that has become the
 * user says of them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nccl/nccl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(const uint8_t *data, size_t size, const char *conf_file)
{
    struct dt_nccl_asked asked = {.conf_file = conf_file};
    struct dt_nccl_settings settings;
    struct dt_error err;
    char *text = malloc(size + 1);
    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dt_nccl_conf_take(&settings, text, NULL, &asked, "2.23", &err) == 0) {
        for (size_t i = 0; i < settings.count; i++)
            if (!*settings.items[i].name || strchr(settings.items[i].name, '='))
                abort();
        dt_nccl_settings_fini(&settings);
    }
    free(text);
}

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
    take(data, size, NULL);
    take(data, size, "/named");
    return 0;
}
