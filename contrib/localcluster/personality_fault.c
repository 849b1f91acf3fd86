/* SPDX-License-Identifier: Apache-2.0 */
/* Breaking a tree in place, the way that real machines break. Files are truncated and written,
 * never renamed: in a node's own mounts a file may be a mount point, and the tree an overlay. */
#include "personality.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NVML_DATA "usr/local/nvidia/lib64/nvml.conf"
#define PCI       "sys/bus/pci/devices"

/* ---- files below the root ---- */

static int complain(struct tree *tree, const char *sentence)
{
    if (!tree->failed)
        dt_error_set(tree->err, "%s", sentence);
    tree->failed = true;
    return -1;
}

/* Caller frees; NULL and errno when it can not be read. */
static char *read_all(struct tree *tree, const char *path)
{
    int fd = openat(tree->root, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct dt_buf text = DT_BUF_INIT;
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        dt_buf_append(&text, chunk, (size_t)n);
    close(fd);
    return dt_buf_take(&text);
}

static int overwrite(struct tree *tree, const char *path, const char *text)
{
    int fd = openat(tree->root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return tree_fail(tree, "changing", path);
    size_t len = strlen(text);
    int rc = write(fd, text, len) == (ssize_t)len ? 0 : tree_fail(tree, "changing", path);
    close(fd);
    return rc;
}

/* Replace every `from` in a file. A file that is not there, or has none, stays: 0; changed: 1. */
static int substitute(struct tree *tree, const char *path, const char *from, const char *to)
{
    char *text = read_all(tree, path);
    if (!text)
        return errno == ENOENT || errno == ENOTDIR ? 0 : tree_fail(tree, "reading", path);
    struct dt_buf out = DT_BUF_INIT;
    const char *at = text, *hit;
    int found = 0;
    while ((hit = strstr(at, from))) {
        dt_buf_append(&out, at, (size_t)(hit - at));
        dt_buf_puts(&out, to);
        at = hit + strlen(from);
        found = 1;
    }
    dt_buf_puts(&out, at);
    char *changed = dt_buf_take(&out);
    int rc = !changed ? complain(tree, "out of memory") : found;
    if (rc > 0 && overwrite(tree, path, changed) != 0)
        rc = -1;
    free(changed);
    free(text);
    return rc;
}

static bool starts_with_any(const char *line, const char *const *keys)
{
    for (size_t i = 0; keys[i]; i++) {
        if (strncmp(line, keys[i], strlen(keys[i])) == 0)
            return true;
    }
    return false;
}

/* Scale the number in the lines "[Node N ]KEY   NUMBER ..." of a meminfo file. */
static int scale_lines(struct tree *tree, const char *path, const char *const *keys, int percent)
{
    char *text = read_all(tree, path);
    if (!text)
        return tree_fail(tree, "reading", path);
    struct dt_buf out = DT_BUF_INIT;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) && (*line || rest)) {
        char *key = line;
        if (strncmp(line, "Node ", 5) == 0)
            key += 5 + strcspn(line + 5, " ") + 1;
        char *number = key + strcspn(key, "0123456789\n");
        char *end;
        if (starts_with_any(key, keys)) {
            long long value = strtoll(number, &end, 10) * percent / 100;
            dt_buf_printf(&out, "%.*s%lld%s\n", (int)(number - line), line, value, end);
        } else {
            dt_buf_printf(&out, "%s\n", line);
        }
    }
    free(text);
    char *changed = dt_buf_take(&out);
    int rc = changed ? overwrite(tree, path, changed) : complain(tree, "out of memory");
    free(changed);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names in a directory, without dot names; NULL-terminated. Caller frees each and the array.
 */
static char **list_names(struct tree *tree, const char *path)
{
    size_t count = 0;
    char **names = calloc(1, sizeof *names);
    int fd = openat(tree->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (names && dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        char **more = realloc(names, (count + 2) * sizeof *names);
        if (!more)
            break;
        names = more;
        names[count] = strdup(entry->d_name);
        names[count + 1] = NULL;
        if (!names[count])
            break;
        count++;
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    if (names)
        qsort(names, count, sizeof *names, compare_names);
    return names;
}

static void free_names(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

static int remove_tree(struct tree *tree, const char *path)
{
    if (unlinkat(tree->root, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return tree_fail(tree, "removing", path);
    char **names = list_names(tree, path);
    int rc = 0;
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char *below = NULL;
        rc = asprintf(&below, "%s/%s", path, names[i]) < 0 ? -1 : remove_tree(tree, below);
        free(below);
    }
    free_names(names);
    if (rc == 0 && unlinkat(tree->root, path, AT_REMOVEDIR) != 0)
        rc = tree_fail(tree, "removing", path);
    return rc;
}

/* A path made from a format, then removed, link and all that it points at. */
static int remove_linked(struct tree *tree, const char *directory, const char *name)
{
    char link[512], target[512], real[1024];
    snprintf(link, sizeof link, "%s/%s", directory, name);
    ssize_t n = readlinkat(tree->root, link, target, sizeof target - 1);
    if (n < 0)
        return tree_fail(tree, "reading the link", link);
    target[n] = '\0';
    /* Links of sysfs climb to sys/ and come down again. */
    const char *down = target;
    while (strncmp(down, "../", 3) == 0)
        down += 3;
    snprintf(real, sizeof real, "sys/%s", down);
    return remove_tree(tree, link) == 0 ? remove_tree(tree, real) : -1;
}

/* ---- devices ---- */

/* Address of the last device on the PCI bus of this vendor and class; false: none. */
static bool last_device(struct tree *tree, const char *vendor, const char *class, char bdf[32])
{
    bool found = false;
    char **names = list_names(tree, PCI);
    for (size_t i = 0; names && names[i]; i++) {
        char path[512];
        snprintf(path, sizeof path, PCI "/%s/vendor", names[i]);
        char *has_vendor = read_all(tree, path);
        snprintf(path, sizeof path, PCI "/%s/class", names[i]);
        char *has_class = read_all(tree, path);
        if (has_vendor && has_class && strncmp(has_vendor, vendor, strlen(vendor)) == 0 &&
            strncmp(has_class, class, strlen(class)) == 0) {
            snprintf(bdf, 32, "%s", names[i]);
            found = true;
        }
        free(has_vendor);
        free(has_class);
    }
    free_names(names);
    return found;
}

/* Name of the last entry of a sysfs class; false: none. */
static bool last_name(struct tree *tree, const char *path, char name[64])
{
    char **names = list_names(tree, path);
    size_t count = 0;
    while (names && names[count])
        count++;
    if (count > 0)
        snprintf(name, 64, "%s", names[count - 1]);
    free_names(names);
    return count > 0;
}

/* ---- the faults ---- */

static int add_to_nvml(struct tree *tree, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int add_to_nvml(struct tree *tree, const char *format, ...)
{
    int fd = openat(tree->root, NVML_DATA, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? complain(tree, "this machine has no NVIDIA GPU")
                               : tree_fail(tree, "changing", NVML_DATA);
    va_list args;
    va_start(args, format);
    int n = vdprintf(fd, format, args);
    va_end(args);
    close(fd);
    return n < 0 ? tree_fail(tree, "changing", NVML_DATA) : 0;
}

static int lose_neuron(struct tree *tree)
{
    char name[64];
    if (!last_name(tree, "sys/class/neuron_device", name))
        return complain(tree, "this machine has no accelerator");
    return remove_linked(tree, "sys/class/neuron_device", name);
}

static int gpu_lost(struct tree *tree)
{
    char bdf[32], path[512];
    if (!last_device(tree, "0x10de", "0x0302", bdf))
        return lose_neuron(tree);
    snprintf(path, sizeof path, "proc/driver/nvidia/gpus/%s", bdf);
    return remove_tree(tree, path) == 0 ? add_to_nvml(tree, "lost %s\n", bdf) : -1;
}

static int gpu_off_bus(struct tree *tree)
{
    char bdf[32], path[512], from[64], to[64];
    if (!last_device(tree, "0x10de", "0x0302", bdf)) {
        if (lose_neuron(tree) != 0)
            return -1;
        return last_device(tree, "0x1d0f", "0x0880", bdf) ? remove_linked(tree, PCI, bdf) : 0;
    }
    snprintf(path, sizeof path, "proc/driver/nvidia/gpus/%s", bdf);
    snprintf(from, sizeof from, "gpu %s", bdf);
    snprintf(to, sizeof to, "# gone: %s", bdf);
    return remove_tree(tree, path) == 0 && substitute(tree, NVML_DATA, from, to) >= 0 &&
                   remove_linked(tree, PCI, bdf) == 0
               ? 0
               : -1;
}

static int efa_lost(struct tree *tree)
{
    char name[64], path[1024], target[512];
    if (!last_name(tree, "sys/class/infiniband", name))
        return complain(tree, "this machine has no EFA device");
    snprintf(path, sizeof path, "sys/class/infiniband/%s/device", name);
    ssize_t n = readlinkat(tree->root, path, target, sizeof target - 1);
    if (n < 0)
        return tree_fail(tree, "reading the link", path);
    target[n] = '\0';
    const char *bdf = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;

    char verbs[64] = "";
    snprintf(path, sizeof path, PCI "/%s/infiniband_verbs", bdf);
    if (last_name(tree, path, verbs)) {
        snprintf(path, sizeof path, "sys/class/infiniband_verbs/%s", verbs);
        if (remove_tree(tree, path) != 0)
            return -1;
    }
    snprintf(path, sizeof path, "sys/class/infiniband/%s", name);
    return remove_tree(tree, path) == 0 ? remove_linked(tree, PCI, bdf) : -1;
}

static int efa_port_down(struct tree *tree)
{
    char name[64], path[512];
    if (!last_name(tree, "sys/class/infiniband", name))
        return complain(tree, "this machine has no EFA device");
    snprintf(path, sizeof path, "sys/class/infiniband/%s/ports/1/state", name);
    if (overwrite(tree, path, "1: DOWN\n") != 0)
        return -1;
    snprintf(path, sizeof path, "sys/class/infiniband/%s/ports/1/phys_state", name);
    return overwrite(tree, path, "3: Disabled\n");
}

/* The same change in proc/meminfo and in each NUMA node's. */
static int scale_memory(struct tree *tree, const char *const *keys, int percent)
{
    if (scale_lines(tree, "proc/meminfo", keys, percent) != 0)
        return -1;
    int rc = 0;
    char **names = list_names(tree, "sys/devices/system/node");
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char path[512];
        snprintf(path, sizeof path, "sys/devices/system/node/%s/meminfo", names[i]);
        if (strncmp(names[i], "node", 4) == 0)
            rc = scale_lines(tree, path, keys, percent);
    }
    free_names(names);
    return rc;
}

static int memory_missing(struct tree *tree)
{
    static const char *const keys[] = {"MemTotal:", "MemFree:", "MemAvailable:", NULL};
    return scale_memory(tree, keys, 75);
}

static int empty_pool(struct tree *tree, const char *pool)
{
    char path[512];
    snprintf(path, sizeof path, "%s/hugepages-2048kB/nr_hugepages", pool);
    if (overwrite(tree, path, "0\n") != 0)
        return -1;
    snprintf(path, sizeof path, "%s/hugepages-2048kB/free_hugepages", pool);
    return overwrite(tree, path, "0\n");
}

static int hugepages_gone(struct tree *tree)
{
    static const char *const keys[] = {"HugePages_Total:", "HugePages_Free:", "Hugetlb:", NULL};
    int rc = empty_pool(tree, "sys/kernel/mm/hugepages");
    char **names = list_names(tree, "sys/devices/system/node");
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char path[512];
        snprintf(path, sizeof path, "sys/devices/system/node/%s/hugepages", names[i]);
        if (strncmp(names[i], "node", 4) == 0)
            rc = empty_pool(tree, path);
    }
    free_names(names);
    return rc == 0 ? scale_memory(tree, keys, 0) : -1;
}

static int kernel_odd(struct tree *tree)
{
    return overwrite(tree, "proc/sys/kernel/osrelease", "6.8.0-1019-aws\n");
}

/* An older driver: of the accelerator, or of EFA where there is none. */
static int driver_odd(struct tree *tree)
{
    static const struct change {
        const char *path, *from, *to;
    } changes[] = {
        {"sys/module/nvidia/version", PERSONALITY_NVIDIA, "570.133.20"},
        {"proc/driver/nvidia/version", PERSONALITY_NVIDIA, "570.133.20"},
        {NVML_DATA, "driver " PERSONALITY_NVIDIA, "driver 570.133.20"},
        {"sys/module/neuron/version", PERSONALITY_NEURON, "2.21.37.0"},
    };
    int changed = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        int rc = substitute(tree, changes[i].path, changes[i].from, changes[i].to);
        if (rc < 0)
            return -1;
        changed += rc;
    }
    if (changed == 0)
        changed = substitute(tree, "sys/module/efa/version", PERSONALITY_EFA_DRIVER, "2.15.3g");
    return changed > 0 ? 0 : complain(tree, "there is no driver whose version could be changed");
}

static int libfabric_odd(struct tree *tree)
{
    static const char old[] = "2.1.0amzn3.0";
    int changed =
        substitute(tree, "opt/amazon/efa/lib64/pkgconfig/libfabric.pc", PERSONALITY_LIBFABRIC, old);
    if (changed == 0)
        return complain(tree, "this machine has no libfabric");
    return changed > 0 &&
                   substitute(tree, "opt/amazon/efa/lib64/libfabric.so.1", PERSONALITY_LIBFABRIC,
                              old) >= 0 &&
                   substitute(tree, "opt/amazon/efa_installed_packages", PERSONALITY_LIBFABRIC,
                              old) >= 0
               ? 0
               : -1;
}

static int nvml_hang(struct tree *tree)
{
    return add_to_nvml(tree, "hang nvmlInit_v2\n");
}

static int nvml_error(struct tree *tree)
{
    return add_to_nvml(tree, "fail nvmlInit_v2 18\n");
}

const struct fault faults[] = {
    {"gpu-lost", "the driver answers no more for the last GPU or Neuron device; PCI still shows it",
     "gpu-count or neuron-count", gpu_lost},
    {"gpu-off-bus", "the last GPU or Neuron device is gone from the PCI bus as well",
     "gpu-count or neuron-count", gpu_off_bus},
    {"efa-lost", "the last EFA device is gone", "efa-count", efa_lost},
    {"efa-port-down", "the port of the last EFA device is DOWN", "efa-port", efa_port_down},
    {"memory-missing", "a quarter of the memory is gone", "memory", memory_missing},
    {"hugepages-gone", "no huge page is reserved", "hugepages", hugepages_gone},
    {"kernel-odd", "an older kernel than other nodes have", "kernel", kernel_odd},
    {"driver-odd", "an older accelerator driver than other nodes have (EFA's, without one)",
     "nvidia-driver, neuron-driver or efa-driver", driver_odd},
    {"libfabric-odd", "an older libfabric than other nodes have", "libfabric", libfabric_odd},
    {"nvml-hang", "NVML never returns from its start", "gpu-count", nvml_hang},
    {"nvml-error", "NVML says that library and driver do not match", "gpu-count", nvml_error},
    {NULL, NULL, NULL, NULL},
};
