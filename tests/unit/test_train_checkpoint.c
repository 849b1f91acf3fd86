/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: whole ones come back bit for bit, damaged ones are passed over, foreign ones
 * refused. */
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

#include "checkpoint.h"

enum { COUNT = 1000 };

static char directory[64];
static real params[COUNT], first[COUNT], second[COUNT];
static const struct dt_checkpoint_arrays arrays = {params, first, second, COUNT};
static const struct dt_model_config shape = {
    .layers = 2, .channels = 8, .heads = 2, .seq = 16, .vocab = 256, .kv_heads = 2, .hidden = 32};

static void fill(int step)
{
    for (int i = 0; i < COUNT; i++) {
        params[i] = (real)(i + step);
        first[i] = (real)(i - step);
        second[i] = (real)(i * step);
    }
}

static void save(int step)
{
    struct dt_error err;
    fill(step);
    struct dt_checkpoint_info info = {
        .config = shape, .seed = 3, .data = 4, .step = (uint64_t)step, .global_batch = 5};
    assert_int_equal(dt_checkpoint_save(directory, &info, &arrays, &err), 0);
}

static int load(struct dt_checkpoint_info *info, struct dt_error *skipped, struct dt_error *err)
{
    memset(params, 0, sizeof params);
    *info = (struct dt_checkpoint_info){.config = shape};
    err->text[0] = '\0';
    return dt_checkpoint_load(directory, info, &arrays, skipped, err);
}

static void path_of(char *path, size_t size, int step)
{
    snprintf(path, size, "%s/step-%08d.dtc", directory, step);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/dt-train-save-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return rmdir(directory);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    assert_int_equal(load(&info, &skipped, &err), 0); /* none */
    for (int step = 10; step <= 40; step += 10)
        save(step);
    assert_int_equal(load(&info, &skipped, &err), 1);
    assert_int_equal((int)info.step, 40);
    assert_int_equal((int)info.global_batch, 5);
    assert_string_equal(skipped.text, "");
    assert_true(params[7] == 47 && first[7] == -33 && second[7] == 280);
    char path[128];
    path_of(path, sizeof path, 30);
    assert_int_equal(access(path, F_OK), 0);
    path_of(path, sizeof path, 20); /* two are kept */
    assert_int_equal(access(path, F_OK), -1);
}

/* A run that went back behind damaged files keeps what it writes, and sweeps up after killed ones. */
static void test_later_files(void **state)
{
    (void)state;
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    char path[128], unfinished[160];
    for (int step = 100; step >= 80; step -= 10) {
        save(step);
        path_of(path, sizeof path, step);
        assert_int_equal(truncate(path, 500), 0);
    }
    snprintf(unfinished, sizeof unfinished, "%s.writing", path);
    assert_int_equal(close(creat(unfinished, 0600)), 0);
    save(10);
    save(20);
    save(30);
    assert_int_equal(access(unfinished, F_OK), -1);
    assert_int_equal(load(&info, &skipped, &err), 1);
    assert_int_equal((int)info.step, 30);
    path_of(path, sizeof path, 20);
    assert_int_equal(access(path, F_OK), 0);
    path_of(path, sizeof path, 10);
    assert_int_equal(access(path, F_OK), -1);
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

/* Any flipped bit and any cut is seen, and the checkpoint before is taken. */
static void test_damaged(void **state)
{
    (void)state;
    static const long places[] = {0, 9, 30, 100, DT_CHECKPOINT_HEADER, 2000, -1};
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    char path[128];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        save(10);
        save(20);
        path_of(path, sizeof path, 20);
        damage(path, places[i]);
        assert_int_equal(load(&info, &skipped, &err), 1);
        assert_int_equal((int)info.step, 10);
        assert_non_null(strstr(skipped.text, "step-00000020"));
    }
    static const long sizes[] = {0, 5, DT_CHECKPOINT_HEADER, 2000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        save(20);
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_int_equal(load(&info, &skipped, &err), 1);
        assert_int_equal((int)info.step, 10);
    }
    path_of(path, sizeof path, 10);
    damage(path, 3000);
    assert_int_equal(load(&info, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "no checkpoint"));
}

static void test_foreign(void **state)
{
    (void)state;
    struct dt_checkpoint_info info = {.config = shape};
    struct dt_error skipped, err;
    save(10);
    info.config.layers = 3;
    assert_int_equal(dt_checkpoint_load(directory, &info, &arrays, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "--layers 2, and this run has 3"));
    info.config = shape;
    info.config.kv_heads = 1;
    assert_int_equal(dt_checkpoint_load(directory, &info, &arrays, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "--kv-heads 2, and this run has 1"));
    info.config = shape;
    info.config.family = DT_FAMILY_LLAMA;
    assert_int_equal(dt_checkpoint_load(directory, &info, &arrays, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "the family gpt2, and this run has --family llama"));
    info.config = shape;
    info.config.untied = true;
    assert_int_equal(dt_checkpoint_load(directory, &info, &arrays, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "its head is tied, and this run's is untied"));
}

/* A file of the format before this one. */
static void test_old_format(void **state)
{
    (void)state;
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    char path[128];
    save(10);
    path_of(path, sizeof path, 10);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 8, SEEK_SET); /* the version follows the magic number */
    uint32_t version = 1;
    assert_int_equal(fwrite(&version, sizeof version, 1, file), 1);
    fclose(file);
    assert_int_equal(load(&info, &skipped, &err), -1);
    assert_non_null(strstr(err.text, "format version 1, and this dt-train reads 2"));
}

/* Killed anywhere in writing: what was renamed before is there and whole. */
static void test_killed(void **state)
{
    (void)state;
    struct dt_checkpoint_info info;
    struct dt_error skipped, err;
    save(1);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int step = 2;; step++)
                save(step);
        }
        usleep((useconds_t)(500 + round * 150));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_int_equal(load(&info, &skipped, &err), 1);
        assert_true(params[7] == (real)(7 + (int)info.step));
        assert_string_equal(skipped.text, "");
    }
}

static void test_prepare(void **state)
{
    (void)state;
    struct dt_error err;
    long long newest;
    char inner[128];
    snprintf(inner, sizeof inner, "%s/new", directory);
    assert_int_equal(dt_checkpoint_prepare(inner, &newest, &err), 0);
    assert_int_equal((int)newest, -1);
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(dt_checkpoint_prepare("/nonexistent/a/b", &newest, &err), -1);
    save(30);
    assert_int_equal(dt_checkpoint_prepare(directory, &newest, &err), 0);
    assert_int_equal((int)newest, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prepare, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
