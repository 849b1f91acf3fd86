/* SPDX-License-Identifier: Apache-2.0 */
/* Neuron devices, as the driver shows them in sysfs. Only listed: some files there act when
 * written. */
#include <string.h>

#include "facts/reader.h"

void dt_read_neuron(struct dt_reader *reader)
{
    static const char *const places[] = {"sys/class/neuron_device",
                                         "sys/devices/virtual/neuron_device"};
    long long devices = 0;
    int count = -1;
    for (size_t i = 0; count < 0 && i < sizeof places / sizeof places[0]; i++) {
        char **names;
        count = dt_root_list(reader->root, &names, "%s", places[i]);
        for (int n = 0; n < count; n++)
            devices += strncmp(names[n], "neuron", 6) == 0;
        if (count >= 0)
            dt_names_free(names);
    }
    if (count < 0 && !dt_root_exists(reader->root, "sys/class"))
        dt_reader_why(reader, "neuron.count", "/sys is not there");
    else
        dt_reader_int(reader, "neuron.count", devices);
}
