/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks are to look at themselves, before their program starts: what dt-node can not see, as it
 * runs before the container is entered and outside the ranks' cgroup. Only what this node itself has is
 * asked for: what the node lacks is the checks' matter. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "planner.h"

/* A cgroup that allows less of the memory that Slurm gave the step than this: no rounding, nor a cgroup.conf
 * that keeps some percent back. */
enum { DEVICES_MAX = 256, CGROUP_PERCENT = 50 };

/* A device that nobody can open here (its driver is another's, or gone) is only asked to be there. */
static void put_device(struct dt_buf *plan, const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        close(fd);
    else if (errno == ENOENT)
        return;
    dt_plan_all_look(plan, fd >= 0 ? "device" : "node", path);
}

/* The GPUs of this step, by their numbers: Slurm's own are those of /dev/nvidiaN. */
static bool put_gpus(const struct planner *p, struct dt_buf *plan)
{
    const char *gpus = dt_request_getenv(p->request, "SLURM_STEP_GPUS");
    if (!gpus || !*gpus)
        return false;
    for (size_t count = 0; *gpus && count < DEVICES_MAX; count++) {
        char path[64], *end;
        unsigned long gpu = strtoul(gpus, &end, 10);
        if (end == gpus || (*end && *end != ','))
            return true; /* by UUID, or parts of GPUs */
        snprintf(path, sizeof path, "/dev/nvidia%lu", gpu);
        put_device(plan, path);
        gpus = end + (*end == ',');
    }
    put_device(plan, "/dev/nvidiactl");
    put_device(plan, "/dev/nvidia-uvm");
    return true;
}

/* EFA is not parted between jobs: all of its devices. */
static void put_verbs(const struct planner *p, struct dt_buf *plan)
{
    char **names;
    int count = dt_root_list(&p->engine->root, &names, "dev/infiniband");
    for (int i = 0; i < count && i < DEVICES_MAX; i++) {
        char path[512];
        snprintf(path, sizeof path, "/dev/infiniband/%s", names[i]);
        if (strncmp(names[i], "uverbs", 6) == 0)
            put_device(plan, path);
    }
    if (count >= 0)
        dt_names_free(names);
}

static void put_shm(const struct planner *p, struct dt_buf *plan)
{
    char mib[32];
    long long memory, percent = p->engine->conf.min_shm_percent;
    if (percent == 0 || !dt_facts_int(&p->engine->facts, "mem.total_mib", &memory))
        return;
    snprintf(mib, sizeof mib, "%lld", memory / 100 * percent);
    dt_plan_all_look(plan, "shm", mib);
}

/* Without a driver's library the node serves containers alone that bring one, or nobody. */
static bool has_driver_library(void)
{
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
                                          "/usr/lib64", "/usr/local/nvidia/lib64"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/libcuda.so.1", folders[i]);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* 0 in dt.conf: not looked at. */
static void put_number(struct dt_buf *plan, const char *kind, long long number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", number);
    if (number != 0)
        dt_plan_all_look(plan, kind, text);
}

/* Only that they are there, since a cgroup may well keep some of them for other jobs. */
static void put_neuron(const struct planner *p, struct dt_buf *plan)
{
    char **names;
    int count = dt_root_list(&p->engine->root, &names, "dev");
    for (int i = 0, used = 0; i < count && used < DEVICES_MAX; i++) {
        char path[512];
        snprintf(path, sizeof path, "/dev/%s", names[i]);
        if (strncmp(names[i], "neuron", 6) != 0 || names[i][6] < '0' || names[i][6] > '9')
            continue;
        if (access(path, R_OK | W_OK) == 0)
            dt_plan_all_look(plan, "node", path);
        used++;
    }
    if (count >= 0)
        dt_names_free(names);
}

/* A mask that the user's own options made is his; without srun's word whose it is stays unknown. */
static void put_cpus(const struct planner *p, struct dt_buf *plan)
{
    dt_plan_all_look(plan, "cpus", "step");
    if (p->request->bound_known && !p->request->cpus_bound)
        dt_plan_all_look(plan, "cpus", "rank");
}

void planner_put_look(const struct planner *p, struct dt_buf *plan)
{
    const struct dt_facts *facts = &p->engine->facts;
    const char *driver, *plugin;
    long long efas;
    if (strcmp(p->request->on_fail, "warn") == 0)
        dt_plan_all_look(plan, "mode", "warn");
    put_shm(p, plan);
    put_number(plan, "nproc", p->engine->conf.min_nproc);
    put_number(plan, "nofile", p->engine->conf.min_nofile);
    put_number(plan, "memory", CGROUP_PERCENT);
    put_cpus(p, plan);
    bool gpus = put_gpus(p, plan);
    if (dt_facts_int(facts, "efa.count", &efas) && efas > 0)
        put_verbs(p, plan);
    else
        efas = 0;
    if (efas > 0)
        put_number(plan, "memlock", p->engine->conf.min_memlock_mib);
    put_neuron(p, plan);
    if (gpus && dt_facts_string(facts, "driver.nvidia", &driver) && has_driver_library())
        dt_plan_all_look(plan, "driver", driver);
    if (gpus && efas > 0 && dt_facts_string(facts, "lib.ofi_nccl", &plugin))
        dt_plan_all_look(plan, "library", "libnccl-net.so");
}
