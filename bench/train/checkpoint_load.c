/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: rank 0 chooses and reads the manifest, all ranks share the work of verifying the files,
 * and each reads what it wants. */
#include "checkpoint.h"
#include "checkpoint_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"

#define MOST_TEXT ((size_t)1 << 30)

/* The steps that are there, newest first, as rank 0 sees them; for all ranks. */
static int list_for_all(struct dt_comm *comm, const char *directory, long long **steps,
                        size_t *count, struct dt_error *err)
{
    int code = DT_EXIT_CONFIG, rc = 0;
    *steps = NULL;
    *count = 0;
    if (comm->rank == 0)
        rc = dt_checkpoint_list(directory, "", steps, count, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0 ||
        comm->operations->broadcast(comm, count, sizeof *count, 0, err) < 0)
        return -1;
    if (comm->rank != 0 && *count > 0)
        *steps = calloc(*count, sizeof **steps);
    if (*count > 0 && !*steps)
        return dt_comm_break(comm, err, "no memory for the list of checkpoints in %s", directory);
    return *count > 0 ? comm->operations->broadcast(comm, *steps, *count * sizeof **steps, 0, err)
                      : 0;
}

/* The manifest's text, read by rank 0, for all. Caller frees. NULL with the sentence, alike on all
 * ranks. */
static char *text_for_all(struct dt_comm *comm, const char *name, size_t *size,
                          struct dt_error *err)
{
    char *path = NULL, *text = NULL;
    int code = DT_EXIT_CONFIG;
    *size = 0;
    if (comm->rank == 0) {
        if (asprintf(&path, "%s/manifest", name) < 0)
            path = NULL;
        text = path ? dt_checkpoint_text_read(path, MOST_TEXT, size, err) : NULL;
        if (!text)
            dt_error_prefix(err, "its manifest");
        free(path);
    }
    if (dt_comm_agree(comm, comm->rank == 0 && !text, &code, err) < 0 ||
        comm->operations->broadcast(comm, size, sizeof *size, 0, err) < 0)
        goto fail;
    if (comm->rank != 0)
        text = malloc(*size + 1);
    if (!text) {
        dt_comm_break(comm, err, "no memory for the manifest of %s", name);
        goto fail;
    }
    if (comm->operations->broadcast(comm, text, *size, 0, err) == 0)
        return text;
fail:
    free(text);
    return NULL;
}

/* This rank's share of the files. */
static int verify(const struct dt_comm *comm, const char *name, const struct dt_manifest *manifest,
                  struct dt_error *err)
{
    for (size_t f = (size_t)comm->rank; f < manifest->file_count; f += (size_t)comm->size) {
        char *path = dt_checkpoint_file_name(name, f);
        int rc = path ? dt_checkpoint_file_verify(path, &manifest->files[f], err)
                      : dt_error_set(err, "no memory for the name of its file %zu", f);
        free(path);
        if (rc < 0)
            return dt_error_prefix(err, "file rank-%05zu", f);
    }
    return 0;
}

/* 1: loaded; 0: damaged, err says how; -1: whole, and of another model, or the ranks can not talk.
 * The same on all ranks. */
static int load_one(struct dt_comm *comm, const char *name, struct dt_checkpoint_info *info,
                    const struct dt_checkpoint_arrays *arrays, struct dt_error *err)
{
    struct dt_manifest manifest = {0};
    size_t size;
    int code = DT_EXIT_CONFIG, result = 0;
    char *text = text_for_all(comm, name, &size, err);
    if (!text)
        return comm->broken ? -1 : 0;
    if (dt_manifest_parse(&manifest, text, size, err) < 0)
        goto out; /* alike on all ranks */
    if (dt_manifest_compare(&manifest.info.config, &info->config, err) < 0) {
        result = -1;
        goto out;
    }
    int rc = verify(comm, name, &manifest, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        goto out;
    rc = dt_checkpoint_files_read(name, &manifest, arrays, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        goto out;
    *info = manifest.info;
    result = 1;
out:
    dt_manifest_fini(&manifest);
    free(text);
    return comm->broken ? -1 : result;
}

/* There is nothing of this format: is there something of the one before? */
static int look_for_former(struct dt_comm *comm, const char *directory, struct dt_error *err)
{
    long long *steps = NULL;
    size_t count = 0;
    int code = DT_EXIT_CONFIG, rc = 0;
    if (comm->rank == 0)
        rc = dt_checkpoint_list(directory, DT_CHECKPOINT_FORMER, &steps, &count, err);
    if (rc == 0 && count > 0)
        rc = dt_error_set(err,
                          "%s holds step-%08lld" DT_CHECKPOINT_FORMER
                          " of an earlier dt-train, whose format this one does not read; end that "
                          "run with the dt-train that began it, or give another directory",
                          directory, steps[0]);
    free(steps);
    return dt_comm_agree(comm, rc < 0, &code, err);
}

int dt_checkpoint_load(struct dt_comm *comm, const char *directory, struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *skipped,
                       struct dt_error *err)
{
    struct dt_error why = {""};
    long long *steps = NULL;
    size_t count = 0;
    int rc = 0;
    skipped->text[0] = '\0';
    if (list_for_all(comm, directory, &steps, &count, err) < 0) {
        free(steps);
        return -1;
    }
    if (count == 0)
        rc = look_for_former(comm, directory, err);
    for (size_t i = 0; steps && i < count && rc == 0; i++) {
        char *name = dt_checkpoint_name(directory, steps[i], "");
        if (!name) {
            rc = dt_comm_break(comm, err, "no memory for the name of a checkpoint");
            break;
        }
        rc = load_one(comm, name, info, arrays, &why);
        if (rc < 0 && comm->broken)
            *err = why;
        else if (rc < 0)
            dt_error_set(err, "checkpoint %s can not be resumed: %s", name, why.text);
        if (rc == 0)
            dt_error_set(skipped, "checkpoint %s is passed over: %s", name, why.text);
        free(name);
    }
    if (rc == 0 && count > 0)
        rc = dt_error_set(err, "no checkpoint in %s can be used; the oldest: %s", directory,
                          why.text);
    free(steps);
    return rc;
}
