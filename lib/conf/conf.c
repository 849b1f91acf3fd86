/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of dt.conf: their names, defaults and ranges. configs/dt.conf documents each one;
 * tests/unit/test_conf.c holds the two equal. */
#include "conf/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Whole numbers of dt.conf: where they go and what they may be. */
struct number {
    const char *name;
    size_t offset; /* in struct dt_conf */
    long fallback, min, max;
};

#define NUMBER(name, fallback, min, max)                                                           \
    {                                                                                              \
#name, offsetof(struct dt_conf, name), fallback, min, max                                  \
    }

static const struct number numbers[] = {
    NUMBER(min_nofile, 65536, 0, 1 << 30),         NUMBER(min_memlock_mib, 16384, -1, 1L << 30),
    NUMBER(min_shm_percent, 10, 0, 100),           NUMBER(min_hugepages_mib, 1024, 0, 1L << 30),
    NUMBER(max_clock_offset_ms, 100, 1, 86400000), NUMBER(min_memory_percent, 95, 0, 100),
    NUMBER(probe_timeout_ms, 500, 10, 60000),
};

#define NUMBER_COUNT    (sizeof numbers / sizeof *numbers)
#define CACHE_DIRECTORY "/run/dt"

static int take_numbers(struct dt_conf *conf, cfg_t *cfg, struct dt_error *err)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        long value = cfg_getint(cfg, numbers[i].name);
        if (value < numbers[i].min || value > numbers[i].max)
            return dt_error_set(err, "%s: %s = %ld is out of range: it must be between %ld and %ld",
                                cfg->filename, numbers[i].name, value, numbers[i].min,
                                numbers[i].max);
        *(long long *)((char *)conf + numbers[i].offset) = value;
    }
    return 0;
}

static int take_string(char **to, const char *value, struct dt_error *err)
{
    *to = strdup(value);
    return *to ? 0 : dt_error_set(err, "out of memory");
}

/* A path that root will use must not depend on the directory that root happens to be in. */
static int take_path(char **to, cfg_t *cfg, const char *name, struct dt_error *err)
{
    const char *value = cfg_getstr(cfg, name);
    if (*value && *value != '/')
        return dt_error_set(err, "%s: %s = '%s' must be an absolute path", cfg->filename, name,
                            value);
    return take_string(to, value, err);
}

static int take_writable_paths(struct dt_conf *conf, cfg_t *cfg, struct dt_error *err)
{
    unsigned count = cfg_size(cfg, "writable_paths");
    conf->writable_paths = calloc((size_t)count + 1, sizeof *conf->writable_paths);
    if (!conf->writable_paths)
        return dt_error_set(err, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        const char *path = cfg_getnstr(cfg, "writable_paths", i);
        if (*path != '/')
            return dt_error_set(err, "%s: writable_paths holds '%s', which is no absolute path",
                                cfg->filename, path);
        if (take_string(&conf->writable_paths[i], path, err) != 0)
            return -1;
    }
    return 0;
}

static int take_all(struct dt_conf *conf, cfg_t *cfg, struct dt_error *err)
{
    if (take_numbers(conf, cfg, err) != 0 ||
        take_path(&conf->data_directory, cfg, "data_directory", err) != 0 ||
        take_path(&conf->nvml_library, cfg, "nvml_library", err) != 0 ||
        take_path(&conf->cache_directory, cfg, "cache_directory", err) != 0 ||
        take_string(&conf->instance_type, cfg_getstr(cfg, "instance_type"), err) != 0 ||
        take_writable_paths(conf, cfg, err) != 0)
        return -1;
    if (!*conf->data_directory) { /* "" in the file: where dt was installed */
        free(conf->data_directory);
        return take_string(&conf->data_directory, DT_DATADIR, err);
    }
    return 0;
}

int dt_conf_load(struct dt_conf *conf, const char *path, bool required, struct dt_error *err)
{
    cfg_opt_t options[NUMBER_COUNT + 6] = {
        CFG_STR("data_directory", "", CFGF_NONE),
        CFG_STR("nvml_library", "", CFGF_NONE),
        CFG_STR("cache_directory", CACHE_DIRECTORY, CFGF_NONE),
        CFG_STR("instance_type", "", CFGF_NONE),
        CFG_STR_LIST("writable_paths", "{}", CFGF_NONE),
    };
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        options[5 + i] = (cfg_opt_t)CFG_INT(numbers[i].name, numbers[i].fallback, CFGF_NONE);
    options[5 + NUMBER_COUNT] = (cfg_opt_t)CFG_END();

    *conf = (struct dt_conf){0};
    if (!path)
        path = DT_SYSCONFDIR "/dt.conf";
    cfg_t *cfg = NULL;
    int open_errno = 0;
    int rc = dt_conf_read_file(&cfg, options, path, &open_errno, err);
    bool absent = rc != 0 && open_errno == ENOENT && !required;
    if (absent)
        rc = dt_conf_parse_text(&cfg, options, "built-in defaults", "", 0, err);
    if (rc == 0)
        rc = take_all(conf, cfg, err);
    if (rc == 0 && !absent)
        rc = take_string(&conf->path, path, err);
    if (cfg)
        cfg_free(cfg);
    if (rc != 0)
        dt_conf_fini(conf);
    return rc;
}

void dt_conf_fini(struct dt_conf *conf)
{
    free(conf->path);
    free(conf->data_directory);
    free(conf->nvml_library);
    free(conf->cache_directory);
    free(conf->instance_type);
    for (size_t i = 0; conf->writable_paths && conf->writable_paths[i]; i++)
        free(conf->writable_paths[i]);
    free(conf->writable_paths);
    *conf = (struct dt_conf){0};
}
