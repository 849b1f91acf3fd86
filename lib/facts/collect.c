/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting the facts: the risky questions start first, in children, and are collected last, so
 * that they run while this process reads everything else. At level fast there are two: one that has
 * become the user, for the directories where the job writes and the caller's question (more where it is
 * late, user.c), and one that asks NVML; of a recorded tree there is none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "check/check.h"
#include "facts/counters.h"
#include "facts/imds.h"
#include "facts/overlay.h"
#include "facts/system.h"

struct asked {
    struct dt_probe probe;
    bool started;
    struct dt_error err;
    char *text;
    const char *failure; /* NULL: answered */
};

struct dt_facts_run {
    struct dt_reader reader;
    struct dt_user *user;
    struct asked nvml, space, resolve, imds;
    bool asks_nvml, asks_imds, is_full;
    long long took_us;
};

static void start(struct asked *asked, struct dt_reader *reader, void (*run)(int, void *))
{
    asked->started = dt_probe_start(&asked->probe, run, reader, reader->root->fd,
                                    reader->request->conf->probe_timeout_ms, &asked->err) == 0;
}

static void finish(struct asked *asked)
{
    if (asked->text || asked->failure)
        return;
    if (!asked->started || dt_probe_finish(&asked->probe, &asked->text, &asked->err) < 0)
        asked->failure = asked->err.text;
}

/* NVML is the slowest answer of all: where its driver is loaded, it is asked before the bus. */
static void start_nvml(struct dt_facts_run *run)
{
    struct dt_reader *reader = &run->reader;
    bool told = reader->request->recorded && dt_facts_overlay_brings(reader->root, "gpu.devices");
    run->asks_nvml = !told && dt_gpu_driver_loaded(reader);
    if (!run->asks_nvml && !told) {
        dt_read_gpu_pci(reader);
        run->asks_nvml = dt_gpu_on_bus(reader);
    }
    if (run->asks_nvml)
        start(&run->nvml, reader, dt_probe_nvml);
}

/* Names of the facts that came after the first `count`. */
static void name_measured(struct dt_reader *reader, size_t count)
{
    struct dt_buf names = DT_BUF_INIT;
    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach(reader->doc, key, value)
    {
        if (i++ >= count)
            dt_buf_printf(&names, "%s%s", names.len ? " " : "", key);
    }
    dt_reader_string(reader, "measured.names", names.data ? names.data : "");
    dt_buf_fini(&names);
}

/* What takes time and memory bandwidth from others: once in a while for a job. */
static void measure(struct dt_reader *reader)
{
    size_t count = json_object_size(reader->doc);
    if (reader->request->measured) {
        if (json_object_update(reader->doc, (json_t *)(uintptr_t)reader->request->measured) < 0)
            reader->failed = true;
        return;
    }
    dt_read_speed(reader);
    name_measured(reader, count);
}

/* A tree has neither file systems nor a name of its own. */
static void start_full(struct dt_facts_run *run)
{
    struct dt_reader *reader = &run->reader;
    if (!reader->root->fake) {
        start(&run->space, reader, dt_probe_space);
        start(&run->resolve, reader, dt_probe_resolve);
    }
    run->asks_imds = dt_imds_is_wanted(reader);
    if (run->asks_imds)
        start(&run->imds, reader, dt_probe_imds);
}

static void read_all(struct dt_reader *reader)
{
    dt_read_host(reader);
    dt_read_memory(reader);
    dt_read_limits(reader);
    dt_read_shm(reader);
    dt_read_efa(reader);
    if (!dt_gpu_bus_is_read(reader))
        dt_read_gpu_pci(reader);
    dt_read_neuron(reader);
    dt_read_neuron_errors(reader);
    dt_read_system(reader);
    dt_read_kernel(reader);
    dt_read_mount_table(reader);
    dt_read_counters(reader);
    dt_read_versions(reader);
    dt_read_training(reader);
    dt_read_net(reader);
    if (reader->request->level >= DT_LEVEL_FULL) {
        dt_read_mounts(reader);
        dt_read_kernel_log(reader);
        dt_read_disks(reader);
        dt_read_efa_gids(reader);
        dt_read_fabric_manager(reader);
        dt_read_links(reader);
        dt_read_memory_state(reader);
        dt_read_processes(reader);
    }
    if (reader->request->level >= DT_LEVEL_DEEP)
        measure(reader);
}

static void take_full(struct dt_facts_run *run)
{
    struct dt_reader *reader = &run->reader;
    if (reader->root->fake) {
        dt_reader_why(reader, "fs.space", "a tree has no file systems");
        dt_reader_why(reader, "net.resolves", "a tree has no name");
    } else {
        finish(&run->space);
        dt_read_space(reader, run->space.text, run->space.failure);
        finish(&run->resolve);
        dt_read_resolve(reader, run->resolve.text, run->resolve.failure);
    }
    if (!run->asks_imds)
        return;
    finish(&run->imds);
    dt_read_imds(reader, run->imds.text, run->imds.failure);
}

static void take_nvml(struct dt_facts_run *run)
{
    if (run->asks_nvml)
        finish(&run->nvml);
    dt_read_gpu(&run->reader, run->nvml.text, run->nvml.failure);
    dt_read_placement(&run->reader);
}

static void take_children(struct dt_facts_run *run)
{
    struct dt_reader *reader = &run->reader;
    take_nvml(run);
    dt_read_placement(reader);
    dt_read_job(reader);
    dt_read_gpu_processes(reader);
    if (reader->request->level >= DT_LEVEL_FULL)
        dt_read_aer(reader);
    dt_user_finish(reader, run->user);
    if (run->is_full)
        take_full(run);
}

static struct dt_facts_run *create_run(const struct dt_facts_request *request, struct dt_error *err)
{
    struct dt_facts_run *run = calloc(1, sizeof *run);
    if (run)
        run->reader =
            (struct dt_reader){.request = request, .root = request->root, .doc = json_object()};
    if (run && run->reader.doc)
        return run;
    free(run);
    dt_error_set(err, "facts of this node could not be read: out of memory");
    return NULL;
}

/* Hands the document over, and frees the rest. */
static int end_run(struct dt_facts_run *run, struct dt_facts *facts, struct dt_error *err)
{
    int rc = 0;
    if (run->reader.failed) {
        json_decref(run->reader.doc);
        rc = dt_error_set(err, "facts of this node could not be read: out of memory");
    } else {
        facts->doc = run->reader.doc;
    }
    free(run->nvml.text);
    free(run->space.text);
    free(run->resolve.text);
    free(run->imds.text);
    free(run);
    return rc;
}

struct dt_facts_run *dt_facts_start(const struct dt_facts_request *request, struct dt_error *err)
{
    long long begin = dt_monotonic_us();
    struct dt_facts_run *run = create_run(request, err);
    if (!run)
        return NULL;
    run->user = dt_user_start(&run->reader);
    run->is_full = request->level >= DT_LEVEL_FULL;
    if (run->is_full)
        start_full(run);
    start_nvml(run);
    run->took_us = dt_monotonic_us() - begin;
    return run;
}

int dt_facts_finish(struct dt_facts_run *run, struct dt_facts *facts, struct dt_error *err)
{
    long long begin = dt_monotonic_us();
    *facts = (struct dt_facts){0};
    read_all(&run->reader);
    take_children(run);
    dt_reader_int(&run->reader, "took_us", run->took_us + dt_monotonic_us() - begin);
    return end_run(run, facts, err);
}

int dt_facts_collect(struct dt_facts *facts, const struct dt_facts_request *request,
                     struct dt_error *err)
{
    *facts = (struct dt_facts){0};
    struct dt_facts_run *run = dt_facts_start(request, err);
    return run ? dt_facts_finish(run, facts, err) : -1;
}

int dt_facts_collect_counters(struct dt_facts *facts, const struct dt_facts_request *request,
                              bool with_gpus, struct dt_error *err)
{
    *facts = (struct dt_facts){0};
    struct dt_facts_run *run = create_run(request, err);
    if (!run)
        return -1;
    if (with_gpus)
        start_nvml(run);
    dt_read_efa(&run->reader);
    dt_read_counters(&run->reader);
    if (with_gpus)
        take_nvml(run);
    return end_run(run, facts, err);
}
