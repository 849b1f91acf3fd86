/* SPDX-License-Identifier: Apache-2.0 */
/* The Slurm job for which facts are read, and which of the node's GPUs are its. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "facts/reader.h"

long long dt_facts_own_job(const char **gpus)
{
    const char *job = getenv("SLURM_JOB_ID");
    *gpus = getenv("SLURM_STEP_GPUS");
    if (!*gpus)
        *gpus = getenv("SLURM_JOB_GPUS");
    return job ? strtoll(job, NULL, 10) : 0;
}

/* Slurm's number of a GPU is the one in the name of its device file: the driver's minor number. */
static bool is_number(const json_t *device, const char *word, size_t len)
{
    char *end;
    const json_t *minor = json_object_get(device, "minor");
    long long number = strtoll(word, &end, 10);
    return minor && end == word + len && number == json_integer_value(minor);
}

/* "2", or "GPU-5f2e..." shortened as CUDA allows. NULL: none of these GPUs. */
static const char *find(const json_t *devices, const char *word, size_t len)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        const char *uuid = json_string_value(json_object_get(device, "uuid"));
        if (is_number(device, word, len) || (len > 4 && uuid && strncasecmp(uuid, word, len) == 0))
            return json_string_value(json_object_get(device, "bdf"));
    }
    return NULL;
}

/* All of the list or nothing: a GPU that does not answer is in no list of devices, and what is not
 * known to be another job's counts as this one's. */
static json_t *find_all(const json_t *devices, const char *list)
{
    json_t *gpus = json_array();
    while (*list) {
        size_t len = strcspn(list, ",");
        const char *bdf = find(devices, list, len);
        if (!bdf) {
            json_decref(gpus);
            return NULL;
        }
        json_array_append_new(gpus, json_string(bdf));
        list += len + (list[len] == ',');
    }
    return gpus;
}

void dt_read_job(struct dt_reader *reader)
{
    const struct dt_facts_request *request = reader->request;
    if (request->job > 0)
        dt_reader_int(reader, "job.id", request->job);
    if (request->job > 0 && request->uid != 0) /* root: Slurm's Prolog, not the job's user */
        dt_reader_int(reader, "job.uid", request->uid);
    if (!request->job_gpus || !*request->job_gpus)
        return;
    json_t *gpus = find_all(json_object_get(reader->doc, "gpu.devices"), request->job_gpus);
    if (gpus)
        dt_reader_take(reader, "job.gpus", gpus);
}
