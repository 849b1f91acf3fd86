/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies that come from a file or from the instance table. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "topology/internal.h"
#include "topology/machine.h"
#include "topology/xml.h"

#define FILE_MAX (64L << 20) /* bytes; hwloc writes about 3 MiB for 1024 PUs */

static int make_source(struct dt_buf *source, struct dt_error *err)
{
    return source->failed ? dt_error_set(err, "no memory left for the topology") : 0;
}

int dt_machine_parse(struct dt_machine *machine, const char *text, size_t len,
                     const struct dt_instances *table, const struct dt_instance **instance,
                     struct dt_error *err)
{
    if (dt_xml_peek_root(text, len, "topology"))
        return dt_machine_from_hwloc(machine, text, len, err);
    if (dt_xml_peek_root(text, len, "system"))
        return dt_machine_from_nccl(machine, text, len, table, instance, err);
    return dt_error_set(err,
                        "%s is neither hwloc XML (<topology>) nor NCCL XML (<system>), so it is no "
                        "topology",
                        machine->name);
}

int dt_topology_parse(struct dt_topology *topology, const char *name, const char *text, size_t len,
                      const struct dt_instances *table, const struct dt_instance *instance,
                      struct dt_error *err)
{
    struct dt_machine machine = {.name = name};
    struct dt_buf source = DT_BUF_INIT;
    bool nccl = dt_xml_peek_root(text, len, "system");
    int rc;

    memset(topology, 0, sizeof(*topology));
    dt_buf_printf(&source, "%s XML %s", nccl ? "NCCL" : "hwloc", name);
    rc = dt_machine_parse(&machine, text, len, table, &instance, err);
    if (rc == 0 && !instance && machine.product && table)
        instance = dt_instances_find(table, machine.product);
    if (rc == 0)
        rc = make_source(&source, err);
    if (rc == 0)
        rc = dt_machine_build(&machine, topology, source.data, instance, err);
    dt_buf_fini(&source);
    dt_machine_fini(&machine);
    return rc;
}

/* NULL with err set. The text ends in NUL. */
static char *read_whole(const char *path, size_t *len, struct dt_error *err)
{
    struct stat st;
    char *text = NULL;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    *len = 0;
    if (fd < 0 || fstat(fd, &st)) {
        dt_error_set(err, "topology file %s can not be opened: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        dt_error_set(err, "topology file %s is %s", path,
                     S_ISREG(st.st_mode) ? "larger than 64 MiB" : "no regular file");
        goto out;
    }
    text = malloc((size_t)st.st_size + 1);
    while (text && *len < (size_t)st.st_size &&
           (got = read(fd, text + *len, (size_t)st.st_size - *len)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            dt_error_set(err, "topology file %s can not be read: %s", path, strerror(errno));
            free(text);
            text = NULL;
            goto out;
        }
        *len += (size_t)got;
    }
    if (text)
        text[*len] = '\0';
    else
        dt_error_set(err, "no memory left to read topology file %s", path);
out:
    if (fd >= 0)
        close(fd);
    return text;
}

int dt_topology_read(struct dt_topology *topology, const char *path,
                     const struct dt_instances *table, const struct dt_instance *instance,
                     struct dt_error *err)
{
    size_t len;
    char *text = read_whole(path, &len, err);
    int rc;

    memset(topology, 0, sizeof(*topology));
    rc = text ? dt_topology_parse(topology, path, text, len, table, instance, err) : -1;
    free(text);
    return rc;
}

int dt_topology_of_instance(struct dt_topology *topology, const struct dt_instance *instance,
                            struct dt_error *err)
{
    struct dt_machine machine = {.name = instance->name};
    struct dt_buf source = DT_BUF_INIT;
    int rc = -1;

    memset(topology, 0, sizeof(*topology));
    dt_buf_printf(&source, "instance table %s%s", instance->name,
                  instance->topology_measured ? "" : ", modelled");
    if (dt_machine_from_instance(&machine, instance, err) == 0 && make_source(&source, err) == 0)
        rc = dt_machine_build(&machine, topology, source.data, instance, err);
    if (rc == 0) { /* "+ instance table" would say it twice */
        free(topology->source);
        topology->source = dt_buf_take(&source);
        if (!topology->source) {
            dt_topology_fini(topology);
            rc = dt_error_set(err, "no memory left for the topology");
        }
    }
    dt_buf_fini(&source);
    dt_machine_fini(&machine);
    return rc;
}
