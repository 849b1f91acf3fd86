/* SPDX-License-Identifier: Apache-2.0 */
/* What training on CPUs hangs on (which BLAS the distribution's programs load, what the processor can
 * do, whether the distribution's PyTorch has libuv), and what the node is part of. Files alone are
 * read. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/reader.h"

/* ---- processor ---------------------------------------------------------------------------------- */

/* The head of cpuinfo has the first processor, which stands for all. */
static void read_cpuinfo(const struct dt_root *root, char *text, size_t size)
{
    int fd = dt_root_open(root, O_RDONLY | O_NOCTTY | O_NONBLOCK, "proc/cpuinfo");
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* Value of a line "KEY : VALUE", cut off at the line's end in place; NULL: no such line. */
static const char *line_value(const char *text, const char *key, char *out, size_t size)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) != 0 || !strchr(" \t:", line[len]))
            continue;
        const char *value = line + len + strspn(line + len, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        return out;
    }
    return NULL;
}

static bool has_flag(const char *flags, const char *flag)
{
    size_t len = strlen(flag);

    for (const char *at = flags; (at = strstr(at, flag)); at += len)
        if ((at == flags || at[-1] == ' ') && strchr(" \n", at[len]))
            return true;
    return false;
}

static const char *isa_of(const char *flags)
{
    bool avx512 = has_flag(flags, "avx512f") && has_flag(flags, "avx512bw") &&
                  has_flag(flags, "avx512dq") && has_flag(flags, "avx512vl");

    if (avx512)
        return has_flag(flags, "avx512_bf16") ? "avx512_bf16" : "avx512";
    return has_flag(flags, "avx2") ? "avx2" : "other";
}

/* OpenBLAS up to the middle of 2026 takes an AMD processor of family 26 (Zen 5) for a Haswell (its
 * issue 6029); the kernels that it should take are those of the Intel cores with the same units. */
static void put_coretype(struct dt_reader *reader, const char *text, const char *isa)
{
    char vendor[64], family[16];

    if (line_value(text, "vendor_id", vendor, sizeof vendor) && !strcmp(vendor, "AuthenticAMD") &&
        line_value(text, "cpu family", family, sizeof family) && atoi(family) == 26 &&
        !strncmp(isa, "avx512", 6))
        dt_reader_string(reader, "cpu.openblas_coretype",
                         strcmp(isa, "avx512_bf16") ? "SKYLAKEX" : "COOPERLAKE");
    else
        dt_reader_why(reader, "cpu.openblas_coretype", "OpenBLAS finds the right one by itself");
}

static void read_isa(struct dt_reader *reader)
{
    char text[8192] = "", flags[4096];

    read_cpuinfo(reader->root, text, sizeof text);
    if (!line_value(text, "flags", flags, sizeof flags)) {
        dt_reader_why(reader, "cpu.isa", "/proc/cpuinfo has no line \"flags\"");
        return;
    }
    dt_reader_string(reader, "cpu.isa", isa_of(flags));
    put_coretype(reader, text, isa_of(flags));
}

/* ---- BLAS --------------------------------------------------------------------------------------- */

/* ".../openblas-pthread/libblas.so.3" -> "openblas-pthread"; ".../blas/libblas.so.3" is the
 * reference. */
static void put_blas(struct dt_reader *reader, char *target)
{
    char *slash = strrchr(target, '/'), *name;

    if (slash)
        *slash = '\0';
    name = strrchr(target, '/');
    name = name ? name + 1 : target;
    dt_reader_string(reader, "blas.name", strcmp(name, "blas") ? name : "reference");
}

static void read_blas(struct dt_reader *reader)
{
    char **names = NULL, target[512];
    bool found = false;

    if (dt_root_list(reader->root, &names, "etc/alternatives") >= 0) {
        for (size_t i = 0; names[i] && !found; i++) {
            if (strncmp(names[i], "libblas.so.3", 12) != 0 ||
                dt_root_readlink(reader->root, target, sizeof target, "etc/alternatives/%s",
                                 names[i]) <= 0)
                continue;
            put_blas(reader, target);
            found = true;
        }
        dt_names_free(names);
    }
    if (!found)
        dt_reader_why(reader, "blas.name", "/etc/alternatives has no libblas.so.3");
}

/* ---- PyTorch of the distribution ---------------------------------------------------------------- */

/* One that was built with libuv could not be installed without it. */
static void read_libuv(struct dt_reader *reader)
{
    static const char *const folders[] = {"x86_64-linux-gnu", "aarch64-linux-gnu"};

    if (!dt_root_exists(reader->root, "usr/lib/python3/dist-packages/torch")) {
        dt_reader_why(reader, "torch.libuv", "the distribution's PyTorch is not installed");
        return;
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (dt_root_exists(reader->root, "usr/lib/%s/libuv.so.1", folders[i])) {
            dt_reader_why(reader, "torch.libuv", "libuv is installed, for whom is not known");
            return;
        }
    }
    dt_reader_int(reader, "torch.libuv", 0);
}

/* ---- place -------------------------------------------------------------------------------------- */

static void read_place(struct dt_reader *reader)
{
    static const struct {
        const char *path, *platform;
    } signs[] = {
        {"opt/ml/config/resource_config.json", "hyperpod"},
        {"opt/aws/cluster", "hyperpod"},
        {"opt/parallelcluster", "parallelcluster"},
        {"etc/parallelcluster", "parallelcluster"},
        {"etc/eks", "eks"},
    };

    dt_reader_int(reader, "container",
                  dt_root_exists(reader->root, ".dockerenv") ||
                      dt_root_exists(reader->root, "run/.containerenv"));
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (dt_root_exists(reader->root, "%s", signs[i].path)) {
            dt_reader_string(reader, "platform", signs[i].platform);
            return;
        }
    }
    dt_reader_why(reader, "platform", "no sign of HyperPod, ParallelCluster or EKS");
}

void dt_read_training(struct dt_reader *reader)
{
    read_isa(reader);
    read_blas(reader);
    read_libuv(reader);
    read_place(reader);
}
