/* SPDX-License-Identifier: Apache-2.0 */
/* All copies of each library that the job's environment leads to, and the one that is loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "versions/internal.h"
#include "versions/text.h"

enum { NAMES_MAX = 8 };

struct kind {
    const char *component;
    const char *names[NAMES_MAX];   /* file names; the first that the loader finds is loaded */
    const char *folders[NAMES_MAX]; /* usual places besides the loader's */
    const char *wheel;              /* its folder inside a site, or NULL */
};

static const struct kind kinds[] = {
    {"nccl",
     {"libnccl.so.2", "libnccl.so"},
     {"/opt/nccl/build/lib", "/usr/local/cuda/lib", "/usr/local/cuda/lib64", "/usr/local/lib"},
     "nvidia/nccl/lib"},
    {"ofi-nccl",
     {"libnccl-net.so", "libnccl-net-ofi.so", "libnccl-net-aws-ofi.so"},
     {"/opt/amazon/ofi-nccl/lib", "/opt/amazon/ofi-nccl/lib64",
      "/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu", "/opt/amazon/ofi-nccl/lib/aarch64-linux-gnu",
      "/opt/amazon/aws-ofi-nccl/lib", "/opt/aws-ofi-nccl/install/lib", "/opt/aws-ofi-nccl/lib"},
     NULL},
    {"libfabric",
     {"libfabric.so.1"},
     {"/opt/amazon/efa/lib", "/opt/amazon/efa/lib64", "/usr/local/lib"},
     NULL},
    {"rdma-core", {"libibverbs.so.1"}, {"/opt/amazon/efa/lib", "/opt/amazon/efa/lib64"}, NULL},
    {"cuda-driver", {"libcuda.so.1"}, {"/usr/local/nvidia/lib64", "/usr/local/cuda/compat"}, NULL},
    {"cuda",
     {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"},
     {"/usr/local/cuda/lib64", "/usr/local/cuda/lib"},
     "nvidia/cuda_runtime/lib"},
    {"neuron", {"libnrt.so.1"}, {"/opt/aws/neuron/lib"}, NULL},
    {"ofi-nccom",
     {"libnccom-net.so"},
     {"/opt/amazon/ofi-nccl/lib", "/opt/amazon/ofi-nccl/lib64", "/opt/aws/neuron/lib"},
     NULL},
};

/* The copies of one component, by file. */
struct copies {
    struct dt_detection *detection;
    const struct kind *kind;
    struct dt_list paths;
    struct {
        dev_t device;
        ino_t inode;
    } * files;
};

/* The copy that is this file; paths.count: there is none. */
static size_t same_file(const struct copies *copies, const struct stat *st)
{
    size_t i = 0;
    while (i < copies->paths.count &&
           (copies->files[i].device != st->st_dev || copies->files[i].inode != st->st_ino))
        i++;
    return i;
}

static int add_copy(struct copies *copies, const char *path)
{
    struct stat st;
    if (!dt_search_stat(&copies->detection->search, path, &st) || !S_ISREG(st.st_mode) ||
        same_file(copies, &st) < copies->paths.count)
        return 0;
    void *more = realloc(copies->files, (copies->paths.count + 1) * sizeof *copies->files);
    if (!more)
        return -1;
    copies->files = more;
    copies->files[copies->paths.count].device = st.st_dev;
    copies->files[copies->paths.count].inode = st.st_ino;
    return dt_list_add(&copies->paths, path, strlen(path));
}

static int add_in(struct copies *copies, const char *folder, const char *inside)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < NAMES_MAX && copies->kind->names[i]; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s%s/%s", folder, *inside ? "/" : "", inside,
                     copies->kind->names[i]) < 0)
            return -1;
        rc = add_copy(copies, path);
        free(path);
    }
    return rc;
}

static int add_folders(struct copies *copies, const struct dt_list *folders, const char *inside)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < folders->count; i++)
        rc = add_in(copies, folders->items[i], inside);
    return rc;
}

static int add_cached(struct copies *copies)
{
    const struct dt_list *cache = &copies->detection->search.cache;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i + 1 < cache->count; i += 2) {
        for (size_t n = 0; rc == 0 && n < NAMES_MAX && copies->kind->names[n]; n++) {
            if (strcmp(cache->items[i], copies->kind->names[n]) == 0)
                rc = add_copy(copies, cache->items[i + 1]);
        }
    }
    return rc;
}

static int find_copies(struct copies *copies)
{
    const struct dt_search *search = &copies->detection->search;
    static const char *const prefixes[] = {"CONDA_PREFIX", "VIRTUAL_ENV"};
    int rc = add_folders(copies, &search->library_path, "");
    rc = rc ? rc : add_cached(copies);
    rc = rc ? rc : add_folders(copies, &search->conf, "");
    rc = rc ? rc : add_folders(copies, &search->system, "");
    if (copies->kind->wheel)
        rc = rc ? rc : add_folders(copies, &copies->detection->sites, copies->kind->wheel);
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        const char *prefix = dt_search_env(search, prefixes[i]);
        rc = prefix && *prefix == '/' ? add_in(copies, prefix, "lib") : 0;
    }
    for (size_t i = 0; rc == 0 && i < NAMES_MAX && copies->kind->folders[i]; i++)
        rc = add_in(copies, copies->kind->folders[i], "");
    return rc;
}

/* ---- which one is loaded ----------------------------------------------------------------------- */

/* NCCL's openPluginLib: the name as it is, then PREFIX-NAME.so where it can not be a file's name. */
static int find_plugin(const struct dt_search *search, const struct dt_asker *asker,
                       const char *name, const char *prefix, char **path, char **why)
{
    size_t len = strlen(name);
    char *file = NULL;
    int rc = dt_search_find(search, asker, name, path, why);
    bool plain = strchr(name, '/') ||
                 (len > 6 && strncmp(name, "lib", 3) == 0 && strcmp(name + len - 3, ".so") == 0);
    if (rc < 0 || *path || plain)
        return rc;
    if (asprintf(&file, "%s-%s.so", prefix, name) < 0)
        return -1;
    rc = dt_search_find(search, asker, file, path, why);
    free(file);
    return rc;
}

/* The words of NCCL_NET_PLUGIN or NCCL_TUNER_PLUGIN; the first that leads to a file. */
static int find_plugins(const struct dt_search *search, const struct dt_asker *asker,
                        const char *words, const char *prefix, char **path, char **why)
{
    int rc = 0;
    *path = *why = NULL;
    for (; rc == 0 && !*path && *words; words += *words == ',') {
        size_t len = strcspn(words, ",");
        char *name = strndup(words, len);
        if (!name)
            return -1;
        if (len && strcmp(name, "none") != 0)
            rc = find_plugin(search, asker, name, prefix, path, why);
        free(name);
        words += len;
    }
    return rc;
}

static int find_loaded(const struct copies *copies, const struct dt_asker *asker, char **path,
                       char **why)
{
    const struct dt_search *search = &copies->detection->search;
    const char *words = dt_search_env(search, "NCCL_NET_PLUGIN");
    bool is_plugin = strcmp(copies->kind->component, "ofi-nccl") == 0;
    int rc = 0;
    *path = *why = NULL;
    if (is_plugin && words && *words)
        return find_plugins(search, asker, words, "libnccl-net", path, why);
    for (size_t i = 0; rc == 0 && !*path && i < NAMES_MAX && copies->kind->names[i]; i++) {
        rc = dt_search_find(search, asker, copies->kind->names[i], path, why);
        if (is_plugin) /* NCCL tries no other name by itself */
            break;
    }
    return rc;
}

/* A name that the user gave and that leads nowhere is worth a line of its own. */
static int add_missing(struct dt_detection *detection, const char *component, const char *variable)
{
    const char *value = dt_search_env(&detection->search, variable);
    char *found = NULL, *why = NULL;
    if (!value || !*value || strcmp(value, "none") == 0)
        return 0;
    if (asprintf(&found, "%s names no file that the loader finds", variable) < 0)
        return -1;
    why = strdup("not found");
    return why ? dt_detection_add(detection, component, value, NULL, found, why, false)
               : (free(found), -1);
}

static char *reason_not(const struct copies *copies, const char *loaded)
{
    const char *words = dt_search_env(&copies->detection->search, "NCCL_NET_PLUGIN");
    bool plugin = strcmp(copies->kind->component, "ofi-nccl") == 0;
    char *why = NULL;
    if (loaded)
        return asprintf(&why, "%s comes first", loaded) < 0 ? NULL : why;
    if (plugin && words && *words)
        return asprintf(&why, "NCCL_NET_PLUGIN=%s does not lead there", words) < 0 ? NULL : why;
    return strdup("no search path of the loader leads there: LD_LIBRARY_PATH lacks its directory");
}

static int report(struct copies *copies, const char *loaded, char *loaded_why, size_t chosen)
{
    int rc = 0;
    for (size_t i = 0; i < copies->paths.count; i++) {
        char *version = NULL, *found = NULL, *why;
        const char *path = copies->paths.items[i];
        bool loads = loaded && i == chosen;
        if (rc == 0)
            rc = dt_library_version(copies->detection, copies->kind->component, path, &version,
                                    &found);
        if (rc < 0)
            break;
        why = loads ? strdup(loaded_why) : reason_not(copies, loaded);
        if (!why) {
            free(version);
            free(found);
            return -1;
        }
        rc = dt_detection_add(copies->detection, copies->kind->component, loads ? loaded : path,
                              version, found, why, loads);
    }
    return rc;
}

/* asker_path: the library that asks for this one; *loaded is the path that loads. */
static int detect_kind(struct dt_detection *detection, const struct kind *kind,
                       const struct dt_asker *asker, char **loaded)
{
    struct copies copies = {.detection = detection, .kind = kind};
    char *why = NULL;
    struct stat st;
    size_t chosen = 0;
    *loaded = NULL;
    int rc = find_copies(&copies);
    rc = rc ? rc : find_loaded(&copies, asker, loaded, &why);
    if (rc == 0 && *loaded) {
        rc = add_copy(&copies, *loaded);
        if (rc == 0 && dt_search_stat(&detection->search, *loaded, &st))
            chosen = same_file(&copies, &st);
    }
    rc = rc ? rc : report(&copies, *loaded, why, chosen);
    if (rc == 0 && !*loaded && strcmp(kind->component, "ofi-nccl") == 0)
        rc = add_missing(detection, "ofi-nccl", "NCCL_NET_PLUGIN");
    dt_list_fini(&copies.paths);
    free(copies.files);
    free(why);
    return rc;
}

static int detect_tuner(struct dt_detection *detection, const struct dt_asker *asker)
{
    const char *words = dt_search_env(&detection->search, "NCCL_TUNER_PLUGIN");
    char *path = NULL, *why = NULL, *version = NULL, *found = NULL;
    if (!words || !*words)
        return 0;
    if (find_plugins(&detection->search, asker, words, "libnccl-tuner", &path, &why) < 0)
        return -1;
    int rc = path ? dt_library_version(detection, "ofi-nccl-tuner", path, &version, &found)
                  : add_missing(detection, "ofi-nccl-tuner", "NCCL_TUNER_PLUGIN");
    if (rc == 0 && path)
        rc = dt_detection_add(detection, "ofi-nccl-tuner", path, version, found, why, true);
    else
        free(why);
    free(path);
    return rc;
}

/* PyTorch's wheels are linked with a DT_RPATH to the wheels of NVIDIA beside them. Where the
 * library can not be read as ELF, that is taken for granted. */
static int ask_as_torch(struct dt_detection *detection, struct dt_asker *asker)
{
    static const char *const wheels[] = {"nvidia/nccl/lib", "nvidia/cuda_runtime/lib"};
    int rc = dt_asker_init(asker, &detection->search, detection->torch_library);
    if (rc < 0 || !detection->torch_site || asker->rpath.count || asker->runpath.count)
        return rc;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        char *folder = NULL;
        if (asprintf(&folder, "%s/%s", detection->torch_site, wheels[i]) < 0)
            return -1;
        rc = dt_list_take(&asker->rpath, folder);
    }
    asker->name = "PyTorch's libraries";
    return rc;
}

int dt_detect_libraries(struct dt_detection *detection)
{
    struct dt_asker torch = {0}, asker = {0};
    char *nccl = NULL, *plugin = NULL, *fabric = NULL, *other = NULL;
    int rc = ask_as_torch(detection, &torch);
    rc = rc ? rc : detect_kind(detection, &kinds[0], &torch, &nccl);
    rc = rc ? rc : dt_asker_init(&asker, &detection->search, nccl);
    rc = rc ? rc : detect_kind(detection, &kinds[1], &asker, &plugin);
    rc = rc ? rc : detect_tuner(detection, &asker);
    dt_asker_fini(&asker);
    rc = rc ? rc : dt_asker_init(&asker, &detection->search, plugin);
    rc = rc ? rc : detect_kind(detection, &kinds[2], &asker, &fabric);
    dt_asker_fini(&asker);
    rc = rc ? rc : dt_asker_init(&asker, &detection->search, fabric);
    rc = rc ? rc : detect_kind(detection, &kinds[3], &asker, &other);
    dt_asker_fini(&asker);
    for (size_t i = 4; rc == 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        free(other);
        rc = detect_kind(detection, &kinds[i], &torch, &other);
    }
    dt_asker_fini(&torch);
    free(nccl);
    free(plugin);
    free(fabric);
    free(other);
    return rc;
}
