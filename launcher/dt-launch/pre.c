/* SPDX-License-Identifier: Apache-2.0 */
/* Commands before the ranks. They run in a session of nobody's: what they leave behind is ended with
 * the rest. */
#include "pre.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "environ.h"
#include "worker.h"

int dt_pre_check(const struct dt_options *options, const struct dt_place *place,
                 struct dt_error *err)
{
    const char *name = options->extras.pre ? "--pre" : "--pre-once";
    if ((options->extras.pre || options->extras.pre_once) && place->shape == DT_SHAPE_TASK)
        return dt_error_set(err,
                            "%s needs one dt-launch a node (--nproc-per-node), for the ranks to "
                            "wait until it is done",
                            name);
    return 0;
}

static void __attribute__((noreturn)) become(const char *command, const struct dt_place *place)
{
    struct dt_environ env;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dt_environ_init(&env, environ);
    dt_environ_set(&env, "NODE_RANK", "%d", place->node_rank);
    dt_environ_set(&env, "GROUP_WORLD_SIZE", "%d", place->node_count);
    dt_environ_set(&env, "WORLD_SIZE", "%d", place->world_size);
    dt_environ_set(&env, "LOCAL_WORLD_SIZE", "%d", place->local_world_size);
    dup2(null, STDIN_FILENO);
    execve("/bin/sh", argv, env.failed ? environ : env.items);
    _exit(DT_EXIT_NOT_FOUND);
}

static int run(const char *option, const char *command, const struct dt_place *place, int *code,
               struct dt_error *err)
{
    int status = 0;
    pid_t pid = fork();
    *code = DT_EXIT_HELPER;
    if (pid == 0)
        become(command, place);
    if (pid < 0)
        return dt_error_set(err, "%s can not be started: fork: %s", option, strerror(errno));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status == 0)
        return 0;
    *code = dt_status_code(status);
    return dt_error_set(err, "%s ended with code %d, so no rank is started: %.200s", option, *code,
                        command);
}

int dt_pre_run(const struct dt_options *options, const struct dt_place *place, int *code,
               struct dt_error *err)
{
    const struct dt_extras *extras = &options->extras;
    if (extras->pre_once && place->node_rank == 0 &&
        run("--pre-once", extras->pre_once, place, code, err))
        return -1;
    return extras->pre ? run("--pre", extras->pre, place, code, err) : 0;
}
