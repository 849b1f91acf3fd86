/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles from a file: one sentence, or items with a line each, that any facts can be held to. And what
 * is learned of any texts can be read again, and fits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "profile/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold_to(const char *text, size_t len, const struct dt_facts *facts, bool must_fit)
{
    struct dt_profile profile;
    struct dt_error err = {{0}};
    bool is_known;
    if (dt_profile_parse(&profile, "fuzz", text, len, &err) < 0) {
        if (!*err.text || must_fit)
            abort();
        return;
    }
    for (size_t i = 0; i < profile.count; i++) {
        if (profile.items[i].line < 1)
            abort();
        if (!dt_profile_fits(&profile.items[i], facts, &is_known) && must_fit)
            abort();
    }
    dt_profile_fini(&profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    json_t *raw = text ? json_object() : NULL;
    struct dt_facts facts = {0};
    struct dt_error err;
    if (!raw)
        abort();
    memcpy(text, data, size);
    json_object_set_new(raw, "kernel.release", json_string(text));
    json_object_set_new(raw, "cpu.online", json_integer((json_int_t)size));
    if (dt_facts_from_json(&facts, raw, &err) == 0) {
        char *learned = dt_profile_learn(&facts);
        if (!learned)
            abort();
        hold_to(text, strlen(text), &facts, false);
        hold_to(learned, strlen(learned), &facts, true);
        free(learned);
        dt_facts_fini(&facts);
    }
    json_decref(raw);
    free(text);
    return 0;
}
