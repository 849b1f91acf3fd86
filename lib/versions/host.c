/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel, its modules and the EFA installer: one copy each, loaded by the kernel. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "versions/internal.h"
#include "versions/text.h"

#define INSTALLED "opt/amazon/efa_installed_packages"

static int add(struct dt_detection *detection, const char *component, const char *path,
               const char *version, const char *found, const char *why)
{
    char *copy = version && *version ? strdup(version) : NULL;
    char *found_copy = strdup(found), *why_copy = strdup(why);
    if (found_copy && why_copy && (copy || !version || !*version))
        return dt_detection_add(detection, component, path, copy, found_copy, why_copy, true);
    free(copy);
    free(found_copy);
    free(why_copy);
    return -1;
}

static int read_kernel(struct dt_detection *detection)
{
    char release[256];
    struct utsname name;
    const struct dt_root *root = detection->search.root;
    if (dt_root_read(root, release, sizeof release, "proc/sys/kernel/osrelease") > 0)
        return add(detection, "kernel", "/proc/sys/kernel/osrelease", release, "osrelease",
                   "it runs");
    if (!root->fake && uname(&name) == 0)
        return add(detection, "kernel", "", name.release, "uname", "it runs");
    return 0;
}

static int read_nvidia(struct dt_detection *detection)
{
    static const char path[] = "proc/driver/nvidia/version";
    const struct dt_root *root = detection->search.root;
    char text[1024], *version = NULL;
    if (dt_root_read(root, text, sizeof text, "sys/module/nvidia/version") > 0)
        return add(detection, "nvidia-driver", "/sys/module/nvidia/version", text,
                   "module's version", "the kernel has it loaded");
    if (dt_root_read(root, text, sizeof text, "%s", path) <= 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    for (char *at = text; !version && *at; at += strcspn(at, " \t")) {
        at += strspn(at, " \t");
        version = dt_version_take(at, strlen(at));
    }
    int rc = add(detection, "nvidia-driver", "/proc/driver/nvidia/version", version,
                 version ? "procfs" : "the file holds no version", "the kernel has it loaded");
    free(version);
    return rc;
}

static int read_module(struct dt_detection *detection, const char *component, const char *module)
{
    char text[256], path[128];
    const struct dt_root *root = detection->search.root;
    snprintf(path, sizeof path, "/sys/module/%s/version", module);
    ssize_t n = dt_root_read(root, text, sizeof text, "%s", path + 1);
    if (n > 0)
        return add(detection, component, path, text, "module's version",
                   "the kernel has it loaded");
    if (!dt_root_exists(root, "sys/module/%s", module))
        return 0;
    snprintf(path, sizeof path, "/sys/module/%s", module);
    return add(detection, component, path, NULL, "came with the kernel and has no version",
               "the kernel has it loaded");
}

static int read_installer(struct dt_detection *detection)
{
    enum { MAX = 64 << 10 };
    int fd = dt_root_open(detection->search.root, O_RDONLY | O_NOCTTY | O_NONBLOCK, INSTALLED);
    detection->installed = calloc(1, MAX);
    ssize_t n = 0;
    if (fd >= 0) {
        n = detection->installed ? read(fd, detection->installed, MAX - 1) : 0;
        close(fd);
    }
    if (!detection->installed)
        return -1;
    if (fd < 0 || n <= 0)
        return 0;
    char *version = dt_version_after(detection->installed, "# EFA installer version:");
    int rc = add(detection, "efa-installer", "/" INSTALLED, version,
                 version ? "first lines" : "the file names no version", "installed");
    free(version);
    return rc;
}

int dt_detect_host(struct dt_detection *detection)
{
    static const char *const modules[][2] = {{"efa-driver", "efa"},
                                             {"neuron-driver", "neuron"},
                                             {"efa-nv-peermem", "efa_nv_peermem"},
                                             {"gdrdrv", "gdrdrv"}};
    int rc = read_kernel(detection);
    rc = rc ? rc : read_nvidia(detection);
    for (size_t i = 0; rc == 0 && i < sizeof modules / sizeof modules[0]; i++)
        rc = read_module(detection, modules[i][0], modules[i][1]);
    return rc ? rc : read_installer(detection);
}
