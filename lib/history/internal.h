/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/history: what its files share. */
#ifndef DT_HISTORY_INTERNAL_H
#define DT_HISTORY_INTERNAL_H

#include "history/history.h"

/* text.c */
void dt_history_init(struct dt_history *history); /* empty, of no machine */
bool dt_history_is_word(const char *text);        /* can stand in a line */
void dt_history_forget_growth(struct dt_history *history);
void dt_history_forget_counters(struct dt_history *history);
/* A new last element, zeroed; NULL: no memory. */
void *dt_history_add(void *array_pointer, size_t *count, size_t size);
#define DT_HISTORY_ADD(array, count)                                                               \
    ((__typeof__(array))dt_history_add(&(array), &(count), sizeof *(array)))

/* Now, on this machine. */
struct dt_history_now {
    char machine[DT_HISTORY_WORD_MAX + 1], boot[DT_HISTORY_WORD_MAX + 1];
    long long boot_s; /* seconds since boot, by the clock of the kernel's log */
    long long wall_s; /* Unix time */
};

/* change.c: what the time between has made of a history */
/* After a boot: steps that ran are lost, and counters have no base. In the same boot: steps whose
 * slurmstepd is gone are forgotten. -1: no memory. */
int dt_history_settle(struct dt_history *history, const struct dt_root *root,
                      const struct dt_history_now *now);
int dt_history_lose(struct dt_history *history, long long job, long long step, long long wall_s,
                    const char *reason);
int dt_history_run(struct dt_history *history, const struct dt_history_step *step,
                   long long pid_start, long long wall_s);
void dt_history_stop(struct dt_history *history, const struct dt_history_step *step);
long long dt_history_pid_start(const struct dt_root *root, long long pid); /* 0: not there */

/* file.c */
/* The history as it stands now, for looking. False: there is none, and why. */
bool dt_history_look(struct dt_history *history, struct dt_history_now *now,
                     const struct dt_root *root, const struct dt_conf *conf, struct dt_error *why);
/* Read, let `change` change it (-1: no memory), and write it, all under the lock. told NULL: a file that
 * can not be used is an error. */
int dt_history_change(const struct dt_root *root, const struct dt_conf *conf,
                      int (*change)(struct dt_history *history, const struct dt_history_now *now,
                                    void *argument),
                      void *argument, struct dt_error *told, struct dt_error *err);

/* growth.c: counters, "KIND.NAME" and device */
/* Each counter that is among the facts and has grown since the history's: calls `each`. */
struct dt_history_growth {
    const char *name, *device;
    long long by, seconds;
};
int dt_history_grown(const struct dt_history *history, const struct dt_facts *facts,
                     const struct dt_history_now *now,
                     int (*each)(void *argument, const struct dt_history_growth *growth),
                     void *argument);
/* The facts' counters in place of the history's; those that were not read stay as they were. */
int dt_history_take_counters(struct dt_history *history, const struct dt_facts *facts,
                             const struct dt_history_now *now);
/* What has grown goes to `grew`, on top of what is there of the same counter. */
int dt_history_add_growth(struct dt_history *history, const struct dt_facts *facts,
                          const struct dt_history_now *now);

#endif
