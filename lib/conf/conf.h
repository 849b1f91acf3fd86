/* SPDX-License-Identifier: Apache-2.0 */
/* Reading dt's configuration and data files (libconfuse syntax), for helper processes only: nothing
 * here runs inside srun or slurmstepd.
 *
 * A file that dt trusts must be a regular file owned by root (or by the reader), and writable by
 * neither group nor others; this is checked on the opened descriptor. Every error is one sentence
 * "FILE:LINE: what, and what was expected". An option that is set twice is an error.
 */
#ifndef DT_CONF_CONF_H
#define DT_CONF_CONF_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum dt_policy { DT_POLICY_WARN, DT_POLICY_REFUSE };
enum dt_drain_how { DT_DRAIN_SLURM, DT_DRAIN_PRINT };
enum dt_drain_style { DT_DRAIN_STYLE_SLURM, DT_DRAIN_STYLE_HYPERPOD };

/* Settings of dt.conf: what an admin may say. An option's name in the file is the member's, with
 * '-' for '_'.
 * Defaults are compiled in; an absent file is only an error when `required`. */
struct dt_conf {
    char *path;                  /* file that was read, or NULL: defaults */
    char *data_directory;        /* where instances.conf and env-rules.conf lie; never "" */
    char *nvml_library;          /* "" = search the usual places */
    char *cache_directory;       /* for the per-boot topology; "" = no cache */
    char *state_directory;       /* for what a node remembers from job to job; "" = nothing */
    char **writable_paths;       /* NULL-terminated: file systems the job must be able to write */
    char **required_mounts;      /* NULL-terminated: where something must be mounted */
    char **required_modules;     /* NULL-terminated: kernel modules that must be loaded */
    char **required_processes;   /* NULL-terminated: programs that must run */
    char *instance_type;         /* "" = detect by DMI; else override */
    bool imds_asked;             /* at level full, on EC2 */
    char *topology_override;     /* where devices hang, for machines that hide it; "" = none */
    char *profile;               /* what every node must have; "" = none */
    char *env_rules_site;        /* the admin's own environment rules; "" = none */
    enum dt_policy env_on_abort; /* a variable that would end the ranks, in a validated step */
    enum dt_policy env_on_bad_rules; /* a rules file with a mistake in it */
    enum dt_policy lemon_policy;     /* a node that has lost too many jobs */
    long long min_nofile;            /* soft limit on open files */
    long long min_nproc;             /* soft limit on processes and threads */
    long long min_memlock_mib;       /* where EFA is expected; -1 = unlimited demanded */
    long long min_shm_percent;       /* of memory */
    long long min_hugepages_mib;     /* free huge pages, where EFA is expected; 0 = not checked */
    long long max_clock_offset_ms;
    long long min_memory_percent;    /* of the instance table's nominal memory */
    long long min_free_mib;          /* in /, /tmp, /dev/shm and where the job writes */
    long long min_free_files;        /* there too: inodes */
    long long max_swap_mib;          /* in use */
    long long min_huge_free_percent; /* of free memory: in blocks that make a huge page */
    long long max_shm_left_mib;      /* in /dev/shm, of users without a process */
    long long max_zombies;
    long long deep_slower_percent; /* than the median, from which on a node is slow */
    long long max_stuck_processes; /* in state D, twice */
    long long lemon_losses;        /* jobs lost on a node within lemon_days; 0 = not checked */
    long long lemon_days;
    long long reuse_seconds; /* for how long a job's measurements serve its later steps; 0 = not */
    long long maintenance_hours;  /* an announced event that is nearer fails the node */
    long long fresh_boot_minutes; /* a boot is told of for so long; 0 = never */
    long long probe_timeout_ms;   /* deadline of one risky probe (mount, NVML) */
    char **drain_on;              /* NULL-terminated: severities, by name, that drain a node */
    enum dt_drain_how drain_how;
    enum dt_drain_style drain_style;
    char *drain_prefix;         /* what a reason of dt's begins with; never "" */
    long long drain_max_nodes;  /* of the cluster ... */
    long long drain_in_minutes; /* ... within so many */
};

/* path NULL: dt.conf in the compiled-in configuration directory. */
int dt_conf_load(struct dt_conf *conf, const char *path, bool required, struct dt_error *err);
/* The same on text in memory, called `name` in errors; "" gives the defaults. text[len] must be
 * NUL. */
int dt_conf_parse(struct dt_conf *conf, const char *name, const char *text, size_t len,
                  struct dt_error *err);
void dt_conf_fini(struct dt_conf *conf);

/* Open a libconfuse file with dt's trust rules and error text; shared by dt.conf and the tables.
 * On success *cfg is the caller's to cfg_free. */
int dt_conf_parse_file(cfg_t **cfg, cfg_opt_t *options, const char *path, struct dt_error *err);

/* Only the trust rules: the text of a file, NUL-terminated, for the caller to free; or NULL. errno
 * of a failed open is left in *open_errno, 0 otherwise. */
char *dt_conf_read_text(const char *path, size_t *len, int *open_errno, struct dt_error *err);

/* dt_conf_parse_file on text that is in memory already, called `name` in errors. text[len] must be
 * NUL. */
int dt_conf_parse_text(cfg_t **cfg, cfg_opt_t *options, const char *name, const char *text,
                       size_t len, struct dt_error *err);

/* Turns comments into blanks, in place; lines stay lines. */
void dt_conf_blank_comments(char *text);

/* Line of the last '{' that the end of the text leaves open; 0: none. Without comments. */
int dt_conf_unclosed(char *text);

/* What libconfuse would read past in silence: the first '*' or '+' outside strings, or the quote of a
 * string without end, with its line; NUL: there is none. Without comments. */
char dt_conf_stray(char *text, int *line);

/* Line on which an option is set, in a text without comments; 0: it is not. */
int dt_conf_line_of(char *text, const char *option);

/* Refuses a second value of an option. Set by the functions above on every option that has no
 * validator; an option's own validator calls it first. */
int dt_conf_once(cfg_t *cfg, cfg_opt_t *opt);

#endif
