/* SPDX-License-Identifier: Apache-2.0 */
/* Does validation find what it is for, and nothing else? Every fault of lib/personality is planted in
 * a tree, every instance type of the table stands healthy, and every check and comparison looks at
 * all of them: the matrix. Judging the matrix is apart from making it, so that a test can ask what
 * the judge would say of checks that are wrong.
 *
 * Nothing of this machine is looked at: facts are those of trees below a temporary directory, NVML is
 * the fake one. No root, no network. */
#ifndef DT_SELFTEST_SELFTEST_H
#define DT_SELFTEST_SELFTEST_H

#include "base/buf.h"
#include "base/error.h"
#include "check/check.h"
#include "personality/personality.h"

struct dt_selftest_options {
    const char *data_directory; /* with instances.conf, xid.conf, env-rules.conf */
    const char *nvml;           /* the fake libnvidia-ml.so.1, absolute */
    const char *temporary;      /* where a directory may be made; NULL: the first of /dev/shm,
                                 * TMPDIR, /tmp that can be written */
    unsigned children;          /* 0: as many as there are CPUs for this process, 16 at most */
};

/* A check of the registry, or a comparison between nodes. */
struct dt_selftest_column {
    const char *name;
    bool compares;
};

/* One machine. */
struct dt_selftest_row {
    const struct dt_fault *fault; /* NULL: healthy */
    char *type;                   /* EC2 type */
    enum dt_result *results;      /* by column; DT_SKIP too where a comparison said nothing */
    char **messages;              /* by column: the value, of those worse than DT_SKIP; else NULL */
    char *trouble;                /* why there are no results: a sentence; NULL: there are */
};

struct dt_selftest {
    struct dt_selftest_column *columns;
    size_t column_count;
    struct dt_selftest_row *rows;
    size_t row_count;
};

/* The rows and columns, without results. The caller finishes in any case. */
int dt_selftest_init(struct dt_selftest *test, const struct dt_selftest_options *options,
                     struct dt_error *err);
/* Fill in the results, in children. A row whose child died has `trouble`. Takes SIGINT, SIGTERM and
 * SIGHUP until it returns, so that the directory is removed then as well; 1: one of them came. */
int dt_selftest_run(struct dt_selftest *test, const struct dt_selftest_options *options,
                    struct dt_error *err);
void dt_selftest_fini(struct dt_selftest *test);

/* One line for each thing that is wrong: a fault that is not found, or not as it should be; a check
 * that speaks of another's fault, or of a healthy machine; a check that no fault is found by.
 * Returns how many; *complaints has the lines. */
size_t dt_selftest_judge(const struct dt_selftest *test, struct dt_buf *complaints);

/* Is `name` in a list of a fault's: "gpu-count or neuron-count", "p4d.24xlarge trn1.32xlarge"? */
bool dt_selftest_lists(const char *list, const char *name);

#endif
