/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env: the environment doctor's commands. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "dt-env.h"
#include "version.h"
#include "with.h"

const char *argp_program_version = "dt-env " DT_VERSION;

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"check", command_check, "which variables do harm, do nothing, or are fine, and why"},
    {"explain", command_explain, "the same, whatever is found: exit status 0"},
    {"print", command_print,
     "what should be set, for a shell, a Dockerfile, a job script, a program"},
    {"rules", command_rules, "all rules in words; or try a rules file"},
    {"versions", command_versions,
     "which libraries and drivers are there, and which one is loaded"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

int command_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "dt-env: standard output can not be written: %s\n", strerror(errno));
    return DT_EXIT_HELPER;
}

static void usage(FILE *out)
{
    fprintf(out, "usage: dt-env COMMAND [OPTION...]\n\n"
                 "The right EFA, libfabric, NCCL, Neuron and CPU training variables, and why.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(out, "\n'dt-env COMMAND --help' tells the options of a command; dt-env(1) the rest.\n");
}

static int unknown(const char *word)
{
    const char *names[COMMAND_COUNT + 1] = {0};
    const char *near;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    near = *word == '-' ? NULL : nearest_word(word, names);
    fprintf(stderr, "dt-env: no command '%s'", word);
    if (near)
        fprintf(stderr, "; did you mean '%s'?\n", near);
    else
        fprintf(stderr, "; there are check, explain, print, rules and versions (dt-env --help)\n");
    return DT_EXIT_USAGE;
}

static int run(const struct command *command, int argc, char **argv)
{
    char *name;
    int code;
    if (asprintf(&name, "dt-env %s", command->name) < 0)
        return DT_EXIT_HELPER;
    argv[0] = name;
    program_invocation_short_name = program_invocation_name = name;
    code = command->run(argc, argv);
    free(name);
    return code;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    argp_err_exit_status = DT_EXIT_USAGE;
    if (!word) {
        usage(stderr);
        return DT_EXIT_USAGE;
    }
    if (strcmp(word, "help") == 0 && argc > 2) { /* dt-env help print: as git does */
        argv[1] = argv[2];
        argv[2] = (char *)"--help";
        word = argv[1];
    } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-?") == 0 ||
               strcmp(word, "help") == 0) {
        usage(stdout);
        return command_finish(0);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("%s\n", argp_program_version);
        return command_finish(0);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(word, commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    return unknown(word);
}
