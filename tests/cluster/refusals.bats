#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every way in which nodes can fail a validated step on a real Slurm. A refused step ends once, quickly, with
# its code, state FAILED, one readable sentence, all nodes in service, and no helper left.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load steps

for_fault() { # FAULT WORD: the node is named, with the check's name
    break_node 2 "$1"
    timed srun -N3 -n3 --dt-validate echo "a rank ran"
    assert_refused 65
    assert_says "$CLUSTER-2"
    assert_says "$2"
    assert_says "--exclude"
}

@test "broken: a GPU is lost" { for_fault gpu-lost gpu; }
@test "broken: an EFA port is down" { for_fault efa-port-down efa; }
@test "broken: the memlock limit is low" { for_fault memlock-low memlock; }
@test "broken: /dev/shm is small" { for_fault shm-small shm; }
@test "broken: another kernel" { for_fault kernel-odd kernel; }
@test "broken: another libfabric" { for_fault libfabric-odd libfabric; }
@test "broken: the clock is off" { for_fault clock-off clock; }
@test "broken: a file system is read-only" { for_fault fs-readonly writ; }

@test "broken, but --dt-on-fail=warn: the ranks run and the node is named" {
    break_node 2 shm-small
    run srun -N3 -n3 --dt-validate --dt-on-fail=warn echo "a rank ran"
    assert_code 0
    assert_lines 3 "^a rank ran$"
    assert_says "$CLUSTER-2"
}

@test "a helper that crashes is named with its signal" {
    break_node 2 helper-crash
    timed srun -N3 -n3 --dt-validate echo "a rank ran" # nobody waits for the default 10 s
    assert_refused 67
    assert_lines 1 "dt-node was killed by" # in the table, and nowhere else
    assert_says "signal 11"
    assert_says "$CLUSTER-2"
    assert_says "--exclude"
}

@test "a helper that hangs is killed" {
    break_node 2 helper-hang
    run srun -N3 -n3 --dt-validate --dt-timeout=0.5 echo "a rank ran"
    assert_failed # 66 of those who waited, or 67 of the node itself, whoever Slurm hears last
    assert_step_failed "$status"
    assert_says "$CLUSTER-2"
    assert_says "--exclude=$CLUSTER-2"
}

@test "a node without the plugin does not run a validated job" {
    break_node 2 no-plugin
    run srun -N3 -n3 --dt-validate --dt-timeout=0.5 "/run/dt-cluster/$CLUSTER/prefix/bin/dt-launch" -- echo "a rank ran"
    assert_failed # 66 of those who waited, or 68 of the node itself
    assert_step_failed "$status"
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2"
}

@test "a firewall before the gather's port: the node is named" {
    break_node 2 firewall
    timed srun -N3 -n3 --dt-validate --dt-timeout=0.5 echo "a rank ran"
    assert_refused 66
    assert_says "$CLUSTER-2"
}

@test "a batch job whose step is refused fails with the step's code" {
    break_node 2 shm-small
    run sbatch --wait -N3 --output=out --wrap 'srun --dt-validate echo "a rank ran"'
    assert_step_failed 65
    output=$(<out)
    assert_says "--exclude=$CLUSTER-2"
    assert_silent_about "a rank ran"
}

@test "of an array the refused job alone fails" {
    printf '%s\n' '#!/bin/bash' \
        'DT_TIMEOUT=$([ $SLURM_ARRAY_TASK_ID = 2 ] && echo 0) srun --dt-validate echo ran' >array.sh
    run sbatch --wait --array=1-2 -N1 --output=array-%a array.sh
    assert_failed
    run cat array-1
    assert_lines 1 '^ran$'
    run cat array-2
    assert_says "DT_TIMEOUT=0"
    assert_silent_about "ran$"
    assert_nodes_healthy
}

@test "srun killed: no helper stays behind" {
    break_node 2 helper-hang
    step_start -N3 -n3 --dt-validate sleep 300
    until_ok pgrep -P "$srun" dt-gather
    kill -9 "$srun"
    step_ended
    dt_cluster heal "$CLUSTER-2" --name "$CLUSTER"
    scancel --state=running --me 2>/dev/null || true
    jobs_gone
    assert_no_helpers
    assert_nodes_healthy
}

# ---- a node that is lost between its report and the verdict, as another node is late -------------------

@test "kill -9 of dt-node after its report: named with its signal" {
    late_node 3 3
    step_start -N3 -n3 --dt-validate echo "a rank ran"
    node_reported 2
    on_node 2 pkill -KILL -x dt-node
    step_ended
    assert_step_failed 67
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
    assert_says "signal 9"
}

@test "slurmstepd killed after the report: named, and srun does not wait for it" {
    late_node 3 3
    will_break 2
    step_start -N3 -n3 --dt-validate echo "a rank ran"
    node_reported 2
    on_node 2 pkill -KILL -x slurmstepd
    step_ended # bare Slurm waits ten minutes here
    assert_step_failed 66
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
    assert_says "after its report"
}

@test "slurmd killed after the report: its step goes on" {
    late_node 3 3
    will_break 2
    step_start -N3 -n3 --dt-validate echo "a rank ran"
    node_reported 2
    on_node 2 pkill -KILL -x slurmd
    step_ended
    assert_code 0
    assert_lines 3 "^a rank ran$"
}

@test "the network of a node is gone after its report: found before the verdict, and srun ends" {
    late_node 3 7
    will_break 2
    step_start -N3 -n3 --dt-validate --dt-timeout=30 echo "a rank ran"
    node_reported 2
    dt_cluster break "$CLUSTER-2" net-down --name "$CLUSTER"
    step_ended
    assert_code 66
    assert_silent_about "a rank ran"
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
}
