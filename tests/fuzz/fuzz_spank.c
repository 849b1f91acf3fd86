/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's parsers, which run in srun and slurmstepd: plan, settings, option values, CPU lists,
 * words. The first byte chooses which. */
#include <stdarg.h>
#include <stdint.h>

#include "../../spank/text.c"
#include "../../spank/cpus.c"
#include "../../spank/values.c"
#include "../../spank/options.c"
#include "../../spank/apply.c"

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
    (void)spank, (void)option;
    return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
    (void)format;
}

static void take(const struct apply *apply, const struct plan_line *line)
{
    struct cpus cpus;
    (void)apply;
    if (line->verb == PLAN_CPUS && cpus_parse(&cpus, line->name) == 0)
        cpus_fini(&cpus);
}

static void try_list(const char *text)
{
    struct cpus cpus;
    struct text again = {0};
    if (cpus_parse(&cpus, text) < 0)
        return;
    cpus_format(&again, &cpus);
    cpus_fini(&cpus);
    text_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options = {0};
    struct sentence why;
    struct apply apply = {.local = 1};
    if (size < 1)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        plan_apply(&apply, (const char *)data + 1, size - 1, take, &why);
        break;
    case 1:
        options_parse(&options, text, &why);
        break;
    case 2:
        options_read_admin(&options, 1, &text);
        break;
    case 3:
        try_list(text);
        break;
    default:
        hostlist_count(text);
        word_decode(text);
    }
    options_fini(&options);
    free(text);
    return 0;
}
