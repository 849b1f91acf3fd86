/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's two messages, as any bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "plan/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_request request;
    struct dt_error err;
    if (dt_request_parse(&request, (const char *)data, size, &err) == 0) {
        dt_request_getenv(&request, "PATH");
        dt_request_fini(&request);
    }
    char **masks;
    if (dt_masks_parse(&masks, 2, (const char *)data, size, &err) == 0)
        dt_masks_free(masks, 2);
    return 0;
}
