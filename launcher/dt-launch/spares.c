/* SPDX-License-Identifier: Apache-2.0 */
/* Bookkeeping over the nodes of the allocation. */
#include "spares.h"

#include <stdlib.h>
#include <string.h>

static int find(const struct dt_spares *spares, const char *node)
{
    for (size_t i = 0; i < spares->all.count; i++) {
        if (strcmp(spares->all.names[i], node) == 0)
            return (int)i;
    }
    return -1;
}

/* Only those of `list` are kept. */
static int restrict_to(struct dt_spares *spares, const char *list, struct dt_error *err)
{
    struct dt_hostlist only;
    if (dt_hostlist_parse(&only, list, err))
        return dt_error_prefix(err, "--nodelist");
    int result = 0;
    for (size_t i = 0; i < spares->all.count; i++)
        spares->bad[i] = true;
    for (size_t i = 0; i < only.count && result == 0; i++) {
        int index = find(spares, only.names[i]);
        if (index < 0)
            result =
                dt_error_set(err, "--nodelist: node %s is not in this allocation", only.names[i]);
        else
            spares->bad[index] = false;
    }
    dt_hostlist_fini(&only);
    return result;
}

/* Names that are left out are no bad nodes: they are forgotten. */
static void forget_bad(struct dt_spares *spares)
{
    size_t kept = 0;
    for (size_t i = 0; i < spares->all.count; i++) {
        if (spares->bad[i])
            free(spares->all.names[i]);
        else
            spares->all.names[kept++] = spares->all.names[i];
    }
    spares->all.count = kept;
    memset(spares->bad, 0, kept * sizeof *spares->bad);
}

static int check_count(struct dt_spares *spares, int least, int wanted, int kept_back,
                       struct dt_error *err)
{
    int count = (int)spares->all.count, usable = count - kept_back;
    spares->wanted = wanted == 0 || (least && wanted > usable) ? usable : wanted;
    spares->least = least ? least : spares->wanted;
    if (spares->least >= 1 && spares->least <= usable)
        return 0;
    if (!wanted)
        return dt_error_set(err, "--spares %d leaves no node of the %d that there are", kept_back,
                            count);
    return dt_error_set(
        err,
        "--nodes %d and --spares %d need %d nodes, and %d of this allocation may be used: "
        "ask for more (#SBATCH --nodes=%d), or for less here",
        spares->least, kept_back, spares->least + kept_back, count, wanted + kept_back);
}

int dt_spares_begin(struct dt_spares *spares, const char *allocation, const char *only,
                    const char *exclude, int least, int wanted, int kept_back, struct dt_error *err)
{
    *spares = (struct dt_spares){0};
    if (dt_hostlist_parse(&spares->all, allocation, err))
        return dt_error_prefix(err, "SLURM_JOB_NODELIST");
    spares->bad = calloc(spares->all.count + 1, sizeof *spares->bad);
    spares->chosen = calloc(spares->all.count + 1, sizeof *spares->chosen);
    if (!spares->bad || !spares->chosen) {
        dt_spares_fini(spares);
        dt_error_set(err, "out of memory");
        return -1;
    }
    int result = 0;
    if (only)
        result = restrict_to(spares, only, err);
    if (result == 0 && exclude)
        dt_spares_reject_list(spares, exclude);
    if (result == 0) {
        forget_bad(spares);
        result = check_count(spares, least, wanted, kept_back, err);
    }
    if (result)
        dt_spares_fini(spares);
    return result;
}

void dt_spares_fini(struct dt_spares *spares)
{
    dt_hostlist_fini(&spares->all);
    free(spares->bad);
    free(spares->chosen);
    *spares = (struct dt_spares){0};
}

int dt_spares_good(const struct dt_spares *spares)
{
    int good = 0;
    for (size_t i = 0; i < spares->all.count; i++)
        good += !spares->bad[i];
    return good;
}

bool dt_spares_reject(struct dt_spares *spares, const char *node)
{
    int index = node ? find(spares, node) : -1;
    if (index < 0 || spares->bad[index])
        return false;
    spares->bad[index] = true;
    return true;
}

int dt_spares_reject_list(struct dt_spares *spares, const char *list)
{
    struct dt_hostlist names;
    int rejected = 0;
    if (dt_hostlist_parse(&names, list, NULL))
        return 0;
    for (size_t i = 0; i < names.count; i++)
        rejected += dt_spares_reject(spares, names.names[i]);
    dt_hostlist_fini(&names);
    return rejected;
}

/* Whoever was chosen stays as long as it is good, since the order is always that of the allocation: the
 * good ones before a node stay before it, and a spare comes from behind. */
int dt_spares_choose(struct dt_spares *spares, bool all)
{
    int count = 0;
    for (size_t i = 0; i < spares->all.count && (all || count < spares->wanted); i++) {
        if (!spares->bad[i])
            spares->chosen[count++] = spares->all.names[i];
    }
    spares->chosen[count] = NULL;
    return count < spares->least ? -1 : count;
}

char *dt_spares_bad(const struct dt_spares *spares)
{
    char **names = calloc(spares->all.count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; names && i < spares->all.count; i++) {
        if (spares->bad[i])
            names[count++] = spares->all.names[i];
    }
    char *text = !names ? NULL : count ? dt_hostlist_compress(names, count) : strdup("");
    free(names);
    return text;
}
