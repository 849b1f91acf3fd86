/* SPDX-License-Identifier: Apache-2.0 */
/* What a node remembers from job to job, in one small file of its own: the counters as they stood
 * when a job last began or ended here, what grew while the last job ran, the steps that run now, and
 * the jobs that were lost here. From it come facts ("history.*"), by which lib/check judges.
 *
 * The file is `history` in state-directory of dt.conf, written by root alone, by rename, under a
 * lock, and ends in a checksum. One that is damaged, of another version, or of another machine (an
 * image that was made of a used node) is told of in one sentence and started anew: never an error.
 * After a boot the counters have no base any more; the lost jobs stay. */
#ifndef DT_HISTORY_HISTORY_H
#define DT_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/root.h"
#include "conf/conf.h"
#include "facts/facts.h"

enum {
    DT_HISTORY_COUNTERS_MAX = 4096, /* 8 GPUs and 32 EFA devices make 300 */
    DT_HISTORY_RUNNING_MAX = 64,    /* steps; the oldest is forgotten */
    DT_HISTORY_LOST_MAX = 64,       /* jobs; the oldest is forgotten */
    DT_HISTORY_FILE_MAX = 1 << 20,  /* bytes */
    DT_HISTORY_WORD_MAX = 96,       /* bytes of a name, a device, an id */
    DT_HISTORY_REASON_MAX = 200
};

struct dt_history_counter {
    char *name;        /* "efa.retrans_pkts" */
    char *device;      /* "rdmap79s0", a PCI address, ... */
    long long value;   /* of what grew: by how much */
    long long seconds; /* since boot, when it was read; of what grew: in how long */
};

struct dt_history_job {
    long long job, step;
    long long wall_s; /* Unix time at which it began; of a lost one: was lost */
    long long pid,
        pid_start; /* running: of its slurmstepd, and when that started (proc(5), field 22) */
    char *reason;  /* lost: in words */
};

struct dt_history {
    char *machine; /* the instance's id, else the machine's; "-": not known */
    char *boot;    /* boot id; all but `lost` is of this boot */
    long long end_s, end_wall_s, end_job,
        end_step; /* of the step that ended last; end_s -1: none since boot */
    struct dt_history_counter *counters, *grew; /* grew: while the job that ended last ran */
    size_t counter_count, grew_count;
    struct dt_history_job *running, *lost;
    size_t running_count, lost_count;
};

/* ---- the text of the file ---- */

/* text[len] must be NUL; it is changed. -1: not such a text, and why; the history is then empty. */
int dt_history_parse(struct dt_history *history, char *text, size_t len, struct dt_error *err);
char *dt_history_format(const struct dt_history *history); /* caller frees; NULL: no memory */
void dt_history_fini(struct dt_history *history);

/* ---- the file ---- */

struct dt_history_step {
    long long job, step;
    pid_t stepd;      /* of its slurmstepd; 0: not known */
    const char *lost; /* at its end: why the job was lost to this node; NULL: it was not */
};

/* A step begins or ends: `facts` holds the counters, those that were not read are kept. -1: nothing
 * was saved. A file that can not be used is an error where a step begins; where one ends it is started
 * anew, and *told is the sentence for a log; "": it was not. */
int dt_history_begin(const struct dt_root *root, const struct dt_conf *conf,
                     const struct dt_history_step *step, const struct dt_facts *facts,
                     struct dt_error *err);
int dt_history_end(const struct dt_root *root, const struct dt_conf *conf,
                   const struct dt_history_step *step, const struct dt_facts *facts,
                   struct dt_error *told, struct dt_error *err);

/* ---- facts ---- */

/* Adds to the facts what the file tells of this node (keys in facts/facts.h), by the counters that are
 * among the facts. -1: no memory. */
int dt_history_facts(struct dt_facts *facts, const struct dt_root *root, const struct dt_conf *conf,
                     struct dt_error *err);

/* Has the hardware failed under a step? `facts` are of its end, with those of the history. The reason
 * is one clause: "0000:53:00.0: the driver asks for recovery". */
bool dt_history_loss(const struct dt_facts *facts, struct dt_error *reason);

#endif
