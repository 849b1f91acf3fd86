#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What one rank per accelerator would get on each machine type, from a tree made of configs/instances.conf:
# first what must hold for any plan, then which cores, memory, accelerators and NICs it is.

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\nstate-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
}
tell() { printf '%s\n' "$*" "--- plan:" "$plan" >&2; return 1; }

# plan_of TYPE RANKS: the plan in $plan, and one line a rank in $lines: "cpus memory gpus nics"; GPUs by
# their PCI address.
plan_of() {
    local row rank
    "$build/localcluster/dt-personality" tree --instances configs/instances.conf --type "$1" --out "$dir/tree" \
        --nvml "$build/localcluster/libnvidia-ml.so.1"
    plan=$("$build/libexec/dt-node" --plan --ranks "$2" --root "$dir/tree" --config "$dir/dt.conf")
    [ "$(tail -n 1 <<<"$plan")" = end ] || tell "the plan is not complete"
    lines=
    for ((rank = 0; rank < $2; rank++)); do
        row=$(awk -v rank="$rank" '
            $1 == "rank" && $2 == rank && $3 == "cpus" { cpus = $4 }
            $1 == "rank" && $2 == rank && $3 == "memory" { memory = $4 ":" $5 }
            $1 == "rank" && $2 == rank && $4 == "DT_BIND_GPUS" { gpus = $5 }
            $1 == "rank" && $2 == rank && $4 == "DT_BIND_NICS" { nics = $5 }
            END { print cpus, memory, gpus ? gpus : "-", nics ? nics : "-" }' <<<"$plan")
        lines+=$row$'\n'
    done
    invariants "$2"
}

cpus_of() { # LIST: one number a line
    tr , '\n' <<<"$1" | awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }'
}

# Every PU has one rank; shares are equal; the siblings of a core are together; memory is that of the cores.
invariants() { # RANKS
    local all sizes cpus memory node cpu sibling mine list
    list=$(cut -d' ' -f1 <<<"$lines" | sed '/^$/d')
    all=$(while read -r cpus; do cpus_of "$cpus"; done <<<"$list" | sort -n)
    [ "$all" = "$(cpus_of "$(cat "$dir/tree/sys/devices/system/cpu/online")")" ] || tell "not every PU once"
    sizes=$(while read -r cpus; do cpus_of "$cpus" | wc -l; done <<<"$list" | sort -u | wc -l)
    [ "$sizes" -eq 1 ] || tell "shares differ"
    while read -r cpus memory _; do
        [ -n "$cpus" ] || continue
        mine=" $(cpus_of "$cpus" | tr '\n' ' ')"
        cpu=${cpus%%[-,]*}
        for sibling in $(cpus_of "$(cat "$dir/tree/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list")"); do
            [[ $mine == *" $sibling "* ]] || tell "sibling $sibling of $cpu is with another rank"
        done
        node=${memory#preferred:}
        [[ " $(cpus_of "$(cat "$dir/tree/sys/devices/system/node/node$node/cpulist")" | tr '\n' ' ')" == *" $cpu "* ]] ||
            tell "CPUs $cpus are not on node $node"
    done <<<"$lines"
}

# is RANK CPUS NODE NICS
is() {
    local got
    got=$(sed -n "$(($1 + 1))p" <<<"$lines" | cut -d' ' -f1,2,4)
    [ "$got" = "$2 preferred:$3 $4" ] || tell "rank $1 has '$got', expected '$2 preferred:$3 $4'"
}
# Rank i has accelerator i: of the PCI order that the driver numbers by.
gpus_in_order() { # ADDRESS...
    local rank=0 uuid bdf
    for bdf in "$@"; do
        uuid=$(sed -n 's/^GPU UUID:[[:space:]]*//p' "$dir/tree/proc/driver/nvidia/gpus/$bdf/information")
        [ "$(sed -n "$((rank + 1))p" <<<"$lines" | cut -d' ' -f3)" = "$uuid" ] || tell "rank $rank has not $bdf"
        rank=$((rank + 1))
    done
}
sets() { # "NAME VALUE" of all variables that the rules set; "" for none
    local got
    # (but for the interface, which is asked of this machine: bridges of other tests are interfaces, too)
    got=$(grep -v 'NCCL_SOCKET_IFNAME' <<<"$plan" | sed -n -E 's/^all env-default ((FI|NCCL|RDMAV|NEURON)_.*)/\1/p' | paste -sd';')
    [ "$got" = "$1" ] || tell "sets '$got', expected '$1'"
}

@test "p4d.24xlarge: 8 ranks, 6 cores each, pairs share an EFA" {
    plan_of p4d.24xlarge 8
    is 0 0-5,48-53 0 rdmap16s27; is 1 6-11,54-59 0 rdmap16s27; is 2 12-17,60-65 0 rdmap32s27
    is 4 24-29,72-77 1 rdmap144s27; is 6 36-41,84-89 1 rdmap160s27; is 7 42-47,90-95 1 rdmap160s27
    gpus_in_order 0000:{10,20,90,a0}:1{c,d}.0
    sets "FI_EFA_USE_HUGE_PAGE 0"
}
@test "p5.48xlarge: 8 ranks, 12 cores, one GPU and its four EFA each" {
    plan_of p5.48xlarge 8
    is 0 0-11,96-107 0 rdmap79s0,rdmap80s0,rdmap81s0,rdmap82s0
    is 3 36-47,132-143 0 rdmap130s0,rdmap131s0,rdmap132s0,rdmap133s0
    is 4 48-59,144-155 1 rdmap147s0,rdmap148s0,rdmap149s0,rdmap150s0
    is 7 84-95,180-191 1 rdmap198s0,rdmap199s0,rdmap200s0,rdmap201s0
    gpus_in_order 0000:{53,64,75,86,97,a8,b9,ca}:00.0
    [ "$(cut -d' ' -f4 <<<"$lines" | tr , '\n' | grep . | sort | uniq -d)" = "" ]
    sets "FI_EFA_USE_HUGE_PAGE 0"
}
@test "p5en.48xlarge: 8 ranks, two share the four EFA of their switch" {
    plan_of p5en.48xlarge 8
    is 0 0-11,96-107 0 rdmap34s0,rdmap35s0,rdmap36s0,rdmap37s0
    is 1 12-23,108-119 0 rdmap34s0,rdmap35s0,rdmap36s0,rdmap37s0
    is 7 84-95,180-191 1 rdmap178s0,rdmap179s0,rdmap180s0,rdmap181s0
    gpus_in_order 0000:{26,27,56,57,86,87,b6,b7}:00.0
    sets "FI_EFA_USE_HUGE_PAGE 0"
}
@test "p6-b200.48xlarge: 8 ranks, two share the two EFA of their switch" {
    plan_of p6-b200.48xlarge 8
    is 0 0-11,96-107 0 rdmap34s0,rdmap35s0
    is 3 36-47,132-143 0 rdmap82s0,rdmap83s0
    is 4 48-59,144-155 1 rdmap130s0,rdmap131s0
    gpus_in_order 0000:{24,25,54,55,84,85,b4,b5}:00.0
    sets "FI_EFA_USE_HUGE_PAGE 0"
}
@test "g5.48xlarge: 8 ranks and one EFA for all" {
    plan_of g5.48xlarge 8
    is 0 0-11,96-107 0 rdmap0s21; is 4 48-59,144-155 1 rdmap0s21; is 7 84-95,180-191 1 rdmap0s21
    gpus_in_order 0000:00:{16,17,18,19,1a,1b,1c,1d}.0
    sets "FI_EFA_USE_HUGE_PAGE 0;NCCL_SHM_USE_CUDA_MEMCPY 1"
}
@test "trn1.32xlarge: 16 ranks, 4 cores and one Neuron device each" {
    plan_of trn1.32xlarge 16
    is 0 0-3,64-67 0 rdmap34s0,rdmap35s0; is 7 28-31,92-95 0 rdmap82s0,rdmap83s0
    is 8 32-35,96-99 1 rdmap130s0,rdmap131s0; is 15 60-63,124-127 1 rdmap178s0,rdmap179s0
    [ "$(cut -d' ' -f3 <<<"$lines" | paste -sd' ')" = "$(echo neuron{0..15}) " ]
    sets "FI_PROVIDER efa;FI_EFA_USE_HUGE_PAGE 0"
}
@test "hpc7a.96xlarge: 8 ranks on four NUMA nodes, the nearest EFA" {
    plan_of hpc7a.96xlarge 8
    is 0 0-23 0 rdmap0s4,rdmap0s5; is 2 48-71 1 rdmap0s4,rdmap0s5
    is 4 96-119 2 rdmap0s5; is 6 144-167 3 rdmap0s4; is 7 168-191 3 rdmap0s4
    sets "FI_PROVIDER efa"
}

# Older stacks in the tree of a type: what the EFA cheat sheet's presets add.
stack() { # LIBFABRIC OFI_NCCL KERNEL
    local pc
    for pc in "$dir"/tree/opt/amazon/efa/lib*/pkgconfig/libfabric.pc; do
        sed -i "s/^Version:.*/Version: $1/" "$pc"
    done
    find "$dir/tree/opt" -name 'libnccl-net*.so' -exec sed -i "s/\(Initializing aws-ofi-nccl \)[0-9.]*/\1$2/" {} +
    echo "$3" >"$dir/tree/proc/sys/kernel/osrelease"
    plan=$("$build/libexec/dt-node" --plan --ranks 8 --root "$dir/tree" --config "$dir/dt.conf")
}
@test "older stacks of p4d.24xlarge get the presets that they need" {
    plan_of p4d.24xlarge 8
    stack 1.17.1 1.6.0 6.8.0
    sets "FI_EFA_USE_DEVICE_RDMA 1;FI_EFA_SET_CUDA_SYNC_MEMOPS 0"
    stack 1.17.1 1.5.0 5.10.0
    sets "FI_PROVIDER efa;FI_EFA_USE_DEVICE_RDMA 1;FI_EFA_FORK_SAFE 1;FI_EFA_SET_CUDA_SYNC_MEMOPS 0;NCCL_PROTO simple"
}
@test "an older stack of g5.48xlarge is not asked for RDMA, which would abort it" {
    plan_of g5.48xlarge 8
    stack 1.17.1 1.5.0 6.8.0
    sets "FI_PROVIDER efa;FI_EFA_SET_CUDA_SYNC_MEMOPS 0;NCCL_PROTO simple;NCCL_SHM_USE_CUDA_MEMCPY 1"
}
@test "an older plugin of p5.48xlarge gets its buffer sizes and its tuner" {
    plan_of p5.48xlarge 8
    stack 1.22.0 1.13.2 6.8.0
    sets "FI_EFA_USE_HUGE_PAGE 0;NCCL_BUFFSIZE 8388608;NCCL_P2P_NET_CHUNKSIZE 524288;NCCL_TUNER_PLUGIN libnccl-ofi-tuner.so"
}
