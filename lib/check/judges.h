/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/check: one function a check, and what several of them ask. */
#ifndef DT_CHECK_JUDGES_H
#define DT_CHECK_JUDGES_H

#include "check/check.h"

/* Name of the machine's type for texts: "p5.48xlarge", else "this machine". */
const char *dt_check_type(const struct dt_check_context *context);
/* Does the job need what EFA needs? By the table, else by what is there. */
bool dt_check_wants_efa(const struct dt_check_context *context);
/* UNKNOWN, with the reason that the facts give for the absence of `key`. */
void dt_check_unknown(const struct dt_check_context *context, struct dt_check_result *result,
                      const char *key, const char *next);
/* SKIP with a reason. */
void dt_check_skip(struct dt_check_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define DT_JUDGE(name)                                                                             \
    void dt_check_##name(const struct dt_check_context *context, struct dt_check_result *result)
/* devices.c */
DT_JUDGE(gpu_count);
DT_JUDGE(neuron_count);
DT_JUDGE(efa_count);
DT_JUDGE(efa_port);
/* gpu_health.c */
DT_JUDGE(gpu_recovery);
DT_JUDGE(gpu_ecc);
DT_JUDGE(gpu_ecc_mode);
DT_JUDGE(gpu_rows);
DT_JUDGE(gpu_memory);
DT_JUDGE(gpu_throttle);
DT_JUDGE(gpu_temperature);
DT_JUDGE(gpu_power);
DT_JUDGE(gpu_clocks);
DT_JUDGE(gpu_persistence);
DT_JUDGE(gpu_mig);
DT_JUDGE(gpu_vbios);
/* gpu_processes.c */
DT_JUDGE(gpu_processes);
/* pcie.c */
DT_JUDGE(gpu_pcie);
DT_JUDGE(pcie_errors);
/* nvlink.c */
DT_JUDGE(nvlink);
DT_JUDGE(nvlink_errors);
DT_JUDGE(fabric);
DT_JUDGE(fabric_manager);
/* neuron.c */
DT_JUDGE(neuron_errors);
/* efa.c */
DT_JUDGE(efa_rate);
DT_JUDGE(efa_gid);
DT_JUDGE(efa_verbs);
/* host.c */
DT_JUDGE(cpu_count);
DT_JUDGE(numa_count);
DT_JUDGE(governor);
DT_JUDGE(numa_balancing);
DT_JUDGE(clock_sync);
DT_JUDGE(memory_free);
/* disks.c */
DT_JUDGE(nvme);
DT_JUDGE(raid);
DT_JUDGE(local_storage);
/* limits.c */
DT_JUDGE(memlock);
DT_JUDGE(nofile);
DT_JUDGE(shm);
DT_JUDGE(memory);
DT_JUDGE(hugepages);
/* storage.c */
DT_JUDGE(fs_writable);
DT_JUDGE(fs_mounted);
DT_JUDGE(fs_readonly);
DT_JUDGE(fs_space);
DT_JUDGE(mounts);
/* kernel.c */
DT_JUDGE(clock_source);
DT_JUDGE(modules);
DT_JUDGE(services);
DT_JUDGE(processes);
/* memory_state.c */
DT_JUDGE(swap);
DT_JUDGE(memory_fragments);
DT_JUDGE(memory_errors);
DT_JUDGE(shm_left);
/* network.c */
DT_JUDGE(ethernet);
DT_JUDGE(default_route);
DT_JUDGE(name_resolves);
/* cloud.c */
DT_JUDGE(imds);
DT_JUDGE(instance_type);
DT_JUDGE(maintenance);
/* growth.c */
DT_JUDGE(gpu_ecc_growth);
DT_JUDGE(gpu_pcie_replay);
DT_JUDGE(nvlink_growth);
DT_JUDGE(efa_retransmits);
DT_JUDGE(link_flaps);
DT_JUDGE(ena_allowances);
DT_JUDGE(edac_growth);
DT_JUDGE(nvme_media);
DT_JUDGE(lemon);
/* profile.c */
DT_JUDGE(profile);
/* speed.c */
DT_JUDGE(memory_bandwidth);
DT_JUDGE(cpu_speed);
/* environment.c */
DT_JUDGE(env);
/* kernel_log.c */
DT_JUDGE(kernel_log);
#undef DT_JUDGE

#endif
