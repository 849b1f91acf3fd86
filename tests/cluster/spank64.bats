#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin on 64 nodes: one verdict for all, one odd node named among them.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 64 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() { cluster_enter; }

@test "64 nodes: one verdict, one line for all, every rank its number" {
    run srun -N64 --ntasks-per-node=1 --dt-validate sh -c 'echo "rank $RANK of $WORLD_SIZE $DT_VERDICT"'
    assert_code 0
    assert_lines 64 '^rank [0-9]+ of 64 go:'
    [ "$(grep '^rank' <<<"$output" | sort -u | wc -l)" -eq 64 ]
    assert_lines 1 '^dt: 64 nodes'
    assert_job COMPLETED
    assert_no_helpers
}

@test "64 nodes: the odd one is named once, and nothing runs" {
    dt_cluster break "$CLUSTER-37" efa-port-down --name "$CLUSTER"
    run srun -N64 --ntasks-per-node=1 --dt-validate echo "a rank ran"
    assert_code 65
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-37"
    assert_silent_about "a rank ran"
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
}
