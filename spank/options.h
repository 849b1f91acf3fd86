/* SPDX-License-Identifier: Apache-2.0 */
/* The eight settings and where their values come from. Later sources win, each setting on its own:
 * built in < plugstack.conf < DT_* variable < command line option. */
#ifndef DT_SPANK_OPTIONS_H
#define DT_SPANK_OPTIONS_H

#include <slurm/spank.h>
#include <stdbool.h>

enum setting {
    SETTING_VALIDATE,
    SETTING_ENV,
    SETTING_BIND,
    SETTING_SHIM, /* up to here each asks dt for something, and needs no value */
    SETTING_ON_FAIL,
    SETTING_REPORT,
    SETTING_TIMEOUT,
    SETTING_NIC,
    SETTINGS
};

enum source { SOURCE_ADMIN, SOURCE_VARIABLE, SOURCE_OPTION, SOURCES };

struct options {
    char *given[SOURCES][SETTINGS]; /* NULL: not given there */
    char *helpers;                  /* directory of dt-node and dt-gather */
    char *config;                   /* path of dt.conf, or NULL: the built-in one */
    char *gather_ports;             /* "LO-HI", or NULL: any */
    bool admin_read;                /* plugstack arguments are read once per process */
};

struct sentence {
    char text[512];
};

void options_fini(struct options *options);

/* Register --dt-* ; needed in every context in which they should be known. */
void options_register(spank_t spank, spank_opt_cb_f callback);

/* Arguments of the plugstack.conf line. A wrong one is logged and left out: an admin's typing error
 * must not stop the cluster. */
void options_read_admin(struct options *options, int argc, char **argv);

/* Keep a value from an option or variable. NULL, "" and "(null)" mean "given without a value". -1:
 * the sentence says what is wrong. */
int options_take(struct options *options, enum source source, enum setting setting,
                 const char *value, struct sentence *why);

/* All DT_* variables of this process. */
int options_read_variables(struct options *options, struct sentence *why);

/* The value in force, with "auto" or "off" for env and bind as validation demands. Never NULL but
 * for the report. */
const char *options_value(const struct options *options, enum setting setting);

/* Did the user of this very step ask for it, by option or variable? */
bool options_by_user(const struct options *options, enum setting setting);

bool options_off(const struct options *options, enum setting setting);
bool options_active(const struct options *options); /* anything to do at all? */
bool options_given(const struct options *options);  /* did admin or user say anything? */

/* The settings as they travel to the nodes. Caller frees; NULL: no memory. */
char *options_format(const struct options *options);

/* The same back, on the node. -1: not a settings text of this version. */
int options_parse(struct options *options, const char *text, struct sentence *why);

const char *setting_name(enum setting setting);     /* "validate" */
const char *setting_variable(enum setting setting); /* "DT_VALIDATE" */

/* Is this word of a command line one of our options, written out or shortened as getopt allows? */
bool options_word(const char *word);

#endif
