/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin without Slurm: its files are included here, and Slurm's side is a fake that records
 * calls. For one test program each. */
#ifndef TESTS_UNIT_SPANK_FAKE_H
#define TESTS_UNIT_SPANK_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../../spank/text.c"
#include "../../spank/cpus.c"
#include "../../spank/values.c"
#include "../../spank/options.c"
#include "../../spank/look.c"
#include "../../spank/apply.c"
#include "../../spank/helper.c"
#include "../../spank/gather.c"
#include "../../spank/task.c"

/* ---- the fake Slurm ----------------------------------------------------------------------------
 */

static char *registered[16];
static int registered_count;
static char logged[1024];
static char *task_environ[64];

spank_err_t spank_option_register(spank_t spank, struct spank_option *option)
{
    (void)spank;
    assert_true(strlen(option->name) < SPANK_OPTION_MAXLEN);
    assert_non_null(option->cb);
    assert_true(option->has_arg == 1 || option->has_arg == 2); /* 0 breaks in Slurm's own sbatch */
    registered[registered_count++] = option->name;
    return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(logged, sizeof logged, format, args);
    va_end(args);
}

const char *spank_strerror(spank_err_t error)
{
    (void)error;
    return "fake error";
}

spank_err_t spank_get_item(spank_t spank, spank_item_t which, ...)
{
    va_list args;
    (void)spank;
    va_start(args, which);
    if (which == S_TASK_ID)
        *va_arg(args, int *) = 1;
    else if (which == S_TASK_GLOBAL_ID)
        *va_arg(args, uint32_t *) = 9;
    va_end(args);
    return ESPANK_SUCCESS;
}

static inline char **find_variable(const char *name)
{
    char **entry = task_environ;
    while (*entry && (strncmp(*entry, name, strlen(name)) != 0 || (*entry)[strlen(name)] != '='))
        entry++;
    return entry;
}

spank_err_t spank_setenv(spank_t spank, const char *name, const char *value, int overwrite)
{
    (void)spank;
    char **entry = find_variable(name);
    if (*entry && !overwrite)
        return ESPANK_ENV_EXISTS;
    free(*entry);
    assert_true(asprintf(entry, "%s=%s", name, value) > 0);
    return ESPANK_SUCCESS;
}

spank_err_t spank_unsetenv(spank_t spank, const char *name)
{
    (void)spank;
    char **entry = find_variable(name);
    free(*entry);
    for (; *entry; entry++)
        entry[0] = entry[1];
    return ESPANK_SUCCESS;
}

spank_err_t spank_getenv(spank_t spank, const char *name, char *buf, int len)
{
    (void)spank;
    char **entry = find_variable(name);
    if (!*entry)
        return ESPANK_ENV_NOEXIST;
    snprintf(buf, (size_t)len, "%s", *entry + strlen(name) + 1);
    return ESPANK_SUCCESS;
}

static inline const char *variable(const char *name)
{
    char **entry = find_variable(name);
    return *entry ? *entry + strlen(name) + 1 : NULL;
}

static inline int clear_environ(void **state)
{
    (void)state;
    for (char **entry = task_environ; *entry; entry++) {
        free(*entry);
        *entry = NULL;
    }
    for (int i = 0; i < SETTINGS; i++)
        unsetenv(setting_variable((enum setting)i));
    logged[0] = '\0';
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, clear_environ)

#endif
