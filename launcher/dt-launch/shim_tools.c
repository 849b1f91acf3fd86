/* SPDX-License-Identifier: Apache-2.0 */
/* What torchrun, accelerate launch, deepspeed and composer are asked, in dt-launch's words. The rows have only
 * what dt-launch does as well; for all else the tool itself is the right one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accelerate/accelerate.h"
#include "base/buf.h"
#include "hosts.h"
#include "shim_words.h"
#include "text_file.h"

/* ---- which nodes ----------------------------------------------------------------------------- */

/* Nodes of the Slurm step in which we are the only task of our node; 0: no such step. */
static int step_nodes(void)
{
    const char *nodes = getenv("SLURM_STEP_NUM_NODES"), *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (!getenv("SLURM_STEP_ID") || !getenv("SLURM_PROCID") || !nodes || !tasks)
        return 0;
    return strcmp(nodes, tasks) == 0 ? atoi(nodes) : 0;
}

/* These tools count the nodes that they are told of, not those of the step: one node each, unless
 * told otherwise. `one`: the platform of that. */
static void settle_nodes(struct dt_shim *shim, int least, int most, const char *one)
{
    int step = step_nodes();
    if (most == 1 && step != 1)
        dt_shim_add(shim, "--platform=%s", one);
    else if (most > 1 && getenv("SLURM_STEP_ID") && (step < least || step > most))
        dt_shim_add(shim, "--platform=plain");
}

/* ---- torchrun -------------------------------------------------------------------------------- */

static const struct dt_shim_row torchrun_rows[] = {
    {"nnodes", 0, true, true, "nnodes", NULL, "nodes, or MIN:MAX (1)"},
    {"nproc-per-node", 0, true, true, "nproc-per-node", NULL,
     "ranks on each node: a number, auto, cpu or gpu (1)"},
    {"rdzv-backend", 0, true, true, "rdzv-backend", "c10d static etcd etcd-v2",
     "dt-launch is the rendezvous itself; etcd under Slurm only"},
    {"rdzv-endpoint", 0, true, true, "rdzv-endpoint", NULL, "where node 0 is, if Slurm is not"},
    {"rdzv-id", 0, true, true, "rdzv-id", NULL, "TORCHELASTIC_RUN_ID, outside Slurm"},
    {"rdzv-conf", 0, true, true, NULL, NULL, "no meaning here"},
    {"standalone", 0, false, true, "standalone", NULL, "this node is a job of its own"},
    {"max-restarts", 0, true, true, "max-restarts", NULL, "restarts of all ranks (0)"},
    {"monitor-interval", 0, true, true, NULL, NULL, "no meaning here: nothing is polled"},
    {"start-method", 0, true, true, NULL, "spawn fork forkserver", "no meaning for programs"},
    {"event-log-handler", 0, true, true, NULL, "null", "null only"},
    {"role", 0, true, true, "role", NULL, "ROLE_NAME (default)"},
    {"module", 'm', false, true, "module", NULL, "PROGRAM is a Python module"},
    {"no-python", 0, false, true, "no-python", NULL, "run PROGRAM itself"},
    {"run-path", 0, false, true, "run-path", NULL, "run PROGRAM by Python's runpy"},
    {"log-dir", 0, true, true, "log-dir", NULL, "keep the ranks' output below it"},
    {"redirects", 'r', true, true, "redirects", NULL, "streams that go to files only"},
    {"tee", 't', true, true, "tee", NULL, "streams that go to files as well"},
    {"local-ranks-filter", 0, true, true, "local-ranks-filter", NULL, "ranks that are shown"},
    {"node-rank", 0, true, true, "node-rank", NULL, "number of this node, if Slurm is not"},
    {"master-addr", 0, true, true, "master-addr", NULL, "address of node 0"},
    {"master-port", 0, true, true, "master-port", NULL, "port there"},
    {"local-addr", 0, true, true, "local-addr", NULL, "address of this node"},
    {"numa-binding", 0, true, true, "numa-binding", NULL, "as dt-launch --bind=auto"},
    {"signals-to-handle", 0, true, true, NULL, NULL, "no meaning here: dt-launch passes on all"},
    {"shutdown-timeout", 0, true, false, "kill-grace", NULL, "seconds from SIGTERM to SIGKILL"},
    {"virtual-local-rank", 0, false, true, "virtual-local-rank", NULL,
     "LOCAL_RANK 0 and one GPU for each rank"},
    {0},
};

/* "HOST:PORT" of this node: torchrun serves there. */
static bool is_own_endpoint(const char *endpoint)
{
    char host[256];
    const char *colon = strrchr(endpoint, ':');
    snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - endpoint) : (int)strlen(endpoint),
             endpoint);
    return *host && dt_hosts_is_own(host);
}

static int torchrun_finish(struct dt_shim_line *line, struct dt_error *why)
{
    const char *nodes = dt_shim_value(line, "nnodes"),
               *backend = dt_shim_value(line, "rdzv-backend");
    int least = 1, most = 1, end = 0;
    if (nodes && !(sscanf(nodes, "%d:%d%n", &least, &most, &end) == 2 && !nodes[end])) {
        end = 0;
        if (sscanf(nodes, "%d%n", &least, &end) != 1 || nodes[end])
            return dt_error_set(why, "--nnodes \"%.60s\" is not understood here", nodes);
        most = least;
    }
    bool numbered = step_nodes() >= least && step_nodes() <= most;
    if (least < most && !numbered)
        return dt_error_set(why, "--nnodes %.60s: dt-launch starts with a fixed number of nodes",
                            nodes);
    if (backend && strncmp(backend, "etcd", 4) == 0 && !numbered)
        return dt_error_set(why, "--rdzv-backend %s: dt-launch asks no etcd", backend);
    if (dt_shim_value(line, "run-path") && dt_shim_value(line, "no-python"))
        return dt_error_set(why, "--run-path and --no-python together are not understood here");
    if (!dt_shim_value(line, "nproc-per-node"))
        dt_shim_add(line->shim, "--nproc-per-node=1");
    const char *endpoint = dt_shim_value(line, "rdzv-endpoint");
    bool served = endpoint && !dt_shim_value(line, "standalone") && is_own_endpoint(endpoint);
    settle_nodes(line->shim, least, most, served ? "plain" : "alone");
    return 0;
}

/* ---- accelerate launch ------------------------------------------------------------------------ */

static const struct dt_shim_row accelerate_rows[] = {
    {"config-file", 0, true, false, NULL, NULL, "accelerate's configuration"},
    {"num-processes", 0, true, false, NULL, NULL, "ranks of the whole job"},
    {"num-machines", 0, true, false, NULL, NULL, "nodes (1)"},
    {"machine-rank", 0, true, false, "node-rank", NULL, "number of this node, if Slurm is not"},
    {"main-process-ip", 0, true, false, "master-addr", NULL, "address of node 0"},
    {"main-process-port", 0, true, false, "master-port", NULL, "port there"},
    {"multi-gpu", 0, false, false, NULL, NULL, "several ranks, without a configuration"},
    {"mixed-precision", 0, true, false, NULL, "no fp16 bf16", "ACCELERATE_MIXED_PRECISION"},
    {"dynamo-backend", 0, true, false, NULL, NULL, "ACCELERATE_DYNAMO_BACKEND"},
    {"module", 'm', false, false, "module", NULL, "PROGRAM is a Python module"},
    {"no-python", 0, false, false, "no-python", NULL, "run PROGRAM itself"},
    {"max-restarts", 0, true, false, "max-restarts", NULL, "restarts of all ranks (0)"},
    {"role", 0, true, false, "role", NULL, "ROLE_NAME (default)"},
    {"rdzv-backend", 0, true, false, NULL, "c10d static", "dt-launch is the rendezvous itself"},
    {"same-network", 0, false, false, NULL, NULL, "no meaning here"},
    {"monitor-interval", 0, true, false, NULL, NULL, "no meaning here"},
    {"quiet", 'q', false, false, NULL, NULL, "no meaning here"},
    {0},
};

/* Where "accelerate config" writes; NULL: nothing is there. Caller frees. */
static char *default_config(void)
{
    const char *hf = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct dt_buf path = DT_BUF_INIT;
    if (hf && *hf)
        dt_buf_printf(&path, "%s", hf);
    else if (cache && *cache)
        dt_buf_printf(&path, "%s/huggingface", cache);
    else
        dt_buf_printf(&path, "%s/.cache/huggingface", home ? home : "");
    dt_buf_puts(&path, "/accelerate/default_config.yaml");
    char *text = dt_buf_take(&path);
    if (text && access(text, F_OK) == 0)
        return text;
    free(text);
    return NULL;
}

/* Lines behind those of the file, which win. */
static char *accelerate_extra(const struct dt_shim_line *line)
{
    static const char *const keys[][2] = {{"num-processes", "num_processes"},
                                          {"num-machines", "num_machines"},
                                          {"mixed-precision", "mixed_precision"}};
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "\n");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = dt_shim_value(line, keys[i][0]);
        if (value)
            dt_buf_printf(&text, "%s: %s\n", keys[i][1], value);
    }
    const char *dynamo = dt_shim_value(line, "dynamo-backend");
    if (dynamo)
        dt_buf_printf(&text, "dynamo_config:\n  dynamo_backend: %s\n", dynamo);
    return dt_buf_take(&text);
}

static int check_accelerate(const struct dt_shim_line *line, const struct dt_accelerate *config,
                            struct dt_error *why)
{
    static const char several[] = " FSDP MULTI_GPU DEEPSPEED ";
    char type[40];
    int machines = config->machines ? config->machines : 1;
    snprintf(type, sizeof type, " %s ", config->type);
    if (!dt_shim_value(line, "multi-gpu") && !(*config->type && strstr(several, type)))
        return dt_error_set(why, "the type of job (distributed_type \"%s\") is not understood here",
                            config->type);
    if (!config->processes)
        return dt_error_set(why, "the number of ranks (num_processes) is not given");
    if (config->processes % machines)
        return dt_error_set(why, "%d ranks can not be shared by %d nodes evenly", config->processes,
                            machines);
    return 0;
}

static int accelerate_finish(struct dt_shim_line *line, struct dt_error *why)
{
    const char *given = dt_shim_value(line, "config-file");
    char *path = given ? strdup(given) : default_config();
    char *text = path ? dt_text_file("accelerate's configuration", path, why) : strdup("");
    struct dt_accelerate config = {0};
    struct dt_buf whole = DT_BUF_INIT;
    line->shim->extra = accelerate_extra(line);
    dt_buf_printf(&whole, "%s%s", text ? text : "", line->shim->extra ? line->shim->extra : "");
    int result = text && !whole.failed
                     ? dt_accelerate_parse(&config, whole.data, path ? path : "the options", why)
                     : -1;
    if (result == 0)
        result = check_accelerate(line, &config, why);
    if (result == 0) {
        int machines = config.machines ? config.machines : 1;
        dt_shim_add(line->shim, "--compat=accelerate:%s", path ? path : "/dev/null");
        dt_shim_add(line->shim, "--nnodes=%d", machines);
        dt_shim_add(line->shim, "--nproc-per-node=%d", config.processes / machines);
        settle_nodes(line->shim, machines, machines, "alone");
    }
    dt_accelerate_fini(&config);
    dt_buf_fini(&whole);
    free(text);
    free(path);
    return result;
}

/* ---- deepspeed ------------------------------------------------------------------------------- */

static const struct dt_shim_row deepspeed_rows[] = {
    {"num-gpus", 0, true, false, "nproc-per-node", NULL, "ranks on this node (all visible GPUs)"},
    {"num-accelerators", 0, true, false, "nproc-per-node", NULL, "as --num-gpus"},
    {"num-nodes", 0, true, false, NULL, "1", "1 only: others are started by ssh"},
    {"master-addr", 0, true, false, "master-addr", NULL, "address of this node"},
    {"master-port", 0, true, false, "master-port", NULL, "port there"},
    {"module", 0, false, false, "module", NULL, "PROGRAM is a Python module"},
    {"no-python", 0, false, false, "no-python", NULL, "run PROGRAM itself"},
    {"no-local-rank", 0, false, false, NULL, NULL, "no --local_rank=N behind PROGRAM"},
    {"enable-each-rank-log", 0, true, false, "log-dir", NULL, "keep the ranks' output below it"},
    {0},
};

static int deepspeed_finish(struct dt_shim_line *line, struct dt_error *why)
{
    if (access("/job/hostfile", F_OK) == 0)
        return dt_error_set(why, "/job/hostfile is there: nodes of a hostfile are started by ssh");
    if (!dt_shim_value(line, "num-gpus") && !dt_shim_value(line, "num-accelerators"))
        dt_shim_add(line->shim, "--nproc-per-node=gpu");
    settle_nodes(line->shim, 1, 1, "alone");
    line->shim->local_rank_argument = !dt_shim_value(line, "no-local-rank");
    return 0;
}

/* ---- composer -------------------------------------------------------------------------------- */

static const struct dt_shim_row composer_rows[] = {
    {"nproc", 'n', true, false, "nproc-per-node", NULL, "ranks on this node (all visible GPUs)"},
    {"world-size", 0, true, false, NULL, NULL, "ranks of the whole job"},
    {"node-rank", 0, true, false, "node-rank", NULL, "number of this node, if Slurm is not"},
    {"master-addr", 0, true, false, "master-addr", NULL, "address of node 0"},
    {"master-port", 0, true, false, "master-port", NULL, "port there"},
    {"module-mode", 'm', false, false, "module", NULL, "PROGRAM is a Python module"},
    {"command-mode", 'c', false, false, "no-python", NULL, "run PROGRAM itself"},
    {"verbose", 'v', false, false, NULL, NULL, "no meaning here"},
    {0},
};

static const char *or_variable(const char *value, const char *name)
{
    const char *variable = getenv(name);
    return value ? value : variable && *variable ? variable : NULL;
}

static int composer_finish(struct dt_shim_line *line, struct dt_error *why)
{
    const char *local = dt_shim_value(line, "nproc");
    const char *world = or_variable(dt_shim_value(line, "world-size"), "WORLD_SIZE");
    const char *node = or_variable(dt_shim_value(line, "node-rank"), "NODE_RANK");
    if (!local && (local = or_variable(NULL, "LOCAL_WORLD_SIZE")))
        dt_shim_add(line->shim, "--nproc-per-node=%s", local);
    int here = local ? atoi(local) : 0, all = world ? atoi(world) : here;
    if (world && (here < 1 || all < here || all % here))
        return dt_error_set(why, "%s ranks with %s on each node are not understood here", world,
                            local ? local : "an unknown number");
    if (!local)
        dt_shim_add(line->shim, "--nproc-per-node=gpu");
    int nodes = here ? all / here : 1;
    dt_shim_add(line->shim, "--nnodes=%d", nodes);
    if (node && !dt_shim_value(line, "node-rank"))
        dt_shim_add(line->shim, "--node-rank=%s", node);
    dt_shim_add(line->shim, "--local-ranks-filter=0"); /* the others' output is not shown */
    dt_shim_add(line->shim, "--compat=composer");
    settle_nodes(line->shim, nodes, nodes, "alone");
    return 0;
}

const struct dt_shim_tool dt_shim_tools[] = {
    {"torchrun", NULL, torchrun_rows, true, torchrun_finish},
    {"accelerate", "launch", accelerate_rows, true, accelerate_finish},
    {"deepspeed", NULL, deepspeed_rows, true, deepspeed_finish},
    {"composer", NULL, composer_rows, false, composer_finish},
    {0},
};
