/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are Python's, as with torchrun: NAME.py, a module (--module), a path for runpy
 * (--run-path). Output is unbuffered, so that a rank's last words are not lost with it. */
#include <stdlib.h>
#include <string.h>

#include "prepare.h"

static const char run_path[] = "import runpy,sys; sys.argv=sys.argv[1:]; "
                               "runpy.run_path(sys.argv[0], run_name='__main__')";

static bool is_script(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".py") == 0;
}

/* PYTHON_EXEC as torchrun has it; else python, which a virtual environment has, else python3. */
static const char *interpreter(const struct dt_options *options)
{
    const char *given = getenv("PYTHON_EXEC");
    struct dt_error unused;
    char *path = NULL;
    int code;
    if (given && *given)
        return given;
    if (options->interpreter)
        return options->interpreter;
    bool plain = dt_program_find("python", &path, &code, &unused) == 0;
    free(path);
    return plain ? "python" : "python3";
}

int dt_python_program(struct dt_options *options, struct dt_error *err)
{
    if (!options->program)
        return 0;
    bool wanted = options->module || options->run_path || options->any_python ||
                  is_script(options->program[0]);
    size_t count = 0, at = 0;
    if (!wanted || options->no_python)
        return 0;
    while (options->program[count])
        count++;
    const char **argv = calloc(count + 5, sizeof *argv);
    if (!argv)
        return dt_error_set(err, "out of memory");
    argv[at++] = interpreter(options);
    argv[at++] = "-u";
    if (options->module) {
        argv[at++] = "-m";
    } else if (options->run_path) {
        argv[at++] = "-c";
        argv[at++] = run_path;
    }
    memcpy(argv + at, options->program, count * sizeof *argv);
    options->program = options->python = (char **)argv;
    return 0;
}
