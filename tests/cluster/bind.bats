#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who bound first, what dt does, and what the task sees, on a real Slurm. Each row is a test of its name.
#
#   who bound first                      what dt does                          what the task sees
#   ---------------------------------    -----------------------------------   --------------------------------------
#   nobody                               binds                                 the plan: mask, policy, SLURM_CPU_BIND
#   Slurm by itself (task/affinity)      plans anew within the same CPUs       the plan
#   --cpu-bind=cores, map_cpu            stands back, says from whom           Slurm's masks, no DT_BIND_MEMORY
#   --cpu-bind=none and --dt-bind        binds                                 the plan
#   SLURM_CPU_BIND in the environment    stands back, says from whom           Slurm's masks
#   SLURM_CPU_BIND inherited from the    stands back, says what to unset       the outer task's mask
#     step around srun
#   --mem-bind                           binds CPUs, leaves memory, says so    mask of the plan, DT_BIND_MEMORY=kept
#   taskset, numactl as the program      stands back, says from whom           what the program makes of it
#   a plugin before dt's line            stands back, says so                  the plugin's mask, DT_BIND_CPUS tells it
#   a plugin behind dt's line            binds; reads back and says so         the plugin's mask
#   --gres=gpu:4 of 8                    plans with these four                 DT_BIND_GPUS: the i-th of the four
#   --gpus-per-task, --gpu-bind=map_gpu  leaves GPUs, cores follow, says so    Slurm's GPU is the one in DT_BIND_GPUS
#   --gpu-bind=closest                   leaves GPUs, says so                  no DT_BIND_GPUS
#   one task, eight GPUs                 leaves all to it                      all CPUs, all GPUs
#   one task, dt-launch with ranks       the task has all; dt-launch binds     each rank: the plan for so many ranks
#   the same and --cpu-bind=cores        stands back; dt-launch too            the task's mask
#   the same and taskset                 stands back; dt-launch binds          the plan within taskset's mask
#   the user's CUDA_VISIBLE_DEVICES      plans near its GPUs (tests/cli/bind.bats: with a gpu GRES, Slurm replaces it)

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 2 --as host,p5.48xlarge; }
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    host=$CLUSTER-1
    p5=$CLUSTER-2
    plugstack=$(dirname "$SLURM_CONF")/plugstack.conf
    cp "$plugstack" "$BATS_TEST_TMPDIR/plugstack"
    [ "$(nproc)" -ge 2 ] || skip "two CPUs are needed to tell masks apart"
}
teardown() {
    [ ! -e "$BATS_TEST_TMPDIR/plugstack" ] || cp "$BATS_TEST_TMPDIR/plugstack" "$plugstack"
}

show='echo "rank=$SLURM_PROCID mask=$(sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status)" \
    "told=$DT_BIND_CPUS memory=$DT_BIND_MEMORY omp=$OMP_NUM_THREADS slurm=$SLURM_CPU_BIND gpus=$DT_BIND_GPUS" \
    "visible=$CUDA_VISIBLE_DEVICES"'

# two OPTIONS: two ranks on the host
two() {
    run env -u OMP_NUM_THREADS srun -w "$host" -N1 -n2 "$@" sh -c "$show"
    assert_code 0
    assert_lines 2 '^rank='
}
gpus() { # OPTIONS: two ranks on the p5
    run srun -w "$p5" -N1 -n2 "$@" sh -c "$show"
    assert_code 0
    assert_lines 2 '^rank='
}
of() { # RANK WORD
    sed -n "s/^rank=$1 .*\b$2=\([^ ]*\).*/\1/p" <<<"$output"
}
is() { # RANK WORD VALUE
    [ "$(of "$1" "$2")" = "$3" ] || tell "rank $1 has $2=$(of "$1" "$2"), expected $3"
}
# What dt tells is what the kernel has.
truth() {
    local rank
    for rank in 0 1; do
        is $rank told "$(of $rank mask)"
        [ -n "$(of $rank mask)" ] || tell "rank $rank has no mask"
    done
}
bound() {
    truth
    is 0 mask 0
    is 1 mask 1
    assert_lines 2 'memory=preferred:0 omp=1 slurm=quiet,mask_cpu:0x1,0x2 '
}
stood_back() { # FROM
    truth
    assert_lines 1 "^dt:   bind: .*$1"
    assert_lines 2 'memory= omp= '
}
uuid() { # INDEX, in PCI order
    dt_cluster run "$p5" -- sh -c "sed -n 's/^GPU UUID:[[:space:]]*//p' /proc/driver/nvidia/gpus/*/information" | sed -n "$(($1 + 1))p"
}
# A plugin that binds every task to CPU 1, as its users would do it.
other_plugin() {
    cat >other.c <<'C'
#define _GNU_SOURCE
#include <sched.h>
#include <slurm/spank.h>
SPANK_PLUGIN(other, 1)
int slurm_spank_task_init(spank_t spank, int argc, char **argv)
{
    cpu_set_t set;
    (void)spank, (void)argc, (void)argv;
    CPU_ZERO(&set);
    CPU_SET(1, &set);
    return sched_setaffinity(0, sizeof set, &set);
}
C
    gcc -shared -fPIC -o "$DT_CLUSTER_SHARED/other.so" other.c
}

@test "nobody, and Slurm by itself: dt binds" {
    two --dt-bind
    bound
    assert_silent_about "dt:"
}

@test "--cpu-bind=cores" {
    two --dt-bind --cpu-bind=cores
    stood_back "--cpu-bind=cores bound the ranks"
}

@test "--cpu-bind=map_cpu:1,0" {
    two --dt-bind --cpu-bind=verbose,map_cpu:1,0
    stood_back "--cpu-bind=map_cpu:1,0 bound the ranks"
    is 0 mask 1
    is 1 mask 0
}

@test "--cpu-bind=none and --dt-bind: dt binds" {
    two --dt-bind --cpu-bind=none
    bound
}

@test "--cpu-bind=none and nothing said of dt's binding: dt stands back" {
    two --dt-validate --dt-env=off --cpu-bind=none
    stood_back "--cpu-bind=none bound the ranks"
}

@test "SLURM_CPU_BIND in the environment" {
    export SLURM_CPU_BIND=rank
    two --dt-bind
    stood_back "SLURM_CPU_BIND=rank bound the ranks"
}

@test "SLURM_CPU_BIND inherited from the step around srun" {
    run srun -w "$host" -N1 -n1 -c2 --cpu-bind=map_cpu:1 srun -N1 -n2 --overlap --dt-bind sh -c "$show"
    assert_code 0
    stood_back "SLURM_CPU_BIND, inherited from step [0-9]+\.0 around this srun \(unset it"
}

@test "--mem-bind=local: CPUs only" {
    two --dt-bind --mem-bind=local
    truth
    assert_lines 2 'memory=kept omp=1 '
    assert_lines 1 '^dt:   bind: --mem-bind=local chose the memory policy'
}

@test "taskset as the program" {
    run srun -w "$host" -N1 -n2 --dt-bind taskset -c 1 sh -c "$show"
    assert_lines 1 '^dt:   bind: .*taskset bound the ranks'
}

@test "a plugin before dt's line: what it did stays, and is told" {
    other_plugin
    sed -i "1i optional $DT_CLUSTER_SHARED/other.so" "$plugstack"
    two --dt-bind
    truth
    is 0 mask 1
    is 1 mask 1
    is 0 memory ""
    assert_lines 1 '^dt:   bind: stood back: another plugin changed .* from 0 to 1;'
}

@test "a plugin behind dt's line: the difference is read back" {
    other_plugin
    echo "optional $DT_CLUSTER_SHARED/other.so" >>"$plugstack"
    run srun -w "$host" -N1 -n2 --dt-bind sh -c "$show; sleep 1"
    assert_code 0
    is 0 mask 1
    assert_lines 1 "^dt:   bind: on $host rank 0 runs on CPUs 1, and was bound to 0; something after dt"
    assert_no_helpers
}

@test "nothing differs: nothing is read back, and nothing stays behind" {
    run srun -w "$host" -N1 -n2 --dt-bind sh -c "$show; sleep 1"
    bound
    assert_silent_about "dt:"
    assert_no_helpers
}

@test "--gres=gpu:4: the plan is made of these" {
    gpus --gres=gpu:4 --dt-bind
    is 0 gpus "$(uuid 0),$(uuid 1)"
    is 1 gpus "$(uuid 2),$(uuid 3)"
    is 0 visible 0,1,2,3
    truth
}

@test "--gres=gpu:4 and gpus=own: each rank sees its own, by name" {
    gpus --gres=gpu:4 --dt-bind=gpus=own
    is 1 visible "$(uuid 2),$(uuid 3)"
    is 1 gpus "$(uuid 2),$(uuid 3)"
}

@test "--gpus-per-task=1" {
    gpus --gpus-per-task=1 --dt-bind=gpus=own
    is 0 gpus "$(uuid 0)"
    is 1 gpus "$(uuid 1)"
    is 0 visible 0
    is 1 visible 1
    truth
    assert_lines 1 '^dt:   bind: --gpus-per-task=1 gave GPUs to each task; they are left alone, and cores are near them'
}

@test "--gpu-bind=map_gpu:1,0" {
    gpus --gres=gpu:2 --gpu-bind=map_gpu:1,0 --dt-bind
    is 0 gpus "$(uuid 1)"
    is 0 visible 1
    is 1 gpus "$(uuid 0)"
    is 1 visible 0
}

@test "--gpu-bind=closest: which GPU is whose is not known" {
    gpus --gres=gpu:2 --gpu-bind=closest --dt-bind
    is 0 gpus ""
    assert_lines 1 '^dt:   bind: --gpu-bind=closest gave GPUs to each task; they are left alone, and which'
    truth
}

@test "one task, eight GPUs: all is left to it" {
    run srun -w "$p5" -N1 -n1 --gres=gpu:8 --dt-bind=gpus=own sh -c "$show"
    assert_code 0
    is 0 visible 0,1,2,3,4,5,6,7
    [ "$(of 0 gpus | tr , '\n' | wc -l)" -eq 8 ] || tell "not all GPUs"
    is 0 told "$(of 0 mask)"
}

# fan OPTION... -- BEFORE...: two ranks of a dt-launch in one task; WORDS are dt-launch's own options
fan() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    run env -u OMP_NUM_THREADS srun -N1 -n1 -c2 "${options[@]}" "$@" dt-launch --nproc-per-node 2 ${WORDS:+"$WORDS"} -- sh -c \
        "SLURM_PROCID=\$RANK; $show"
    assert_code 0
    assert_lines 2 '^rank='
}

@test "one task and dt-launch: its ranks have dt-node's plan for two ranks" {
    node=$(dirname "$(command -v dt-launch)")/../libexec/dt/dt-node
    plan=$(srun -w "$host" -N1 -n1 -c2 env -u OMP_NUM_THREADS "$node" --plan --ranks 2)
    fan -w "$host" --dt-bind --
    for rank in 0 1; do
        is $rank mask "$(sed -n "s/^rank $rank cpus //p" <<<"$plan")"
        is $rank memory "$(sed -n "s/^rank $rank bind-set DT_BIND_MEMORY //p" <<<"$plan")"
        is $rank omp "$(sed -n "s/^rank $rank bind-default OMP_NUM_THREADS //p" <<<"$plan")"
    done
    bound
    assert_silent_about "dt:"
    assert_silent_about "dt-launch:"
    # the words of --dt-bind are dt-launch's too
    fan -w "$host" --dt-bind=interleave --
    assert_lines 2 'memory=interleave:0 '
    # dt-launch's own come first
    WORDS=--bind=off fan -w "$host" --dt-bind --
    is 0 mask 0-1
    is 1 omp 1
    WORDS=--bind=auto fan -w "$host" --
    bound
}

@test "one task and dt-launch: what the user bound" {
    fan -w "$host" --dt-bind --cpu-bind=cores --
    is 0 mask 0-1
    is 1 mask 0-1
    assert_lines 1 '^dt:   bind: .*--cpu-bind=cores bound the ranks'
    fan -w "$host" --dt-bind -- taskset -c 1
    is 0 mask 1
    is 1 mask 1
    is 1 memory preferred:0
    assert_lines 1 '^dt:   bind: .*taskset bound the ranks'
}

@test "one task and dt-launch: the GPUs of the step are shared out" {
    fan -w "$p5" --gres=gpu:4 --dt-bind=gpus=own --
    is 0 gpus "$(uuid 0),$(uuid 1)"
    is 1 gpus "$(uuid 2),$(uuid 3)"
    is 1 visible "$(uuid 2),$(uuid 3)"
    truth
}

@test "more ranks than CPUs: each has one, none is left over" {
    run srun -w "$p5" -N1 -n8 --gres=gpu:8 --dt-bind sh -c "$show"
    assert_code 0
    assert_lines 8 '^rank=. mask=([0-9]+) told=\1 '
    [ "$(for r in {0..7}; do of "$r" mask; done | sort -u | wc -l)" -ge 2 ] || tell "not all CPUs are used"
}

@test "--dt-nic=narrow gives each rank its own NICs" {
    run srun -w "$p5" -N1 -n8 --gres=gpu:8 --dt-bind --dt-nic=narrow sh -c \
        'echo "same=$([ "$FI_EFA_IFACE" = "$DT_BIND_NICS" ] && echo yes) $FI_EFA_IFACE"'
    assert_code 0
    assert_lines 8 '^same=yes rdmap.*,.*,.*,rdmap'
    run srun -w "$p5" -N1 -n8 --dt-nic=narrow true
    assert_code 64
    assert_says "--dt-nic needs --dt-bind"
}
