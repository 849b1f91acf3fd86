/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of public models share; private to import*.c. */
#ifndef DT_TRAIN_IMPORT_FILE_H
#define DT_TRAIN_IMPORT_FILE_H

#include "import.h"
#include "safetensors.h"

struct dt_import_file {
    char *path;
    int fd;
    uint64_t size;
};

/* A tensor in one of the files, under its public name. */
struct dt_import_tensor {
    char *name;
    size_t file;
    uint64_t offset; /* in the file */
    enum dt_stored stored;
    uint64_t rows, columns; /* as stored; columns 0: a vector */
    bool as_ours;           /* stored as dt-train has it, whatever the public models do */
};

struct dt_import {
    struct dt_model_config config;
    int most; /* positions that the model knows */
    struct dt_import_file *files;
    size_t file_count;
    struct dt_import_tensor *tensors;
    size_t tensor_count, tensor_room;
};

/* The number of the file, or -1. */
int dt_import_add_file(struct dt_import *import, const char *path, struct dt_error *err);
/* Takes a copy of the name. */
int dt_import_add_tensor(struct dt_import *import, const struct dt_import_tensor *tensor,
                         struct dt_error *err);
int dt_import_read(const struct dt_import_file *file, void *to, size_t bytes, uint64_t at,
                   struct dt_error *err);

/* llm.c's file, opened as number 0. */
int dt_import_llmc(struct dt_import *import, struct dt_error *err);
/* Sizes from its header of 256 numbers. padded: rows of the token table; stored: of all tensors. */
int dt_import_llmc_sizes(struct dt_model_config *config, int *padded, enum dt_stored *stored,
                         const int32_t header[8], struct dt_error *err);

#endif
