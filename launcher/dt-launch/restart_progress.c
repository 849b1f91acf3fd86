/* SPDX-License-Identifier: Apache-2.0 */
/* What shows that the training got further: files that the user has named, and steps. */
#include <glob.h>
#include <sys/stat.h>

#include "loop.h"

void dt_newest_find(struct dt_newest *newest, const char *pattern)
{
    glob_t files;
    *newest = (struct dt_newest){0};
    if (!pattern || glob(pattern, GLOB_NOSORT, NULL, &files))
        return;
    newest->count = files.gl_pathc;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct stat st;
        if (stat(files.gl_pathv[i], &st))
            continue;
        long long changed = (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        if (changed > newest->changed_ns)
            newest->changed_ns = changed;
    }
    globfree(&files);
}

long long dt_loop_steps(const struct loop *loop)
{
    long long highest = 0;
    for (int i = 0; loop->hang && i < loop->job->place->processes; i++) {
        const struct dt_watch *steps = dt_progress_steps(dt_hang_progress(loop->hang, i));
        long long step = steps ? atomic_load(&steps->step) : 0;
        highest = step > highest ? step : highest;
    }
    return highest;
}
