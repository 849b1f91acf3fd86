/* SPDX-License-Identifier: Apache-2.0 */
/* The file measured.json in cache-directory. One a node: jobs that share a node take turns. */
#include "inspect/reuse.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "base/whole.h"
#include "facts/probe.h"
#include "version.h"

enum { SCHEMA = 1 };

/* Which file it is and when it was written, as make sees it. */
static uint64_t hash_file(uint64_t hash, const char *directory, const char *name)
{
    char path[4096];
    struct stat st = {0};
    snprintf(path, sizeof path, "%s%s%s", directory, *name ? "/" : "", name);
    if (stat(path, &st) < 0)
        return dt_fnv(hash, "?", 1);
    hash = dt_fnv(hash, &st.st_ino, sizeof st.st_ino);
    hash = dt_fnv(hash, &st.st_size, sizeof st.st_size);
    return dt_fnv(hash, &st.st_mtim, sizeof st.st_mtim);
}

/* Of what a measurement may depend on. false: the boot is not known. */
static bool find_identity(const struct dt_root *root, const struct dt_conf *conf, char text[17])
{
    static const char *const tables[] = {"instances.conf", "xid.conf", "counters.conf"};
    char boot[64];
    ssize_t len = dt_root_read(root, boot, sizeof boot, "proc/sys/kernel/random/boot_id");
    if (len <= 0)
        return false;
    uint64_t hash = dt_fnv(DT_FNV_START, boot, (size_t)len);
    hash = dt_fnv(hash, DT_VERSION, sizeof DT_VERSION);
    hash = dt_fnv(hash, root->path, strlen(root->path));
    hash = hash_file(hash, conf->path ? conf->path : "", "");
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        hash = hash_file(hash, conf->data_directory, tables[i]);
    snprintf(text, 17, "%016" PRIx64, hash);
    return true;
}

static bool find_path(const struct dt_conf *conf, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/measured.json", conf->cache_directory);
    return *conf->cache_directory && conf->reuse_seconds > 0 && n > 0 && (size_t)n < size;
}

/* The facts in the document, when it is of this job and young enough. */
static json_t *take(json_t *document, const char *identity, const struct dt_conf *conf,
                    long long job)
{
    json_int_t schema, of_job, at;
    const char *of;
    json_t *facts;
    if (json_unpack(document, "{s:I,s:I,s:s,s:I,s:o}", "schema", &schema, "job", &of_job,
                    "identity", &of, "at", &at, "facts", &facts) < 0 ||
        schema != SCHEMA || of_job != job || strcmp(of, identity) != 0)
        return NULL;
    long long age = dt_monotonic_us() / 1000000 - at;
    struct dt_facts checked = {0};
    struct dt_error ignored;
    if (age < 0 || age > conf->reuse_seconds || dt_facts_from_json(&checked, facts, &ignored) < 0)
        return NULL;
    if (dt_facts_set_int(&checked, "measured.age_s", age) == 0)
        return checked.doc;
    dt_facts_fini(&checked);
    return NULL;
}

json_t *dt_reuse_load(const struct dt_root *root, const struct dt_conf *conf, long long job)
{
    char path[4096], identity[17];
    struct dt_error ignored;
    size_t len;
    int open_errno;
    if (!find_path(conf, path, sizeof path) || !find_identity(root, conf, identity))
        return NULL;
    char *text = dt_conf_read_text(path, &len, &open_errno, &ignored);
    json_t *document = text ? json_loadb(text, len, 0, NULL) : NULL;
    json_t *facts = document ? take(document, identity, conf, job) : NULL;
    json_decref(document);
    free(text);
    return facts;
}

/* The facts whose names are in measured.names. NULL: there are none. */
static json_t *choose(const struct dt_facts *facts)
{
    const char *names;
    json_t *chosen = json_object();
    if (!dt_facts_string(facts, "measured.names", &names))
        names = "";
    char *copy = strdup(names), *rest = copy, *name;
    while (copy && (name = strsep(&rest, " "))) {
        if (*name && strncmp(name, "why.", 4) != 0) /* what could not be measured is tried again */
            json_object_set(chosen, name, json_object_get(facts->doc, name));
    }
    free(copy);
    if (json_object_size(chosen) > 0 &&
        json_object_set_new(chosen, "measured.names", json_string(names)) == 0)
        return chosen;
    json_decref(chosen);
    return NULL;
}

/* Whatever root's umask is, nobody else writes what root believes. */
static void replace(const char *path, const char *text)
{
    struct dt_whole file;
    bool done = dt_whole_open(&file, path) == 0 && fchmod(file.fd, 0644) == 0 &&
                dt_whole_write(&file, text, strlen(text)) == 0;
    dt_whole_close(&file, done);
}

void dt_reuse_save(const struct dt_root *root, const struct dt_conf *conf, long long job,
                   const struct dt_facts *facts)
{
    char path[4096], identity[17];
    long long age;
    if (!find_path(conf, path, sizeof path) || !find_identity(root, conf, identity) ||
        dt_facts_int(facts, "measured.age_s", &age))
        return;
    json_t *chosen = choose(facts);
    json_t *document = chosen
                           ? json_pack("{s:i,s:I,s:s,s:I,s:o}", "schema", SCHEMA, "job",
                                       (json_int_t)job, "identity", identity, "at",
                                       (json_int_t)(dt_monotonic_us() / 1000000), "facts", chosen)
                           : NULL;
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    mkdir(conf->cache_directory, 0755); /* the first since the boot */
    if (text)
        replace(path, text);
    free(text);
    json_decref(document);
}
