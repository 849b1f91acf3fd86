/* SPDX-License-Identifier: Apache-2.0 */
/* --doctor: what one rank will find, and where each thing comes from. Variables that have nothing to do with
 * training are counted only. */
#include <dirent.h>
#include <fnmatch.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "show.h"

/* Families that a framework, a communication library or a loader reads. */
static const char *const families[] = {
    "RANK",     "LOCAL_*",      "WORLD_SIZE",  "NODE_RANK",   "GROUP_*",     "ROLE_*",
    "MASTER_*", "CROSS_*",      "TORCH*",      "PYTORCH*",    "PET_*",       "NCCL_*",
    "FI_*",     "OFI_*",        "RDMAV_*",     "EFA_*",       "UCX_*",       "CUDA_*",
    "NVIDIA_*", "NVSHMEM_*",    "GLOO_*",      "NEURON_*",    "XLA_*",       "JAX_*",
    "OMPI_*",   "PMI*",         "OMP_*",       "KMP_*",       "MKL_*",       "OPENBLAS_*",
    "GOMP_*",   "ACCELERATE_*", "FSDP_*",      "DEEPSPEED_*", "HF_*",        "SLURM_*",
    "DT_*",     "PATH",         "LD_*",        "PYTHON*",     "VIRTUAL_ENV", "CONDA_PREFIX",
    "MALLOC_*", "TMPDIR",       "AWS_BATCH_*", "SM_*",
};

static bool is_relevant(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (fnmatch(families[i], name, 0) == 0)
            return true;
    }
    return false;
}

/* Is the name in DT_ENV_APPLIED, "A,-B"? */
static bool by_plugin(const char *name)
{
    const char *applied = getenv("DT_ENV_APPLIED");
    size_t length = strlen(name);
    while (applied && *applied) {
        size_t item = strcspn(applied, ",");
        if (item == length && strncmp(applied, name, length) == 0)
            return true;
        applied += item + (applied[item] == ',');
    }
    return false;
}

static const char *origin(const char *name, const char *value)
{
    const char *own = getenv(name);
    if (!own || strcmp(own, value) != 0)
        return own ? "dt-launch (changed)" : "dt-launch";
    if (by_plugin(name))
        return "dt's rules";
    if (strncmp(name, "DT_", 3) == 0)
        return "dt's plugin";
    if (strncmp(name, "SLURM_", 6) == 0 || strncmp(name, "PMI", 3) == 0)
        return "slurm";
    return "environment";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_variables(const struct dt_environ *env)
{
    size_t others = 0;
    qsort(env->items, env->count, sizeof *env->items, by_name);
    printf("  variables:\n");
    for (size_t i = 0; i < env->count; i++) {
        const char *equals = strchr(env->items[i], '=');
        char *name = equals ? strndup(env->items[i], (size_t)(equals - env->items[i])) : NULL;
        if (name && is_relevant(name))
            printf("    %-20s %s\n", origin(name, equals + 1), env->items[i]);
        else
            others++;
        free(name);
    }
    for (char **at = environ; *at; at++) {
        char *name = strndup(*at, strcspn(*at, "="));
        if (name && !dt_environ_get(env, name))
            printf("    %-20s %s (was: %s)\n", "taken away", name, *at + strlen(name) + 1);
        free(name);
    }
    printf("    and %zu that have nothing to do with training\n", others);
}

/* "0-3,8" of the CPUs that this process may use. */
static void show_own_cpus(void)
{
    struct dt_bits bits = {0};
    struct dt_error err;
    const char *comma = "";
    if (dt_bits_own_cpus(&bits, &err)) {
        printf("not known: %s", err.text);
        return;
    }
    size_t word = 8 * sizeof *bits.words, count = bits.bytes * 8;
    for (size_t cpu = 0; cpu < count; cpu++) {
        size_t last = cpu;
        if (!(bits.words[cpu / word] >> (cpu % word) & 1))
            continue;
        while (last + 1 < count && bits.words[(last + 1) / word] >> ((last + 1) % word) & 1)
            last++;
        printf(last > cpu ? "%s%zu-%zu" : "%s%zu", comma, cpu, last);
        comma = ",";
        cpu = last;
    }
    dt_bits_fini(&bits);
}

static void show_limits(void)
{
    static const struct {
        const char *name;
        int which;
    } limits[] = {{"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
                  {"stack", RLIMIT_STACK},     {"core", RLIMIT_CORE},     {"data", RLIMIT_DATA}};
    printf("  limits   ");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        if (getrlimit((__rlimit_resource_t)limits[i].which, &limit))
            continue;
        printf("%s %s ", i ? "," : "", limits[i].name);
        if (limit.rlim_cur == RLIM_INFINITY)
            printf("unlimited");
        else
            printf("%llu", (unsigned long long)limit.rlim_cur);
    }
    printf("\n");
}

/* How many of DIRECTORY/PREFIX<number> there are, and how many can be opened. */
static void show_devices(const char *directory, const char *prefix)
{
    DIR *dir = opendir(directory);
    size_t length = strlen(prefix);
    int there = 0, open = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *number = entry->d_name + length;
        char path[300];
        if (strncmp(entry->d_name, prefix, length) != 0 || !*number ||
            strspn(number, "0123456789") != strlen(number))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        there++;
        open += access(path, R_OK | W_OK) == 0;
    }
    if (dir)
        closedir(dir);
    if (there)
        printf("  devices   %d of %d %s/%s* can be opened\n", open, there, directory, prefix);
}

int dt_show_doctor(const struct dt_job *job)
{
    const struct dt_place *place = job->place;
    int index = job->options->doctor - place->rank;
    if (index < 0 || index >= place->processes)
        return 0; /* another node's */
    const struct dt_worker *worker = &job->workers[index];
    const struct dt_bind_target *bind = worker->bind;
    printf("rank %d of %d, local rank %d of %d, on %s (node %d of %d)\n", worker->rank,
           place->world_size, worker->local_rank, place->local_world_size, place->node_name,
           place->node_rank, place->node_count);
    printf("  platform  %s, %s\n", place->adapter,
           place->shape == DT_SHAPE_TASK ? "one process per task" : "one agent per node");
    printf("  program   %s\n  argv     ", job->path);
    for (char **argv = job->options->program; *argv; argv++)
        printf(" %s", *argv);
    printf("\n  cpus      ");
    if (bind && bind->cpu_list)
        printf("%s (by dt-node's plan)", bind->cpu_list);
    else
        show_own_cpus();
    if (bind && bind->policy)
        printf("\n  memory    %s %s (by dt-node's plan)\n", bind->policy, bind->node_list);
    else
        printf("\n  memory    %s\n", dt_memory_is_chosen(getenv("DT_BIND_MEMORY"))
                                         ? "a policy that was there before dt-launch"
                                         : "no policy: where the CPU is that first writes it");
    show_limits();
    show_devices("/dev", "nvidia");
    show_devices("/dev/infiniband", "uverbs");
    show_devices("/dev", "neuron");
    show_variables(&worker->env);
    return fflush(stdout) ? DT_EXIT_REPORT : 0;
}
