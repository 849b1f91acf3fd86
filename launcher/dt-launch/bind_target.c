/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of CPUs and memory nodes, and the kernel's calls for them. */
#include "bind_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mempolicy.h, which not all distributions ship for users. */
enum { POLICY_PREFERRED = 1, POLICY_BIND = 2, POLICY_INTERLEAVE = 3, POLICY_LOCAL = 4 };
enum { POLICY_PREFERRED_MANY = 5 }; /* Linux 5.15 */

#define WORD_BITS  (8 * sizeof(unsigned long))
#define CPU_BYTES  131072 /* 1,048,576 CPUs: more is no machine */
#define NODE_BYTES 128    /* MAX_NUMNODES of the kernel is 1024 at most */

/* ---- sets ---------------------------------------------------------------------------------- */

static int bits_init(struct dt_bits *bits, size_t bytes, struct dt_error *err)
{
    *bits = (struct dt_bits){.words = calloc(1, bytes), .bytes = bytes};
    return bits->words ? 0 : dt_error_set(err, "out of memory");
}

void dt_bits_fini(struct dt_bits *bits)
{
    free(bits->words);
    *bits = (struct dt_bits){0};
}

int dt_bits_own_cpus(struct dt_bits *bits, struct dt_error *err)
{
    /* The kernel answers EINVAL while the set is smaller than its own. */
    for (size_t bytes = 128; bytes <= CPU_BYTES; bytes *= 4) {
        if (bits_init(bits, bytes, err))
            return -1;
        if (syscall(SYS_sched_getaffinity, 0, bytes, bits->words) > 0)
            return 0;
        int why = errno;
        dt_bits_fini(bits);
        if (why != EINVAL)
            return dt_error_set(err, "the CPU mask can not be read: %s", strerror(why));
    }
    return dt_error_set(err, "the CPU mask of this kernel is larger than any that is known");
}

/* "3" or "3-7" at *list; steps behind the comma that follows. */
static bool next_range(const char **list, size_t limit, size_t *first, size_t *last)
{
    const char *at = *list;
    char *stop;
    if (*at < '0' || *at > '9')
        return false;
    *first = *last = strtoul(at, &stop, 10);
    if (*stop == '-') {
        if (stop[1] < '0' || stop[1] > '9')
            return false;
        *last = strtoul(stop + 1, &stop, 10);
    }
    if (*last < *first || *last >= limit || (*stop && *stop != ',') || (*stop && !stop[1]))
        return false;
    *list = *stop ? stop + 1 : stop;
    return true;
}

int dt_bits_parse(struct dt_bits *bits, const char *list, size_t bytes, struct dt_error *err)
{
    const char *at = list;
    size_t first, last;
    if (bits_init(bits, bytes, err))
        return -1;
    do {
        if (!next_range(&at, bytes * 8, &first, &last)) {
            dt_bits_fini(bits);
            return dt_error_set(err, "'%.64s' is no list of numbers below %zu", list, bytes * 8);
        }
        for (size_t i = first; i <= last; i++)
            bits->words[i / WORD_BITS] |= 1ul << i % WORD_BITS;
    } while (*at);
    return 0;
}

/* The lowest of them alone. */
static void keep_first(struct dt_bits *bits)
{
    bool kept = false;
    for (size_t w = 0; w < bits->bytes / sizeof *bits->words; w++) {
        bits->words[w] = kept ? 0 : bits->words[w] & -bits->words[w];
        kept = kept || bits->words[w];
    }
}

static bool has_several(const struct dt_bits *bits)
{
    int count = 0;
    for (size_t w = 0; w < bits->bytes / sizeof *bits->words; w++)
        count += __builtin_popcountl(bits->words[w]);
    return count > 1;
}

/* ---- a rank's ------------------------------------------------------------------------------ */

static int keep_text(char **out, const char *text, struct dt_error *err)
{
    free(*out);
    *out = strdup(text);
    return *out ? 0 : dt_error_set(err, "out of memory");
}

int dt_bind_target_cpus(struct dt_bind_target *target, const char *list, size_t bytes,
                        struct dt_error *err)
{
    dt_bits_fini(&target->cpus);
    dt_bits_fini(&target->real);
    return keep_text(&target->cpu_list, list, err) ||
                   dt_bits_parse(&target->cpus, list, bytes, err) ||
                   bits_init(&target->real, bytes, err)
               ? -1
               : 0;
}

static int mode_of(const char *policy)
{
    static const char *const names[] = {[POLICY_PREFERRED] = "preferred",
                                        [POLICY_BIND] = "bind",
                                        [POLICY_INTERLEAVE] = "interleave",
                                        [POLICY_LOCAL] = "local"};
    for (int mode = POLICY_PREFERRED; mode <= POLICY_LOCAL; mode++) {
        if (strcmp(names[mode], policy) == 0)
            return mode;
    }
    return -1;
}

int dt_bind_target_memory(struct dt_bind_target *target, const char *policy, const char *list,
                          struct dt_error *err)
{
    target->mode = mode_of(policy);
    if (target->mode < 0)
        return dt_error_set(err, "memory policy '%.64s' is unknown", policy);
    dt_bits_fini(&target->nodes);
    dt_bits_fini(&target->first_node);
    if (keep_text(&target->policy, policy, err) || keep_text(&target->node_list, list, err))
        return -1;
    if (target->mode == POLICY_LOCAL)
        return 0;
    if (dt_bits_parse(&target->nodes, list, NODE_BYTES, err) ||
        dt_bits_parse(&target->first_node, list, NODE_BYTES, err))
        return -1;
    keep_first(&target->first_node);
    if (target->mode == POLICY_PREFERRED && has_several(&target->nodes))
        target->mode = POLICY_PREFERRED_MANY;
    return 0;
}

void dt_bind_target_fini(struct dt_bind_target *target)
{
    free(target->cpu_list);
    free(target->policy);
    free(target->node_list);
    dt_bits_fini(&target->cpus);
    dt_bits_fini(&target->nodes);
    dt_bits_fini(&target->first_node);
    dt_bits_fini(&target->real);
    *target = (struct dt_bind_target){0};
}

/* ---- the kernel ---------------------------------------------------------------------------- */

static long set_policy(int mode, const struct dt_bits *nodes)
{
    /* The kernel takes the number of bits, and reads one less. */
    return syscall(SYS_set_mempolicy, mode, nodes->words, nodes->words ? nodes->bytes * 8 + 1 : 0);
}

static int set_memory(const struct dt_bind_target *target)
{
    long rc = set_policy(target->mode, &target->nodes);
    /* Kernels before 5.15 prefer one node at most. */
    if (rc < 0 && errno == EINVAL && target->mode == POLICY_PREFERRED_MANY)
        rc = set_policy(POLICY_PREFERRED, &target->first_node);
    /* A kernel without NUMA has one kind of memory: any preference holds. */
    return rc < 0 && errno != ENOSYS ? -1 : 0;
}

int dt_bind_target_apply(const struct dt_bind_target *target, int *why)
{
    *why = 0;
    if (target->cpus.words) {
        if (syscall(SYS_sched_setaffinity, 0, target->cpus.bytes, target->cpus.words) < 0) {
            *why = errno;
            return DT_BIND_STEP_CPUS;
        }
        if (syscall(SYS_sched_getaffinity, 0, target->real.bytes, target->real.words) < 0 ||
            memcmp(target->real.words, target->cpus.words, target->cpus.bytes) != 0)
            return DT_BIND_STEP_MASK;
    }
    if (target->policy && set_memory(target)) {
        *why = errno;
        return DT_BIND_STEP_MEMORY;
    }
    return 0;
}

int dt_bind_target_failed(const struct dt_bind_target *target, int step, int why, int rank,
                          struct dt_error *err)
{
    switch (step) {
    case DT_BIND_STEP_CPUS:
        return dt_error_set(err, "rank %d can not be bound to CPUs %s: %s", rank, target->cpu_list,
                            strerror(why));
    case DT_BIND_STEP_MASK:
        return dt_error_set(err,
                            "rank %d was bound to CPUs %s, and the kernel gave others (a cpuset in "
                            "the way?)",
                            rank, target->cpu_list);
    default:
        return dt_error_set(err, "rank %d: memory policy %s %s was refused: %s", rank,
                            target->policy, target->node_list, strerror(why));
    }
}

/* Does the policy of this process equal "preferred:0-1", as the plugin has told it? */
static bool is_as_told(const char *told, int mode, const unsigned long *nodes)
{
    struct dt_bind_target target = {0};
    struct dt_error err;
    const char *colon = strchr(told, ':');
    char *policy = strndup(told, strcspn(told, ":"));
    bool same = false;
    if (policy && dt_bind_target_memory(&target, policy, colon ? colon + 1 : "", &err) == 0) {
        same = mode == target.mode &&
               (!target.nodes.words || memcmp(nodes, target.nodes.words, NODE_BYTES) == 0);
        if (!same && target.mode == POLICY_PREFERRED_MANY && mode == POLICY_PREFERRED)
            same = memcmp(nodes, target.first_node.words, NODE_BYTES) == 0;
    }
    dt_bind_target_fini(&target);
    free(policy);
    return same;
}

bool dt_memory_is_chosen(const char *told)
{
    unsigned long nodes[NODE_BYTES / sizeof(unsigned long)] = {0};
    int mode = 0;
    if (syscall(SYS_get_mempolicy, &mode, nodes, NODE_BYTES * 8 + 1, NULL, 0) || mode == 0)
        return false;
    return !told || !is_as_told(told, mode, nodes);
}
