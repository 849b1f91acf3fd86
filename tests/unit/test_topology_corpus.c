/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of lib/bind/bind.h over every machine that there is: those of tests/corpus/generate.py, the
 * types of the instance table, and every XML below $DT_CORPUS; times ranks, allowed CPUs and GPUs. A
 * file that can not be read fails the test. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "bind/bind.h"
#include "topology/topology.h"

#define EVERY_PU 0

static const size_t rank_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, EVERY_PU};
#define RANK_COUNTS (sizeof(rank_counts) / sizeof(rank_counts[0]))
enum allowed { ALL, HALF_PACKAGE, ODD, ONE, ALLOWED_COUNT };
enum gpus { GPUS_ALL, GPUS_HALF, GPUS_ONE, GPUS_COUNT };

struct scene {
    const char *machine;
    const struct dt_topology *topology;
    hwloc_bitmap_t *cores; /* PUs of each core */
    size_t core_count;
    size_t ranks;
    enum allowed allowed_kind;
    enum gpus gpu_kind;
    hwloc_bitmap_t allowed, scratch;
    size_t *gpus, gpu_count;
    const struct dt_bind_plan *plan;
    size_t plans; /* made so far, over all machines */
};

static void require(const struct scene *s, bool good, const char *what, size_t rank)
{
    static const char *const allowed[] = {"all CPUs", "half a package", "odd CPUs", "one CPU"};
    static const char *const gpus[] = {"all GPUs", "half of the GPUs", "one GPU"};

    if (!good)
        fail_msg("%s, %zu ranks, %s, %s: rank %zu: %s", s->machine, s->ranks,
                 allowed[s->allowed_kind], gpus[s->gpu_kind], rank, what);
}

/* ---- what is asked ---------------------------------------------------------------------------- */

static void choose_allowed(struct scene *s)
{
    hwloc_topology_t hwloc = s->topology->hwloc;
    hwloc_const_bitmap_t all = hwloc_topology_get_topology_cpuset(hwloc);
    hwloc_obj_t package = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, 0);
    hwloc_const_bitmap_t first = package ? package->cpuset : all;
    int half = hwloc_bitmap_weight(first) / 2, cpu;

    hwloc_bitmap_copy(s->allowed, all);
    if (s->allowed_kind == HALF_PACKAGE && half > 0) {
        hwloc_bitmap_zero(s->allowed);
        for (cpu = hwloc_bitmap_first(first); half-- > 0; cpu = hwloc_bitmap_next(first, cpu))
            hwloc_bitmap_set(s->allowed, (unsigned)cpu);
    } else if (s->allowed_kind == ODD && hwloc_bitmap_weight(all) > 1) {
        for (cpu = 0; cpu <= hwloc_bitmap_last(all); cpu += 2)
            hwloc_bitmap_clr(s->allowed, (unsigned)cpu);
    } else if (s->allowed_kind == ONE) {
        hwloc_bitmap_only(s->allowed, (unsigned)hwloc_bitmap_last(all));
    }
}

static void choose_gpus(struct scene *s)
{
    size_t all = s->topology->accelerator_count;

    s->gpu_count = s->gpu_kind == GPUS_ALL ? all : s->gpu_kind == GPUS_HALF ? all / 2 : all ? 1 : 0;
    for (size_t i = 0; i < s->gpu_count; i++) /* half: every other one */
        s->gpus[i] = s->gpu_kind == GPUS_HALF ? 2 * i : s->gpu_kind == GPUS_ONE ? all - 1 : i;
}

/* ---- what must hold --------------------------------------------------------------------------- */

static size_t allowed_cores(const struct scene *s)
{
    size_t count = 0;
    for (size_t c = 0; c < s->core_count; c++)
        count += hwloc_bitmap_intersects(s->cores[c], s->allowed) != 0;
    return count;
}

/* Every allowed PU is exactly one rank's, and a core's PUs stay together. */
static void check_whole_cores(const struct scene *s)
{
    int sum = 0;

    for (size_t r = 0; r < s->ranks; r++)
        sum += hwloc_bitmap_weight(s->plan->ranks[r].cpus);
    hwloc_bitmap_zero(s->scratch);
    for (size_t r = 0; r < s->ranks; r++)
        hwloc_bitmap_or(s->scratch, s->scratch, s->plan->ranks[r].cpus);
    require(s, hwloc_bitmap_isequal(s->scratch, s->allowed), "allowed CPUs are left over", 0);
    require(s, sum == hwloc_bitmap_weight(s->allowed), "CPUs belong to several ranks", 0);
    if (s->ranks > 16) /* the sum holds; looking at each core of each rank would take too long */
        return;
    for (size_t c = 0; c < s->core_count; c++) {
        hwloc_bitmap_and(s->scratch, s->cores[c], s->allowed);
        for (size_t r = 0; r < s->ranks; r++)
            require(s,
                    !hwloc_bitmap_intersects(s->scratch, s->plan->ranks[r].cpus) ||
                        hwloc_bitmap_isincluded(s->scratch, s->plan->ranks[r].cpus),
                    "a core is parted", r);
    }
}

static void check_cpus(const struct scene *s)
{
    size_t min = SIZE_MAX, max = 0;

    for (size_t r = 0; r < s->ranks; r++) {
        const struct dt_bind_rank *rank = &s->plan->ranks[r];
        require(s, !hwloc_bitmap_iszero(rank->cpus), "no CPU", r);
        require(s, hwloc_bitmap_isincluded(rank->cpus, s->allowed), "a CPU that is not allowed", r);
        require(s, !hwloc_bitmap_iszero(rank->numa), "no memory", r);
        min = rank->cores < min ? rank->cores : min;
        max = rank->cores > max ? rank->cores : max;
    }
    require(s, max - min <= 1, "shares of cores differ by more than one", 0);
    if (allowed_cores(s) >= s->ranks)
        check_whole_cores(s);
}

static bool is_given(const struct scene *s, size_t gpu)
{
    for (size_t i = 0; i < s->gpu_count; i++)
        if (s->gpus[i] == gpu)
            return true;
    return false;
}

static void check_gpus(const struct scene *s)
{
    size_t *users = calloc(s->topology->accelerator_count + 1, sizeof(size_t));
    size_t min = SIZE_MAX, max = 0;

    for (size_t r = 0; r < s->ranks; r++) {
        const struct dt_bind_rank *rank = &s->plan->ranks[r];
        require(s, s->gpu_count == 0 || rank->accelerator_count > 0, "no GPU", r);
        for (size_t i = 0; i < rank->accelerator_count; i++) {
            require(s, is_given(s, rank->accelerators[i]), "a GPU that the job has not", r);
            users[rank->accelerators[i]]++;
        }
        min = rank->accelerator_count < min ? rank->accelerator_count : min;
        max = rank->accelerator_count > max ? rank->accelerator_count : max;
    }
    require(s, max - min <= 1, "shares of GPUs differ by more than one", 0);
    min = SIZE_MAX, max = 0;
    for (size_t i = 0; i < s->gpu_count; i++) {
        min = users[s->gpus[i]] < min ? users[s->gpus[i]] : min;
        max = users[s->gpus[i]] > max ? users[s->gpus[i]] : max;
    }
    require(s, s->gpu_count == 0 || (min > 0 && max - min <= 1), "GPUs are used unevenly", 0);
    free(users);
}

static bool has_nic(const struct dt_bind_rank *rank, size_t nic)
{
    for (size_t i = 0; i < rank->nic_count; i++)
        if (rank->nics[i] == nic)
            return true;
    return false;
}

static void check_nics(const struct scene *s, size_t r)
{
    const struct dt_bind_rank *rank = &s->plan->ranks[r];
    const struct dt_device *nics = s->topology->nics;

    require(s, s->topology->nic_count == 0 || rank->nic_count > 0, "no NIC", r);
    for (size_t i = 0; i < rank->nic_count; i++)
        for (size_t n = 0; n < s->topology->nic_count; n++)
            require(s,
                    nics[rank->nics[i]].group < 0 || nics[n].group != nics[rank->nics[i]].group ||
                        has_nic(rank, n),
                    "a group of NICs is parted", r);
}

static bool same_plans(const struct dt_bind_plan *a, const struct dt_bind_plan *b)
{
    bool same = a->cost == b->cost && a->rank_count == b->rank_count;

    for (size_t r = 0; same && r < a->rank_count; r++)
        same = hwloc_bitmap_isequal(a->ranks[r].cpus, b->ranks[r].cpus) &&
               a->ranks[r].accelerator_count == b->ranks[r].accelerator_count &&
               (a->ranks[r].accelerator_count == 0 ||
                memcmp(a->ranks[r].accelerators, b->ranks[r].accelerators,
                       a->ranks[r].accelerator_count * sizeof(size_t)) == 0);
    return same;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static void plan_once(struct scene *s)
{
    hwloc_const_bitmap_t *masks = calloc(s->ranks, sizeof(*masks));
    struct dt_bind_request request = {.topology = s->topology, .ranks = s->ranks, .allowed = masks};
    struct dt_bind_plan plan, again;
    struct dt_error err = {{0}};

    if (s->gpu_kind != GPUS_ALL)
        request.gpus = (struct dt_bind_list){s->gpus, s->gpu_count};
    for (size_t r = 0; r < s->ranks; r++)
        masks[r] = s->allowed;
    require(s, dt_bind_plan(&plan, &request, &err) == 0, err.text, 0);
    s->plan = &plan;
    s->plans++;
    check_cpus(s);
    check_gpus(s);
    for (size_t r = 0; r < s->ranks && s->ranks <= 16; r++)
        check_nics(s, r);
    if (s->ranks == 8) {
        require(s, dt_bind_plan(&again, &request, &err) == 0, err.text, 0);
        require(s, same_plans(&plan, &again), "another plan for the same input", 0);
        dt_bind_plan_fini(&again);
    }
    dt_bind_plan_fini(&plan);
    free(masks);
}

static void collect_cores(struct scene *s)
{
    hwloc_topology_t hwloc = s->topology->hwloc;
    int count = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_CORE);

    s->cores = calloc((size_t)count + 1, sizeof(*s->cores));
    s->core_count = 0;
    for (int c = 0; c < count; c++)
        s->cores[s->core_count++] =
            hwloc_bitmap_dup(hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_CORE, (unsigned)c)->cpuset);
}

/* All combinations on small machines, a quarter of them, another for each count of ranks, on large
 * ones: these are run with sanitizers at each change. `make bench-bind` (DT_CORPUS_ALL) runs all. */
static bool wanted(size_t pus, size_t ranks_index, size_t combination)
{
    return pus <= 24 || getenv("DT_CORPUS_ALL") || combination % 4 == ranks_index % 4;
}

static void try_machine(struct scene *s, const char *name, const struct dt_topology *topology)
{
    size_t pus = (size_t)hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_PU);

    s->machine = name;
    s->topology = topology;
    s->gpus = calloc(topology->accelerator_count + 1, sizeof(size_t));
    s->allowed = hwloc_bitmap_alloc();
    s->scratch = hwloc_bitmap_alloc();
    hwloc_topology_check(topology->hwloc);
    collect_cores(s);
    for (size_t n = 0; n < RANK_COUNTS; n++) {
        s->ranks = rank_counts[n] == EVERY_PU ? pus : rank_counts[n];
        for (int allowed = 0; allowed < ALLOWED_COUNT; allowed++) {
            for (int gpus = 0; gpus < GPUS_COUNT; gpus++) {
                /* one rank a PU of a large machine: once is enough, and takes its time */
                if (s->ranks > 16 && (allowed != ALL || gpus != GPUS_ALL))
                    continue;
                if (!wanted(pus, n, (size_t)(allowed * GPUS_COUNT + gpus)))
                    continue;
                s->allowed_kind = (enum allowed)allowed;
                s->gpu_kind = (enum gpus)gpus;
                choose_allowed(s);
                choose_gpus(s);
                plan_once(s);
            }
        }
    }
    for (size_t c = 0; c < s->core_count; c++)
        hwloc_bitmap_free(s->cores[c]);
    hwloc_bitmap_free(s->allowed);
    hwloc_bitmap_free(s->scratch);
    free(s->cores);
    free(s->gpus);
}

static char *read_text(const char *path, size_t *len)
{
    struct dt_buf text = DT_BUF_INIT;
    FILE *file = fopen(path, "r");
    char chunk[65536];
    size_t got;

    if (!file)
        fail_msg("%s can not be read; tests run in the root of the source tree", path);
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        dt_buf_append(&text, chunk, got);
    fclose(file);
    *len = text.len;
    return dt_buf_take(&text);
}

static void load_table(struct dt_instances *table)
{
    struct dt_error err = {{0}};
    size_t len;
    char *text = read_text("configs/instances.conf", &len);

    if (dt_instances_parse(table, "instances.conf", text, len, &err))
        fail_msg("%s", err.text);
    free(text);
}

/* Every .xml of a folder; returns how many. */
static size_t try_folder(struct scene *s, const char *folder, const struct dt_instances *table)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t count = 0;

    while (dir && (entry = readdir(dir))) {
        size_t name_len = strlen(entry->d_name), len;
        struct dt_topology topology;
        struct dt_error err = {{0}};
        char path[4096], *text;
        if (name_len < 4 || strcmp(entry->d_name + name_len - 4, ".xml") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        text = read_text(path, &len);
        if (dt_topology_parse(&topology, path, text, len, table, NULL, &err))
            fail_msg("%s", err.text);
        free(text);
        try_machine(s, entry->d_name, &topology);
        dt_topology_fini(&topology);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static void run(char *const *words)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        execvp(words[0], words);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status)
        fail_msg("%s ended with status %d", words[1], status);
}

static void test_generated(void **state)
{
    char folder[] = "/tmp/dt-test-corpus-XXXXXX";
    struct scene s = {0};
    struct dt_instances table;

    (void)state;
    assert_non_null(mkdtemp(folder));
    load_table(&table);
    run((char *[]){"python3", "tests/corpus/generate.py", folder, NULL});
    assert_true(try_folder(&s, folder, &table) >= 17);
    print_message("%zu plans\n", s.plans);
    dt_instances_fini(&table);
    run((char *[]){"rm", "-rf", folder, NULL});
}

static bool same_shape(const struct dt_instance *a, const struct dt_instance *b)
{
    return a->vcpus == b->vcpus && a->cores == b->cores && a->packages == b->packages &&
           a->numa_nodes == b->numa_nodes && a->accelerator == b->accelerator &&
           a->accelerators == b->accelerators && a->efas == b->efas &&
           a->switch_count == b->switch_count;
}

static void test_instance_types(void **state)
{
    struct scene s = {0};
    struct dt_instances table;

    (void)state;
    load_table(&table);
    for (size_t i = 0; i < table.count; i++) {
        const struct dt_instance *type = &table.items[i];
        struct dt_topology topology;
        struct dt_error err = {{0}};
        size_t k = 0;
        if (dt_topology_of_instance(&topology, type, &err))
            fail_msg("%s", err.text);
        assert_int_equal(topology.accelerator_count, type->accelerators);
        assert_int_equal(topology.nic_count, type->efas);
        assert_int_equal(hwloc_get_nbobjs_by_type(topology.hwloc, HWLOC_OBJ_PU), type->vcpus);
        assert_int_equal(hwloc_get_nbobjs_by_type(topology.hwloc, HWLOC_OBJ_NUMANODE),
                         type->numa_nodes);
        while (k < i && !same_shape(&table.items[k], type))
            k++;
        if (k == i)
            try_machine(&s, type->name, &topology);
        dt_topology_fini(&topology);
    }
    print_message("%zu plans\n", s.plans);
    dt_instances_fini(&table);
}

static void test_public_files(void **state)
{
    const char *corpus = getenv("DT_CORPUS");
    static const char *const folders[] = {"", "/hwloc", "/nccl"};
    struct scene s = {0};
    struct dt_instances table;
    char path[4096];
    size_t count = 0;

    (void)state;
    if (!corpus)
        skip();
    load_table(&table);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", corpus, folders[i]);
        count += try_folder(&s, path, &table);
    }
    if (count == 0)
        fail_msg("DT_CORPUS=%s holds no XML, also not in hwloc/ and nccl/", corpus);
    print_message("%zu plans\n", s.plans);
    dt_instances_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_instance_types),
        cmocka_unit_test(test_public_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
