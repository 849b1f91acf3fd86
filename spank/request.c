/* SPDX-License-Identifier: Apache-2.0 */
/* The request to dt-node: what this step is on this node. docs/ARCHITECTURE.md, "Plugin and
 * dt-node". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "plugin.h"

const char *environ_get(char **job_environ, const char *name)
{
    size_t len = strlen(name);
    for (; job_environ && *job_environ; job_environ++) {
        if (strncmp(*job_environ, name, len) == 0 && (*job_environ)[len] == '=')
            return *job_environ + len + 1;
    }
    return NULL;
}

/* The soft limit the ranks will have. slurmstepd sets what srun sent along (SLURM_RLIMIT_*) after
 * we ran: capped at its own hard limit, or, asked for with --propagate ("U" in front), not at all
 * if above it. */
static long long rank_limit(int resource, const char *variable, char **job_environ)
{
    struct rlimit own;
    if (getrlimit(resource, &own) < 0)
        return -2;
    rlim_t soft = own.rlim_cur;
    const char *sent = environ_get(job_environ, variable);
    if (sent) {
        char *stop;
        bool demanded = *sent == 'U';
        unsigned long wanted = strtoul(sent + demanded, &stop, 10);
        if (!*stop && wanted <= own.rlim_max)
            soft = wanted;
        else if (!*stop && !demanded)
            soft = own.rlim_max;
    }
    return soft == RLIM_INFINITY ? -1 : (long long)soft;
}

static uint32_t item(spank_t spank, spank_item_t which)
{
    uint32_t value = 0;
    spank_get_item(spank, which, &value);
    return value;
}

static void put_ranks(struct text *text, spank_t spank, uint32_t tasks)
{
    uint32_t first = 0;
    struct text ranks = {0};
    for (uint32_t task = 0; task < tasks; task++) {
        uint32_t global = task;
        spank_get_item(spank, S_JOB_LOCAL_TO_GLOBAL_ID, task, &global);
        first = task == 0 ? global : first;
        text_printf(&ranks, "%s%" PRIu32, task ? "," : "", global);
    }
    text_printf(text, "tasks local %" PRIu32 " total %" PRIu32 " first %" PRIu32 "\n", tasks,
                item(spank, S_JOB_TOTAL_TASK_COUNT), first);
    text_printf(text, "ranks %s\n", ranks.data ? ranks.data : "");
    text->failed |= ranks.failed;
    text_fini(&ranks);
}

static void put_user(struct text *text, spank_t spank)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1, *groups = NULL;
    int count = 0;
    spank_get_item(spank, S_JOB_UID, &uid);
    spank_get_item(spank, S_JOB_GID, &gid);
    spank_get_item(spank, S_JOB_SUPPLEMENTARY_GIDS, &groups, &count);
    text_printf(text, "user %u %u ", (unsigned)uid, (unsigned)gid);
    for (int i = 0; groups && i < count; i++)
        text_printf(text, "%s%u", i ? "," : "", (unsigned)groups[i]);
    if (!groups || count <= 0)
        text_printf(text, "%u", (unsigned)gid);
    text_puts(text, "\n");
}

static void put_directory(struct text *text)
{
    char *directory = getcwd(NULL, 0); /* slurmstepd has gone to the job's */
    text_puts(text, "cwd ");
    text_word(text, directory ? directory : "/");
    text_puts(text, "\n");
    free(directory);
}

void request_component(struct remote *remote, spank_t spank, char **job_environ)
{
    const char *components = environ_get(job_environ, VARIABLE_COMPONENTS);
    const char *leader = environ_get(job_environ, "SLURM_JOB_ID");
    long size = components ? strtol(components, NULL, 10) : 0;
    if (size < 2 || !leader)
        return;
    /* Components of a het job have job ids of their own, in a row from the leader's. */
    long component = (long)item(spank, S_JOB_ID) - strtol(leader, NULL, 10);
    for (long i = 0; i < size; i++) {
        char name[64];
        snprintf(name, sizeof name, "SLURM_JOB_ID_HET_GROUP_%ld", i);
        const char *id = environ_get(job_environ, name);
        if (id && strtoul(id, NULL, 10) == item(spank, S_JOB_ID))
            component = i;
    }
    remote->components = size;
    remote->component = component < 0 || component >= size ? 0 : component;
}

void request_format(struct text *text, const struct plugin *plugin, spank_t spank, int port,
                    const char *rendezvous, char **job_environ)
{
    const struct options *options = &plugin->options;
    text_puts(text, "dt-request 1\n");
    text_printf(text, "job %" PRIu32 " step %" PRIu32 "\n", item(spank, S_JOB_ID),
                item(spank, S_JOB_STEPID));
    text_puts(text, "node ");
    text_word(text, plugin->remote.node_name);
    text_printf(text, " id %" PRIu32 " of %" PRIu32 "\n", item(spank, S_JOB_NODEID),
                item(spank, S_JOB_NNODES));
    if (plugin->remote.components)
        text_printf(text, "het %ld of %ld\n", plugin->remote.component, plugin->remote.components);
    put_ranks(text, spank, plugin->remote.tasks);
    put_user(text, spank);
    put_directory(text);
    for (int i = 0; i < SETTINGS; i++) {
        if (i != SETTING_REPORT && i != SETTING_SHIM) /* srun's and the tasks' own */
            text_printf(text, "%s %s\n", setting_name((enum setting)i),
                        options_value(options, (enum setting)i));
    }
    if (plugin->remote.bound)
        manners_request(text, plugin->remote.bound);
    text_printf(text, "port %d\n", port);
    if (rendezvous) {
        text_puts(text, "rendezvous ");
        text_word(text, rendezvous);
        text_puts(text, "\n");
    }
    text_printf(text, "limits %lld %lld\n",
                rank_limit(RLIMIT_MEMLOCK, "SLURM_RLIMIT_MEMLOCK", job_environ),
                rank_limit(RLIMIT_NOFILE, "SLURM_RLIMIT_NOFILE", job_environ));
    for (; job_environ && *job_environ; job_environ++) {
        if (strncmp(*job_environ, "SLURM_DT_", strlen("SLURM_DT_")) == 0)
            continue;
        text_puts(text, "environ ");
        text_word(text, *job_environ);
        text_puts(text, "\n");
    }
    text_puts(text, "end\n");
}
