/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: what any layout of ranks writes comes back bit for bit on any other; damaged ones are
 * passed over, foreign ones refused, and a kill leaves the last whole one. Ranks are threads. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh.h"
#include "reals.h"
#include "saver.h"
#include "train_ranks.h"

#define MESH(DP, FSDP, EP, PP, CP, TP, CHUNKS)                                                     \
    {                                                                                              \
        .dp = (DP), .fsdp = (FSDP), .ep = (EP), .pp = (PP), .cp = (CP), .tp = (TP),                \
        .chunks = (CHUNKS)                                                                         \
    }
static const struct dt_mesh_sizes one = MESH(1, 1, 1, 1, 1, 1, 1);
static const struct dt_mesh_sizes meshes[] = {
    MESH(1, 1, 1, 1, 1, 1, 1), MESH(2, 1, 1, 1, 1, 1, 1), MESH(1, 3, 1, 1, 1, 1, 1),
    MESH(1, 1, 1, 1, 1, 4, 1), MESH(2, 2, 1, 1, 1, 2, 1), MESH(1, 1, 1, 2, 1, 2, 2),
    MESH(1, 2, 1, 2, 2, 1, 1), MESH(1, 2, 2, 1, 1, 2, 1),
};
enum { MESHES = sizeof meshes / sizeof *meshes };

/* Tied, a vocabulary that four do not divide, and more than a share of the table's rows. */
static const struct dt_model_config gpt2 = {.layers = 4,
                                            .channels = 16,
                                            .heads = 4,
                                            .seq = 8,
                                            .vocab = 259,
                                            .kv_heads = 4,
                                            .hidden = 64,
                                            .rope_base = 500000};
static const struct dt_model_config llama = {.layers = 4,
                                             .channels = 32,
                                             .heads = 8,
                                             .kv_heads = 4,
                                             .seq = 8,
                                             .vocab = 257,
                                             .family = DT_FAMILY_LLAMA,
                                             .hidden = 24,
                                             .untied = 1,
                                             .rope_base = 500000};

static char directory[64];

/* One save or load by all ranks of a mesh. */
struct scene {
    const struct dt_mesh_sizes *sizes;
    struct dt_model_config config;
    uint64_t step;
    int result; /* of loading */
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    int failed; /* something that no error tells */
};

/* What real `place` of whole tensor `tensor` is in array number `array` after a step. */
static real value(size_t tensor, size_t place, int array, uint64_t step)
{
    return (real)((tensor * 7919 + place * 3 + (size_t)array) % 65536) + (real)step / 1024;
}

struct filling {
    const struct dt_checkpoint_arrays *arrays;
    struct scene *scene;
    bool compare; /* or fill */
};

static void visit(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    const struct filling *f = context;
    real *const arrays[3] = {f->arrays->params, f->arrays->first, f->arrays->second};
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; i < run->count; i++) {
            real wanted = value(tensor->index, run->there + i, a, f->scene->step);
            if (!f->compare)
                arrays[a][run->here + i] = wanted;
            else if (arrays[a][run->here + i] != wanted)
                f->scene->failed = 1;
        }
}

static void visit_all(struct scene *scene, const struct dt_checkpoint_arrays *arrays, bool compare)
{
    dt_layout_runs(arrays->own, 0, arrays->own->total, visit,
                   &(struct filling){arrays, scene, compare});
}

/* What a rank of the mesh holds. */
struct rank {
    struct dt_layout layout, own;
    struct dt_checkpoint_arrays arrays;
};

static void rank_open(struct rank *rank, const struct dt_comm *comm, const struct scene *scene)
{
    struct dt_error err;
    const struct dt_mesh_sizes at = dt_mesh_at(scene->sizes, comm->rank);
    const struct dt_part part = dt_mesh_part(scene->sizes, &at);
    if (dt_layout_init(&rank->layout, &scene->config, &part, &err) < 0 ||
        dt_layout_shard(&rank->own, &rank->layout, at.fsdp, scene->sizes->fsdp, &err) < 0)
        abort();
    size_t total = rank->own.total;
    rank->arrays = (struct dt_checkpoint_arrays){dt_reals(total), dt_reals(total), dt_reals(total),
                                                 &rank->own};
}

static void rank_close(struct rank *rank)
{
    free(rank->arrays.params);
    free(rank->arrays.first);
    free(rank->arrays.second);
    dt_layout_fini(&rank->own);
    dt_layout_fini(&rank->layout);
}

static void save_rank(struct dt_comm *comm, void *context)
{
    struct scene *scene = context;
    struct rank rank;
    struct dt_holders holders;
    struct dt_saver saver;
    struct dt_error err;
    int code;
    rank_open(&rank, comm, scene);
    visit_all(scene, &rank.arrays, false);
    if (dt_holders_open(&holders, comm, &rank.own, &err) < 0 ||
        dt_saver_open(&saver, comm, &holders, directory, "for the test", &err) < 0)
        abort();
    struct dt_checkpoint_info info = {
        .config = scene->config, .seed = 3, .data = 4, .step = scene->step, .global_batch = 5};
    dt_saver_start(&saver, &info, &rank.arrays);
    /* what happens to the arrays now is of no matter */
    memset(rank.arrays.params, 0xff, rank.own.total * sizeof(real));
    if (dt_saver_settle(&saver, &code, &err) != 1)
        scene->failed = 1;
    dt_saver_close(&saver);
    dt_holders_close(&holders);
    rank_close(&rank);
}

static void load_rank(struct dt_comm *comm, void *context)
{
    struct scene *scene = context;
    struct rank rank;
    struct dt_checkpoint_info info = {.config = scene->config};
    struct dt_error skipped, err = {""};
    rank_open(&rank, comm, scene);
    int rc = dt_checkpoint_load(comm, directory, &info, &rank.arrays, &skipped, &err);
    if (rc == 1 && info.step == scene->step)
        visit_all(scene, &rank.arrays, true);
    if (comm->rank == 0) { /* the others have the same */
        scene->result = rc;
        scene->info = info;
        scene->skipped = skipped;
        scene->err = err;
    }
    rank_close(&rank);
}

static int ranks_of(const struct dt_mesh_sizes *s)
{
    return s->dp * s->fsdp * s->ep * s->pp * s->cp * s->tp;
}

static void save_on(const struct dt_mesh_sizes *sizes, const struct dt_model_config *config,
                    uint64_t step)
{
    struct scene scene = {.sizes = sizes, .config = *config, .step = step};
    ranks_run(ranks_of(sizes), save_rank, &scene);
    assert_int_equal(scene.failed, 0);
}

static struct scene load_on(const struct dt_mesh_sizes *sizes, const struct dt_model_config *config,
                            uint64_t step)
{
    struct scene scene = {.sizes = sizes, .config = *config, .step = step};
    ranks_run(ranks_of(sizes), load_rank, &scene);
    assert_int_equal(scene.failed, 0);
    return scene;
}

static void save(uint64_t step)
{
    save_on(&one, &gpt2, step);
}

static struct scene load(uint64_t step)
{
    return load_on(&one, &gpt2, step);
}

static void path_of(char *path, size_t size, int step, const char *file)
{
    snprintf(path, size, "%s/step-%08d%s", directory, step, file);
}

static bool exists(int step, const char *file)
{
    char path[160];
    path_of(path, sizeof path, step, file);
    return access(path, F_OK) == 0;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/dt-train-save-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static void empty(const char *name, int depth)
{
    DIR *dir = opendir(name);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", name, entry->d_name);
        if (unlink(inner) < 0 && depth < 2)
            empty(inner, depth + 1);
    }
    if (dir)
        closedir(dir);
    rmdir(name);
}

static int tear_down(void **state)
{
    (void)state;
    empty(directory, 0);
    return access(directory, F_OK) == 0 ? -1 : 0;
}

/* Each real is in the files, and but once, however many ranks hold it. A tied table on two stages
 * may be cut there in two ways, and be there twice. */
static void check_files(const struct dt_mesh_sizes *sizes, const struct dt_model_config *config)
{
    struct dt_layout all;
    struct dt_manifest manifest;
    struct dt_error err;
    char path[160];
    size_t size;
    path_of(path, sizeof path, 1, "/manifest");
    char *text = dt_checkpoint_text_read(path, 1 << 20, &size, &err);
    assert_non_null(text);
    assert_int_equal(dt_manifest_parse(&manifest, text, size, &err), 0);
    assert_int_equal(dt_layout_init(&all, config, NULL, &err), 0);
    assert_int_equal(manifest.file_count, ranks_of(sizes));
    unsigned char *seen = calloc(all.total, 1);
    size_t reals = 0;
    for (size_t i = 0; i < manifest.extents.count; i++) {
        const struct dt_extent *e = &manifest.extents.items[i];
        bool twice = e->tensor == 0 && sizes->pp > 1 && !config->untied;
        for (size_t n = 0; n < e->times * e->length; n++) {
            size_t at = e->offset + n / e->length * e->stride + n % e->length;
            assert_true(at < all.tensors[e->tensor].count);
            unsigned char *place = &seen[all.tensors[e->tensor].offset + at];
            if (*place > 0 && !twice)
                fail_msg("real %zu of tensor %d is there twice", at, (int)e->tensor);
            reals += *place == 0;
            *place = 1;
        }
    }
    assert_int_equal(reals, all.params);
    free(seen);
    free(text);
    dt_manifest_fini(&manifest);
    dt_layout_fini(&all);
}

static void test_layouts(void **state)
{
    (void)state;
    const struct dt_model_config *const configs[] = {&gpt2, &llama};
    for (size_t c = 0; c < 2; c++)
        for (size_t a = 0; a < MESHES; a++) {
            save_on(&meshes[a], configs[c], 1);
            check_files(&meshes[a], configs[c]);
            for (size_t b = 0; b < MESHES; b++) {
                struct scene scene = load_on(&meshes[b], configs[c], 1);
                if (scene.result != 1)
                    fail_msg("mesh %zu on mesh %zu: %s", a, b, scene.err.text);
            }
        }
}

/* A real in the wrong place is seen by the test above. */
static void test_shifted(void **state)
{
    (void)state;
    char path[160];
    save_on(&meshes[3], &gpt2, 1);
    struct dt_error err;
    size_t size;
    path_of(path, sizeof path, 1, "/manifest");
    char *text = dt_checkpoint_text_read(path, 1 << 20, &size, &err);
    assert_non_null(text);
    struct dt_buf changed = DT_BUF_INIT;
    char *file = strstr(text, "\nfile "), *line = strchr(file + 1, '\n') + 1; /* its first extent */
    char *end = strstr(text, "\nend ") + 1;
    unsigned long long tensor, offset;
    int used = 0;
    assert_int_equal(sscanf(line, "%llu %llu%n", &tensor, &offset, &used), 2);
    dt_buf_append(&changed, text, (size_t)(line - text));
    dt_buf_printf(&changed, "%llu %llu", tensor, offset + 1);
    dt_buf_append(&changed, line + used, (size_t)(end - line - used));
    dt_manifest_put_end(&changed);
    assert_int_equal(dt_checkpoint_text_write(path, changed.data, changed.len, &err), 0);
    struct scene scene = {.sizes = &one, .config = gpt2, .step = 1};
    ranks_run(1, load_rank, &scene);
    assert_true(scene.failed || scene.result != 1);
    dt_buf_fini(&changed);
    free(text);
}

static void test_round_trip(void **state)
{
    (void)state;
    assert_int_equal(load(0).result, 0); /* none */
    for (uint64_t step = 10; step <= 40; step += 10)
        save(step);
    struct scene scene = load(40);
    assert_int_equal(scene.result, 1);
    assert_int_equal((int)scene.info.step, 40);
    assert_int_equal((int)scene.info.global_batch, 5);
    assert_string_equal(scene.skipped.text, "");
    assert_true(exists(30, "/manifest") && exists(40, "/rank-00000"));
    assert_false(exists(20, "")); /* two are kept */
}

/* A run that went back behind damaged ones keeps what it writes, and writes over them. */
static void test_later(void **state)
{
    (void)state;
    char path[160];
    for (int step = 100; step >= 80; step -= 10) {
        save((uint64_t)step);
        path_of(path, sizeof path, step, "/rank-00000");
        assert_int_equal(truncate(path, 500), 0);
    }
    save(10);
    save(20);
    save(30);
    assert_int_equal((int)load(30).info.step, 30);
    assert_true(exists(20, "") && !exists(10, ""));
    save(80);
    assert_int_equal((int)load(80).info.step, 80);
}

static void damage(const char *path, long place)
{
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, place, place < 0 ? SEEK_END : SEEK_SET);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void assert_passed_over(void)
{
    struct scene scene = load(10);
    assert_int_equal(scene.result, 1);
    assert_int_equal((int)scene.info.step, 10);
    assert_non_null(strstr(scene.skipped.text, "step-00000020 is passed over: "));
}

/* Any flipped bit and any cut is seen, and the checkpoint before is taken. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const files[] = {"/manifest", "/rank-00000"};
    static const long places[] = {0, 20, 100, 300, 390, 2000, -1, -9};
    static const long sizes[] = {0, 5, 300, 2000};
    char path[160];
    save(10);
    for (size_t f = 0; f < 2; f++) {
        path_of(path, sizeof path, 20, files[f]);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            save(20);
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            damage(path, places[i] < st.st_size ? places[i] : -2);
            assert_passed_over();
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            save(20);
            assert_int_equal(truncate(path, sizes[i]), 0);
            assert_passed_over();
        }
        save(20);
        assert_int_equal(unlink(path), 0);
        assert_passed_over();
    }
    path_of(path, sizeof path, 10, "/rank-00000");
    damage(path, 3000);
    struct scene scene = load(10);
    assert_int_equal(scene.result, -1);
    assert_non_null(strstr(scene.err.text, "no checkpoint"));
}

static void assert_foreign(const struct dt_model_config *config, const char *sentence)
{
    struct scene scene = load_on(&one, config, 10);
    assert_int_equal(scene.result, -1);
    if (!strstr(scene.err.text, sentence))
        fail_msg("%s", scene.err.text);
}

static void test_foreign(void **state)
{
    (void)state;
    struct dt_model_config config = gpt2;
    save(10);
    config.layers = 3;
    assert_foreign(&config, "--layers 4, and this run has 3");
    config = gpt2;
    config.kv_heads = 2;
    assert_foreign(&config, "--kv-heads 4, and this run has 2");
    config = gpt2;
    config.vocab = 300;
    assert_foreign(&config, "--vocab 259, and this run has 300");
    config = gpt2;
    config.family = DT_FAMILY_LLAMA;
    assert_foreign(&config, "the family gpt2, and this run has --family llama");
    config = gpt2;
    config.untied = true;
    assert_foreign(&config, "its head is tied, and this run's is untied");
}

static void test_former_format(void **state)
{
    (void)state;
    char path[160];
    path_of(path, sizeof path, 10, ".dtc");
    assert_int_equal(close(creat(path, 0600)), 0);
    struct scene scene = load(10);
    assert_int_equal(scene.result, -1);
    assert_non_null(strstr(scene.err.text, "whose format this one does not read"));
}

/* Killed anywhere in writing: what was renamed before is there and whole. */
static void test_killed(void **state)
{
    (void)state;
    save(1);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (uint64_t step = 2;; step++)
                save(step);
        }
        usleep((useconds_t)(500 + round * 950));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        struct scene scene = load(0);
        assert_int_equal(scene.result, 1);
        assert_string_equal(scene.skipped.text, "");
        load(scene.info.step); /* and it is what was saved */
    }
}

static void test_prepare(void **state)
{
    (void)state;
    struct dt_error err;
    long long newest;
    char inner[128], path[160];
    snprintf(inner, sizeof inner, "%s/new", directory);
    assert_int_equal(dt_checkpoint_prepare(inner, &newest, &err), 0);
    assert_int_equal((int)newest, -1);
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(dt_checkpoint_prepare("/nonexistent/a/b", &newest, &err), -1);
    save(30);
    /* what killed runs have left */
    path_of(path, sizeof path, 40, ".writing");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, sizeof path, 40, ".writing/rank-00000");
    assert_int_equal(close(creat(path, 0600)), 0);
    path_of(path, sizeof path, 20, ".removing");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(dt_checkpoint_prepare(directory, &newest, &err), 0);
    assert_int_equal((int)newest, 30);
    assert_false(exists(40, ".writing") || exists(20, ".removing"));
}

/* A disk that refuses one rank's file: all ranks fail with its sentence, nothing stays. */
static void refused_rank(struct dt_comm *comm, void *context)
{
    struct scene *scene = context;
    struct rank rank;
    struct dt_holders holders;
    struct dt_saver saver;
    struct dt_error err;
    int code = 0;
    rank_open(&rank, comm, scene);
    if (dt_holders_open(&holders, comm, &rank.own, &err) < 0 ||
        dt_saver_open(&saver, comm, &holders, directory, "for the test", &err) < 0)
        abort();
    dt_saver_start(&saver,
                   &(struct dt_checkpoint_info){.config = scene->config, .step = scene->step},
                   &rank.arrays);
    int rc = dt_saver_settle(&saver, &code, &err);
    if (rc != -1 || code != 73 || saver.phase != DT_SAVER_IDLE)
        scene->failed = 1;
    if (comm->rank == 0)
        scene->err = err;
    dt_saver_close(&saver);
    dt_holders_close(&holders);
    rank_close(&rank);
}

static void test_refused(void **state)
{
    (void)state;
    char path[160];
    struct scene scene = {.sizes = &meshes[1], .config = gpt2, .step = 20};
    save(10);
    path_of(path, sizeof path, 20, ".writing");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, sizeof path, 20, ".writing/rank-00001"); /* a directory where a file goes */
    assert_int_equal(mkdir(path, 0700), 0);
    ranks_run(2, refused_rank, &scene);
    assert_int_equal(scene.failed, 0);
    assert_non_null(strstr(scene.err.text, "rank 1 on "));
    assert_non_null(strstr(scene.err.text, "step-00000020 can not be written: Is a directory; "
                                           "earlier ones are untouched"));
    assert_false(exists(20, ""));
    assert_int_equal((int)load(10).info.step, 10);
}

/* A rank that ends because the others are gone does not wait for a disk that hangs. */
static void test_broken(void **state)
{
    (void)state;
    char path[160];
    struct scene scene = {.sizes = &one, .config = gpt2, .step = 20};
    struct dt_comm comm;
    struct rank rank;
    struct dt_holders holders;
    struct dt_saver saver;
    struct dt_error err;
    path_of(path, sizeof path, 20, ".writing");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, sizeof path, 20, ".writing/rank-00000"); /* to open it hangs */
    assert_int_equal(mkfifo(path, 0600), 0);
    dt_comm_single_open(&comm);
    rank_open(&rank, &comm, &scene);
    assert_int_equal(dt_holders_open(&holders, &comm, &rank.own, &err), 0);
    assert_int_equal(dt_saver_open(&saver, &comm, &holders, directory, "for the test", &err), 0);
    dt_saver_start(&saver, &(struct dt_checkpoint_info){.config = scene.config, .step = scene.step},
                   &rank.arrays);
    comm.broken = true;
    dt_saver_close(&saver);
    assert_false(exists(20, ""));
    dt_holders_close(&holders);
    rank_close(&rank);
    comm.operations->close(&comm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layouts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shifted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_former_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prepare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
