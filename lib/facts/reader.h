/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: the document that is being filled, and one function a subject that fills it.
 * Each subject is a file of its own; collect.c calls them. Not for other folders (tests excepted).
 */
#ifndef DT_FACTS_READER_H
#define DT_FACTS_READER_H

#include "facts/facts.h"
#include "facts/probe.h"

struct dt_reader {
    const struct dt_facts_request *request;
    const struct dt_root *root;
    json_t *doc;
    bool failed; /* out of memory somewhere */
};

#define DT_FACT_TEXT_MAX 4096u /* bytes of one text */

void dt_reader_int(struct dt_reader *reader, const char *key, long long value);
void dt_reader_string(struct dt_reader *reader, const char *key, const char *value);
void dt_reader_take(struct dt_reader *reader, const char *key,
                    json_t *value); /* owned; NULL: failed */
/* Say why a fact is absent. */
void dt_reader_why(struct dt_reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A small file as a fact; why it is absent otherwise. Returns whether it was there. */
bool dt_reader_file(struct dt_reader *reader, const char *key, const char *path);

/* pci.c */
struct dt_pci_id {
    unsigned vendor, device, class;
};
/* folder: the device's own, below the root ("sys/bus/pci/devices/0000:53:00.0"). false: no PCI
 * device, or gone. */
bool dt_pci_identify(const struct dt_root *root, const char *folder, struct dt_pci_id *id);
/* host.c */
void dt_read_host(struct dt_reader *reader);
void dt_read_memory(struct dt_reader *reader);
long long dt_count_list(const char *list); /* entries of "0-3,8"; -1: not such a list */
/* limits.c */
void dt_read_limits(struct dt_reader *reader);
void dt_read_shm(struct dt_reader *reader);
/* gpu.c: PCI first, then what NVML answered (NULL: not asked), else procfs. The bus is looked
 * through faster when EFA devices are in the document already. */
void dt_read_gpu_pci(struct dt_reader *reader);
bool dt_gpu_driver_loaded(const struct dt_reader *reader); /* either: NVML is worth asking */
bool dt_gpu_bus_is_read(const struct dt_reader *reader);
bool dt_gpu_on_bus(const struct dt_reader *reader);
void dt_read_gpu(struct dt_reader *reader, const char *nvml_text, const char *nvml_failure);
void dt_read_job(struct dt_reader *reader); /* after dt_read_gpu, as the next */
void dt_read_gpu_processes(struct dt_reader *reader);
/* processes.c: of /proc/PID/cgroup ("…/slurm/uid_1000/job_77/step_0/…", and below slurmstepd.scope with
 * cgroup v2) the Slurm job, 0: none; of /proc/PID/status the user, -1: not told. */
long long dt_cgroup_job(const char *cgroup);
long long dt_status_uid(const char *status);
void dt_read_aer(struct dt_reader *reader); /* from level full on */
/* nvml.c: body of the child; argument is the reader */
void dt_probe_nvml(int out, void *reader);
/* efa.c, neuron.c, net.c, interfaces.c (called by net.c) */
void dt_read_efa(struct dt_reader *reader);
void dt_read_neuron(struct dt_reader *reader);
void dt_read_net(struct dt_reader *reader);
void dt_read_interfaces(struct dt_reader *reader);
/* training.c */
void dt_read_training(struct dt_reader *reader);
/* versions.c */
void dt_read_versions(struct dt_reader *reader);
/* user.c: what is asked as the user is begun, and what came of it. NULL: no memory. */
struct dt_user;
struct dt_user *dt_user_start(const struct dt_reader *reader);
void dt_user_finish(struct dt_reader *reader, struct dt_user *user); /* frees it */
/* files.c: the directories to try, each once (NULL-terminated, of borrowed strings; caller frees the array); trying
 * one, in a child that is the user: a line of JSON. */
const char **dt_files_paths(const struct dt_facts_request *request);
void dt_files_try(int out, const struct dt_reader *reader, const char *path);
int dt_become_user(
    const struct dt_facts_request *request); /* -errno; only ever called in a child */
/* mounts.c, kernel_log.c, measure.c: from level full, full, deep */
void dt_read_mounts(struct dt_reader *reader);
void dt_read_kernel_log(struct dt_reader *reader);
void dt_read_speed(struct dt_reader *reader);

/* One kernel log record as /dev/kmsg gives it ("3,1234,5678901,-;text"). Returns a new object when
 * it tells of an Xid, SXid or EFA error, else NULL. */
json_t *dt_kernel_log_record(const char *record, long long now_us);

#endif
