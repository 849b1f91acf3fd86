/* SPDX-License-Identifier: Apache-2.0 */
/* What a PCI device is, from its "modalias": the one attribute that has vendor, device and class,
 * and that the kernel prints without taking a lock ("uevent" of some kernels waits for a driver that
 * hangs) and without touching the device (reading "config" does). */
#include <stdlib.h>
#include <string.h>

#include "facts/reader.h"

/* A mark and so many hexadecimal digits. */
static bool take(const char **at, const char *mark, size_t digits, unsigned *value)
{
    char number[9] = "";
    size_t len = strlen(mark);
    if (strncmp(*at, mark, len) != 0 || strspn(*at + len, "0123456789abcdefABCDEF") < digits)
        return false;
    memcpy(number, *at + len, digits);
    *value = (unsigned)strtoul(number, NULL, 16);
    *at += len + digits;
    return true;
}

/* "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00" */
bool dt_pci_identify(const struct dt_root *root, const char *folder, struct dt_pci_id *id)
{
    char text[128];
    const char *at = text;
    unsigned ignored, base, sub, interface;
    if (dt_root_read(root, text, sizeof text, "%s/modalias", folder) <= 0 ||
        !take(&at, "pci:v", 8, &id->vendor) || !take(&at, "d", 8, &id->device) ||
        !take(&at, "sv", 8, &ignored) || !take(&at, "sd", 8, &ignored) ||
        !take(&at, "bc", 2, &base) || !take(&at, "sc", 2, &sub) || !take(&at, "i", 2, &interface))
        return false;
    id->class = base << 16 | sub << 8 | interface;
    return true;
}
