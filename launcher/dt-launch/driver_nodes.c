/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes are bad, when a step has ended or was refused. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "driver_internal.h"
#include "requeue.h"

void dt_driver_warn(const char *what, const struct dt_error *err)
{
    dprintf(STDERR_FILENO, "dt-launch: %s: %s\n", what, err->text);
}

int dt_driver_reject_unfit(struct driver *driver)
{
    const char *own = getenv("DT_REPORT");
    struct dt_buf unfit = DT_BUF_INIT;
    struct dt_error err = {""};
    int rejected = 0;
    if (dt_slurm_unfit(driver->report[0] ? driver->report : own, &unfit, &err))
        dt_driver_warn("which nodes are unfit can not be read", &err);
    else if (unfit.data && *unfit.data)
        rejected = dt_spares_reject_list(&driver->spares, unfit.data);
    dt_buf_fini(&unfit);
    return rejected;
}

#define REASON_MAX 256 /* with its end; Slurm's accounting keeps no more */

/* As dt-drain does with its own reasons, by which it finds them. */
static void drain(const struct driver *driver, const char *nodes, const char *what)
{
    char reason[REASON_MAX];
    struct dt_error err = {""};
    if (!driver->options->driver.drain)
        return;
    snprintf(reason, sizeof reason, "dt: job %lld: %s", driver->job, what ? what : "node was lost");
    if (dt_slurm_drain(nodes, reason, &err))
        dt_driver_warn("--drain", &err);
}

/* Those that Slurm itself calls down. */
static int reject_down(struct driver *driver, int count)
{
    struct dt_buf down = DT_BUF_INIT;
    struct dt_error err = {""};
    int rejected = 0;
    char *list = dt_hostlist_compress(driver->spares.chosen, (size_t)count);
    if (!list || dt_slurm_down(list, &down, &err))
        dt_driver_warn("the states of the nodes can not be read", &err);
    else if (down.data && *down.data)
        rejected = dt_spares_reject_list(&driver->spares, down.data);
    if (rejected)
        drain(driver, down.data, "Slurm called the node down while dt-launch ran on it");
    dt_buf_fini(&down);
    free(list);
    return rejected;
}

static int reject_told(struct driver *driver)
{
    const struct dt_told *told = &driver->told;
    if (!dt_spares_reject(&driver->spares, told->node))
        return 0;
    drain(driver, told->node, told->sentence);
    return 1;
}

/* When Slurm calls a node down it ends the step, and agents that are killed then look lost to each other: so a node
 * that Slurm calls down goes before one that was lost to another. */
static int reject_lost(struct driver *driver, int count)
{
    int rejected = reject_down(driver, count);
    return rejected > 0 ? rejected : reject_told(driver);
}

int dt_driver_reject(struct driver *driver, int code, int count)
{
    const struct dt_told *told = &driver->told;
    if (told->heard && told->follow == DT_FOLLOW_REPLACE)
        return told->code == DT_EXIT_HELPER ? reject_lost(driver, count) : reject_told(driver);
    if (told->heard)
        return 0;
    if (code == DT_EXIT_UNFIT || code == DT_EXIT_INCOMPLETE)
        return driver->validates ? dt_driver_reject_unfit(driver) : 0;
    return reject_down(driver, count);
}
