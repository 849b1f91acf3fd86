/* SPDX-License-Identifier: Apache-2.0 */
/* What a PCI device is, from its "modalias": the one attribute that has vendor, device and class,
 * and that the kernel prints without taking a lock ("uevent" of some kernels waits for a driver that
 * hangs) and without touching the device (reading "config" does). */
#include <stdio.h>

#include "facts/reader.h"

bool dt_pci_identify(const struct dt_root *root, const char *folder, struct dt_pci_id *id)
{
    char text[128];
    unsigned base, sub, interface;
    if (dt_root_read(root, text, sizeof text, "%s/modalias", folder) <= 0 ||
        sscanf(text, "pci:v%8xd%8xsv%*8xsd%*8xbc%2xsc%2xi%2x", &id->vendor, &id->device, &base,
               &sub, &interface) != 5)
        return false;
    id->class = base << 16 | sub << 8 | interface;
    return true;
}
