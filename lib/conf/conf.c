/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of dt.conf: their names, defaults and ranges. configs/dt.conf documents each one;
 * tests/unit/test_conf.c holds the two equal. */
#include "conf/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "paths.h"

/* Whole numbers of dt.conf: where they go and what they may be. */
static const struct number {
    const char *name;
    size_t offset; /* in struct dt_conf */
    long fallback, min, max;
} numbers[] = {
    {"min-nofile", offsetof(struct dt_conf, min_nofile), 65536, 0, 1L << 30},
    {"min-nproc", offsetof(struct dt_conf, min_nproc), 4096, 0, 1L << 30},
    {"min-memlock-mib", offsetof(struct dt_conf, min_memlock_mib), 16384, -1, 1L << 30},
    {"min-shm-percent", offsetof(struct dt_conf, min_shm_percent), 10, 0, 100},
    {"min-hugepages-mib", offsetof(struct dt_conf, min_hugepages_mib), 1024, 0, 1L << 30},
    {"max-clock-offset-ms", offsetof(struct dt_conf, max_clock_offset_ms), 100, 1, 86400000},
    {"min-memory-percent", offsetof(struct dt_conf, min_memory_percent), 95, 0, 100},
    {"min-free-mib", offsetof(struct dt_conf, min_free_mib), 512, 0, 1L << 30},
    {"min-free-files", offsetof(struct dt_conf, min_free_files), 1000, 0, 1L << 30},
    {"max-swap-mib", offsetof(struct dt_conf, max_swap_mib), 1024, 0, 1L << 30},
    {"min-huge-free-percent", offsetof(struct dt_conf, min_huge_free_percent), 25, 0, 100},
    {"max-shm-left-mib", offsetof(struct dt_conf, max_shm_left_mib), 1024, 0, 1L << 30},
    {"max-zombies", offsetof(struct dt_conf, max_zombies), 20, 0, 1L << 30},
    {"max-stuck-processes", offsetof(struct dt_conf, max_stuck_processes), 20, 0, 1L << 30},
    {"deep-slower-percent", offsetof(struct dt_conf, deep_slower_percent), 15, 1, 90},
    {"lemon-losses", offsetof(struct dt_conf, lemon_losses), 3, 0, 64},
    {"reuse-seconds", offsetof(struct dt_conf, reuse_seconds), 300, 0, 86400},
    {"lemon-days", offsetof(struct dt_conf, lemon_days), 7, 1, 365},
    {"maintenance-hours", offsetof(struct dt_conf, maintenance_hours), 24, 0, 10000},
    {"fresh-boot-minutes", offsetof(struct dt_conf, fresh_boot_minutes), 10, 0, 100000},
    {"probe-timeout-ms", offsetof(struct dt_conf, probe_timeout_ms), 500, 10, 60000},
    {"drain-max-nodes", offsetof(struct dt_conf, drain_max_nodes), 2, 0, 65536},
    {"drain-in-minutes", offsetof(struct dt_conf, drain_in_minutes), 60, 1, 43200},
};

#define NUMBER_COUNT    (sizeof numbers / sizeof *numbers)
#define CACHE_DIRECTORY "/run/dt"
#define STATE_DIRECTORY "/var/lib/dt"

/* Validators run while libconfuse still knows the line. */
static int check_number(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        long value = cfg_opt_getnint(opt, 0);
        if (strcmp(numbers[i].name, opt->name) != 0 ||
            (value >= numbers[i].min && value <= numbers[i].max))
            continue;
        cfg_error(cfg, "option '%s' must be between %ld and %ld", opt->name, numbers[i].min,
                  numbers[i].max);
        return -1;
    }
    return 0;
}

/* A path that root will use must not depend on the directory that root happens to be in. */
static int check_path(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    unsigned count = cfg_opt_size(opt);
    const char *path = count > 0 ? cfg_opt_getnstr(opt, count - 1) : "";
    if (*path != '/' && (*path || (opt->flags & CFGF_LIST))) {
        cfg_error(cfg, "option '%s' needs an absolute path", opt->name);
        return -1;
    }
    return 0;
}

/* A module or a program by its name: never a path. */
static int check_name(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    unsigned count = cfg_opt_size(opt);
    const char *name = count > 0 ? cfg_opt_getnstr(opt, count - 1) : "x";
    if (*name && !strpbrk(name, "/ \t"))
        return 0;
    cfg_error(cfg, "option '%s' needs names without '/' and blanks", opt->name);
    return -1;
}

/* Options that are one word of a few, each in the order of its enum. */
static const struct words {
    const char *name;
    const char *words[3];
    const char *expected;
} choices[] = {
    {"env-on-abort", {"warn", "refuse"}, "warn or refuse"},
    {"env-on-bad-rules", {"warn", "refuse"}, "warn or refuse"},
    {"lemon-policy", {"warn", "refuse"}, "warn or refuse"},
    {"imds", {"auto", "off"}, "auto or off"},
    {"drain-how", {"slurm", "print"}, "slurm or print"},
    {"drain-style", {"slurm", "hyperpod"}, "slurm or hyperpod"},
};

static const struct words *find_choice(const char *option)
{
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (strcmp(choices[i].name, option) == 0)
            return &choices[i];
    }
    return NULL;
}

/* -1: no such word. */
static int find_word(const char *option, const char *word)
{
    const struct words *choice = find_choice(option);
    for (int i = 0; choice && word && choice->words[i]; i++) {
        if (strcmp(choice->words[i], word) == 0)
            return i;
    }
    return -1;
}

static int check_word(cfg_t *cfg, cfg_opt_t *opt)
{
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    const char *word = cfg_opt_getnstr(opt, 0);
    if (find_word(opt->name, word) >= 0)
        return 0;
    cfg_error(cfg, "option '%s' is '%s', expected %s", opt->name, word ? word : "",
              find_choice(opt->name)->expected);
    return -1;
}

static int check_severity(cfg_t *cfg, cfg_opt_t *opt)
{
    static const char *const severities[] = {"MONITOR", "RESET", "REBOOT", "REPLACE"};
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    unsigned count = cfg_opt_size(opt);
    const char *word = count > 0 ? cfg_opt_getnstr(opt, count - 1) : severities[0];
    for (size_t i = 0; i < sizeof severities / sizeof *severities; i++) {
        if (strcmp(severities[i], word) == 0)
            return 0;
    }
    cfg_error(cfg, "option '%s' names '%s', expected some of MONITOR, RESET, REBOOT, REPLACE",
              opt->name, word);
    return -1;
}

/* It tells dt's drains from those of people, and stands in a Slurm reason. */
static int check_prefix(cfg_t *cfg, cfg_opt_t *opt)
{
    enum { LONGEST = 32 };
    if (dt_conf_once(cfg, opt) != 0)
        return -1;
    const char *text = cfg_opt_getnstr(opt, 0);
    size_t len = strlen(text), plain = 0;
    while (text[plain] > ' ' && text[plain] < 0x7f)
        plain++;
    if (len >= 2 && len <= LONGEST && plain == len)
        return 0;
    cfg_error(cfg, "option '%s' needs 2 to %d ASCII characters without blanks, such as \"dt:\"",
              opt->name, LONGEST);
    return -1;
}

static int take_string(char **to, const char *value, struct dt_error *err)
{
    *to = strdup(value);
    return *to ? 0 : dt_error_set(err, "out of memory");
}

static int take_list(char ***to, cfg_t *cfg, const char *option, struct dt_error *err)
{
    unsigned count = cfg_size(cfg, option);
    *to = calloc((size_t)count + 1, sizeof **to);
    if (!*to)
        return dt_error_set(err, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        if (take_string(&(*to)[i], cfg_getnstr(cfg, option, i), err) != 0)
            return -1;
    }
    return 0;
}

static int take_word(cfg_t *cfg, const char *option)
{
    return find_word(option, cfg_getstr(cfg, option));
}

static int take_all(struct dt_conf *conf, cfg_t *cfg, struct dt_error *err)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        *(long long *)((char *)conf + numbers[i].offset) = cfg_getint(cfg, numbers[i].name);
    conf->env_on_abort = (enum dt_policy)take_word(cfg, "env-on-abort");
    conf->env_on_bad_rules = (enum dt_policy)take_word(cfg, "env-on-bad-rules");
    conf->drain_how = (enum dt_drain_how)take_word(cfg, "drain-how");
    conf->drain_style = (enum dt_drain_style)take_word(cfg, "drain-style");
    conf->lemon_policy = (enum dt_policy)take_word(cfg, "lemon-policy");
    conf->imds_asked = take_word(cfg, "imds") == 0;
    if (take_string(&conf->data_directory, cfg_getstr(cfg, "data-directory"), err) != 0 ||
        take_string(&conf->nvml_library, cfg_getstr(cfg, "nvml-library"), err) != 0 ||
        take_string(&conf->cache_directory, cfg_getstr(cfg, "cache-directory"), err) != 0 ||
        take_string(&conf->state_directory, cfg_getstr(cfg, "state-directory"), err) != 0 ||
        take_string(&conf->instance_type, cfg_getstr(cfg, "instance-type"), err) != 0 ||
        take_string(&conf->topology_override, cfg_getstr(cfg, "topology-override"), err) != 0 ||
        take_string(&conf->profile, cfg_getstr(cfg, "profile"), err) != 0 ||
        take_string(&conf->env_rules_site, cfg_getstr(cfg, "env-rules-site"), err) != 0 ||
        take_list(&conf->writable_paths, cfg, "writable-paths", err) != 0 ||
        take_list(&conf->required_mounts, cfg, "required-mounts", err) != 0 ||
        take_list(&conf->required_modules, cfg, "required-modules", err) != 0 ||
        take_list(&conf->required_processes, cfg, "required-processes", err) != 0 ||
        take_list(&conf->drain_on, cfg, "drain-on", err) != 0 ||
        take_string(&conf->drain_prefix, cfg_getstr(cfg, "drain-prefix"), err) != 0)
        return -1;
    if (!*conf->data_directory) { /* "" in the file: where dt was installed */
        free(conf->data_directory);
        return take_string(&conf->data_directory, DT_DATADIR, err);
    }
    return 0;
}

enum { OTHERS = 20, OPTION_COUNT = OTHERS + NUMBER_COUNT };

static void fill_options(cfg_opt_t options[OPTION_COUNT + 1])
{
    const struct {
        cfg_opt_t option;
        cfg_validate_callback_t check; /* NULL: any text */
    } others[OTHERS] = {
        {CFG_STR("data-directory", "", CFGF_NONE), check_path},
        {CFG_STR("nvml-library", "", CFGF_NONE), check_path},
        {CFG_STR("cache-directory", CACHE_DIRECTORY, CFGF_NONE), check_path},
        {CFG_STR("state-directory", STATE_DIRECTORY, CFGF_NONE), check_path},
        {CFG_STR_LIST("writable-paths", NULL, CFGF_NODEFAULT), check_path},
        {CFG_STR_LIST("required-mounts", NULL, CFGF_NODEFAULT), check_path},
        {CFG_STR_LIST("required-modules", NULL, CFGF_NODEFAULT), check_name},
        {CFG_STR_LIST("required-processes", NULL, CFGF_NODEFAULT), check_name},
        {CFG_STR("instance-type", "", CFGF_NONE), NULL},
        {CFG_STR("imds", "auto", CFGF_NONE), check_word},
        {CFG_STR("topology-override", "", CFGF_NONE), check_path},
        {CFG_STR("profile", "", CFGF_NONE), check_path},
        {CFG_STR("env-rules-site", "", CFGF_NONE), check_path},
        {CFG_STR("env-on-abort", "refuse", CFGF_NONE), check_word},
        {CFG_STR("env-on-bad-rules", "warn", CFGF_NONE), check_word},
        {CFG_STR("lemon-policy", "warn", CFGF_NONE), check_word},
        {CFG_STR_LIST("drain-on", NULL, CFGF_NODEFAULT), check_severity},
        {CFG_STR("drain-how", "slurm", CFGF_NONE), check_word},
        {CFG_STR("drain-style", "slurm", CFGF_NONE), check_word},
        {CFG_STR("drain-prefix", "dt:", CFGF_NONE), check_prefix},
    };
    for (size_t i = 0; i < OTHERS; i++) {
        options[i] = others[i].option;
        options[i].validcb = others[i].check;
    }
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        options[OTHERS + i] = (cfg_opt_t)CFG_INT(numbers[i].name, numbers[i].fallback, CFGF_NONE);
        options[OTHERS + i].validcb = check_number;
    }
    options[OPTION_COUNT] = (cfg_opt_t)CFG_END();
}

int dt_conf_parse(struct dt_conf *conf, const char *name, const char *text, size_t len,
                  struct dt_error *err)
{
    cfg_opt_t options[OPTION_COUNT + 1];
    cfg_t *cfg = NULL;
    *conf = (struct dt_conf){0};
    fill_options(options);
    int rc = dt_conf_parse_text(&cfg, options, name, text, len, err);
    if (rc == 0)
        rc = take_all(conf, cfg, err);
    if (cfg)
        cfg_free(cfg);
    if (rc != 0)
        dt_conf_fini(conf);
    return rc;
}

int dt_conf_load(struct dt_conf *conf, const char *path, bool required, struct dt_error *err)
{
    size_t len = 0;
    int open_errno = 0;
    *conf = (struct dt_conf){0};
    if (!path)
        path = DT_SYSCONFDIR "/dt.conf";
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    if (!text)
        return open_errno == ENOENT && !required
                   ? dt_conf_parse(conf, "built-in defaults", "", 0, err)
                   : -1;
    int rc = dt_conf_parse(conf, path, text, len, err);
    free(text);
    if (rc == 0 && take_string(&conf->path, path, err) != 0) {
        dt_conf_fini(conf);
        rc = -1;
    }
    return rc;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void dt_conf_fini(struct dt_conf *conf)
{
    free(conf->path);
    free(conf->data_directory);
    free(conf->nvml_library);
    free(conf->cache_directory);
    free(conf->state_directory);
    free(conf->topology_override);
    free(conf->instance_type);
    free(conf->profile);
    free(conf->env_rules_site);
    free_list(conf->writable_paths);
    free_list(conf->required_mounts);
    free_list(conf->required_modules);
    free_list(conf->required_processes);
    free_list(conf->drain_on);
    free(conf->drain_prefix);
    *conf = (struct dt_conf){0};
}
