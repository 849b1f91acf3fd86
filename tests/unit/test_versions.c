/* SPDX-License-Identifier: Apache-2.0 */
/* Versions: every bundle of the EFA installer as a fake root. */
#include "versions_bundles.h"

#include <regex.h>

static void empty(struct world *world)
{
    static const char *const names[] = {"opt", "sys", "usr", "etc"};
    for (size_t i = 0; i < 4; i++)
        tree_remove(&world->tree, names[i]);
}

static void assert_bundle(struct world *world, const char *component, const char *version)
{
    if (version)
        assert_loads(world, component, version, NULL);
    else
        assert_null(loaded(world, component));
}

static void every_bundle_is_detected(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < 2 * sizeof bundles / sizeof bundles[0]; i++) {
        const struct bundle *bundle = &bundles[i / 2];
        install(world, bundle, i % 2);
        DETECT(world, "LD_LIBRARY_PATH=/opt/amazon/efa/lib:/opt/amazon/efa/lib64");
        assert_bundle(world, "efa-installer", bundle->installer);
        assert_bundle(world, "efa-driver", bundle->driver);
        assert_bundle(world, "libfabric", bundle->libfabric);
        assert_bundle(world, "rdma-core", bundle->rdma_core);
        assert_bundle(world, "ofi-nccl", bundle->ofi_nccl);
        empty(world);
    }
}

/* The patterns of the public efa-versions.py find in the same files what is reported here. */
static void agrees_with_the_public_patterns(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *component, *text, *pattern;
    } rows[] = {
        {"efa-installer", "# EFA installer version: 1.43.2",
         "# EFA installer version: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"libfabric", "libfabric: 2.1.0amzn5.0", "libfabric: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"nccl", "libnccl.so.2.27.5", "libnccl.so.([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"ofi-nccl", "NET/OFI Initializing aws-ofi-nccl 1.16.3",
         "NET/OFI Initializing aws-ofi-nccl ([0-9]+\\.[0-9]+\\.[0-9]+)"},
        {"nvidia-driver", "Driver Version: 570.133.20",
         "Driver Version: ([0-9]+\\.[0-9]+\\.[0-9]+)"},
    };
    install(world, &bundles[9], false);
    stub(world, "usr/lib64/libnccl.so.2.27.5", (struct elf_stub){.soname = "libnccl.so.2"});
    tree_link(&world->tree, "usr/lib64/libnccl.so.2", "libnccl.so.2.27.5");
    tree_file(&world->tree, "sys/module/nvidia/version", "570.133.20\n");
    DETECT(world, "LD_LIBRARY_PATH=");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        regex_t regex;
        regmatch_t match[2];
        assert_int_equal(regcomp(&regex, rows[i].pattern, REG_EXTENDED), 0);
        assert_int_equal(regexec(&regex, rows[i].text, 2, match, 0), 0);
        const struct dt_version *item = loaded(world, rows[i].component);
        assert_non_null(item);
        assert_int_equal(strncmp(item->version, rows[i].text + match[1].rm_so,
                                 (size_t)(match[1].rm_eo - match[1].rm_so)),
                         0);
        regfree(&regex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_bundle_is_detected),
        TEST(agrees_with_the_public_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
