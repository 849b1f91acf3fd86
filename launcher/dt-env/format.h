/* SPDX-License-Identifier: Apache-2.0 */
/* The plan in the languages of those who use it. */
#ifndef DT_ENV_FORMAT_H
#define DT_ENV_FORMAT_H

#include "base/buf.h"
#include "subject.h"

struct format {
    const char *name;
    void (*write)(struct dt_buf *out, const struct dt_env_plan *plan,
                  const struct subject *subject);
};
extern const struct format formats[]; /* ends in a NULL name; the first is the usual one */

#endif
