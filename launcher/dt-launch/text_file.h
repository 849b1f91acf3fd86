/* SPDX-License-Identifier: Apache-2.0 */
/* Small text files that the user names. */
#ifndef DT_LAUNCH_TEXT_FILE_H
#define DT_LAUNCH_TEXT_FILE_H

#include "base/error.h"

/* The whole file, 1 MiB at most. Caller frees; NULL: err begins with `option`. */
char *dt_text_file(const char *option, const char *path, struct dt_error *err);

#endif
