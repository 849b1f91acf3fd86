/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files of Hugging Face accelerate (default_config.yaml): what `accelerate launch` makes of one is
 * torchrun plus variables, and these are told here. Names of keys and variables are those of accelerate's
 * utils/launch.py. Only as much YAML is read as these files have: "key: value", and one level of keys below
 * a key. */
#ifndef DT_ACCELERATE_ACCELERATE_H
#define DT_ACCELERATE_ACCELERATE_H

#include <stddef.h>

#include "base/error.h"

struct dt_accelerate {
    char **variables; /* "NAME=VALUE", NULL-terminated, owned */
    size_t count;
    int processes; /* num_processes: of the whole job; 0: not said */
    int machines;  /* num_machines; 0: not said */
    char type[32]; /* distributed_type; "": not said */
};

/* text: the whole file; path: for the sentence. */
int dt_accelerate_parse(struct dt_accelerate *config, const char *text, const char *path,
                        struct dt_error *err);
void dt_accelerate_fini(struct dt_accelerate *config);

#endif
