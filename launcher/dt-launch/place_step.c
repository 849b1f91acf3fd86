/* SPDX-License-Identifier: Apache-2.0 */
/* In which step of Slurm this process really runs: a whole environment of another step, inherited by a shell, screen, ssh or
 * sbatch, is right in itself, and would have ranks wait for a step that has ended. slurmstepd shows its step in its title
 * ("slurmstepd: [77.0]"); who was left by it is still in the step's cgroup. Where neither is seen, as in many containers,
 * the environment is believed. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "place.h"
#include "procfs.h"

#define ANCESTORS_MAX 64

struct step {
    long long job, number;
};

/* Steps that srun has not made; the numbers are slurm.h's SLURM_BATCH_SCRIPT and so on, and the value of SLURM_STEP_ID. */
static const struct {
    const char *word;
    long long number;
} named[] = {{"batch", 0xfffffffb}, {"extern", 0xfffffffc}, {"interactive", 0xfffffffa}};

/* "0" or "batch" before one of the characters `end`. */
static bool read_number(const char *text, const char *end, long long *number)
{
    size_t length = strcspn(text, end);
    if (!text[length] || length == 0)
        return false;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (strlen(named[i].word) == length && strncmp(text, named[i].word, length) == 0) {
            *number = named[i].number;
            return true;
        }
    }
    *number = atoll(text);
    return strspn(text, "0123456789") == length;
}

/* A title of another form, such as that of a het job, is not understood. */
static bool read_title(const char *title, struct step *step)
{
    int at = 0;
    return sscanf(title, "slurmstepd: [%lld.%n", &step->job, &at) == 1 && at > 0 &&
           read_number(title + at, "]", &step->number);
}

static pid_t parent_of(pid_t pid)
{
    char text[1024];
    int parent;
    const char *after = dt_procfs_read(text, sizeof text, pid, "stat") ? strrchr(text, ')') : NULL;
    return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* The nearest: a cluster may run in a job of another. */
static bool find_slurmstepd(struct step *step, bool *seen)
{
    char title[256];
    pid_t pid = getpid();
    for (int i = 0; i < ANCESTORS_MAX && (pid = parent_of(pid)) > 1; i++) {
        *seen = dt_procfs_read(title, sizeof title, pid, "cmdline") &&
                strncmp(title, "slurmstepd: ", 12) == 0;
        if (*seen)
            return read_title(title, step);
    }
    return false;
}

/* ".../slurm/uid_1000/job_77/step_0/..." or ".../slurmstepd.scope/job_77/step_0/...", in any hierarchy. */
static bool find_cgroup(struct step *step)
{
    char text[4096];
    if (!dt_procfs_read(text, sizeof text, getpid(), "cgroup"))
        return false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *end = line + strcspn(line, "\n"), *slurm = strstr(line, "slurm");
        const char *job = slurm && slurm < end ? strstr(slurm, "/job_") : NULL;
        int at = 0;
        if (job && job < end && sscanf(job, "/job_%lld/step_%n", &step->job, &at) == 1 && at > 0 &&
            read_number(job + at, "/\n", &step->number))
            return true;
    }
    return false;
}

static void write_step(char *text, size_t size, const struct step *step)
{
    const char *word = NULL;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        word = named[i].number == step->number ? named[i].word : word;
    if (word)
        snprintf(text, size, "%lld.%s", step->job, word);
    else
        snprintf(text, size, "%lld.%lld", step->job, step->number);
}

int dt_place_check_step(const struct dt_place *place, struct dt_error *err)
{
    struct step step, said = {place->job, place->step};
    char real[64], claimed[64];
    bool seen = false;
    if (getenv("SLURM_HET_SIZE") ||
        !(find_slurmstepd(&step, &seen) || (!seen && find_cgroup(&step))) ||
        (step.job == said.job && step.number == said.number))
        return 0;
    write_step(real, sizeof real, &step);
    write_step(claimed, sizeof claimed, &said);
    return dt_error_set(
        err,
        "SLURM_JOB_ID and SLURM_STEP_ID say step %s, but this process runs in step %s: the "
        "variables were inherited from another step; start dt-launch by srun, or, if they "
        "are meant, give --platform slurm",
        claimed, real);
}
