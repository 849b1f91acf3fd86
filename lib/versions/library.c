/* SPDX-License-Identifier: Apache-2.0 */
/* The version of one library file: from its name, the file beside it, the text in it, or the
 * package that it came with. Where each stands was read from the sources of the EFA installer,
 * aws-ofi-nccl (nccl_ofi_net.cpp), NCCL and rdma-core. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "versions/internal.h"
#include "versions/text.h"

enum { STATUS_MAX = 16 << 20, PC_MAX = 16 << 10 };

struct library {
    struct dt_detection *detection;
    const char *path; /* as found */
    char *real;       /* without symbolic links */
    char *version;
    const char *found;
};

static const char *last_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* "libnccl.so.2.27.5" for the stem "libnccl.so." */
static void from_name(struct library *library, const char *stem)
{
    const char *name = last_of(library->real);
    size_t len = strlen(stem);
    if (library->version || strncmp(name, stem, len) != 0)
        return;
    library->version = dt_version_take(name + len, strlen(name + len));
    library->found = "file name";
}

static void from_text(struct library *library, const char *mark)
{
    int fd = library->version ? -1 : dt_search_open(&library->detection->search, library->path);
    if (fd < 0)
        return;
    library->version = dt_version_scan_library(fd, mark);
    library->found = "embedded text";
    close(fd);
}

static void from_pkgconfig(struct library *library, const char *path)
{
    char text[PC_MAX];
    int folder = (int)(strrchr(path, '/') - path);
    if (library->version || dt_root_read(library->detection->search.root, text, sizeof text,
                                         "%.*s/pkgconfig/libfabric.pc", folder - 1, path + 1) <= 0)
        return;
    library->version = dt_version_after(text, "\nVersion:");
    library->found = "libfabric.pc";
}

/* "libfabric-aws-2.1.0amzn5.0-1.x86_64", "libfabric1-aws_2.1.0amzn5.0_amd64.deb",
 * "rdma-core-58.amzn0-1.x86_64": the first number behind the name that is a version. */
static char *installed_version(const char *installed, const char *name)
{
    char *version = NULL;
    for (const char *at = installed; !version && (at = strstr(at, name)); at += strlen(name)) {
        size_t end = strcspn(at, " \t\n");
        for (size_t i = strlen(name); !version && i + 1 < end; i++) {
            if (strchr("-_:=", at[i]))
                version = dt_version_take(at + i + 1, strcspn(at + i + 1, " \t\n-_"));
        }
        if (!version && at[end] && strchr(" \t", at[end])) { /* "libfabric-aws 2.1.0amzn5.0" */
            const char *next = at + end + strspn(at + end, " \t");
            version = dt_version_take(next, strcspn(next, " \t\n-_"));
        }
    }
    return version;
}

static void from_installer(struct library *library)
{
    if (library->version || strncmp(library->real, "/opt/amazon/", 12) != 0)
        return;
    library->version = installed_version(library->detection->installed, "libfabric");
    library->found = "efa_installed_packages";
}

static void read_status(struct dt_detection *detection)
{
    int fd = dt_root_open(detection->search.root, O_RDONLY | O_NOCTTY | O_NONBLOCK,
                          "var/lib/dpkg/status");
    struct stat st;
    size_t size = 0, done = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= STATUS_MAX)
        size = (size_t)st.st_size;
    detection->packages = calloc(1, size + 1);
    while (detection->packages && done < size) {
        ssize_t n = read(fd, detection->packages + done, size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
}

/* Debian's record of a package whose library lies in the system's directories. The upstream part:
 * without epoch and Debian's own revision. */
static void from_dpkg(struct library *library, const char *package)
{
    struct dt_detection *detection = library->detection;
    char head[128];
    if (library->version ||
        (strncmp(library->real, "/usr/lib/", 9) != 0 && strncmp(library->real, "/lib/", 5) != 0))
        return;
    if (!detection->packages)
        read_status(detection);
    snprintf(head, sizeof head, "Package: %s\n", package);
    for (const char *at = detection->packages; at && (at = strstr(at, head)); at++) {
        const char *end = strstr(at, "\n\n");
        const char *line = strstr(at, "\nVersion: ");
        if ((at != detection->packages && at[-1] != '\n') || !line || (end && line > end))
            continue;
        const char *text = line + 10;
        size_t len = strcspn(text, "\n");
        const char *colon = memchr(text, ':', len), *dash = memrchr(text, '-', len);
        len = dash ? (size_t)(dash - text) : len;
        if (colon && colon < text + len) {
            len -= (size_t)(colon + 1 - text);
            text = colon + 1;
        }
        library->version = dt_version_take(text, len);
        library->found = "package list of dpkg";
        return;
    }
}

static void from_wheel(struct library *library, const char *inside, const char *stem)
{
    const char *at = library->version ? NULL : strstr(library->path, inside);
    char *site = at ? strndup(library->path, (size_t)(at - library->path)) : NULL;
    if (site && *site)
        library->version = dt_wheel_version(library->detection, site, stem);
    if (library->version && at)
        library->found = "name of its .dist-info";
    free(site);
}

/* The soname's last numbers are ABI and release: libibverbs.so.1.14.57.0. The installer's list knows
 * the vendor's suffix of the same release ("57.amzn1"). */
static void rdma_core(struct library *library)
{
    const char *name = last_of(library->real);
    char *listed = installed_version(library->detection->installed, "rdma-core");
    if (strncmp(name, "libibverbs.so.1.", 16) == 0) {
        const char *text = name + 16 + strcspn(name + 16, ".");
        text += *text == '.';
        library->version = dt_version_take(text, strlen(text));
        library->found = "file name";
    }
    size_t major = listed ? strcspn(listed, ".") + 1 : 0;
    if (listed && (!library->version || strncmp(listed, library->version, major) == 0)) {
        free(library->version);
        library->version = listed;
        library->found = "efa_installed_packages";
    } else {
        free(listed);
    }
}

static void nccl(struct library *library)
{
    from_name(library, "libnccl.so.");
    from_wheel(library, "/nvidia/nccl/", "nvidia_nccl_cu");
    from_text(library, "NCCL version ");
    if (library->version) /* "2.27.5+cuda12.9": what it was built for is no part of the release */
        library->version[strcspn(library->version, "+")] = '\0';
}

static void libfabric(struct library *library)
{
    from_pkgconfig(library, library->path);
    from_pkgconfig(library, library->real);
    from_installer(library);
    from_dpkg(library, "libfabric1");
}

static void ofi_nccl(struct library *library)
{
    from_text(library, "Initializing aws-ofi-nccl ");
}

static void cuda_driver(struct library *library)
{
    from_name(library, "libcuda.so.");
}

static void cuda(struct library *library)
{
    from_name(library, "libcudart.so.");
    from_wheel(library, "/nvidia/cuda_runtime/", "nvidia_cuda_runtime_cu");
}

static void neuron(struct library *library)
{
    from_name(library, "libnrt.so.");
    from_dpkg(library, "aws-neuronx-runtime-lib");
}

static const struct {
    const char *component;
    void (*read)(struct library *library);
    const char *unknown; /* why it is not known, when nothing was found */
} readers[] = {
    {"libfabric", libfabric, "no libfabric.pc beside it, and no package list names it"},
    {"rdma-core", rdma_core, "the file name holds no version"},
    {"nccl", nccl, "neither its name nor a text in it names a version"},
    {"ofi-nccl", ofi_nccl, "no text in it names a version: another plugin than aws-ofi-nccl?"},
    {"ofi-nccl-tuner", ofi_nccl, "no text in it names a version"},
    {"ofi-nccom", ofi_nccl, "no text in it names a version"},
    {"cuda-driver", cuda_driver, "the file name holds no version"},
    {"cuda", cuda, "neither the file name nor a wheel names a version"},
    {"neuron", neuron, "neither the file name nor a package names a version"},
};

int dt_library_version(struct dt_detection *detection, const char *component, const char *path,
                       char **version, char **found)
{
    struct library library = {.detection = detection, .path = path};
    library.real = dt_search_resolve(&detection->search, path);
    if (!library.real)
        library.real = strdup(path);
    if (!library.real)
        return -1;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if (strcmp(readers[i].component, component) == 0) {
            readers[i].read(&library);
            if (!library.version)
                library.found = readers[i].unknown;
        }
    }
    free(library.real);
    *version = library.version;
    *found = strdup(library.found ? library.found : "");
    if (*found)
        return 0;
    free(library.version);
    *version = NULL;
    return -1;
}
