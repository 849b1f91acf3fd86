/* SPDX-License-Identifier: Apache-2.0 */
/* Facts for training on CPUs, and what the node is part of, from made-up trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "facts/reader.h"
#include "facts_tree.h"

#define BASE "fpu sse2 avx2 fma avx512f avx512dq avx512bw avx512vl"

/* A tree with this cpuinfo and this target of libblas.so.3 (NULL: none), and one file more. */
static json_t *facts_of(const char *cpuinfo, const char *blas, const char *const *files)
{
    struct tree tree = {"/tmp/dt-test-training-XXXXXX"};
    struct dt_root root;
    struct dt_error err;
    struct dt_reader reader = {.doc = json_object(), .root = &root};

    assert_non_null(mkdtemp(tree.path));
    tree_file(&tree, "proc/cpuinfo", cpuinfo);
    for (; files && *files; files++)
        tree_file(&tree, *files, "");
    if (blas)
        tree_link(&tree, "etc/alternatives/libblas.so.3-x86_64-linux-gnu", blas);
    assert_int_equal(dt_root_init(&root, tree.path, &err), 0);
    dt_read_training(&reader);
    dt_root_fini(&root);
    tree_destroy(&tree);
    assert_false(reader.failed);
    return reader.doc;
}

static void assert_text(json_t *doc, const char *key, const char *want)
{
    const char *text = json_string_value(json_object_get(doc, key));

    if (want ? !text || strcmp(text, want) != 0 : text != NULL)
        fail_msg("%s is %s, expected %s", key, text ? text : "absent", want ? want : "none");
}

static void test_zen5(void **state)
{
    json_t *doc =
        facts_of("processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nflags\t\t: " BASE
                 " avx512_bf16 x\n\nprocessor : 1\n",
                 "/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", NULL);

    (void)state;
    assert_text(doc, "cpu.isa", "avx512_bf16");
    assert_text(doc, "cpu.openblas_coretype", "COOPERLAKE");
    assert_text(doc, "blas.name", "openblas-pthread");
    assert_text(doc, "platform", NULL);
    assert_int_equal(json_integer_value(json_object_get(doc, "container")), 0);
    json_decref(doc);
    doc =
        facts_of("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nflags\t\t: " BASE "\n", NULL, NULL);
    assert_text(doc, "cpu.openblas_coretype", "SKYLAKEX");
    assert_text(doc, "blas.name", NULL);
    json_decref(doc);
}

static void test_others(void **state)
{
    json_t *doc = facts_of("vendor_id\t: GenuineIntel\ncpu family\t: 6\nflags\t\t: " BASE "\n",
                           "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3", NULL);

    (void)state;
    assert_text(doc, "cpu.isa", "avx512");
    assert_text(doc, "cpu.openblas_coretype", NULL);
    assert_text(doc, "blas.name", "reference");
    json_decref(doc);
    doc = facts_of("vendor_id\t: AuthenticAMD\ncpu family\t: 23\nflags\t\t: avx2 avx512foo\n", NULL,
                   NULL);
    assert_text(doc, "cpu.isa", "avx2");
    assert_text(doc, "cpu.openblas_coretype", NULL);
    json_decref(doc);
    doc = facts_of("Features\t: fp asimd\n", NULL, NULL);
    assert_text(doc, "cpu.isa", NULL);
    json_decref(doc);
}

static void test_torch_and_place(void **state)
{
    static const char *const without[] = {"usr/lib/python3/dist-packages/torch/version.py",
                                          "opt/parallelcluster/x", ".dockerenv", NULL};
    static const char *const with[] = {"usr/lib/python3/dist-packages/torch/version.py",
                                       "usr/lib/x86_64-linux-gnu/libuv.so.1", NULL};
    json_t *doc = facts_of("", NULL, without);

    (void)state;
    assert_true(json_is_integer(json_object_get(doc, "torch.libuv")));
    assert_int_equal(json_integer_value(json_object_get(doc, "torch.libuv")), 0);
    assert_text(doc, "platform", "parallelcluster");
    assert_int_equal(json_integer_value(json_object_get(doc, "container")), 1);
    json_decref(doc);
    doc = facts_of("", NULL, with);
    assert_null(json_object_get(doc, "torch.libuv"));
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zen5),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_torch_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
