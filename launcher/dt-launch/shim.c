/* SPDX-License-Identifier: Apache-2.0 */
/* Which name dt-launch was called by, and the tool that really has it. The directory of the shim is taken out
 * of PATH at once: the ranks see the PATH that they would have without it, and the tool can not
 * come back here. */
#include "shim.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "prepare.h"
#include "shim_words.h"

/* Set for a tool that was given way to: found again there, PATH has a copy of dt-launch by that name. */
#define VARIABLE_GIVEN "DT_SHIM_GIVEN_WAY"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Is this directory's file of that name dt-launch, by a link or mounted? */
static bool is_ours(const char *directory, const char *name, const struct stat *own)
{
    struct dt_buf path = DT_BUF_INIT;
    struct stat st;
    dt_buf_printf(&path, "%s/%s", *directory ? directory : ".", name);
    bool ours = !path.failed && stat(path.data, &st) == 0 && st.st_dev == own->st_dev &&
                st.st_ino == own->st_ino;
    dt_buf_fini(&path);
    return ours;
}

/* PATH without the directories where `name` is this program. */
static void leave_path(const char *name)
{
    struct dt_buf kept = DT_BUF_INIT;
    struct stat own;
    const char *path = getenv("PATH");
    char *copy = path ? strdup(path) : NULL, *rest = copy, *directory;
    if (!copy || stat("/proc/self/exe", &own)) {
        free(copy);
        return;
    }
    bool first = true;
    while ((directory = strsep(&rest, ":"))) {
        if (is_ours(directory, name, &own))
            continue;
        dt_buf_printf(&kept, "%s%s", first ? "" : ":", directory);
        first = false;
    }
    if (!kept.failed)
        setenv("PATH", kept.data ? kept.data : "", 1);
    dt_buf_fini(&kept);
    free(copy);
}

/* The Python of a script's first line: "#!/venv/bin/python", "#!/usr/bin/env python3". NULL: none. */
static char *python_of(const char *path)
{
    char line[512];
    FILE *file = path ? fopen(path, "re") : NULL;
    size_t got = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[got] = '\0';
    if (strncmp(line, "#!", 2) != 0 || !strchr(line, '\n'))
        return NULL;
    char *rest = line + 2, *found = NULL, *word;
    rest[strcspn(rest, "\r\n")] = '\0';
    while (!found && (word = strsep(&rest, " \t"))) {
        if (strncmp(base_name(word), "python", strlen("python")) == 0)
            found = word;
    }
    return found ? strdup(found) : NULL;
}

static const struct dt_shim_tool *find_tool(const char *name)
{
    const struct dt_shim_tool *tool = dt_shim_tools;
    while (tool->name && strcmp(tool->name, name) != 0)
        tool++;
    return tool->name ? tool : NULL;
}

int dt_shim_open(struct dt_shim *shim, int argc, char **argv, struct dt_error *why)
{
    struct dt_error unused;
    int code;
    *shim = (struct dt_shim){.tool = argc > 0 ? find_tool(base_name(argv[0])) : NULL};
    if (!shim->tool) {
        shim->argv = argv;
        shim->argc = argc;
        return 0;
    }
    const char *name = shim->tool->name, *command = shim->tool->command;
    leave_path(name);
    if (dt_program_find(name, &shim->real, &code, &unused))
        shim->real = NULL;
    shim->python = python_of(shim->real);

    char **words = argv + 1;
    if (command && !(*words && strcmp(*words, command) == 0))
        return dt_error_set(why, "only \"%s %s\" is understood here", name, command);
    struct dt_shim_line line = {.tool = shim->tool, .shim = shim};
    dt_shim_add(shim, "%s", argv[0]);
    if (dt_shim_read(&line, words + (command != NULL), why) || shim->tool->finish(&line, why))
        return -1;
    dt_shim_add(shim, "--");
    for (char **word = line.program; *word; word++)
        dt_shim_add(shim, "%s", *word);
    unsetenv(VARIABLE_GIVEN);
    if (shim->tool->own_master) {
        unsetenv("MASTER_ADDR");
        unsetenv("MASTER_PORT");
    }
    return 0;
}

void dt_shim_close(struct dt_shim *shim)
{
    for (int i = 0; shim->tool && i < shim->argc; i++)
        free(shim->argv[i]);
    if (shim->tool)
        free(shim->argv);
    free(shim->real);
    free(shim->python);
    free(shim->extra);
    *shim = (struct dt_shim){0};
}

void dt_shim_settle(const struct dt_shim *shim, struct dt_options *options)
{
    options->any_python = shim->tool != NULL;
    options->interpreter = shim->python;
    options->accelerate_extra = shim->extra;
    options->local_rank_argument = shim->local_rank_argument;
}

void dt_shim_give_way(const struct dt_shim *shim, char **argv, bool tell, struct dt_error *why)
{
    const char *name = shim->tool->name, *given = getenv(VARIABLE_GIVEN);
    struct dt_error said = *why;
    if (!shim->real || (given && strcmp(given, name) == 0)) {
        dt_error_set(why, "called as %s: %s; and there is no other %s in PATH to run instead", name,
                     said.text, name);
        return;
    }
    if (tell)
        dprintf(STDERR_FILENO, "dt-launch: called as %s: %s; so %s runs instead\n", name, said.text,
                shim->real);
    setenv(VARIABLE_GIVEN, name, 1);
    argv[0] = shim->real;
    execv(shim->real, argv);
    dt_error_set(why, "called as %s: %s; and %s can not be run: %s", name, said.text, shim->real,
                 strerror(errno));
}

/* ---- DeepSpeed's argument ------------------------------------------------------------------ */

/* The script: behind "python -u", and "-m" of a module. */
static size_t script_of(const struct dt_options *options)
{
    return !options->python ? 0 : options->module ? 3 : 2;
}

int dt_shim_rank_command(char ***argv, char **path, const struct dt_options *options,
                         int local_rank, int *code, struct dt_error *err)
{
    size_t count = 0, script = script_of(options), at = 0;
    while (options->program[count])
        count++;
    char **words = calloc(count + 2, sizeof *words);
    bool failed = !words;
    for (size_t i = 0; !failed && i < count; i++) {
        words[at] = strdup(options->program[i]);
        failed = !words[at++];
        if (!failed && i == script) {
            failed = asprintf(&words[at], "--local_rank=%d", local_rank) < 0;
            at += !failed;
        }
    }
    *argv = words;
    *path = NULL;
    *code = DT_EXIT_HELPER;
    return failed ? dt_error_set(err, "out of memory")
                  : dt_program_find(options->program[0], path, code, err);
}
