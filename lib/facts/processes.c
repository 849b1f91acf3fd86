/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the programs on GPUs are: NVML tells their numbers, /proc their name, user and Slurm job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"
#include "facts/reader.h"

long long dt_cgroup_job(const char *cgroup)
{
    const char *at = strstr(cgroup, "/job_");
    long long job = at ? strtoll(at + strlen("/job_"), NULL, 10) : 0;
    return job > 0 ? job : 0;
}

long long dt_status_uid(const char *status)
{
    const char *at = strstr(status, "\nUid:");
    long long uid;
    return at && sscanf(at, " Uid: %lld", &uid) == 1 && uid >= 0 ? uid : -1;
}

static void describe(const struct dt_reader *reader, json_t *process)
{
    char text[4096];
    long long pid = json_integer_value(json_object_get(process, "pid")), number;
    if (dt_root_read(reader->root, text, sizeof text, "proc/%lld/comm", pid) > 0)
        json_object_set_new(process, "name", dt_printable_json(text, 64));
    if (dt_root_read(reader->root, text, sizeof text, "proc/%lld/status", pid) > 0 &&
        (number = dt_status_uid(text)) >= 0)
        json_object_set_new(process, "uid", json_integer(number));
    if (dt_root_read(reader->root, text, sizeof text, "proc/%lld/cgroup", pid) > 0 &&
        (number = dt_cgroup_job(text)) > 0)
        json_object_set_new(process, "job", json_integer(number));
}

/* From the members "processes" of gpu.devices, which are taken away: facts are flat. */
void dt_read_gpu_processes(struct dt_reader *reader)
{
    json_t *list = json_array(), *device, *process;
    bool known = false;
    size_t i, k;
    json_array_foreach(json_object_get(reader->doc, "gpu.devices"), i, device)
    {
        const char *bdf = json_string_value(json_object_get(device, "bdf"));
        json_t *processes = json_object_get(device, "processes");
        known |= processes != NULL;
        json_array_foreach(processes, k, process)
        {
            describe(reader, process);
            json_object_set_new(process, "bdf", json_string(bdf ? bdf : "?"));
            json_array_append(list, process);
        }
        json_object_del(device, "processes");
    }
    if (known)
        dt_reader_take(reader, "gpu.processes", list);
    else
        json_decref(list);
}
