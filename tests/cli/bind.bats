#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # each test is a process of its own
# The binding between Slurm, the user and the plan, on trees of machine types: which accelerators the job has, who
# chose them, what a rank sees of them and of the NICs, and what is kept for other threads.

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\nstate-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    unset CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL SLURM_STEP_GPUS SLURM_JOB_GPUS FI_EFA_IFACE OMP_NUM_THREADS
}
tell() { printf '%s\n' "$*" "--- plan:" "$plan" >&2; return 1; }

tree() { # TYPE
    "$build/localcluster/dt-personality" tree --instances configs/instances.conf --type "$1" --out "$dir/tree" \
        --nvml "$build/localcluster/libnvidia-ml.so.1"
}
plan() { # RANKS OPTIONS
    plan=$("$build/libexec/dt-node" --plan --ranks "$1" "${@:2}" --root "$dir/tree" --config "$dir/dt.conf")
    [ "$(tail -n 1 <<<"$plan")" = end ] || tell "the plan is not complete"
}
# of RANK NAME: the value of a variable of the rank, whichever way it is set
of() {
    awk -v rank="$1" -v name="$2" '$1 == "rank" && $2 == rank && $3 ~ /set|default/ && $4 == name { print $5 }' <<<"$plan"
}
cpus() { # RANK
    awk -v rank="$1" '$1 == "rank" && $2 == rank && $3 == "cpus" { print $4 }' <<<"$plan"
}
uuid() { # INDEX in PCI order
    local files=("$dir"/tree/proc/driver/nvidia/gpus/*/information)
    sed -n 's/^GPU UUID:[[:space:]]*//p' "${files[$1]}"
}
is() { # WHAT GOT EXPECTED
    [ "$2" = "$3" ] || tell "$1 is '$2', expected '$3'"
}

@test "half of a shared node: the GPUs that Slurm gave, and cores near them" {
    tree p5.48xlarge
    export SLURM_STEP_GPUS=4,5,6,7 CUDA_VISIBLE_DEVICES=4,5,6,7 GPU_DEVICE_ORDINAL=4,5,6,7
    plan 4
    for rank in 0 1 2 3; do is "GPU of rank $rank" "$(of $rank DT_BIND_GPUS)" "$(uuid $((rank + 4)))"; done
    is "CPUs of rank 0" "$(cpus 0)" 0-11,48-59,96-107,144-155
    plan 4 --allowed 48-95,144-191
    is "CPUs of rank 0" "$(cpus 0)" 48-59,144-155
}

@test "a batch job's GPUs, in a step that was given none of its own" {
    tree p5.48xlarge
    export SLURM_JOB_GPUS=0,1 CUDA_VISIBLE_DEVICES=0,1 GPU_DEVICE_ORDINAL=0,1
    plan 2
    is "GPU of rank 1" "$(of 1 DT_BIND_GPUS)" "$(uuid 1)"
}

@test "the user's own CUDA_VISIBLE_DEVICES stays, and cores are near its GPUs" {
    tree p5.48xlarge
    CUDA_VISIBLE_DEVICES=7,0 plan 2
    is "GPU of rank 0" "$(of 0 DT_BIND_GPUS)" "$(uuid 7)"
    is "CPUs of rank 0" "$(cpus 0)" 48-95,144-191
    is "CPUs of rank 1" "$(cpus 1)" 0-47,96-143
    ! grep -q CUDA_VISIBLE_DEVICES <<<"$plan" || tell "CUDA_VISIBLE_DEVICES is touched"
    second=$(uuid 2)
    CUDA_VISIBLE_DEVICES=${second:0:20} plan 1
    is "GPU by the head of its name" "$(of 0 DT_BIND_GPUS)" "$second"
    CUDA_VISIBLE_DEVICES=MIG-1234 plan 2
    is "GPU of a list that is not understood" "$(of 0 DT_BIND_GPUS)" ""
}

@test "one rank with several GPUs is not narrowed: it may be a launcher" {
    tree p5.48xlarge
    plan 1 --gpus own
    is "CPUs" "$(cpus 0)" 0-191
    is "number of GPUs" "$(of 0 DT_BIND_GPUS | tr , '\n' | wc -l)" 8
    ! grep -q CUDA_VISIBLE_DEVICES <<<"$plan" || tell "CUDA_VISIBLE_DEVICES is touched"
}

@test "gpus=all lists all GPUs in rank order, own narrows by name, off leaves them alone" {
    tree p5.48xlarge
    plan 8
    is "all" "$(awk '$1 == "all" && $3 == "CUDA_VISIBLE_DEVICES" { print $2, $4 }' <<<"$plan")" \
        "default $(for i in {0..7}; do uuid "$i"; done | paste -sd,)"
    plan 4 --gpus own
    is "own" "$(of 1 CUDA_VISIBLE_DEVICES)" "$(uuid 2),$(uuid 3)"
    plan 8 --gpus off
    ! grep -q CUDA_VISIBLE_DEVICES <<<"$plan" || tell "CUDA_VISIBLE_DEVICES is touched"
}

@test "gpus=own gives NeuronCores by number, and shares of a device" {
    tree trn1.32xlarge
    for ((i = 0; i < 16; i++)); do echo 2 >"$dir/tree/sys/class/neuron_device/neuron$i/core_count"; done
    plan 16 --gpus own
    is "cores of rank 3" "$(of 3 NEURON_RT_VISIBLE_CORES)" 6-7
    plan 32 --gpus own
    is "core of rank 3" "$(of 3 NEURON_RT_VISIBLE_CORES)" 3
}

@test "NICs are restricted only when asked, by whole groups" {
    tree p5.48xlarge
    plan 8
    is "off" "$(of 0 FI_EFA_IFACE)" ""
    plan 8 --nic plan
    is "plan, which needs all NICs" "$(of 0 FI_EFA_IFACE)" ""
    plan 8 --nic narrow
    is "narrow" "$(of 3 FI_EFA_IFACE)" "$(of 3 DT_BIND_NICS)"
    is "number of NICs" "$(of 3 FI_EFA_IFACE | tr , '\n' | wc -l)" 4
    export SLURM_STEP_GPUS=0,1
    plan 2 --nic plan
    is "plan of a part of the node" "$(of 0 FI_EFA_IFACE)" "$(of 0 DT_BIND_NICS),$(of 1 DT_BIND_NICS)"
    is "the same for all" "$(of 1 FI_EFA_IFACE)" "$(of 0 FI_EFA_IFACE)"
}

@test "cores for communication and loaders are taken off the suggested threads" {
    tree p5.48xlarge
    plan 8
    is "threads" "$(of 0 OMP_NUM_THREADS)" 12
    plan 8 --reserve 2 --loaders 4
    is "threads" "$(of 0 OMP_NUM_THREADS)" 6
    is "loaders" "$(of 0 DT_BIND_LOADERS)" 4
    is "reserved" "$(of 0 DT_BIND_RESERVED)" 10-11,106-107
    is "CPUs" "$(cpus 0)" 0-11,96-107
}

@test "a plan names the mask that it was made for" {
    tree p5.48xlarge
    plan 2 --allowed 0-3
    grep -qx "rank 1 found 0-3" <<<"$plan" || tell "no mask"
    [ "$(grep -n 'rank 1 found' <<<"$plan" | cut -d: -f1)" -lt "$(grep -n 'rank 1 cpus' <<<"$plan" | cut -d: -f1)" ] ||
        tell "it comes too late"
}

@test "one CPU for eight ranks is shared, and said" {
    tree p5.48xlarge
    plan 8 --allowed 5 --explain
    for rank in {0..7}; do is "CPUs of rank $rank" "$(cpus "$rank")" 5; done
    [[ $plan == *"8%20ranks%20have%20fewer%20cores%20than%20one%20each"* ]] || tell "not said"
}

@test "wrong words of a dry run are refused" {
    for words in "--memory far" "--gpus mine" "--nic wide" "--reserve 0" "--loaders x"; do
        # shellcheck disable=SC2086
        run "$build/libexec/dt-node" --plan $words
        [ "$status" -eq 64 ] || tell "$words: $status"
        [[ $output == *"${words%% *}"* ]] || tell "$words: $output"
    done
}
