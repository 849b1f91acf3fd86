/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting the facts: the risky questions start first, in children, and are collected last, so
 * that they run while this process reads everything else. At level fast there are at most two
 * children. */
#include <stdlib.h>

#include "check/check.h"
#include "facts/reader.h"

struct asked {
    struct dt_probe probe;
    bool started;
    struct dt_error err;
    char *text;
    const char *failure; /* NULL: answered */
};

static void start(struct asked *asked, struct dt_reader *reader, void (*run)(int, void *))
{
    asked->started = dt_probe_start(&asked->probe, run, reader, reader->root->fd,
                                    reader->request->conf->probe_timeout_ms, &asked->err) == 0;
}

static void finish(struct asked *asked)
{
    if (!asked->started || dt_probe_finish(&asked->probe, &asked->text, &asked->err) < 0)
        asked->failure = asked->err.text;
}

static void collect(struct dt_reader *reader)
{
    struct asked files = {0}, nvml = {0};
    start(&files, reader, dt_probe_files);
    /* NVML is the slowest answer of all: where its driver is loaded, it is asked before the bus. */
    bool ask_nvml = dt_gpu_driver_loaded(reader);
    if (ask_nvml)
        start(&nvml, reader, dt_probe_nvml);
    dt_read_gpu_pci(reader);
    if (!ask_nvml && dt_gpu_on_bus(reader)) {
        ask_nvml = true;
        start(&nvml, reader, dt_probe_nvml);
    }

    dt_read_host(reader);
    dt_read_memory(reader);
    dt_read_limits(reader);
    dt_read_shm(reader);
    dt_read_efa(reader);
    dt_read_neuron(reader);
    dt_read_versions(reader);
    dt_read_training(reader);
    dt_read_net(reader);
    if (reader->request->level >= DT_LEVEL_FULL) {
        dt_read_mounts(reader);
        dt_read_kernel_log(reader);
    }
    if (reader->request->level >= DT_LEVEL_DEEP)
        dt_read_bandwidth(reader);

    if (ask_nvml)
        finish(&nvml);
    dt_read_gpu(reader, nvml.text, nvml.failure);
    finish(&files);
    dt_read_files(reader, files.text, files.failure, files.probe.timed_out);
    free(nvml.text);
    free(files.text);
}

int dt_facts_collect(struct dt_facts *facts, const struct dt_facts_request *request,
                     struct dt_error *err)
{
    long long begin = dt_monotonic_us();
    *facts = (struct dt_facts){0};
    struct dt_reader reader = {.request = request, .root = request->root, .doc = json_object()};
    if (!reader.doc)
        return dt_error_set(err, "facts of this node could not be read: out of memory");
    collect(&reader);
    dt_reader_int(&reader, "took_us", dt_monotonic_us() - begin);
    if (reader.failed) {
        json_decref(reader.doc);
        return dt_error_set(err, "facts of this node could not be read: out of memory");
    }
    facts->doc = reader.doc;
    return 0;
}
