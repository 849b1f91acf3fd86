/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a public model's files, and where in them its tensors are; see import.h. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_file.h"
#include "public.h"

#define MOST_JSON (UINT64_C(100) << 20) /* bytes of config.json or of the index */

int dt_import_add_file(struct dt_import *import, const char *path, struct dt_error *err)
{
    struct stat st;
    struct dt_import_file *grown =
        realloc(import->files, (import->file_count + 1) * sizeof *import->files);
    if (grown)
        import->files = grown;
    char *name = grown ? strdup(path) : NULL;
    if (!name) {
        dt_error_set(err, "no memory for the files of the model");
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        dt_error_set(err, "%s can not be opened: %s", path, fd < 0 ? strerror(errno) : "no file");
        if (fd >= 0)
            close(fd);
        free(name);
        return -1;
    }
    import->files[import->file_count] =
        (struct dt_import_file){.path = name, .fd = fd, .size = (uint64_t)st.st_size};
    return (int)import->file_count++;
}

int dt_import_add_tensor(struct dt_import *import, const struct dt_import_tensor *tensor,
                         struct dt_error *err)
{
    if (import->tensor_count == import->tensor_room) {
        size_t room = import->tensor_room ? 2 * import->tensor_room : 64;
        struct dt_import_tensor *grown = realloc(import->tensors, room * sizeof *grown);
        if (!grown)
            return dt_error_set(err, "no memory for the tensors of the model");
        import->tensors = grown;
        import->tensor_room = room;
    }
    char *name = strdup(tensor->name);
    if (!name)
        return dt_error_set(err, "no memory for the tensors of the model");
    import->tensors[import->tensor_count] = *tensor;
    import->tensors[import->tensor_count++].name = name;
    return 0;
}

int dt_import_read(const struct dt_import_file *file, void *to, size_t bytes, uint64_t at,
                   struct dt_error *err)
{
    for (char *out = to; bytes > 0;) {
        ssize_t got = pread(file->fd, out, bytes, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_error_set(err, "%s can not be read at byte %llu: %s", file->path,
                                (unsigned long long)at,
                                got < 0 ? strerror(errno) : "it ends there");
        out += got;
        at += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* ---- safetensors ------------------------------------------------------------------------------- */

static int add_safetensors(struct dt_import *import, size_t number, struct dt_error *err)
{
    const struct dt_import_file *file = &import->files[number];
    struct dt_safetensors s = {0};
    unsigned char bytes[8];
    uint64_t length = 0;
    if (dt_import_read(file, bytes, sizeof bytes, 0, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof bytes; i++)
        length |= (uint64_t)bytes[i] << 8 * i;
    if (length > DT_SAFETENSORS_MOST || length > file->size - sizeof bytes)
        return dt_error_set(err, "%s has no header of a safetensors file, or is cut short",
                            file->path);
    char *text = malloc((size_t)length + 1);
    int rc = text ? dt_import_read(file, text, (size_t)length, sizeof bytes, err)
                  : dt_error_set(err, "no memory for the header of %s", file->path);
    if (rc == 0 &&
        dt_safetensors_parse(&s, text, (size_t)length, file->size - sizeof bytes - length, err) < 0)
        rc = dt_error_prefix(err, "%s", file->path);
    for (size_t i = 0; rc == 0 && i < s.count; i++) {
        const struct dt_safetensor *t = &s.list[i];
        bool matrix = t->dimensions == 2;
        if (t->stored != DT_STORED_OTHER && (matrix || t->dimensions == 1))
            rc = dt_import_add_tensor(
                import,
                &(struct dt_import_tensor){.name = t->name,
                                           .file = number,
                                           .offset = sizeof bytes + length + t->begin,
                                           .stored = t->stored,
                                           .rows = t->shape[0],
                                           .columns = matrix ? t->shape[1] : 0},
                err);
    }
    dt_safetensors_fini(&s);
    free(text);
    return rc;
}

static int add_shard(struct dt_import *import, const char *path, struct dt_error *err)
{
    for (size_t i = 0; i < import->file_count; i++)
        if (strcmp(import->files[i].path, path) == 0)
            return 0;
    int number = dt_import_add_file(import, path, err);
    return number < 0 ? -1 : add_safetensors(import, (size_t)number, err);
}

static int read_first(const struct dt_import *import, char **text, size_t *length,
                      struct dt_error *err)
{
    const struct dt_import_file *file = &import->files[0];
    if (file->size > MOST_JSON)
        return dt_error_set(err, "%s has more than %llu bytes", file->path,
                            (unsigned long long)MOST_JSON);
    *length = (size_t)file->size;
    *text = malloc(*length + 1);
    if (!*text)
        return dt_error_set(err, "no memory for %s", file->path);
    return dt_import_read(file, *text, *length, 0, err);
}

static int read_text(const char *path, char **text, size_t *length, struct dt_error *err)
{
    struct dt_import *alone = calloc(1, sizeof *alone);
    int rc = alone ? dt_import_add_file(alone, path, err) : -1;
    *text = NULL;
    *length = 0;
    if (rc >= 0)
        rc = read_first(alone, text, length, err);
    dt_import_close(alone);
    return rc < 0 ? -1 : 0;
}

/* The files of a model in pieces, by its index: {"weight_map": {tensor: file}}. */
static int add_index(struct dt_import *import, const char *folder, const char *index,
                     struct dt_error *err)
{
    char *text;
    size_t length;
    int rc = read_text(index, &text, &length, err);
    json_error_t why;
    json_t *root = rc == 0 ? json_loadb(text, length, 0, &why) : NULL, *file;
    const char *name;
    json_t *map = json_object_get(root, "weight_map");
    free(text);
    if (rc == 0 && json_object_size(map) == 0)
        rc = dt_error_set(err, "%s names no files (weight_map)", index);
    json_object_foreach(map, name, file)
    {
        const char *part = json_string_value(file);
        char *path = NULL;
        if (rc < 0)
            break;
        if (!part || strchr(part, '/'))
            rc = dt_error_set(err, "%s has no file beside it for %.80s", index, name);
        else if (asprintf(&path, "%s/%s", folder, part) < 0)
            rc = dt_error_set(err, "no memory for the files of the model");
        else
            rc = add_shard(import, path, err);
        free(path);
    }
    json_decref(root);
    return rc;
}

/* file NULL: what the directory holds. */
static int open_public(struct dt_import *import, const char *folder, const char *file,
                       struct dt_error *err)
{
    char *config = NULL, *whole = NULL, *index = NULL, *text = NULL;
    size_t length;
    int rc = -1;
    if (asprintf(&config, "%s/config.json", folder) < 0 ||
        asprintf(&whole, "%s/model.safetensors", folder) < 0 ||
        asprintf(&index, "%s/model.safetensors.index.json", folder) < 0) {
        dt_error_set(err, "no memory for the files of the model");
    } else if (read_text(config, &text, &length, err) == 0) {
        if (dt_public_config(&import->config, &import->most, text, length, err) < 0)
            dt_error_prefix(err, "%s", config);
        else if (file || access(index, F_OK) != 0)
            rc = add_shard(import, file ? file : whole, err);
        else
            rc = add_index(import, folder, index, err);
    }
    free(config);
    free(whole);
    free(index);
    free(text);
    return rc;
}

static int open_path(struct dt_import *import, const char *path, struct dt_error *err)
{
    struct stat st;
    size_t length = strlen(path);
    if (stat(path, &st) < 0)
        return dt_error_set(err, "%s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return open_public(import, path, NULL, err);
    if (length > 4 && strcmp(path + length - 4, ".bin") == 0) {
        if (dt_import_add_file(import, path, err) < 0)
            return -1;
        return dt_import_llmc(import, err) < 0 ? dt_error_prefix(err, "%s", path) : 0;
    }
    char *folder = strdup(path);
    if (!folder)
        return dt_error_set(err, "no memory for the name of %s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    int rc = open_public(import, slash ? folder : ".", path, err);
    free(folder);
    return rc;
}

int dt_import_open(struct dt_import **made, const char *path, struct dt_error *err)
{
    struct dt_import *import = calloc(1, sizeof *import);
    *made = NULL;
    if (!import)
        return dt_error_set(err, "no memory for the model in %s", path);
    if (open_path(import, path, err) < 0) {
        dt_import_close(import);
        return dt_error_prefix(err, "--init %s", path);
    }
    dt_config_fill(&import->config);
    *made = import;
    return 0;
}

void dt_import_close(struct dt_import *import)
{
    if (!import)
        return;
    for (size_t i = 0; i < import->file_count; i++) {
        close(import->files[i].fd);
        free(import->files[i].path);
    }
    for (size_t i = 0; i < import->tensor_count; i++)
        free(import->tensors[i].name);
    free(import->files);
    free(import->tensors);
    free(import);
}

const struct dt_model_config *dt_import_config(const struct dt_import *import)
{
    return &import->config;
}
