/* SPDX-License-Identifier: Apache-2.0 */
/* From accelerate's keys to the variables that its libraries read; see accelerate.h. */
#include "accelerate/accelerate.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { AS_IS, LOWER, UPPER };

/* A key of a section ("" at the top), and its variable. `only`: a distributed_type that it needs; NULL: any.
 * `absent`: what `accelerate launch` sets where the file has no such key (its commands/launch.py, 1.15), as the
 * library itself, where it finds no variable, would take something else. */
static const struct row {
    const char *section, *key, *variable;
    enum form form;
    const char *only, *absent;
} rows[] = {
    {"", "mixed_precision", "ACCELERATE_MIXED_PRECISION", LOWER, NULL, NULL},
    {"", "use_cpu", "ACCELERATE_USE_CPU", LOWER, NULL, NULL},
    {"", "debug", "ACCELERATE_DEBUG_MODE", LOWER, NULL, NULL},
    {"", "enable_cpu_affinity", "ACCELERATE_CPU_AFFINITY", LOWER, NULL, NULL},
    {"dynamo_config", "dynamo_backend", "ACCELERATE_DYNAMO_BACKEND", UPPER, NULL, NULL},
    {"dynamo_config", "dynamo_mode", "ACCELERATE_DYNAMO_MODE", AS_IS, NULL, NULL},
    {"dynamo_config", "dynamo_use_fullgraph", "ACCELERATE_DYNAMO_USE_FULLGRAPH", LOWER, NULL, NULL},
    {"dynamo_config", "dynamo_use_dynamic", "ACCELERATE_DYNAMO_USE_DYNAMIC", LOWER, NULL, NULL},
    {"fsdp_config", "fsdp_version", "FSDP_VERSION", AS_IS, "FSDP", "1"},
    {"fsdp_config", "fsdp_sharding_strategy", "FSDP_SHARDING_STRATEGY", AS_IS, "FSDP",
     "FULL_SHARD"},
    {"fsdp_config", "fsdp_reshard_after_forward", "FSDP_RESHARD_AFTER_FORWARD", LOWER, "FSDP",
     "true"},
    {"fsdp_config", "fsdp_offload_params", "FSDP_OFFLOAD_PARAMS", LOWER, "FSDP", "false"},
    {"fsdp_config", "fsdp_min_num_params", "FSDP_MIN_NUM_PARAMS", AS_IS, "FSDP", "100000000"},
    {"fsdp_config", "fsdp_auto_wrap_policy", "FSDP_AUTO_WRAP_POLICY", AS_IS, "FSDP", NULL},
    {"fsdp_config", "fsdp_transformer_layer_cls_to_wrap", "FSDP_TRANSFORMER_CLS_TO_WRAP", AS_IS,
     "FSDP", NULL},
    {"fsdp_config", "fsdp_backward_prefetch", "FSDP_BACKWARD_PREFETCH", AS_IS, "FSDP", NULL},
    {"fsdp_config", "fsdp_backward_prefetch_policy", "FSDP_BACKWARD_PREFETCH", AS_IS, "FSDP", NULL},
    {"fsdp_config", "fsdp_forward_prefetch", "FSDP_FORWARD_PREFETCH", LOWER, "FSDP", "false"},
    {"fsdp_config", "fsdp_state_dict_type", "FSDP_STATE_DICT_TYPE", AS_IS, "FSDP", NULL},
    {"fsdp_config", "fsdp_use_orig_params", "FSDP_USE_ORIG_PARAMS", LOWER, "FSDP", "true"},
    {"fsdp_config", "fsdp_cpu_ram_efficient_loading", "FSDP_CPU_RAM_EFFICIENT_LOADING", LOWER,
     "FSDP", "true"},
    {"fsdp_config", "fsdp_sync_module_states", "FSDP_SYNC_MODULE_STATES", LOWER, "FSDP", "true"},
    {"fsdp_config", "fsdp_activation_checkpointing", "FSDP_ACTIVATION_CHECKPOINTING", LOWER, "FSDP",
     "false"},
    {"fsdp_config", "fsdp_activation_checkpointing_offload",
     "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD", LOWER, "FSDP", "false"},
    {"fsdp_config", "fsdp_ignored_modules", "FSDP_IGNORED_MODULES", AS_IS, "FSDP", NULL},
    {"deepspeed_config", "zero_stage", "ACCELERATE_DEEPSPEED_ZERO_STAGE", AS_IS, "DEEPSPEED", NULL},
    {"deepspeed_config", "zero3_init_flag", "ACCELERATE_DEEPSPEED_ZERO3_INIT", LOWER, "DEEPSPEED",
     NULL},
    {"deepspeed_config", "zero3_save_16bit_model", "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL",
     LOWER, "DEEPSPEED", NULL},
    {"deepspeed_config", "offload_optimizer_device",
     "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", LOWER, "DEEPSPEED", NULL},
    {"deepspeed_config", "offload_param_device", "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", LOWER,
     "DEEPSPEED", NULL},
    {"deepspeed_config", "gradient_accumulation_steps", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
     AS_IS, "DEEPSPEED", NULL},
    {"deepspeed_config", "gradient_clipping", "ACCELERATE_GRADIENT_CLIPPING", LOWER, "DEEPSPEED",
     NULL},
    {"deepspeed_config", "deepspeed_config_file", "ACCELERATE_DEEPSPEED_CONFIG_FILE", AS_IS,
     "DEEPSPEED", NULL},
    {"deepspeed_config", "deepspeed_moe_layer_cls_names",
     "ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES", AS_IS, "DEEPSPEED", NULL},
};

struct reader {
    struct dt_accelerate *config;
    const char *path;
    size_t line;
    char section[64]; /* the key without a value that was last at the top */
    char type[32];    /* distributed_type */
    struct dt_error *err;
};

/* ---- variables ----------------------------------------------------------------------------- */

static int put(struct reader *r, const char *name, const char *value, enum form form)
{
    struct dt_accelerate *config = r->config;
    char *item, **grown = reallocarray(config->variables, config->count + 2, sizeof *grown);
    if (grown)
        config->variables = grown;
    if (!grown || asprintf(&item, "%s=%s", name, value) < 0)
        return dt_error_set(r->err, "out of memory");
    for (char *at = item + strlen(name) + 1; *at && form != AS_IS; at++)
        *at = (char)(form == LOWER ? tolower((unsigned char)*at) : toupper((unsigned char)*at));
    grown[config->count++] = item;
    grown[config->count] = NULL;
    return 0;
}

static int read_count(struct reader *r, const char *key, const char *value, int *count)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (errno || end == value || *end || n < 1 || n > 1 << 20)
        return dt_error_set(r->err, "%s:%zu: %s is \"%.40s\": a number from 1 is needed", r->path,
                            r->line, key, value);
    *count = (int)n;
    return 0;
}

static bool is_null(const char *value)
{
    return !*value || strcmp(value, "null") == 0 || strcmp(value, "~") == 0;
}

static int take(struct reader *r, const char *key, const char *value)
{
    if (!*r->section && strcmp(key, "num_processes") == 0)
        return read_count(r, key, value, &r->config->processes);
    if (!*r->section && strcmp(key, "num_machines") == 0)
        return read_count(r, key, value, &r->config->machines);
    if (!*r->section && strcmp(key, "distributed_type") == 0) {
        snprintf(r->type, sizeof r->type, "%s", value);
        return strcmp(value, "FSDP") == 0        ? put(r, "ACCELERATE_USE_FSDP", "true", AS_IS)
               : strcmp(value, "DEEPSPEED") == 0 ? put(r, "ACCELERATE_USE_DEEPSPEED", "true", AS_IS)
                                                 : 0;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].section, r->section) == 0 && strcmp(rows[i].key, key) == 0 &&
            (!rows[i].only || strcmp(rows[i].only, r->type) == 0))
            return is_null(value) ? 0 : put(r, rows[i].variable, value, rows[i].form);
    }
    return 0; /* about the machines, which dt-launch knows better, or of no variable */
}

static bool is_put(const struct dt_accelerate *config, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < config->count; i++) {
        if (strncmp(config->variables[i], name, length) == 0 && config->variables[i][length] == '=')
            return true;
    }
    return false;
}

static int put_absent(struct reader *r)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].absent && (!rows[i].only || strcmp(rows[i].only, r->type) == 0) &&
            !is_put(r->config, rows[i].variable) && put(r, rows[i].variable, rows[i].absent, AS_IS))
            return -1;
    }
    return 0;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* 'x', "x", or plain text up to a comment; in place. */
static char *value_of(char *text)
{
    char *end;
    while (*text == ' ' || *text == '\t')
        text++;
    if (*text == '\'' || *text == '"') {
        end = strchr(text + 1, *text);
        if (!end)
            return NULL;
        *end = '\0';
        return text + 1;
    }
    end = strstr(text, " #");
    end = end ? end : text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return text;
}

static int read_line(struct reader *r, char *line)
{
    char *key = line + strspn(line, " ");
    if (!*key || *key == '#' || *key == '\r' || strcmp(line, "---") == 0 ||
        strcmp(line, "...") == 0)
        return 0;
    if (*key == '-' && *r->section)
        return 0; /* a list, of no key that we know */
    char *colon = strchr(key, ':');
    char *value = colon ? value_of(colon + 1) : NULL;
    if (!colon || *key == '\t' || !value || (colon[1] && !isspace((unsigned char)colon[1])))
        return dt_error_set(r->err, "%s:%zu: \"%.60s\" is not \"key: value\"", r->path, r->line,
                            key);
    *colon = '\0';
    if (key > line && !*r->section)
        return dt_error_set(r->err, "%s:%zu: %.60s is indented, but stands below no key", r->path,
                            r->line, key);
    if (key == line)
        r->section[0] = '\0';
    if (key == line && !*value) {
        snprintf(r->section, sizeof r->section, "%s", key);
        return 0;
    }
    return take(r, key, value);
}

int dt_accelerate_parse(struct dt_accelerate *config, const char *text, const char *path,
                        struct dt_error *err)
{
    char *copy = strdup(text), *rest = copy;
    int result = copy ? 0 : dt_error_set(err, "out of memory");
    *config = (struct dt_accelerate){0};
    /* distributed_type decides what its section means, and may stand behind it: so two passes */
    struct reader r = {.config = config, .path = path, .err = err};
    const char *type = strstr(text, "distributed_type:");
    if (type && (type == text || type[-1] == '\n')) {
        char *word = strndup(type + 17, strcspn(type + 17, "\n"));
        const char *value = word ? value_of(word) : NULL;
        snprintf(r.type, sizeof r.type, "%s", value ? value : "");
        free(word);
    }
    for (char *line; result == 0 && (line = strsep(&rest, "\n"));) {
        r.line++;
        result = read_line(&r, line);
    }
    if (result == 0)
        result = put_absent(&r);
    memcpy(config->type, r.type, sizeof r.type);
    free(copy);
    if (result)
        dt_accelerate_fini(config);
    return result;
}

void dt_accelerate_fini(struct dt_accelerate *config)
{
    for (size_t i = 0; i < config->count; i++)
        free(config->variables[i]);
    free(config->variables);
    *config = (struct dt_accelerate){0};
}
