/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as dt-launch reads it, as any bytes. */
#include <stdint.h>
#include <string.h>

#include "plan/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *argument, const struct dt_plan_line *line, struct dt_error *err)
{
    size_t *sum = argument;
    (void)err;
    *sum += strlen(line->name) + (line->value ? strlen(line->value) : 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_error err;
    size_t sum = 0;
    dt_plan_read((const char *)data, size, take, &sum, &err);
    return 0;
}
