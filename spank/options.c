/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings, their registration with Slurm, and which source wins. What a value may be
 * stands in values.c. */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "values.h"

static const struct {
    const char *name, *option, *variable, *arginfo, *usage, *fallback;
} table[SETTINGS] = {
    [SETTING_VALIDATE] =
        {"validate", "dt-validate", "DT_VALIDATE", "fast|full|deep|off[,fresh]",
         "[dt] check and compare all nodes before anything starts (no value: fast)", "off"},
    [SETTING_ENV] = {"env", "dt-env", "DT_ENV", "auto|explain|off",
                     "[dt] set the EFA, NCCL and libfabric variables this node needs", NULL},
    [SETTING_BIND] = {"bind", "dt-bind", "DT_BIND", "auto|explain|off[,WORD...]",
                      "[dt] bind ranks by topology; WORDs: memory preferred|bind|interleave|local, "
                      "reserve=CORES, loaders=CORES, gpus=all|own|off",
                      NULL},
    [SETTING_SHIM] = {"shim", "dt-shim", "DT_SHIM", "on|off",
                      "[dt] torchrun, accelerate, deepspeed and composer are dt-launch in the step",
                      "off"},
    [SETTING_ON_FAIL] = {"on-fail", "dt-on-fail", "DT_ON_FAIL", "abort|warn",
                         "[dt] what to do when a node is unfit", "abort"},
    [SETTING_REPORT] = {"report", "dt-report", "DT_REPORT", "FILE",
                        "[dt] write the whole validation report as JSON", NULL},
    [SETTING_TIMEOUT] = {"timeout", "dt-timeout", "DT_TIMEOUT", "SECONDS",
                         "[dt] how long nodes have to report (0.1 to 600, default 10)", "10"},
    [SETTING_NIC] = {"nic", "dt-nic", "DT_NIC", "plan|narrow|off",
                     "[dt] restrict libraries to the NICs of the plan (plan: of all ranks of the "
                     "node; narrow: each rank to its own; default off)",
                     "off"},
};

const char *setting_name(enum setting setting)
{
    return table[setting].name;
}

const char *setting_variable(enum setting setting)
{
    return table[setting].variable;
}

void options_fini(struct options *options)
{
    for (int source = 0; source < SOURCES; source++) {
        for (int setting = 0; setting < SETTINGS; setting++)
            free(options->given[source][setting]);
    }
    free(options->helpers);
    free(options->config);
    free(options->gather_ports);
    *options = (struct options){0};
}

void options_register(spank_t spank, spank_opt_cb_f callback)
{
    for (int i = 0; i < SETTINGS; i++) {
        /* "on-fail", "report", "timeout" and "nic" mean nothing without a value, so they demand one. */
        struct spank_option option = {.name = (char *)table[i].option,
                                      .arginfo = (char *)table[i].arginfo,
                                      .usage = (char *)table[i].usage,
                                      .has_arg = i <= SETTING_SHIM ? 2 : 1,
                                      .val = i,
                                      .cb = callback};
        if (spank_option_register(spank, &option) != ESPANK_SUCCESS)
            slurm_error("dt: --%s could not be registered; another plugin may have it",
                        table[i].option);
    }
}

bool options_word(const char *word)
{
    size_t len = strcspn(word, "=");
    if (len <= strlen("--dt-") || strncmp(word, "--dt-", strlen("--dt-")) != 0)
        return false;
    for (int i = 0; i < SETTINGS; i++) {
        if (strncmp(table[i].option, word + 2, len - 2) == 0)
            return true;
    }
    return false;
}

int options_take(struct options *options, enum source source, enum setting setting,
                 const char *value, struct sentence *why)
{
    char place[64];
    char *copy = NULL;
    const char *shown = source == SOURCE_VARIABLE ? table[setting].variable : table[setting].option;
    snprintf(place, sizeof place, "%s%s", source == SOURCE_OPTION ? "--" : "",
             source == SOURCE_ADMIN ? table[setting].name : shown);
    if (!value || !*value || strcmp(value, "(null)") == 0)
        value = NULL;
    if (value_normalize(setting, value, place, &copy, why) < 0)
        return -1;
    free(options->given[source][setting]);
    options->given[source][setting] = copy;
    return 0;
}

int options_read_variables(struct options *options, struct sentence *why)
{
    for (int i = 0; i < SETTINGS; i++) {
        const char *value = getenv(table[i].variable);
        if (value && *value && options_take(options, SOURCE_VARIABLE, i, value, why) < 0)
            return -1;
    }
    return 0;
}

static int take_path(char **slot, const char *value, const char *name)
{
    if (*value != '/') {
        slurm_error("dt: plugstack argument %s=%s is left out: it must be an absolute path", name,
                    value);
        return -1;
    }
    free(*slot);
    *slot = strdup(value);
    return *slot ? 0 : -1;
}

static void read_admin(struct options *options, const char *word)
{
    struct sentence why;
    size_t len = strcspn(word, "=");
    const char *value = word[len] ? word + len + 1 : "";
    for (int i = 0; i < SETTINGS; i++) {
        if (i == SETTING_REPORT || strlen(table[i].name) != len ||
            strncmp(table[i].name, word, len) != 0)
            continue;
        if (options_take(options, SOURCE_ADMIN, i, value, &why) < 0)
            slurm_error("dt: plugstack argument left out: %s", why.text);
        return;
    }
    if (strncmp(word, "helpers=", len + 1) == 0) {
        take_path(&options->helpers, value, "helpers");
    } else if (strncmp(word, "config=", len + 1) == 0) {
        take_path(&options->config, value, "config");
    } else if (strncmp(word, "gather-ports=", len + 1) == 0) {
        if (value_ports(value) < 0) {
            slurm_error("dt: plugstack argument gather-ports=%s is left out: it must be LO-HI, "
                        "two port numbers from 1024 to 65535",
                        value);
            return;
        }
        free(options->gather_ports);
        options->gather_ports = strdup(value);
    } else {
        slurm_error("dt: plugstack argument '%s' is unknown and left out (known: helpers config "
                    "validate env bind shim on-fail timeout nic gather-ports)",
                    word);
    }
}

void options_read_admin(struct options *options, int argc, char **argv)
{
    if (options->admin_read)
        return;
    options->admin_read = true;
    for (int i = 0; i < argc; i++)
        read_admin(options, argv[i]);
}

static const char *highest(const struct options *options, enum setting setting)
{
    for (int source = SOURCES - 1; source >= 0; source--) {
        if (options->given[source][setting])
            return options->given[source][setting];
    }
    return table[setting].fallback;
}

static bool is_off(const char *value)
{
    return strncmp(value, "off", 3) == 0 && (!value[3] || value[3] == ',');
}

const char *options_value(const struct options *options, enum setting setting)
{
    const char *value = highest(options, setting);
    if (value || setting == SETTING_REPORT)
        return value;
    return is_off(highest(options, SETTING_VALIDATE)) ? "off" : "auto";
}

bool options_by_user(const struct options *options, enum setting setting)
{
    return options->given[SOURCE_OPTION][setting] || options->given[SOURCE_VARIABLE][setting];
}

bool options_off(const struct options *options, enum setting setting)
{
    return is_off(options_value(options, setting));
}

bool options_active(const struct options *options)
{
    return !options_off(options, SETTING_VALIDATE) || !options_off(options, SETTING_ENV) ||
           !options_off(options, SETTING_BIND);
}

bool options_given(const struct options *options)
{
    for (int source = 0; source < SOURCES; source++) {
        for (int setting = 0; setting <= SETTING_SHIM; setting++) {
            if (options->given[source][setting])
                return true;
        }
    }
    return false;
}

char *options_format(const struct options *options)
{
    struct text text = {0};
    text_puts(&text, "1");
    for (int i = 0; i < SETTINGS; i++) {
        if (i == SETTING_REPORT)
            continue; /* written by dt-gather, on this side */
        text_printf(&text, " %s=%s", table[i].name, options_value(options, i));
    }
    if (text.failed)
        text_fini(&text);
    return text.data;
}

static int parse_word(struct options *options, const char *word, struct sentence *why)
{
    size_t len = strcspn(word, "=");
    for (int i = 0; i < SETTINGS; i++) {
        if (i == SETTING_REPORT || strlen(table[i].name) != len ||
            strncmp(table[i].name, word, len) != 0)
            continue;
        return options_take(options, SOURCE_OPTION, i, word[len] ? word + len + 1 : "", why);
    }
    return 0; /* a word of a later srun-side plugin of the same release */
}

int options_parse(struct options *options, const char *text, struct sentence *why)
{
    char *copy = strdup(text), *rest = copy, *word;
    int rc = -1;
    word = copy ? strsep(&rest, " ") : NULL;
    if (!word || strcmp(word, "1") != 0) {
        snprintf(why->text, sizeof why->text,
                 "SLURM_DT_SETTINGS begins with '%.16s', and this node's plugin understands 1; "
                 "install the same dt on srun's machine and on the nodes",
                 word ? word : "");
        text_printable(why->text);
        goto out;
    }
    while ((word = strsep(&rest, " "))) {
        if (*word && parse_word(options, word, why) < 0)
            goto out;
    }
    rc = 0;
out:
    free(copy);
    return rc;
}
