/* SPDX-License-Identifier: Apache-2.0 */
/* The SMART / health log page of NVMe devices (NVM Express base specification, log page 02h), which
 * is asked of the device itself: by root alone, and in a child with a deadline. In a tree it is the
 * file dt-smart/DEVICE, in lines "NAME : NUMBER" as `nvme smart-log` prints them. */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "facts/counters.h"

#define NVME_CLASS "sys/class/nvme"

enum {
    DEVICES_MAX = 64,
    GET_LOG_PAGE = 0x02,
    SMART_PAGE = 0x02,
    PAGE_BYTES = 512,
    WARNING_AT = 0,
    MEDIA_ERRORS_AT = 160 /* 16 bytes, little endian; the upper half is zero in any life */
};

struct health {
    long long warning, media_errors;
};

static bool ask_device(const struct dt_root *root, const char *name, struct health *health)
{
    unsigned char page[PAGE_BYTES] = {0};
    struct nvme_admin_cmd command = {.opcode = GET_LOG_PAGE,
                                     .nsid = 0xffffffff,
                                     .addr = (uintptr_t)page,
                                     .data_len = PAGE_BYTES,
                                     .cdw10 = SMART_PAGE | (PAGE_BYTES / 4 - 1) << 16};
    int fd = dt_root_open(root, O_RDONLY | O_NONBLOCK, "dev/%s", name);
    if (fd < 0)
        return false;
    bool told = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command) == 0;
    close(fd);
    *health = (struct health){.warning = page[WARNING_AT]};
    for (int byte = 7; byte >= 0; byte--)
        health->media_errors = health->media_errors << 8 | page[MEDIA_ERRORS_AT + byte];
    return told;
}

static bool ask_tree(const struct dt_root *root, const char *name, struct health *health)
{
    char text[1024];
    if (dt_root_read(root, text, sizeof text, "dt-smart/%s", name) <= 0)
        return false;
    const char *warning = strstr(text, "critical_warning"), *media = strstr(text, "media_errors");
    return warning && media && sscanf(warning, "critical_warning : %lld", &health->warning) == 1 &&
           sscanf(media, "media_errors : %lld", &health->media_errors) == 1;
}

/* In the child: a line a device. */
static void ask_all(int out, void *argument)
{
    const struct dt_root *root = argument;
    char **names, line[320];
    struct health health;
    int count = dt_root_list(root, &names, NVME_CLASS);
    for (int i = 0; i < count && i < DEVICES_MAX; i++) {
        if (!(root->fake ? ask_tree : ask_device)(root, names[i], &health))
            continue;
        snprintf(line, sizeof line, "%s %lld %lld\n", names[i], health.warning,
                 health.media_errors);
        dt_probe_say(out, line);
    }
}

void dt_read_smart(struct dt_reader *reader, json_t *list)
{
    struct dt_probe probe;
    struct dt_error ignored; /* a device that does not tell has no counters: no judgement */
    char *text = NULL, *rest, *line, name[256];
    struct health health;
    if (!dt_root_exists(reader->root, NVME_CLASS) ||
        dt_probe_start(&probe, ask_all, (void *)(uintptr_t)reader->root, reader->root->fd,
                       reader->request->conf->probe_timeout_ms, &ignored) < 0)
        return;
    dt_probe_finish(&probe, &text, &ignored);
    rest = text;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, "%255s %lld %lld", name, &health.warning, &health.media_errors) == 3 &&
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:I,s:I}", "kind", "nvme", "device", name,
                                            "critical_warning", (json_int_t)health.warning,
                                            "media_errors", (json_int_t)health.media_errors)) < 0)
            reader->failed = true;
    }
    free(text);
}
