/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/versions: where glibc's loader would find a library, and why there. Paths are absolute
 * names as the job sees them ("/opt/..."); reading them goes through the root. */
#ifndef DT_VERSIONS_SEARCH_H
#define DT_VERSIONS_SEARCH_H

#include <sys/stat.h>

#include "versions/ldconf.h"
#include "versions/list.h"
#include "versions/versions.h"

struct dt_search {
    const struct dt_versions_request *request;
    const struct dt_root *root;
    struct dt_list library_path; /* of LD_LIBRARY_PATH */
    struct dt_list preload;      /* words of LD_PRELOAD */
    struct dt_list conf;         /* of ld.so.conf */
    struct dt_list cache;        /* pairs: name, path */
    bool has_cache;
    struct dt_list system;        /* the loader's own */
    char *program;                /* resolved; NULL: not found */
    char *prefix;                 /* of the unresolved one: "/venv" of /venv/bin/python */
    struct dt_list program_rpath; /* DT_RPATH of the program, which all libraries inherit */
};

/* The library or program that asks, and its own search paths. */
struct dt_asker {
    const char *name; /* for reasons: "libtorch_cuda.so" */
    struct dt_list rpath, runpath;
};

int dt_search_init(struct dt_search *search, const struct dt_versions_request *request);
void dt_search_fini(struct dt_search *search);

/* path NULL: nobody in particular asks. */
int dt_asker_init(struct dt_asker *asker, const struct dt_search *search, const char *path);
void dt_asker_fini(struct dt_asker *asker);

/* What dlopen(name) would open. *path NULL: nothing; *why is then NULL too. Caller frees both.
 * Returns -1 only without memory. */
int dt_search_find(const struct dt_search *search, const struct dt_asker *asker, const char *name,
                   char **path, char **why);

const char *dt_search_env(const struct dt_search *search, const char *name); /* NULL: unset */
bool dt_search_stat(const struct dt_search *search, const char *path, struct stat *st);
bool dt_search_is_file(const struct dt_search *search, const char *path);
/* Open for reading a regular file; -1: can not. */
int dt_search_open(const struct dt_search *search, const char *path);
/* The name without symbolic links; NULL: no such file (or no memory). Caller frees. */
char *dt_search_resolve(const struct dt_search *search, const char *path);
/* Split a list of directories; relative ones are put behind cwd, or left out without one. */
int dt_search_split(struct dt_list *folders, const struct dt_search *search, const char *text,
                    const char *separators, const char *origin);

#endif
