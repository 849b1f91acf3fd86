/* SPDX-License-Identifier: Apache-2.0 */
/* Files that put variables into a program without the user seeing them: NCCL reads its
 * configuration files when a program first calls it, and gives every NAME=VALUE in them (any name,
 * not only NCCL_*) to the program that has none of that name.
 *
 * As NCCL does it (src/misc/param.cc of 2.23 and later): NCCL_CONF_FILE when that is set and not
 * empty, else ~/.nccl.conf (~ is the home directory of the user database, not $HOME); then
 * /etc/nccl.conf. What comes first counts. A line that begins with '#' or has no '=' is stepped
 * over; blanks belong to names and values; both are cut at 1,023 bytes. NCCL before 2.23 does not
 * know NCCL_CONF_FILE. */
#ifndef DT_NCCL_NCCL_H
#define DT_NCCL_NCCL_H

#include <stddef.h>

#include "base/error.h"
#include "base/root.h"
#include "facts/facts.h"

struct dt_nccl_setting {
    char *name;
    char *value;
    char *file; /* "/etc/nccl.conf" */
    int line;
};

struct dt_nccl_settings {
    struct dt_nccl_setting *items; /* one a name, in the order in which NCCL sets them */
    size_t count;
    char **troubles; /* NULL-terminated; "/home/u/.nccl.conf: Permission denied"; or NULL */
};

/* Read the files as the user whom the request names (uid, gid, groups), below request->root: a
 * caller that is root does it in a child that has become him, with a deadline. conf_file: the job's
 * NCCL_CONF_FILE, relative to request->cwd; or NULL. nccl: version of NCCL or NULL, which decides
 * whether NCCL_CONF_FILE is obeyed. A file that is not there is no trouble, except the one that
 * NCCL_CONF_FILE names. -1 only without memory. */
int dt_nccl_conf_read(struct dt_nccl_settings *settings, const struct dt_facts_request *request,
                      const char *conf_file, const char *nccl, struct dt_error *err);

/* The same in two halves, for a caller that has a child as the user anyway (facts/facts.h,
 * dt_facts_question): _ask in the child, which writes a text to `out`; _take of that text, which it
 * cuts up. failure: why the text may be incomplete; NULL: it is whole. */
struct dt_nccl_asked {
    const struct dt_facts_request *request;
    const char *conf_file;
};
void dt_nccl_conf_ask(int out, void *asked);
int dt_nccl_conf_take(struct dt_nccl_settings *settings, char *text, const char *failure,
                      const struct dt_nccl_asked *asked, const char *nccl, struct dt_error *err);

void dt_nccl_settings_fini(struct dt_nccl_settings *settings);

/* One file's text; names that are there already are left as they are. */
int dt_nccl_conf_parse(struct dt_nccl_settings *settings, const char *file, const char *text,
                       size_t len, struct dt_error *err);

/* The environment that a program has once NCCL has read its files: the user's, and behind it what
 * the files give in addition. Strings are borrowed from both but for the array and the added ones,
 * which are freed with dt_nccl_environ_free. NULL: no memory. */
char **dt_nccl_environ(char *const *user_env, const struct dt_nccl_settings *settings);
void dt_nccl_environ_free(char **list, char *const *user_env);

#endif
