/* SPDX-License-Identifier: Apache-2.0 */
/* The data file of the fake NVML, which anyone may write by hand: whatever stands in it, every call
 * answers, and what it answers is whole. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../launcher/fake-nvml/fake_nvml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As in the library; it has no header of its own for its callers, no more than NVIDIA's. */
int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlSystemGetDriverVersion(char *version, unsigned length);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);
int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length);
int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length);
int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length);
int nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *minor);
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees);
int nvmlDeviceGetEccMode(nvmlDevice_t device, unsigned *now, unsigned *pending);
int nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active);

static void ask(nvmlDevice_t device, unsigned count)
{
    char text[8];
    unsigned a = 0, b = 0;
    /* Room for 8 bytes: more is refused, never cut or written beyond. */
    if (nvmlDeviceGetName(device, text, sizeof text) == SUCCESS &&
        strnlen(text, sizeof text) == sizeof text)
        abort();
    nvmlDeviceGetUUID(device, text, sizeof text);
    nvmlDeviceGetVbiosVersion(device, text, sizeof text);
    if (nvmlDeviceGetMinorNumber(device, &a) == SUCCESS && a >= count)
        abort();
    nvmlDeviceGetTemperature(device, 0, &a);
    nvmlDeviceGetEccMode(device, &a, &b);
    for (unsigned link = 0; link < 20; link++) {
        if (nvmlDeviceGetNvLinkState(device, link, &a) == SUCCESS && a > 1)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], version[80];
    unsigned count = 0;
    nvmlDevice_t device;
    /* They do what they say; and a library that is not shut down does not read its data anew. */
    if (memmem(data, size, "hang", 4) || memmem(data, size, "crash", 5) ||
        memmem(data, size, "nvmlShutdown", 12))
        return -1;
    int fd = memfd_create("nvml.conf", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || setenv("DT_FAKE_NVML", path, 1) < 0)
        abort();
    if (nvmlInit_v2() == SUCCESS) {
        nvmlSystemGetDriverVersion(version, sizeof version);
        if (nvmlDeviceGetCount_v2(&count) == SUCCESS) {
            for (unsigned i = 0; i <= count; i++) {
                if (nvmlDeviceGetHandleByIndex_v2(i, &device) == SUCCESS)
                    ask(device, count);
            }
        }
        nvmlShutdown();
    }
    close(fd);
    return 0;
}
