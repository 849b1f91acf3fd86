/* SPDX-License-Identifier: Apache-2.0 */
/* What is read ahead before the ranks start: what --prewarm names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "pre.h"
#include "prepare.h"
#include "prewarm_list.h"
#include "read_ahead.h"
#include "worker.h"

static void warn(const struct dt_place *place, const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "dt-launch: warning: --prewarm %s: %s (node %s)\n", what, why,
            place->node_name);
}

/* Where Python would find the module, without importing it; a package is its directories. */
static void add_module(struct dt_read_ahead *work, const char *name,
                       const struct dt_options *options, const struct dt_place *place)
{
    static const char code[] = "import importlib.util as u, sys\n"
                               "s = u.find_spec(sys.argv[1])\n"
                               "if s: print(\"\\n\".join(s.submodule_search_locations or "
                               "[s.origin or \"\"]))\n";
    const char *base = strrchr(options->program[0], '/');
    base = base ? base + 1 : options->program[0];
    const char *python = strncmp(base, "python", 6) == 0 ? options->program[0] : "python3";
    char *path = NULL;
    char *argv[] = {(char *)python, (char *)"-c", (char *)code, (char *)name, NULL};
    struct dt_buf answer = DT_BUF_INIT;
    struct dt_error err = {""};
    int unused;
    if (dt_program_find(python, &path, &unused, &err) == 0) {
        struct dt_helper helper = {.path = path, .argv = argv, .env = environ};
        if (dt_helper_run(&helper, &answer, &err) == 0 && (!answer.data || !*answer.data))
            dt_error_set(&err, "Python finds no such module");
    }
    if (err.text[0])
        warn(place, name, err.text);
    char *rest = err.text[0] ? NULL : answer.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (*line == '/')
            dt_read_ahead_add(work, line);
    }
    dt_buf_fini(&answer);
    free(path);
}

static void add_last(struct dt_read_ahead *work, const struct dt_options *options,
                     const struct dt_place *place)
{
    struct dt_buf text = DT_BUF_INIT;
    if (!dt_prewarm_list_read(&text, options) && place->node_rank == 0)
        dprintf(STDERR_FILENO, "dt-launch: prewarm: what this program reads at its start is being "
                               "noted for the next time\n");
    char *rest = text.data;
    const char *before = "";
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *name = strrchr(line, '/');
        if (!name || name == line)
            continue;
        dt_read_ahead_add(work, line);
        *name = '\0'; /* Python lists the directory in which it looks for a module */
        if (strcmp(before, line) != 0)
            dt_read_ahead_list(work, line);
        before = line;
    }
    dt_buf_fini(&text);
}

void dt_prewarm(const struct dt_options *options, const struct dt_place *place)
{
    const struct dt_extras *extras = &options->extras;
    double began = dt_now();
    struct dt_read_ahead_sum sum;
    if (!extras->prewarm_count || (place->shape == DT_SHAPE_TASK && place->local_rank > 0))
        return;
    struct dt_read_ahead *work = dt_read_ahead_create();
    if (!work)
        return;
    for (int i = 0; i < extras->prewarm_count; i++) {
        const char *what = extras->prewarm[i];
        if (strncmp(what, "python:", 7) == 0)
            add_module(work, what + 7, options, place);
        else if (strcmp(what, "last") == 0)
            add_last(work, options, place);
        else if (access(what, R_OK))
            warn(place, what, strerror(errno));
        else
            dt_read_ahead_add(work, what);
    }
    dt_read_ahead_run(work, &sum);
    dt_read_ahead_destroy(work);
    double took = dt_now() - began, read = (double)sum.read / 1048576;
    if (place->node_rank == 0 && sum.looked && !sum.files)
        dprintf(STDERR_FILENO,
                "dt-launch: prewarm: nothing to do: %d files and directories were looked at, and "
                "are in memory\n",
                sum.looked);
    else if (place->node_rank == 0 && sum.files)
        dprintf(STDERR_FILENO,
                "dt-launch: prewarm: %lld files, %.1f MiB, of which %.1f MiB were not in memory, "
                "in %.2f s (%.0f MiB/s)\n",
                sum.files, (double)sum.bytes / 1048576, read, took, took > 0 ? read / took : 0);
}
