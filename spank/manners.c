/* SPDX-License-Identifier: Apache-2.0 */
/* Finding out, in srun, who else binds. Slurm hands each node a mask whoever made it. */
#include "manners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An option of srun that binds, the fewest letters of it that getopt takes, and the variable that
 * stands for it. */
static const struct binder {
    const char *what, *option, *shortest, *variable;
} binders[] = {
    {"cpus", "cpu-bind", "cpu-b", "SLURM_CPU_BIND"},
    {"memory", "mem-bind", "mem-b", "SLURM_MEM_BIND"},
    {"gpus", "gpu-bind", "gpu-b", "SLURM_GPU_BIND"},
    {"gpus", "gpus-per-task", "gpus-per-t", "SLURM_GPUS_PER_TASK"},
    {"gpus", "ntasks-per-gpu", "ntasks-per-g", "SLURM_NTASKS_PER_GPU"},
    {"gpus", "tres-bind", "tres-b", "SLURM_TRES_BIND"},
};
#define BINDERS (sizeof binders / sizeof *binders)
_Static_assert(BINDERS == MANNERS_VARIABLES, "a variable for each");

/* A step's tasks are told of their binding by the variable that srun reads as a wish; the second
 * variable is never set by a user. So an srun inside a step repeats the binding of one of its tasks. */
void manners_read_environ(struct manners_environ *environ)
{
    const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
    manners_environ_fini(environ);
    for (size_t i = 0; i < BINDERS; i++) {
        const char *value = getenv(binders[i].variable);
        environ->values[i] = value ? strdup(value) : NULL;
    }
    if (step && getenv("SLURM_CPU_BIND_TYPE") &&
        asprintf(&environ->step, "%.16s.%.16s", job ? job : "?", step) < 0)
        environ->step = NULL;
}

void manners_environ_fini(struct manners_environ *environ)
{
    for (size_t i = 0; i < BINDERS; i++)
        free(environ->values[i]);
    free(environ->step);
    *environ = (struct manners_environ){0};
}

/* Old spellings have '_' for '-'. */
static bool same_letters(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((a[i] == '_' ? '-' : a[i]) != b[i])
            return false;
    }
    return true;
}

static bool is_option(const char *word, const struct binder *binder)
{
    size_t len = strcspn(word, "=");
    return len > 2 && strncmp(word, "--", 2) == 0 && len - 2 >= strlen(binder->shortest) &&
           len - 2 <= strlen(binder->option) && same_letters(word + 2, binder->option, len - 2);
}

/* The last one on the command line counts. NULL: not there. */
static const char *option_value(const struct manners *manners, const struct binder *binder)
{
    const char *value = NULL;
    for (size_t i = 0; i < manners->count; i++) {
        const char *equals = strchr(manners->words[i], '=');
        if (!is_option(manners->words[i], binder))
            continue;
        if (equals)
            value = equals + 1;
        else if (i + 1 < manners->count)
            value = manners->words[i + 1];
    }
    return value;
}

static bool is_one_of(const char *word, size_t len, const char *const *list)
{
    for (; *list; list++) {
        if (strlen(*list) == len && strncmp(*list, word, len) == 0)
            return true;
    }
    return false;
}

/* Without the words in front that only say how much to print or how to sort. */
static const char *core_of(const char *value)
{
    static const char *const loud[] = {"q", "quiet", "v", "verbose", "sort", "nosort", NULL};
    for (;;) {
        size_t len = strcspn(value, ",");
        if (!is_one_of(value, len, loud))
            return value;
        value += len + (value[len] == ',');
        if (!len)
            return value;
    }
}

static bool says_none(const char *core)
{
    static const char *const none[] = {"none", "no", NULL};
    return is_one_of(core, strlen(core), none);
}

static void put(struct text *text, const char *what, const char *who)
{
    text_printf(text, "%s%s=", text->len ? " " : "", what);
    text_word(text, who);
}

static void put_inherited(struct text *text, const struct binder *binder, const char *step)
{
    char who[128];
    snprintf(who, sizeof who,
             "%s, inherited from step %s around this srun (unset it to let dt bind),",
             binder->variable, step);
    put(text, binder->what, who);
}

/* true: it is bound, or it is forbidden to bind it, and was told. */
static bool look_at(struct text *text, const struct manners *manners, const struct binder *binder)
{
    const char *value = option_value(manners, binder);
    bool given = value != NULL;
    char who[256];
    if (!value && !(value = manners->environ->values[binder - binders]))
        return false;
    const char *core = core_of(value);
    if (!*core)
        return false;
    if (says_none(core) && (strcmp(binder->what, "cpus") != 0 || manners->bind_asked))
        return false;
    if (!given && manners->environ->step && strcmp(binder->what, "cpus") == 0) {
        put_inherited(text, binder, manners->environ->step);
        return true;
    }
    snprintf(who, sizeof who, "%s%s=%.180s", given ? "--" : "",
             given ? binder->option : binder->variable, core);
    put(text, binder->what, who);
    return true;
}

/* --gpu-bind=none takes back what --gpus-per-task implies. */
static bool gpus_forbidden_to_bind(const struct manners *manners)
{
    for (size_t i = 0; i < BINDERS; i++) {
        const char *value = option_value(manners, &binders[i]);
        if (strcmp(binders[i].option, "gpu-bind") != 0)
            continue;
        value = value ? value : manners->environ->values[i];
        return value && says_none(core_of(value));
    }
    return false;
}

/* They bind themselves, and fail where their CPUs are not in the mask that they find. */
static bool program_binds(const char *program)
{
    static const char *const names[] = {"numactl", "taskset", "hwloc-bind", "likwid-pin", NULL};
    const char *slash = program ? strrchr(program, '/') : NULL;
    const char *name = slash ? slash + 1 : program;
    return name && is_one_of(name, strlen(name), names);
}

void manners_format(struct text *text, const struct manners *manners)
{
    const char *found = "";
    for (size_t i = 0; i < BINDERS; i++) {
        bool gpus = strcmp(binders[i].what, "gpus") == 0;
        if (strcmp(binders[i].what, found) == 0 || (gpus && gpus_forbidden_to_bind(manners)))
            continue;
        if (look_at(text, manners, &binders[i]))
            found = binders[i].what;
    }
    if (program_binds(manners->program))
        put(text, "program", manners->program);
    if (!text->len)
        text_puts(text, "-");
}

/* The text went through the job's environment, and root reads the request: a control character in it
 * is not srun's, and would begin a line of its own. */
static bool is_from_srun(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

void manners_request(struct text *request, const char *text)
{
    if (!is_from_srun(text))
        return;
    while (*text) {
        size_t len = strcspn(text, " ");
        const char *equals = memchr(text, '=', len);
        if (equals)
            text_printf(request, "bound %.*s %.*s\n", (int)(equals - text), text,
                        (int)(text + len - equals - 1), equals + 1);
        else
            text_puts(request, "bound - -\n");
        text += len + (text[len] == ' ');
    }
}
