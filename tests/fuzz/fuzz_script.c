/* SPDX-License-Identifier: Apache-2.0 */
/* Job scripts are the user's own, but may be anything. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "script/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_script script;
    struct dt_error err;
    if (dt_script_read(&script, (const char *)data, size, &err) < 0)
        return 0;
    for (size_t i = 0; i < script.setting_count; i++) {
        const struct dt_script_setting *one = &script.settings[i];
        if (!*one->name || !one->doubt || one->line < 1 || (one->removed && one->value))
            abort();
        if (!one->removed && !one->value && !*one->doubt)
            abort(); /* unknown, and no reason */
    }
    dt_script_fini(&script);
    return 0;
}
