/* SPDX-License-Identifier: Apache-2.0 */
/* Neuron devices, as the driver shows them in sysfs. Only listed: some files there act when
 * written. */
#include <string.h>

#include "facts/system.h"

static const char *const places[] = {"sys/class/neuron_device",
                                     "sys/devices/virtual/neuron_device"};

/* Names below the first place that exists, or -errno. */
static int list_devices(const struct dt_reader *reader, char ***names, const char **place)
{
    int count = -1;
    for (size_t i = 0; count < 0 && i < sizeof places / sizeof places[0]; i++) {
        *place = places[i];
        count = dt_root_list(reader->root, names, "%s", places[i]);
    }
    return count;
}

void dt_read_neuron(struct dt_reader *reader)
{
    char **names;
    const char *place;
    long long devices = 0;
    int count = list_devices(reader, &names, &place);
    for (int n = 0; n < count; n++)
        devices += strncmp(names[n], "neuron", 6) == 0;
    if (count >= 0)
        dt_names_free(names);
    if (count < 0 && !dt_root_exists(reader->root, "sys/class"))
        dt_reader_why(reader, "neuron.count", "/sys is not there");
    else
        dt_reader_int(reader, "neuron.count", devices);
}

/* Uncorrected memory errors since the driver was loaded; names of aws-neuron-driver's sysfs. */
void dt_read_neuron_errors(struct dt_reader *reader)
{
    static const char *const counters[] = {"mem_ecc_uncorrected", "sram_ecc_uncorrected"};
    char **names;
    const char *place;
    long long value, read = 0;
    int count = list_devices(reader, &names, &place);
    if (count < 0)
        return; /* no such devices: neuron.count says so */
    json_t *errors = json_array();
    for (int n = 0; n < count; n++) {
        for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
            if (strncmp(names[n], "neuron", 6) != 0 ||
                dt_root_read_long(reader->root, &value, "%s/%s/stats/hardware/%s", place, names[n],
                                  counters[i]) < 0)
                continue;
            read++;
            if (value > 0)
                json_array_append_new(errors,
                                      json_pack("{s:s,s:s,s:I}", "device", names[n], "counter",
                                                counters[i], "count", (json_int_t)value));
        }
    }
    dt_names_free(names);
    dt_reader_int(reader, "neuron.counters", read);
    dt_reader_take(reader, "neuron.errors", errors);
}
