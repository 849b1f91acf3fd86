/* SPDX-License-Identifier: Apache-2.0 */
/* The EFA, NCCL and libfabric variables where Slurm's plugin has not set them. dt-launch is one static
 * binary and holds no rules: it asks dt-env beside it, and where there is none it says so once. */
#include "injection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/buf.h"
#include "base/error.h"
#include "helper.h"

#define HARMFUL 2 /* exit codes 1 and 2: it found harmful variables */

static int ask(const char *path, int local_rank, bool speaks, struct dt_buf *answer,
               struct dt_error *err)
{
    char rank[16];
    char *argv[] = {(char *)"dt-env",
                    (char *)"print",
                    (char *)"--format",
                    (char *)"shell0",
                    (char *)"--local-rank",
                    rank,
                    NULL};
    snprintf(rank, sizeof rank, "%d", local_rank);
    struct dt_helper helper = {
        .path = path, .argv = argv, .env = environ, .speaks = speaks, .last_good = HARMFUL};
    return dt_helper_run(&helper, answer, err);
}

/* The table, on standard error. */
static int explain(const char *path, struct dt_error *err)
{
    char *argv[] = {(char *)"dt-env", (char *)"explain", NULL};
    struct dt_helper helper = {
        .path = path, .argv = argv, .env = environ, .speaks = true, .last_good = HARMFUL};
    return dt_helper_run(&helper, NULL, err);
}

int dt_injection_find(struct dt_injection *injection, enum dt_env_mode mode, int local_rank,
                      bool speaks)
{
    struct dt_error err = {""};
    struct dt_buf answer = DT_BUF_INIT;
    *injection = (struct dt_injection){0};
    if (mode == DT_ENV_MODE_OFF || getenv("DT_ENV_APPLIED"))
        return 0; /* the plugin has done it */
    char *path = dt_beside("dt-env");
    int result = -1;
    if (!path) {
        dt_error_set(&err, "--env: dt-env is neither beside dt-launch nor in ../libexec/dt, so no "
                           "variable is set by rules");
    } else if ((mode == DT_ENV_MODE_EXPLAIN && speaks && explain(path, &err)) ||
               ask(path, local_rank, speaks, &answer, &err)) {
        dt_error_prefix(&err, "--env: no variable is set by rules");
    } else {
        result = 0;
    }
    free(path);
    if (result == 0) {
        injection->asked = true;
        injection->length = answer.len;
        injection->text = dt_buf_take(&answer);
        return injection->text ? 0 : -1;
    }
    dt_buf_fini(&answer);
    if (speaks)
        dprintf(STDERR_FILENO, "dt-launch: warning: %s\n", err.text);
    return 0;
}

void dt_injection_fini(struct dt_injection *injection)
{
    free(injection->text);
    *injection = (struct dt_injection){0};
}

/* "NAME=VALUE" is set, "NAME" is taken away. */
static void apply_one(struct dt_environ *env, const char *item, struct dt_buf *names)
{
    const char *equals = strchr(item, '=');
    struct dt_buf name = DT_BUF_INIT;
    dt_buf_append(&name, item, equals ? (size_t)(equals - item) : strlen(item));
    char *text = dt_buf_take(&name);
    if (!text || !*text) {
        env->failed = env->failed || !text;
        free(text);
        return;
    }
    dt_buf_printf(names, "%s%s%s", names->len ? "," : "", equals ? "" : "-", text);
    if (equals) {
        dt_environ_set(env, text, "%s", equals + 1);
    } else {
        dt_environ_unset(env, text);
    }
    free(text);
}

void dt_injection_apply(struct dt_environ *env, const struct dt_injection *injection)
{
    struct dt_buf names = DT_BUF_INIT;
    if (!injection->asked)
        return;
    for (size_t at = 0; at < injection->length; at += strlen(injection->text + at) + 1)
        apply_one(env, injection->text + at, &names);
    char *list = dt_buf_take(&names);
    env->failed = env->failed || !list;
    dt_environ_set(env, "DT_ENV_APPLIED", "%s", list ? list : "");
    free(list);
}
