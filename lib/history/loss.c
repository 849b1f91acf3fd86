/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware that failed while a step ran. Only what a program can not cause by itself: a GPU that is
 * gone, one for which the driver has come to ask for recovery, memory whose contents were lost. */
#include <string.h>

#include "history/history.h"

static const struct {
    const char *counter, *words;
} losses[] = {
    {"gpu.lost", "a GPU was lost"},
    {"gpu.recovery", "the driver asks for recovery"},
    {"gpu.ecc_uncorrected", "uncorrected errors in its memory"},
    {"edac.ue_count", "uncorrected errors in the node's memory"},
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "since": since the step began; "job" would be of the job before. */
static const json_t *find(const struct dt_facts *facts, const char *counter)
{
    const json_t *growth = dt_facts_array(facts, "history.growth");
    for (size_t i = 0; i < json_array_size(growth); i++) {
        const json_t *item = json_array_get(growth, i);
        if (strcmp(text_of(item, "counter"), counter) == 0 &&
            strcmp(text_of(item, "when"), "since") == 0)
            return item;
    }
    return NULL;
}

bool dt_history_loss(const struct dt_facts *facts, struct dt_error *reason)
{
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const json_t *item = find(facts, losses[i].counter);
        if (!item)
            continue;
        if (strcmp(losses[i].counter, "gpu.lost") == 0)
            dt_error_set(reason, "%s", losses[i].words);
        else
            dt_error_set(reason, "%s: %s", text_of(item, "device"), losses[i].words);
        return true;
    }
    return false;
}
