/* SPDX-License-Identifier: Apache-2.0 */
/* A user who asked for validation must not get a run on a node that was not validated, because its
 * plugin is missing or its environment is another job's. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prepare.h"

/* The word after "validate=" in "1 validate=fast env=auto ..."; NULL: none. */
static const char *settings_word(const char *settings, size_t *length)
{
    static const char key[] = "validate=";
    for (const char *at = settings; (at = strstr(at, key)); at += sizeof key - 1) {
        if (at == settings || at[-1] == ' ') {
            at += sizeof key - 1;
            *length = strcspn(at, " ");
            return at;
        }
    }
    return NULL;
}

/* The order is that of srun's own resolution. */
const char *dt_guard_asked(void)
{
    static const char *const options[] = {"SLURM_SPANK__SLURM_SPANK_OPTION_dt_dt_validate",
                                          "_SLURM_SPANK_OPTION_dt_dt_validate"};
    size_t length;
    const char *settings = getenv("SLURM_DT_SETTINGS");
    const char *word = settings ? settings_word(settings, &length) : NULL;
    if (word)
        return length == 3 && strncmp(word, "off", 3) == 0 ? NULL : "SLURM_DT_SETTINGS";
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *value = getenv(options[i]);
        if (value)
            return strcmp(value, "off") == 0 ? NULL : "--dt-validate";
    }
    const char *variable = getenv("DT_VALIDATE");
    return variable && *variable && strcmp(variable, "off") != 0 ? "DT_VALIDATE" : NULL;
}

int dt_guard_verdict(const struct dt_place *place, struct dt_error *err)
{
    const char *asked = dt_guard_asked();
    if (!asked)
        return 0;
    if (!place->in_step)
        return dt_error_set(err,
                            "validation was asked for (%s), but this is no Slurm step, so nothing "
                            "has validated node %s: start dt-launch by srun, or unset DT_VALIDATE",
                            asked, place->node_name);
    const char *verdict = getenv("DT_VERDICT");
    char expected[64];
    snprintf(expected, sizeof expected, "go:%lld.%lld", place->job, place->step);
    if (!verdict || !*verdict)
        return dt_error_set(
            err,
            "validation was asked for (%s), but node %s runs without the dt "
            "plugin: no verdict for step %lld.%lld is here; is dt in plugstack.conf "
            "on that node, and was slurmd restarted?",
            asked, place->node_name, place->job, place->step);
    if (strcmp(verdict, expected) != 0)
        return dt_error_set(err,
                            "validation was asked for (%s), but node %s has the verdict \"%.60s\" "
                            "and this is step %lld.%lld: unset DT_VERDICT, and check that dt is in "
                            "plugstack.conf on that node",
                            asked, place->node_name, verdict, place->job, place->step);
    return 0;
}
