/* SPDX-License-Identifier: Apache-2.0 */
/* Where the job's python takes packages from (site.py, PEP 370, PEP 405), and the versions that
 * wheels write into the names of their .dist-info directories. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "versions/internal.h"
#include "versions/text.h"

static int add_site(struct dt_detection *detection, const char *format, const char *a,
                    const char *b, const char *c)
{
    struct stat st;
    char *path = NULL;
    if (asprintf(&path, format, a, b, c) < 0)
        return -1;
    if (!dt_search_stat(&detection->search, path, &st) || !S_ISDIR(st.st_mode) ||
        dt_list_has(&detection->sites, path)) {
        free(path);
        return 0;
    }
    return dt_list_take(&detection->sites, path);
}

/* PREFIX/lib/python3.11/site-packages and its kin. */
static int add_prefix(struct dt_detection *detection, const char *prefix)
{
    static const char *const libs[] = {"lib", "lib64", "local/lib"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && prefix && *prefix == '/' && i < 3; i++) {
        char **names = NULL, *folder = NULL;
        if (asprintf(&folder, "%s/%s", prefix, libs[i]) < 0)
            return -1;
        int count = dt_root_list(detection->search.root, &names, "%s", folder + 1);
        for (int n = count - 1; rc == 0 && n >= 0; n--) { /* the newest python first */
            if (strncmp(names[n], "python3", 7) != 0)
                continue;
            rc = add_site(detection, "%s/%s/%s", folder, names[n], "site-packages");
            rc = rc ? rc : add_site(detection, "%s/%s/%s", folder, names[n], "dist-packages");
        }
        dt_names_free(names);
        free(folder);
    }
    return rc;
}

static int add_user_site(struct dt_detection *detection)
{
    struct stat st;
    const char *home = dt_search_env(&detection->search, "HOME");
    char *cfg = NULL, *local = NULL;
    if (asprintf(&cfg, "%s/pyvenv.cfg", detection->search.prefix ? detection->search.prefix : "") <
        0)
        return -1;
    bool venv = dt_search_stat(&detection->search, cfg, &st);
    free(cfg);
    const char *off = dt_search_env(&detection->search, "PYTHONNOUSERSITE");
    if (venv || (off && *off) || !home || *home != '/')
        return 0;
    if (asprintf(&local, "%s/.local", home) < 0)
        return -1;
    int rc = add_prefix(detection, local);
    free(local);
    return rc;
}

int dt_detect_sites(struct dt_detection *detection)
{
    const struct dt_search *search = &detection->search;
    const char *path = dt_search_env(search, "PYTHONPATH");
    const char *venv = dt_search_env(search, "VIRTUAL_ENV");
    const char *conda = dt_search_env(search, "CONDA_PREFIX");
    const char *first = search->prefix    ? *search->prefix ? search->prefix : "/usr"
                        : venv && *venv   ? venv
                        : conda && *conda ? conda
                                          : "/usr";
    struct dt_list folders = {0};
    int rc = path && *path ? dt_search_split(&folders, search, path, ":", NULL) : 0;
    for (size_t i = 0; rc == 0 && i < folders.count; i++)
        rc = add_site(detection, "%s%s%s", folders.items[i], "", "");
    dt_list_fini(&folders);
    rc = rc ? rc : add_user_site(detection);
    rc = rc ? rc : add_prefix(detection, first);
    detection->active_sites = detection->sites.count;
    rc = rc ? rc : add_prefix(detection, venv);
    rc = rc ? rc : add_prefix(detection, conda);
    return rc ? rc : add_prefix(detection, "/usr");
}

char *dt_wheel_version(const struct dt_detection *detection, const char *site, const char *stem)
{
    static const char end[] = ".dist-info";
    char **names = NULL, *version = NULL;
    size_t len = strlen(stem);
    int count = dt_root_list(detection->search.root, &names, "%s", site + 1);
    for (int i = 0; !version && i < count; i++) {
        const char *dash = strchr(names[i], '-');
        size_t size = strlen(names[i]);
        if (!dash || size < sizeof end || strcmp(names[i] + size - sizeof end + 1, end) != 0 ||
            strncmp(names[i], stem, len) != 0)
            continue;
        /* "nvidia_nccl_cu12" for the stem "nvidia_nccl_cu", nothing longer for "torch" */
        size_t rest = strspn(names[i] + len, "0123456789");
        if (names[i] + len + rest == dash)
            version =
                dt_version_take(dash + 1, size - (size_t)(dash + 1 - names[i]) - (sizeof end - 1));
    }
    dt_names_free(names);
    return version;
}

/* The first site that has the package is the one that is imported. */
static int read_wheel(struct dt_detection *detection, const char *component, const char *stem,
                      const char *folder)
{
    bool imported = false;
    for (size_t i = 0; i < detection->sites.count; i++) {
        const char *site = detection->sites.items[i];
        bool active = i < detection->active_sites && !imported;
        char *version = dt_wheel_version(detection, site, stem), *path = NULL;
        struct stat st;
        if (asprintf(&path, "%s/%s", site, folder) < 0) {
            free(version);
            return -1;
        }
        if (!version && !dt_search_stat(&detection->search, path, &st)) {
            free(path);
            continue;
        }
        if (active && strcmp(folder, "torch") == 0)
            detection->torch_site = site;
        char *found = strdup(version ? "name of its .dist-info" : "has no .dist-info");
        char *why = strdup(active     ? "first of the directories that python imports from"
                           : imported ? "another directory comes before in python's path"
                                      : "not in the path of the python that PATH leads to");
        int rc = -1;
        if (found && why) {
            rc = dt_detection_add(detection, component, path, version, found, why, active);
        } else {
            free(version);
            free(found);
            free(why);
        }
        free(path);
        if (rc < 0)
            return -1;
        imported |= active;
    }
    return 0;
}

int dt_detect_wheels(struct dt_detection *detection)
{
    static const char *const wheels[][3] = {{"torch", "torch", "torch"},
                                            {"torch-neuronx", "torch_neuronx", "torch_neuronx"},
                                            {"neuronx-cc", "neuronx_cc", "neuronxcc"}};
    for (size_t i = 0; i < sizeof wheels / sizeof wheels[0]; i++) {
        if (read_wheel(detection, wheels[i][0], wheels[i][1], wheels[i][2]) < 0)
            return -1;
    }
    if (detection->torch_site) {
        char *file = NULL;
        if (asprintf(&file, "%s/torch/lib/libtorch_cuda.so", detection->torch_site) < 0)
            return -1;
        if (dt_search_is_file(&detection->search, file))
            detection->torch_library = file;
        else
            free(file);
    }
    return 0;
}
