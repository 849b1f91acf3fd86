/* SPDX-License-Identifier: Apache-2.0 */
/* What the user wants of a binding, in the words of srun's --dt-bind. */
#ifndef DT_LAUNCH_BIND_WORDS_H
#define DT_LAUNCH_BIND_WORDS_H

#include <stdbool.h>

#include "base/error.h"

enum dt_bind_from {
    DT_BIND_FROM_NOTHING, /* neither option nor variable: off */
    DT_BIND_FROM_USER,    /* --bind or DT_BIND */
    DT_BIND_FROM_PLUGIN,  /* DT_BIND_MODE: as the plugin was asked */
};

struct dt_bind_words {
    enum dt_bind_from from;
    bool by_option;
    bool wanted, explain;
    /* words of dt-node's options; "": its default */
    char memory[16], gpus[8], nic[8], reserve[8], loaders[8];
};

/* place: "--bind" or the name of the variable, for the sentence. Each kind of word once at most. */
int dt_bind_words_parse(struct dt_bind_words *words, const char *place, const char *text,
                        struct dt_error *err);

/* Where --bind was not given: the plugin's word, where it has been here; else DT_BIND; else off. */
int dt_bind_words_default(struct dt_bind_words *words, struct dt_error *err);

#endif
