/* SPDX-License-Identifier: Apache-2.0 */
#include "text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1 << 20)

char *dt_text_file(const char *option, const char *path, struct dt_error *err)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(FILE_MAX + 1) : NULL;
    size_t length = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    if (!file || !text || ferror(file) || length > FILE_MAX || memchr(text, '\0', length)) {
        dt_error_set(err, "%s: %s: %s", option, path,
                     !file               ? strerror(errno)
                     : length > FILE_MAX ? "it is larger than 1 MiB"
                                         : "it can not be read as text");
        free(text);
        text = NULL;
    } else {
        text[length] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}
