/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/nccl. */
#ifndef DT_NCCL_INTERNAL_H
#define DT_NCCL_INTERNAL_H

#include "nccl/nccl.h"

#define DT_NCCL_CUT          1023u /* bytes that NCCL keeps of a name or value */
#define DT_NCCL_SETTINGS_MAX 1024

/* Copies. A name that is there already is left as it is. */
int dt_nccl_add(struct dt_nccl_settings *settings, const char *file, int line, const char *name,
                const char *value, struct dt_error *err);
int dt_nccl_trouble(struct dt_nccl_settings *settings, const char *file, const char *why,
                    struct dt_error *err);

#endif
