#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-env versions on the nodes of a step: the node with another libfabric is named.

load common

setup_file() { cluster_up --nodes 3 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    dt_env=$(command -v dt-env) # the staged one: the repository may lie below /tmp, and nodes have their own
    export LD_LIBRARY_PATH=/opt/amazon/efa/lib64
}
teardown() { [[ -z ${broken:-} ]] || dt_cluster heal "$broken" --name "$CLUSTER"; }

across() { # srun's arguments
    srun "$@" "$dt_env" versions --json | "$dt_env" versions --compare
}

@test "nodes that are alike, with several tasks each" {
    run across -N3 --ntasks-per-node=2
    assert_code 0
    assert_says "3 nodes: all versions are equal"
}

@test "the odd node is named, with its version and the others'" {
    broken=$CLUSTER-2
    dt_cluster break "$broken" libfabric-odd --name "$CLUSTER"
    run across -N3 -n3
    assert_code 1
    assert_lines 1 "^libfabric: odd: $CLUSTER-2 has 2.1.0amzn3.0; 2 other nodes: 2.1.0amzn5.0$"
}

@test "srun dt-env versions is one answer, whatever the number of tasks" {
    run srun -N3 --ntasks-per-node=2 "$dt_env" versions
    assert_code 0
    assert_lines 1 "the first of 3 nodes:$"
    assert_lines 1 "^[*]  libfabric "
    assert_lines 1 "^3 nodes: all versions are equal$"
    broken=$CLUSTER-2
    dt_cluster break "$broken" libfabric-odd --name "$CLUSTER"
    run srun -N3 -n3 "$dt_env" versions
    assert_code 1
    assert_lines 1 "^libfabric: odd: $CLUSTER-2 has 2.1.0amzn3.0; 2 other nodes: 2.1.0amzn5.0$"
    run srun -N1 -n1 "$dt_env" versions
    assert_code 0
    assert_lines 1 "^[*]  libfabric "
    assert_silent_about "nodes"
}
