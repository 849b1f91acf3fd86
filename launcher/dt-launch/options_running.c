/* SPDX-License-Identifier: Apache-2.0 */
/* Options about the run itself: store, environment, binding, ending. */
#include <string.h>

#include "fold/ranks.h"
#include "options_rows.h"
#include "wait_for.h"

static int take_store(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    static const char *const words[] = {"launcher", "rank0"};
    int choice = 0;
    if (dt_option_word(name, value, words, 2, &choice, err))
        return -1;
    o->store = choice == 0 ? DT_STORE_LAUNCHER : DT_STORE_RANK0;
    return 0;
}

static int take_missing(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    return dt_option_seconds(name, value, &o->missing_after_s, err);
}

static int take_grace(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    return dt_option_seconds(name, value, &o->kill_grace_s, err);
}

int dt_options_take_env(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    static const char *const words[] = {"auto", "explain", "off"};
    static const enum dt_env_mode modes[] = {DT_ENV_MODE_AUTO, DT_ENV_MODE_EXPLAIN,
                                             DT_ENV_MODE_OFF};
    int choice = 0;
    if (dt_option_word(name, value, words, sizeof words / sizeof *words, &choice, err))
        return -1;
    o->env = modes[choice];
    return 0;
}

static int take_bind(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    int result = dt_bind_words_parse(&o->bind, name, value, err);
    o->bind.by_option = true;
    return result;
}

static int take_wait_for(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    if (o->wait_for_count == DT_WAIT_FOR_MAX)
        return dt_error_set(err, "%s is given more than %d times", name, DT_WAIT_FOR_MAX);
    o->wait_for[o->wait_for_count++] = value;
    return dt_wait_for_check(value, err);
}

static int take_compat(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    if (strncmp(value, "accelerate:", 11) == 0 && value[11])
        o->accelerate = value + 11;
    else if (strncmp(value, "deepspeed:", 10) == 0 && value[10])
        o->hostfile = value + 10;
    else if (strcmp(value, "megatron") == 0)
        o->megatron = true;
    else if (strcmp(value, "composer") == 0)
        o->composer = true;
    else
        return dt_error_set(
            err,
            "%s is \"%s\": accelerate:FILE, deepspeed:FILE, megatron or composer is "
            "needed",
            name, value);
    return 0;
}

static int take_dry_run(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    (void)name;
    (void)value;
    (void)err;
    o->dry_run = true;
    return 0;
}

static int take_doctor(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    o->dry_run = true;
    o->doctor = 0;
    return value ? dt_option_int(name, value, 0, DT_RANKS_MAX, &o->doctor, err) : 0;
}

const struct dt_option_row dt_options_of_running[] = {
    {.name = "store",
     .value = "launcher|rank0",
     .doc = "Who serves PyTorch's store on MASTER_PORT: dt-launch (default with one dt-launch a "
            "node; it then knows who is missing), or rank 0, for programs that bind MASTER_PORT "
            "themselves",
     .take = take_store},
    {.name = "missing-after",
     .value = "SECONDS",
     .doc = "While ranks wait in the store: say after so long which have not connected, and again "
            "after twice that, and so on (10)",
     .take = take_missing},
    {.name = "kill-grace",
     .value = "SECONDS",
     .doc = "After a rank has failed, the others get SIGTERM and so long after it SIGKILL (5)",
     .take = take_grace},
    {.name = "env",
     .value = "auto|explain|off",
     .doc = "Set the EFA, NCCL and libfabric variables that this node needs, where Slurm's plugin "
            "has not; explain: and say why. Yours are kept (default: DT_ENV, else off)",
     .take = dt_options_take_env},
    {.name = "bind",
     .value = "auto|explain|off[,WORD...]",
     .doc = "Give each of the N processes cores and memory near its GPU, as srun --dt-bind does "
            "for tasks, within what dt-launch was given; explain: and say why. WORDs as there "
            "(default: as srun --dt-bind, else DT_BIND, else off)",
     .take = take_bind},
    {.name = "wait-for",
     .value = "URL[,SECONDS]",
     .doc =
         "Start when tcp://HOST:PORT listens, when http://HOST:PORT/PATH answers well; at most 600 "
         "s, or SECONDS; may be given several times",
     .take = take_wait_for},
    {.name = "compat",
     .value = "WHAT",
     .doc = "What a framework's own launcher does besides. accelerate:FILE: the variables that it "
            "makes "
            "of its configuration; deepspeed:FILE: write its hostfile; megatron: "
            "CUDA_DEVICE_MAX_CONNECTIONS=1; composer: PYTHONUNBUFFERED=1",
     .take = take_compat},
    {.name = "dry-run",
     .doc = "Print arguments and environment of each rank, start nothing",
     .take = take_dry_run},
    {.name = "doctor",
     .value = "RANK",
     .may_lack_value = true,
     .doc =
         "Print what rank 0, or RANK, will find, and where it comes from: variables, CPUs, memory "
         "policy, limits, devices; start nothing",
     .take = take_doctor},
    {0},
};
