#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A job that Slurm gave some of a node's GPUs: what is wrong with the others is told, and no reason to refuse it.

load common

setup_file() {
    cluster_up --nodes 1 --as p4d.24xlarge
    dt_cluster break "$CLUSTER-1" gpu-reset --name "$CLUSTER" # of the last GPU
}
teardown_file() { cluster_down; }
setup() { cluster_enter; }

@test "a job without the sick GPU runs, and the node's owner is told" {
    run srun -N1 -n1 --gres=gpu:4 --dt-validate echo "a rank ran"
    assert_code 0
    assert_lines 1 "^a rank ran$"
    assert_says "gpu-recovery"
    assert_says "this job does" # the table wraps: "not have it"
    assert_nodes_healthy
}

@test "a job with the sick GPU is refused" {
    run srun -N1 -n1 --gres=gpu:8 --dt-validate echo "a rank ran"
    assert_code 65
    assert_says "gpu-recovery"
    assert_silent_about "this job does"
    assert_silent_about "a rank ran"
}
