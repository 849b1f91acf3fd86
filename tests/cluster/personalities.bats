#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One node of each machine type, from data to ranks: its checks, its environment and its binding.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

TYPES=(p4d.24xlarge p5.48xlarge p5en.48xlarge p6-b200.48xlarge g5.48xlarge trn1.32xlarge hpc7a.96xlarge host)

setup_file() { cluster_up --nodes 8 --as "$(IFS=,; echo "${TYPES[*]}")"; }
teardown_file() { cluster_down; }
setup() { cluster_enter; }

# Two ranks on the node of a type: what dt says, then each rank's variables.
ranks_on() { # TYPE
    local i
    for i in "${!TYPES[@]}"; do [[ ${TYPES[i]} != "$1" ]] || break; done
    run srun -w "$CLUSTER-$((i + 1))" -N1 -n2 --dt-validate --dt-env=explain --dt-bind=explain sh -c '
        echo "rank $RANK gpus $DT_BIND_GPUS"; echo "rank $RANK nics $DT_BIND_NICS"
        echo "rank $RANK env $(env | grep -E "^(FI_|NCCL_|RDMAV_|NEURON_)" | sort | tr "\n" " ")"'
    assert_code 0
    assert_job COMPLETED
    assert_nodes_healthy
}
passes_with() { # HEAD of the node's line; a long name wraps before its number
    assert_lines 1 "^dt: 1 node fits: "
    assert_lines 1 "^dt:   $CLUSTER(-[0-9])? +$*"
}
has_env() { # VARIABLES of both ranks, in order, and no other
    assert_lines 2 "^rank [01] env ${1:+$1 }$"
}
has_devices() { # gpus|nics RANK COUNT: so many, and none with the other rank
    local line words
    line=$(sed -n "s/^rank $2 $1 //p" <<<"$output")
    words=$(tr , '\n' <<<"$line" | grep -c . || true)
    [[ $words == "$3" ]] || tell "rank $2 has $words $1, expected $3"
}
apart() { # gpus|nics: no device is planned for both ranks
    [[ -z $(sed -n "s/^rank [01] $1 //p" <<<"$output" | tr , '\n' | sort | uniq -d) ]] || tell "$1 are shared"
}
each_rank_has() { # GPUS NICS
    has_devices gpus 0 "$1"; has_devices gpus 1 "$1"; has_devices nics 0 "$2"; has_devices nics 1 "$2"
}

@test "p4d.24xlarge: 4 GPUs and 2 EFA a rank; the bare metal's switches come from the table" {
    ranks_on p4d.24xlarge
    passes_with "p4d.24xlarge +8 GPUs +4 EFA +1129 GiB"
    has_env FI_EFA_USE_HUGE_PAGE=0
    each_rank_has 4 2; apart gpus; apart nics
    assert_says "topology from: sysfs + instance table p4d.24xlarge"
}
@test "p5.48xlarge: 4 GPUs and 16 EFA a rank, behind the same switches" {
    ranks_on p5.48xlarge
    passes_with "p5.48xlarge +8 GPUs +32 EFA +2007 GiB"
    has_env FI_EFA_USE_HUGE_PAGE=0
    each_rank_has 4 16; apart gpus; apart nics
    assert_lines 2 "NIC rdmap[0-9]+s0(, rdmap[0-9]+s0){15} \(behind its accelerator's PCIe switch\)"
}
@test "p5en.48xlarge: 4 GPUs and 8 EFA a rank" {
    ranks_on p5en.48xlarge
    passes_with "p5en.48xlarge +8 GPUs +16 EFA "
    has_env FI_EFA_USE_HUGE_PAGE=0
    each_rank_has 4 8; apart gpus; apart nics
}
@test "p6-b200.48xlarge: 4 GPUs and 4 EFA a rank" {
    ranks_on p6-b200.48xlarge
    passes_with "p6-b200.48xlarge +8 GPUs +8 EFA "
    has_env FI_EFA_USE_HUGE_PAGE=0
    each_rank_has 4 4; apart gpus; apart nics
}
@test "g5.48xlarge: one EFA for both ranks, and no device RDMA asked for" {
    ranks_on g5.48xlarge
    passes_with "g5.48xlarge +8 GPUs +1 EFA "
    has_env "FI_EFA_USE_HUGE_PAGE=0 NCCL_SHM_USE_CUDA_MEMCPY=1"
    each_rank_has 4 1; apart gpus
    assert_lines 2 "NIC rdmap0s21 .*, shared by 2 ranks"
    assert_silent_about "PCIe switch"
}
@test "trn1.32xlarge: 8 Neuron devices and 4 EFA a rank, the provider named" {
    ranks_on trn1.32xlarge
    passes_with "trn1.32xlarge +16 Neuron +8 EFA"
    has_env "FI_EFA_USE_HUGE_PAGE=0 FI_PROVIDER=efa"
    each_rank_has 8 4; apart gpus; apart nics
}
@test "hpc7a.96xlarge: no GPU, both EFA, the provider named" {
    ranks_on hpc7a.96xlarge
    passes_with "hpc7a.96xlarge +2 EFA "
    has_env FI_PROVIDER=efa
    each_rank_has 0 2
}
@test "the machine itself: nothing known of its type, nothing set, the ranks bound" {
    ranks_on host
    passes_with "unknown type "
    has_env ""
    each_rank_has 0 0
    assert_says "env: nothing to set on this node"
}
