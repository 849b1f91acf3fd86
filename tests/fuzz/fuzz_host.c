/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tells of itself in text: the mount table, /proc/buddyinfo, EC2's metadata. Any text gives
 * facts that can be handed on, or none, and never a number that could not be. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "facts/imds.h"
#include "facts/system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char tree[64];

static void remove_tree(void)
{
    static const char *const below[] = {"/proc/self/mountinfo", "/proc/self", "/proc", ""};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", tree, below[i]);
        remove(path);
    }
}

/* A tree with nothing but a mount table, in memory. */
static void make_tree(void)
{
    char path[128];
    snprintf(tree, sizeof tree, "/dev/shm/dt-fuzz.XXXXXX");
    if (!mkdtemp(tree))
        abort();
    snprintf(path, sizeof path, "%s/proc", tree);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/proc/self", tree);
    if (mkdir(path, 0755) < 0)
        abort();
}

static void write_table(const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", tree);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0)
        abort();
}

static void read_table(void)
{
    struct dt_root root;
    struct dt_error err;
    struct dt_conf conf = {0};
    struct dt_facts facts;
    if (dt_root_init(&root, tree, &err) < 0)
        abort();
    struct dt_facts_request request = {.root = &root, .conf = &conf};
    struct dt_reader reader = {.request = &request, .root = &root, .doc = json_object()};
    dt_read_mount_table(&reader);
    if (reader.failed || !json_is_array(json_object_get(reader.doc, "fs.readonly")) ||
        !json_is_string(json_object_get(reader.doc, "fs.network")))
        abort();
    /* What a node sends, another one takes. */
    if (json_array_size(json_object_get(reader.doc, "fs.readonly")) <= DT_FACTS_ITEMS_MAX) {
        if (dt_facts_from_json(&facts, reader.doc, &err) < 0)
            abort();
        dt_facts_fini(&facts);
    }
    json_decref(reader.doc);
    dt_root_fini(&root);
}

static void count_blocks(const char *text)
{
    long long free_mib = -1, huge_mib = -1;
    dt_buddy_count(text, 4, 2048, &free_mib, &huge_mib);
    if (free_mib < 0 || huge_mib < 0 || huge_mib > free_mib)
        abort();
}

static void ask_imds(const char *text)
{
    int status = 0;
    const char *body = dt_imds_body(text, &status);
    if (body && (body < text || body > text + strlen(text) || status < 0 || status > 999))
        abort();
    json_t *events = dt_imds_events(body ? body : text, 1500000000);
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (!json_is_string(json_object_get(event, "code")) ||
            !json_is_string(json_object_get(event, "when")) ||
            !json_is_integer(json_object_get(event, "in_s")))
            abort();
    }
    json_decref(events);
    dt_imds_seconds_until(text, 1500000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    if (!text)
        abort();
    make_tree(); /* anew each time: nobody tells when the last one was */
    write_table(data, size);
    read_table();
    remove_tree();
    count_blocks(text);
    ask_imds(text);
    free(text);
    return 0;
}
