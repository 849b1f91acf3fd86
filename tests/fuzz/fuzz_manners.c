/* SPDX-License-Identifier: Apache-2.0 */
/* Who else binds, from srun's command line to dt-node: any words and variables must come out as lines
 * that dt-node reads. The second half takes any text for SLURM_DT_BOUND, which a user can write: it
 * must add no line of another kind to a request that root reads. The first byte chooses. */
#include <stdarg.h>
#include <stdint.h>

#include "../../spank/text.c"
#include "../../spank/manners.c"

#include "plan/plan.h"

static const char head[] =
    "dt-request 1\njob 1 step 0\nnode n id 0 of 1\ntasks local 1 total 1 first 0\n"
    "user 1 1 1\nvalidate off\nenv off\nbind auto\non-fail abort\ntimeout 1\n";

static void need(bool holds)
{
    if (!holds)
        abort();
}

/* Six values of variables, the step and the program, each empty for unset; the rest are words. */
static void try_words(char *rest)
{
    struct manners_environ environ = {0};
    struct manners manners = {.environ = &environ};
    char *words[64], *item;
    struct text text = {0}, request = {0};
    struct dt_request read;
    struct dt_error err;

    for (size_t i = 0; i < MANNERS_VARIABLES && (item = strsep(&rest, "\n")); i++)
        environ.values[i] = *item ? strdup(item) : NULL;
    if ((item = strsep(&rest, "\n")) && *item)
        environ.step = strdup(item);
    if ((item = strsep(&rest, "\n"))) {
        manners.program = *item ? item : NULL;
        manners.bind_asked = strlen(item) % 2;
    }
    while (manners.count < sizeof words / sizeof *words && (item = strsep(&rest, "\n")))
        words[manners.count++] = item;
    manners.words = words;
    manners_format(&text, &manners);
    need(text.len > 0);
    text_puts(&request, head);
    manners_request(&request, text.data);
    text_puts(&request, "end\n");
    need(dt_request_parse(&read, request.data, request.len, &err) == 0 && read.bound_known);
    dt_request_fini(&read);
    text_fini(&text);
    text_fini(&request);
    manners_environ_fini(&environ);
}

static void try_text(const char *bound)
{
    struct text request = {0};

    manners_request(&request, bound);
    for (const char *line = request.data; line && *line; line = strchr(line, '\n') + 1)
        need(strncmp(line, "bound ", 6) == 0 && strchr(line, '\n'));
    text_fini(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    if (data[0] % 2)
        try_words(text);
    else
        try_text(text);
    free(text);
    return 0;
}
