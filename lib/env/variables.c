/* SPDX-License-Identifier: Apache-2.0 */
/* configs/env-variables.conf: every name that some component reads. One name a line:
 *
 *     NAME component [FIRST][..LAST]     versions that read it
 *     NAME_* component                   every name that begins so is somebody's
 *     watch PREFIX_ component            a name that begins so and is not listed is read by nobody
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "env/internal.h"
#include "env/variables.h"

#define WORDS_MAX 3

struct reader {
    struct dt_env_variables *table;
    const char *file;
    int line;
    struct dt_error *err;
};

static int wrong(struct reader *in, const char *word, const char *expected)
{
    return dt_error_set(in->err, "%s:%d: at '%.60s': expected %s", in->file, in->line, word,
                        expected);
}

/* Room for one more; grows in steps. */
static struct dt_env_variable *add(struct dt_env_variable **items, size_t *count)
{
    if (*count % 128 == 0) {
        struct dt_env_variable *grown = realloc(*items, (*count + 128) * sizeof(*grown));
        if (!grown)
            return NULL;
        *items = grown;
    }
    (*items)[*count] = (struct dt_env_variable){"", "", "", ""};
    return &(*items)[(*count)++];
}

static bool is_name(const char *text, bool star)
{
    size_t len = 0;

    while (isalnum((unsigned char)text[len]) || text[len] == '_')
        len++;
    return len > 0 && !isdigit((unsigned char)*text) &&
           (!text[len] || (star && text[len] == '*' && !text[len + 1]));
}

/* "2.14..2.21", "2.14..", "..1.18", "2.14": cut in two. */
static int take_range(struct reader *in, struct dt_env_variable *variable, char *range)
{
    char *dots = strstr(range, "..");

    if (dots) {
        *dots = '\0';
        variable->until = dots + 2;
    }
    variable->since = range;
    if ((*range && !isdigit((unsigned char)*range)) ||
        (*variable->until && !isdigit((unsigned char)*variable->until)))
        return wrong(in, dots ? variable->until : range, "versions, as in 2.14..2.21");
    return 0;
}

static int take_line(struct reader *in, char **words, size_t count)
{
    struct dt_env_variables *table = in->table;
    bool watch = count > 0 && !strcmp(words[0], "watch");
    struct dt_env_variable *variable;
    char **name = words + watch;

    if (count < 2u + watch)
        return wrong(in, words[0], "NAME COMPONENT [VERSIONS], or watch PREFIX_ COMPONENT");
    if (!is_name(name[0], !watch))
        return wrong(in, name[0], "the name of an environment variable");
    if (watch)
        variable = add(&table->watched, &table->watched_count);
    else if (strchr(name[0], '*'))
        variable = add(&table->families, &table->family_count);
    else
        variable = add(&table->items, &table->count);
    if (!variable)
        return dt_error_set(in->err, "no memory left for the table of variables");
    variable->name = name[0];
    variable->component = name[1];
    return !watch && count == 3 ? take_range(in, variable, name[2]) : 0;
}

static int read_line(struct reader *in, char *line)
{
    char *words[WORDS_MAX], *save = NULL;
    size_t count = 0;

    line[strcspn(line, "#")] = '\0';
    for (char *word = strtok_r(line, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
        if (count == WORDS_MAX)
            return wrong(in, word, "the end of the line");
        words[count++] = word;
    }
    return count ? take_line(in, words, count) : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dt_env_variable *)a)->name,
                  ((const struct dt_env_variable *)b)->name);
}

static int read_table(struct reader *in, char *text)
{
    struct dt_env_variables *table = in->table;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        in->line++;
        if (read_line(in, line))
            return -1;
    }
    if (table->count > 1)
        qsort(table->items, table->count, sizeof(*table->items), by_name);
    for (size_t i = 1; i < table->count; i++)
        if (!strcmp(table->items[i - 1].name, table->items[i].name))
            return dt_error_set(in->err, "%s: %s is listed twice, keep one line", in->file,
                                table->items[i].name);
    return 0;
}

int dt_env_variables_load(struct dt_env_variables **variables, const char *path,
                          struct dt_error *err)
{
    size_t len = 0;
    int open_errno, rc;

    *variables = calloc(1, sizeof(**variables));
    if (!*variables)
        return dt_error_set(err, "no memory left for the table of variables");
    (*variables)->text = dt_conf_read_text(path, &len, &open_errno, err);
    rc = (*variables)->text ? 0 : -1;
    if (rc == 0 && strlen((*variables)->text) != len)
        rc = dt_error_set(err, "%s holds a NUL byte: not a text file", path);
    if (rc == 0)
        rc = read_table(&(struct reader){*variables, path, 0, err}, (*variables)->text);
    if (rc == 0)
        return 0;
    dt_env_variables_destroy(*variables);
    *variables = NULL;
    return -1;
}

void dt_env_variables_destroy(struct dt_env_variables *variables)
{
    if (!variables)
        return;
    free(variables->items);
    free(variables->families);
    free(variables->watched);
    free(variables->text);
    free(variables);
}

const struct dt_env_variable *dt_env_variables_find(const struct dt_env_variables *variables,
                                                    const char *name)
{
    struct dt_env_variable key = {.name = name};
    const struct dt_env_variable *found = NULL;

    if (variables->count)
        found = bsearch(&key, variables->items, variables->count, sizeof(key), by_name);
    for (size_t i = 0; !found && i < variables->family_count; i++)
        if (!strncmp(name, variables->families[i].name, strlen(variables->families[i].name) - 1))
            found = &variables->families[i];
    return found;
}

/* A quarter of the letters, and no more than three: further than that is another word. */
const struct dt_env_variable *dt_env_variables_nearest(const struct dt_env_variables *variables,
                                                       const char *name)
{
    const struct dt_env_variable *best = NULL;
    size_t least = strlen(name) / 4;

    least = least > 3 ? 4 : least + 1;
    for (size_t i = 0; i < variables->count; i++) {
        size_t edits = dt_env_distance(name, variables->items[i].name, least - 1);
        if (edits < least) {
            least = edits;
            best = &variables->items[i];
        }
    }
    return best;
}

const struct dt_env_variable *dt_env_variables_watched(const struct dt_env_variables *variables,
                                                       const char *name)
{
    for (size_t i = 0; i < variables->watched_count; i++)
        if (!strncmp(name, variables->watched[i].name, strlen(variables->watched[i].name)))
            return &variables->watched[i];
    return NULL;
}
