/* SPDX-License-Identifier: Apache-2.0 */
/* Setting limits, which may need a right that we do not have. */
#include "ulimits.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static int apply(const struct dt_ulimit *limit)
{
    struct rlimit have;
    if (getrlimit((__rlimit_resource_t)limit->resource, &have))
        return -1;
    have.rlim_cur = limit->hard ? have.rlim_max : limit->value;
    if (have.rlim_max != RLIM_INFINITY &&
        (have.rlim_cur == RLIM_INFINITY || have.rlim_cur > have.rlim_max))
        have.rlim_max = have.rlim_cur;
    return setrlimit((__rlimit_resource_t)limit->resource, &have);
}

int dt_ulimits_apply(const struct dt_ulimit *limits, int count, int *index)
{
    for (*index = 0; *index < count; (*index)++) {
        if (apply(&limits[*index]))
            return -1;
    }
    return 0;
}

int dt_ulimits_check(const struct dt_ulimit *limits, int count, struct dt_error *err)
{
    int status = 0, index = 0;
    pid_t pid = count ? fork() : 0;
    if (count && pid == 0)
        _exit(dt_ulimits_apply(limits, count, &index) ? index + 1 : 0);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    index = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (!index)
        return 0;
    const struct dt_ulimit *limit = &limits[index - 1];
    struct rlimit have = {0, 0};
    getrlimit((__rlimit_resource_t)limit->resource, &have);
    return dt_error_set(
        err,
        "--ulimit %s is more than the hard limit of this node, %llu, and only root "
        "may raise that: ask for it in limits.conf, or in slurmd's LimitMEMLOCK and "
        "the like",
        limit->text, (unsigned long long)have.rlim_max);
}
