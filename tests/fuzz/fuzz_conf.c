/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes dt.conf: any text gives settings within their documented ranges, or one sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct dt_conf conf;
    struct dt_error err = {0};
    if (dt_conf_parse(&conf, "fuzz.conf", text, size, &err) == 0) {
        if (!*conf.data_directory || conf.min_shm_percent < 0 || conf.min_shm_percent > 100 ||
            conf.probe_timeout_ms < 10 || conf.min_memlock_mib < -1)
            abort();
        for (size_t i = 0; conf.writable_paths[i]; i++) {
            if (conf.writable_paths[i][0] != '/')
                abort();
        }
        dt_conf_fini(&conf);
    } else if (!*err.text) {
        abort();
    }
    free(text);
    return 0;
}
