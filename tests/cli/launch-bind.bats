#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-launch --bind: the ranks of one agent have what dt-node plans for them, masks and policies as the kernel
# tells them.

# shellcheck disable=SC2016 # the shells of the ranks expand them

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    build=$(realpath "${BUILD:-build}")
    dir=$BATS_TEST_TMPDIR
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|CUDA_|GPU_|OMP_)'); do
        [[ $name == DT_CORPUS ]] || unset "$name"
    done
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    mkdir "$dir/bin"
    cp "$build/bin/dt-launch" "$dir/bin/"
    launch=$dir/bin/dt-launch
    real_node="$build/libexec/dt-node"
    beside <<<"exec '$real_node' --config '$dir/dt.conf' \"\$@\""
}
tell() { printf '%s\n' "$*" "--- output:" "$output" >&2; return 1; }

beside() { # a dt-node of our own beside dt-launch; on standard input: the script
    { echo '#!/bin/sh'; cat; } >"$dir/bin/dt-node"
    chmod +x "$dir/bin/dt-node"
}

own=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
show='echo "rank=$LOCAL_RANK mask=$(sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status)" \
    "told=$DT_BIND_CPUS memory=$DT_BIND_MEMORY omp=$OMP_NUM_THREADS gpus=$DT_BIND_GPUS visible=$CUDA_VISIBLE_DEVICES" \
    "policy=$(sed -n "1s/^[^ ]* \([^ ]*\).*/\1/p" /proc/self/numa_maps 2>/dev/null) slurm=$SLURM_CPU_BIND"'

# ranks N OPTION...: run them; their lines in $output
ranks() {
    local count=$1
    shift
    run --separate-stderr "$launch" --nproc-per-node "$count" "$@" -- sh -c "$show"
    [ "$status" -eq 0 ] || tell "code $status: $stderr"
    [ "$(grep -c '^rank=' <<<"$output")" -eq "$count" ] || tell "not $count ranks"
}
of() { # RANK WORD
    sed -n "s/^rank=$1 .*\b$2=\([^ ]*\).*/\1/p" <<<"$output"
}
is() { # RANK WORD VALUE
    [ "$(of "$1" "$2")" = "$3" ] || tell "rank $1 has $2=$(of "$1" "$2"), expected $3"
}
planned() { # RANK, of $plan
    sed -n "s/^rank $1 cpus //p" <<<"$plan"
}
unbound() { # COUNT
    local rank
    for ((rank = 0; rank < $1; rank++)); do
        is $rank mask "$own"
        is $rank told ""
    done
}

@test "each rank has the mask, the memory and the threads of dt-node's plan" {
    for count in 2 3 4; do
        plan=$("$real_node" --plan --ranks $count --config "$dir/dt.conf")
        ranks $count --bind=auto
        for ((rank = 0; rank < count; rank++)); do
            [ -n "$(planned $rank)" ] || tell "no plan"
            is $rank mask "$(planned $rank)"
            is $rank told "$(planned $rank)"
            is $rank omp "$(sed -n "s/^rank $rank bind-default OMP_NUM_THREADS //p" <<<"$plan")"
            is $rank slurm "" # not in a step: an srun below would take it for a wish
        done
        [ -z "$stderr" ] || tell "said: $stderr"
    done
}

@test "the memory policy is the one asked for" {
    [ -e /proc/self/numa_maps ] || skip "this kernel has no NUMA"
    ranks 2 --bind=interleave
    [[ $(of 1 policy) == interleave:* ]] || tell "no interleave"
    is 1 memory "$(of 1 policy)"
    ranks 2 --bind=auto,bind
    [[ $(of 0 policy) == bind:* ]] || tell "no bind"
    is 0 memory "$(of 0 policy)"
}

@test "what dt-launch may use is what there is to plan with" {
    first=${own%%[-,]*}
    run --separate-stderr taskset -c "$first" "$launch" --bind=auto --nproc-per-node 2 -- sh -c "$show"
    is 0 mask "$first"
    is 1 mask "$first"
    [ -z "$stderr" ] || tell "said: $stderr"
}

@test "a memory policy that was there stays, and that is said" {
    command -v numactl >/dev/null && numactl --membind=0 true 2>/dev/null || skip "no numactl here"
    run --separate-stderr numactl --membind=0 "$launch" --bind=auto --nproc-per-node 2 -- sh -c "$show"
    is 0 memory kept
    is 1 policy bind:0
    [[ $stderr == *"the memory policy that dt-launch was started with is left alone"* ]] || tell "$stderr"
    # the plugin's own is none
    DT_BIND_MEMORY=bind:0 run --separate-stderr numactl --membind=0 "$launch" --bind=interleave --nproc-per-node 2 -- sh -c "$show"
    [[ $(of 1 policy) == interleave:* ]] || tell "the plugin's policy was kept"
    [ -z "$stderr" ] || tell "said: $stderr"
}

@test "who decides: --bind, then what the plugin was asked, then DT_BIND, then nobody" {
    ranks 2
    unbound 2
    DT_BIND=auto ranks 2
    is 0 told "$(of 0 mask)"
    DT_BIND=auto ranks 2 --bind=off
    unbound 2
    DT_BIND_CPUS=$own DT_BIND_MODE=auto,reserve=0,nic=narrow DT_BIND=off ranks 2
    [ "$(of 0 memory)" != "" ] || tell "not bound as the plugin was asked"
    # the plugin has stood back
    DT_BIND_CPUS=$own DT_BIND=auto ranks 2
    is 0 mask "$own"
    is 0 memory ""
    DT_BIND_CPUS=$own DT_BIND=auto ranks 2 --bind=auto
    [ "$(of 0 memory)" != "" ] || tell "--bind does not count"
}

@test "dt.conf is the one that the plugin was told of" {
    beside <<<'echo "asked: $*" >&2; exit 78'
    DT_BIND_CONFIG=/etc/other.conf ranks 2 --bind=explain,interleave,reserve=2,loaders=0,gpus=own,nic=plan
    [[ $stderr == "asked: --plan --binding --ranks 2 --memory interleave --gpus own --nic plan --reserve 2 --config /etc/other.conf --explain"* ]] || tell "$stderr"
}

@test "a program that binds itself: dt-launch stands back, and says so" {
    run --separate-stderr "$launch" --bind=auto --nproc-per-node 2 -- /usr/bin/taskset -c "${own%%[-,]*}" sh -c "$show"
    [ "$status" -eq 0 ] || tell "code $status"
    is 0 told ""
    [ "$stderr" = "dt-launch: bind: stood back: taskset binds each rank itself" ] || tell "$stderr"
}

@test "threads: the plugin's number for the whole task is none of a rank's, the user's own stays" {
    DT_BIND_OMP=96 OMP_NUM_THREADS=96 ranks 2
    is 0 omp 1
    DT_BIND_OMP=96 OMP_NUM_THREADS=96 ranks 2 --bind=auto
    [ "$(of 0 omp)" != 96 ] || tell "96 threads"
    DT_BIND_OMP=96 OMP_NUM_THREADS=5 ranks 2 --bind=auto
    is 1 omp 5
}

@test "--dry-run shows what the ranks then have" {
    ranks 2 --bind=auto
    masks=$(of 0 mask)/$(of 1 mask)
    run "$launch" --bind=auto --dry-run --nproc-per-node 2 -- true
    [ "$(sed -n 's/^  cpus  //p' <<<"$output" | paste -sd/)" = "$masks" ] || tell "other masks than $masks"
    [[ $output == *"  set   DT_BIND_CPUS="* ]] || tell "no DT_BIND_CPUS"
}

# ---- GPUs ----------------------------------------------------------------------------------------

# The devices of a p5.48xlarge with this machine's CPUs.
on_p5() {
    "$build/localcluster/dt-personality" tree --instances configs/instances.conf --type p5.48xlarge \
        --out "$dir/tree" --nvml "$build/localcluster/libnvidia-ml.so.1"
    beside <<<"exec '$real_node' --root '$dir/tree' --allowed '$own' --config '$dir/dt.conf' \"\$@\""
}
uuid() { # INDEX, in PCI order
    cat "$dir"/tree/proc/driver/nvidia/gpus/*/information | sed -n 's/^GPU UUID:[[:space:]]*//p' | sed -n "$(($1 + 1))p"
}
uuids() { # INDEX...
    local index
    for index; do uuid "$index"; done | paste -sd,
}

@test "GPUs: those of the step, by name where the plugin told them" {
    [[ $own == 0-* ]] || skip "the CPUs of this machine are not those of a p5"
    on_p5
    ranks 2 --bind=auto
    is 1 gpus "$(uuids 4 5 6 7)"
    SLURM_STEP_GPUS=4,5 CUDA_VISIBLE_DEVICES=0,1 GPU_DEVICE_ORDINAL=0,1 ranks 2 --bind=auto
    is 0 gpus "$(uuid 4)"
    is 1 gpus "$(uuid 5)"
    is 1 visible 0,1
    DT_BIND_GPUS=$(uuids 2 3) CUDA_VISIBLE_DEVICES=0,1 GPU_DEVICE_ORDINAL=0,1 ranks 2 --bind=auto
    is 0 gpus "$(uuid 2)"
    is 1 gpus "$(uuid 3)"
}

@test "GPUs: the user's own choice inside a step counts what the step sees" {
    [[ $own == 0-* ]] || skip "the CPUs of this machine are not those of a p5"
    on_p5
    SLURM_STEP_GPUS=4,5,6,7 GPU_DEVICE_ORDINAL=0,1,2,3 CUDA_VISIBLE_DEVICES=3,1 ranks 2 --bind=auto,gpus=own
    is 0 gpus "$(uuid 7)"
    is 1 gpus "$(uuid 5)"
    is 0 visible 3,1
}

@test "GPUs: gpus=own, and one each in the order of the ranks" {
    [[ $own == 0-* ]] || skip "the CPUs of this machine are not those of a p5"
    on_p5
    ranks 2 --bind=gpus=own
    is 1 visible "$(uuids 4 5 6 7)"
    ranks 8 --bind=auto
    is 5 visible "$(uuids 0 1 2 3 4 5 6 7)"
    is 5 gpus "$(uuid 5)"
}

# ---- trouble -------------------------------------------------------------------------------------

@test "without dt-node, or with one that fails: said once, and the ranks run unbound" {
    rm "$dir/bin/dt-node"
    ranks 3 --bind=auto
    unbound 3
    [ "$(grep -c . <<<"$stderr")" -eq 1 ] || tell "$stderr"
    [[ $stderr == "dt-launch: warning: --bind: dt-node is neither beside dt-launch"* ]] || tell "$stderr"
    beside <<<'exit 78'
    ranks 2 --bind=auto
    unbound 2
    [[ $stderr == *"the ranks on "*" are not bound: "*"dt-node ended with code 78" ]] || tell "$stderr"
    beside <<<'kill -9 $$'
    ranks 2 --bind=auto
    [[ $stderr == *"was killed by signal 9" ]] || tell "$stderr"
}

@test "a plan that is none, of another mask, or of too many ranks: nothing of it is used" {
    for text in 'dt-plan 1\nrank 0 cpus 0\n' 'dt-plan 2\nend\n' 'dt-plan 1\nrank 0 found 4711\nrank 0 cpus 0\nend\n' \
        'dt-plan 1\nrank 7 cpus 0\nend\n' 'dt-plan 1\nrank 0 cpus 9-1\nend\n' 'dt-plan 1\nrank 0 cpus 99999999\nend\n' \
        'dt-plan 1\nrank 0 memory best 0\nend\n' 'dt-plan 1\nall set A b\nall env-set X y\nend\n'; do
        beside <<<"printf '$text'"
        ranks 2 --bind=auto
        unbound 2
        [[ $stderr == "dt-launch: warning: --bind: the ranks on "* ]] || tell "$text: $stderr"
        [ "$(grep -c . <<<"$stderr")" -eq 1 ] || tell "$text: $stderr"
    done
}

@test "a rank that can not have its CPUs ends all with 69" {
    beside <<<"printf 'dt-plan 1\nrank 0 found $own\nrank 1 cpus 1023\nend\n'"
    [ ! -e /sys/devices/system/cpu/cpu1023 ] || skip "this machine has that CPU"
    run --separate-stderr -69 "$launch" --bind=auto --nproc-per-node 2 -- sleep 30
    [[ $stderr == *"dt-launch: rank 1 can not be bound to CPUs 1023: Invalid argument (node "* ]] || tell "$stderr"
}

@test "wrong words are refused in one sentence" {
    for words in nono auto,off auto,auto reserve= reserve=x loaders=99999 gpus=none nic=wide 'auto,' bind,local; do
        run -64 "$launch" --bind="$words" --nproc-per-node 2 -- true
        [ "${#lines[@]}" -eq 1 ] || tell "more than a line"
        [[ $output == "dt-launch: --bind is \"$words\": '"* ]] || tell "other words"
    done
    DT_BIND=nono run -64 "$launch" --nproc-per-node 2 -- true
    [[ $output == 'dt-launch: DT_BIND is "nono": '* ]] || tell "DT_BIND"
}

@test "--bind with a task for each rank is the plugin's business" {
    export SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_NPROCS=1 \
        SLURM_STEP_NUM_TASKS=1 SLURM_NNODES=1 SLURM_STEP_NUM_NODES=1 SLURM_STEP_TASKS_PER_NODE=1 SLURM_STEP_NODELIST=a
    run -64 "$launch" --bind=auto -- true
    [[ $output == *"--bind needs --nproc-per-node"* ]] || tell "other words"
    DT_BIND=auto run -0 "$launch" -- true
}
