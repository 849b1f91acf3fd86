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

@test "without --json: lines name their node, and the way to compare is told once" {
    run srun -N2 -n2 "$dt_env" versions
    assert_code 0
    assert_lines 2 "^$CLUSTER-[0-9]: [*] libfabric "
    assert_lines 1 "^dt-env versions: to compare the nodes"
}
