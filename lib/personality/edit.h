/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/personality: changing a tree that is there. Functions that return an int give -1, with
 * the tree's error set, when they fail. */
#ifndef DT_PERSONALITY_EDIT_H
#define DT_PERSONALITY_EDIT_H

#include "personality/internal.h"

#define NVML_DATA "usr/local/nvidia/lib64/nvml.conf" /* what the fake NVML answers */

#define PCI "sys/bus/pci/devices"

int dt_edit_complain(struct dt_tree *tree, const char *sentence); /* returns -1 */
char *dt_edit_read_all(struct dt_tree *tree, const char *path);   /* caller frees; NULL and errno */
int dt_edit_overwrite(struct dt_tree *tree, const char *path, const char *text);
/* The same, made where it is missing; refused for what is no file: the machine's own /dev/kmsg, say. */
int dt_edit_write_anew(struct dt_tree *tree, const char *path, const char *text);
/* Replace every `from` in a file. A file that is not there, or has none, stays: 0; changed: 1. */
int dt_edit_substitute(struct dt_tree *tree, const char *path, const char *from, const char *to);
/* Scale the number in the lines "[Node N ]KEY   NUMBER ..." of a meminfo file. */
int dt_edit_scale_lines(struct dt_tree *tree, const char *path, const char *const *keys,
                        int percent);
/* Sorted names in a directory, without "." and ".."; NULL-terminated. */
char **dt_edit_list_names(struct dt_tree *tree, const char *path);
void dt_edit_free_names(char **names);
int dt_edit_remove_tree(struct dt_tree *tree, const char *path);
int dt_edit_remove_linked(struct dt_tree *tree, const char *directory, const char *name);
/* Address of the last device on the PCI bus of this vendor and class; false: none. */
bool dt_edit_last_device(struct dt_tree *tree, const char *vendor, const char *class, char bdf[32]);
/* Name of the last entry of a sysfs class; false: none. */
bool dt_edit_last_name(struct dt_tree *tree, const char *path, char name[64]);

/* A line for the fake NVML. */
int dt_edit_add_to_nvml(struct dt_tree *tree, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What plants a fault, or a part of it: fault_gpu.c */
int dt_plant_gpu_lost(struct dt_tree *tree);
int dt_plant_gpu_off_bus(struct dt_tree *tree);
int dt_plant_gpu_memory_missing(struct dt_tree *tree);
int dt_plant_nvml_hang(struct dt_tree *tree);
int dt_plant_nvml_error(struct dt_tree *tree);
int dt_plant_gpu_stranger(struct dt_tree *tree);
int dt_plant_xid_buried(struct dt_tree *tree);
int dt_plant_gpu_pcie_fatal(struct dt_tree *tree);

/* fault_device.c */
int dt_plant_neuron_lost(struct dt_tree *tree);
int dt_plant_neuron_ecc(struct dt_tree *tree);
int dt_plant_neuron_core_error(struct dt_tree *tree);
int dt_plant_efa_lost(struct dt_tree *tree);
int dt_plant_efa_port_down(struct dt_tree *tree);
int dt_plant_efa_slow(struct dt_tree *tree);
int dt_plant_efa_gid_zero(struct dt_tree *tree);
int dt_plant_efa_verbs_gone(struct dt_tree *tree);
int dt_plant_efa_retransmits(struct dt_tree *tree);

/* fault_host.c */
int dt_plant_memory_missing(struct dt_tree *tree);
int dt_plant_hugepages_gone(struct dt_tree *tree);
int dt_plant_memory_taken(struct dt_tree *tree);
int dt_plant_local_disk_missing(struct dt_tree *tree);
int dt_plant_ethernet_down(struct dt_tree *tree);
int dt_plant_processes_stuck(struct dt_tree *tree);
int dt_plant_link_flaps(struct dt_tree *tree);
int dt_plant_traffic_held_back(struct dt_tree *tree);
int dt_plant_edac_growth(struct dt_tree *tree);
int dt_plant_nvme_media(struct dt_tree *tree);
int dt_plant_kernel_odd(struct dt_tree *tree);
int dt_plant_driver_odd(struct dt_tree *tree);
int dt_plant_libfabric_odd(struct dt_tree *tree);

/* fault_site.c */
int dt_plant_fabric_manager_dead(struct dt_tree *tree);
int dt_plant_service_dead(struct dt_tree *tree);
int dt_plant_module_gone(struct dt_tree *tree);
int dt_plant_fsx_gone(struct dt_tree *tree);
int dt_plant_fsx_broken(struct dt_tree *tree);
int dt_plant_scratch_gone(struct dt_tree *tree);

#endif
