/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of dt-env. Each gets its own words (argv[0] is "dt-env NAME", for its messages) and
 * returns the exit status of the process. */
#ifndef DT_ENV_COMMANDS_H
#define DT_ENV_COMMANDS_H

int command_check(int argc, char **argv);
int command_print(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_rules(int argc, char **argv);
int command_versions(int argc, char **argv);

/* `code`, or DT_EXIT_HELPER after a message when standard output could not be written. */
int command_finish(int code);

#endif
