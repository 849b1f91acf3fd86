#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the ranks have where their program runs: behind a plugin that, as pyxis does, gives each task a mount
# namespace of its own.

load common

setup_file() {
    cluster_up --nodes 2 --as p4d.24xlarge,host
    cluster_enter
    # The container: /dev/shm of 64 MiB, one GPU and one EFA device less, fewer CPUs; FAULTS says which of these.
    cat >"$DT_CLUSTER_SHARED/box.c" <<'C'
#define _GNU_SOURCE
#include <sched.h>
#include <slurm/spank.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
SPANK_PLUGIN(box, 1)
static char faults[64];
static int put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    return !file || fputs(text, file) < 0 || fclose(file);
}
static int wants(const char *fault) { return strstr(faults, fault) != NULL; }
int slurm_spank_init(spank_t spank, int argc, char **argv) { (void)spank, (void)argc, (void)argv; return 0; }
/* As root, and in the task alone: it is forked, and still privileged. */
int slurm_spank_task_init_privileged(spank_t spank, int argc, char **argv)
{
    (void)argc, (void)argv;
    if (spank_getenv(spank, "FAULTS", faults, sizeof faults) != ESPANK_SUCCESS)
        return 0;
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return -1;
    if (wants("shm") && mount("box", "/dev/shm", "tmpfs", 0, "size=64m,mode=1777"))
        return -1;
    /* As a cgroup refuses it: the node is there, and can not be opened. */
    if (wants("gpu") && (mount("box", "/media", "tmpfs", MS_NODEV, "size=1m") ||
                         mknod("/media/gpu", S_IFCHR | 0666, makedev(1, 3)) ||
                         mount("/media/gpu", "/dev/nvidia3", NULL, MS_BIND, NULL)))
        return -1;
    if (wants("efa") && mount("box", "/dev/infiniband", "tmpfs", 0, "size=1m"))
        return -1;
    /* There, and not for the user: root would see no difference, so the file is of a mount that is read-only. */
    if (wants("neuron") && (mount("box", "/media", "tmpfs", 0, "size=1m") || put("/media/neuron1", "") ||
                            mount("none", "/media", NULL, MS_REMOUNT | MS_RDONLY, NULL) ||
                            mount("/media/neuron1", "/dev/neuron1", NULL, MS_BIND, NULL)))
        return -1;
    /* A machine of 4000 CPUs: then the cpuset of this one is smaller than what Slurm gives. */
    if (wants("cpuset") && mount(STAT, "/proc/stat", NULL, MS_BIND, NULL))
        return -1;
    if (wants("limits") && setrlimit(RLIMIT_NOFILE, &(struct rlimit){512, 512}))
        return -1;
    if (wants("limits") && setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){65536, 65536}))
        return -1;
    return 0;
}
/* A mask of one CPU, behind Slurm's. */
int slurm_spank_task_init(spank_t spank, int argc, char **argv)
{
    cpu_set_t set;
    int cpu = 0;
    (void)spank, (void)argc, (void)argv;
    if (!wants("mask") || sched_getaffinity(0, sizeof set, &set))
        return 0;
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set);
}
C
    seq 0 3999 | sed 's/.*/cpu& 1 2 3/' >"$DT_CLUSTER_SHARED/stat"
    gcc -shared -fPIC -DSTAT="\"$DT_CLUSTER_SHARED/stat\"" -o "$DT_CLUSTER_SHARED/box.so" "$DT_CLUSTER_SHARED/box.c"
    sed -i "1i optional $DT_CLUSTER_SHARED/box.so" "$(dirname "$SLURM_CONF")/plugstack.conf"
    # The node's own devices, which are /dev/null's; the machine's /dev stays as it is.
    # shellcheck disable=SC2016 # the node's shell expands it
    dt_cluster run "$CLUSTER-1" -- sh -ec '
        mount -t tmpfs -o mode=755 box /mnt
        for name in null zero full random urandom tty kmsg; do touch /mnt/$name; mount --bind /dev/$name /mnt/$name; done
        ln -s /proc/self/fd /mnt/fd
        mkdir /mnt/shm /mnt/pts /mnt/infiniband
        mount --rbind /dev/shm /mnt/shm; mount --rbind /dev/pts /mnt/pts
        for i in 0 1 2 3 4 5 6 7; do mknod -m 666 /mnt/nvidia$i c 1 3; done
        for i in 0 1; do mknod -m 666 /mnt/neuron$i c 1 3; done
        touch /mnt/x; mknod -m 666 /mnt/infiniband/uverbs0 c 1 3
        mount --rbind /mnt /dev'
}
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    node=$CLUSTER-1
}

inside() { # FAULTS OPTIONS OF SRUN...
    local faults=$1
    shift
    FAULTS=$faults run srun -w "$node" -N1 -n2 --gres=gpu:8 "$@" echo started
}

@test "a container that has all: the program starts, and nothing is said of it" {
    inside none --dt-validate=full
    assert_code 0
    assert_lines 2 '^started$'
    assert_silent_about "seen from"
}
@test "64 MiB of /dev/shm in the container: named before the program starts, once a node" {
    inside shm --dt-validate=full
    assert_code 65
    assert_lines 0 '^started$'
    assert_lines 1 "^dt: node $node, seen from where the program runs: /dev/shm holds 64 MiB, wanted: [0-9]+ .*not started"
    assert_nodes_healthy
}
@test "told only, where the user wants that; and not looked at by a level that does not" {
    inside shm --dt-validate=full --dt-on-fail=warn
    assert_code 0
    assert_lines 2 '^started$'
    assert_lines 1 "^dt: node $node, seen from .* /dev/shm holds 64 MiB"
    inside shm --dt-validate=fast
    assert_code 0
    assert_silent_about "seen from"
}
@test "a GPU and an EFA device that the container lacks are named" {
    inside gpu,efa --dt-validate=full
    assert_code 65
    assert_lines 0 '^started$'
    assert_lines 1 "^dt: node $node, .*/dev/nvidia3 can not be opened: Permission denied.*/dev/infiniband/uverbs0 can not be opened: No such file"
    assert_silent_about "/dev/nvidia2"
    assert_nodes_healthy
}
@test "limits that were lowered behind slurmd are named, as they are where the program runs" {
    inside limits --dt-validate=full
    assert_code 65
    assert_lines 0 '^started$'
    assert_lines 1 "^dt: node $node, .*512 files may be open, wanted: [0-9]+ .*64 KiB may be locked, wanted: [0-9]+ MiB"
    assert_nodes_healthy
}
@test "a Neuron device that the container does not have is named, and the other is not" {
    inside neuron --dt-validate=full
    assert_code 65
    assert_lines 1 "^dt: node $node, .*/dev/neuron1: Read-only file system"
    assert_silent_about "/dev/neuron0"
}
@test "a cpuset with fewer CPUs than Slurm gave the step is told of, once a node, and refuses nothing" {
    inside cpuset --dt-validate=full --exclusive -c4
    assert_code 0
    assert_lines 2 '^started$'
    assert_lines 1 "^dt: node $node, seen from where the program runs: the cpuset has [0-9]+ of the [0-9]+ CPUs that Slurm gave the step here$"
    assert_nodes_healthy
}
@test "a mask that another plugin made too small is told of, and the user's own is not" {
    [ "$(nproc)" -ge 2 ] || skip "two CPUs are needed to narrow a mask"
    inside mask --dt-validate=full --dt-bind=off -c2
    assert_code 0
    assert_lines 2 '^started$'
    assert_lines 1 "^dt: node $node, .*: the CPU mask has 1 of the 2 CPUs that Slurm gave each rank, and --cpu-bind did not make it"
    assert_nodes_healthy
    export SLURM_CPU_BIND=map_cpu:1
    inside mask --dt-validate=full --dt-bind=off -c2
    assert_code 0
    assert_silent_about "seen from"
}
