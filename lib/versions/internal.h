/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/versions: one detection, and the subjects that fill it. Functions return -1 only
 * without memory. */
#ifndef DT_VERSIONS_INTERNAL_H
#define DT_VERSIONS_INTERNAL_H

#include "versions/search.h"
#include "versions/versions.h"

struct dt_detection {
    struct dt_versions *out;
    struct dt_search search;
    struct dt_list sites;   /* site-packages directories, those of the program first */
    size_t active_sites;    /* how many of them the program imports from */
    char *installed;        /* text of efa_installed_packages; "" */
    char *packages;         /* dpkg's status file, read when first asked for; NULL: not yet */
    const char *torch_site; /* the site whose torch is imported; NULL: none */
    char *torch_library;    /* its libtorch_cuda.so, or NULL */
};

/* Takes version (may be NULL), found and why over (why may be NULL); copies the rest. */
int dt_detection_add(struct dt_detection *detection, const char *component, const char *path,
                     char *version, char *found, char *why, bool loads);

/* host.c: kernel, modules, installer */
int dt_detect_host(struct dt_detection *detection);
/* python.c: where packages lie, and the versions that their folders name */
int dt_detect_sites(struct dt_detection *detection);
int dt_detect_wheels(struct dt_detection *detection);
/* The version in the name of "STEM*-VERSION.dist-info" of a site. Caller frees; NULL: none. */
char *dt_wheel_version(const struct dt_detection *detection, const char *site, const char *stem);
/* library.c: the version of one library file. *found says where it stands or why it is not known;
 * *version NULL: not known. */
int dt_library_version(struct dt_detection *detection, const char *component, const char *path,
                       char **version, char **found);
/* libraries.c */
int dt_detect_libraries(struct dt_detection *detection);

#endif
