#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Faults among 64 nodes: exactly the right nodes are named, nobody else is, and none is drained.

load steps

# 64 nodes on a machine that is busy say late what their clock shows: some tenths of a second are no fault of theirs.
setup_file() {
    cluster_up --nodes 64 --as p5.48xlarge
    echo 'max-clock-offset-ms = 400' >>"/run/dt-cluster/$CLUSTER/prefix/etc/dt/dt.conf"
}

# A validated step over all nodes, whose report is then in r.json. Arguments: what it is to be run with.
step64() {
    rm -f r.json
    run "$@" srun -N64 -n64 --dt-validate="${level:-fast}" --dt-report="$PWD/r.json" echo "a rank ran"
}

# All that is wrong by the report: a line "CHECK NODE" for each. What all nodes are warned of is the matter of the one
# machine that they share: its clock, its routes.
found() {
    jq -r '(.nodes | length) as $all |
        [.nodes[].checks[] | select(.result == "WARN") | .name] as $warned |
        (.nodes[] | .name as $name |
            (select(.lost != null) | "report \($name)"),
            # (how far a clock is off can not always be known where the machine is busy)
            (.checks[] | select(.result != "PASS" and .result != "SKIP" and
                                (.result != "UNKNOWN" or .name != "clock")) | . as $check |
                select(.result != "WARN" or ([$warned[] | select(. == $check.name)] | length) < $all) |
                "\(.name) \($name)")),
        (.findings[] | select(.result != "UNKNOWN" or .name != "clock") | "\(.name) \(.node // "all")")' r.json | sort -u
}

# The step was refused, and this is wrong and nothing else.
assert_found() { # CODE CHECK:NUMBER[,NUMBER...]...
    local code=$1 what n expected=()
    shift
    for what in "$@"; do
        for n in ${what#*:}; do expected+=("${what%%:*} $CLUSTER-$n"); done
    done
    assert_code "$code"
    assert_silent_about "a rank ran"
    [[ $(found) == "$(printf '%s\n' "${expected[@]}" | sort -u)" ]] ||
        tell "found: $(found)" "expected: ${expected[*]}"
}

# These nodes and no other are to be left out.
assert_exclude() { # LIST
    [[ $(jq -r .verdict.exclude r.json) == "$1" ]] || tell "to be excluded: $(jq -r .verdict.exclude r.json)"
    [[ $(grep -c -- --exclude <<<"$output") == 1 && $output == *" --exclude=$1 "* ]] || tell "no --exclude=$1"
}

assert_nobody_excluded() {
    [[ $(jq -r .verdict.exclude r.json) == null ]] || tell "to be excluded: $(jq -r .verdict.exclude r.json)"
    assert_silent_about "--exclude"
    assert_lines 1 "^dt: no node is to blame"
}

assert_none_drained() {
    local drained
    drained=$(sinfo --noheader --Node --format='%N %T %E' | grep -i drain || true)
    [[ -z $drained ]] || tell "drained: $drained"
}

# A step beside a file system that does not answer on these nodes.
step64_beside_hung_mount() { # NUMBER...
    local n pid directory=$DT_CLUSTER_SHARED/fsx level=full pids=()
    for n in "$@"; do read -r pid _ <"/run/dt-cluster/$CLUSTER/node/$CLUSTER-$n/pid" && pids+=("$pid"); done
    mkdir -p "$directory"
    step64 python3 "$REPOSITORY/tests/cli/hung_mount.py" --in "$(IFS=, && echo "${pids[*]}")" "$directory"
    [[ $status != 77 ]] || skip "no FUSE here: $output"
}

@test "one of 64 has another driver: it alone is named" {
    break_node 37 driver-odd
    step64
    assert_found 65 nvidia-driver:37
    assert_exclude "$CLUSTER-37"
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
}

@test "two of 64 have a fault of their own each: both are named, each with its own" {
    break_node 5 libfabric-odd
    break_node 41 gpu-lost
    step64
    assert_found 65 libfabric:5 gpu-count:41
    assert_exclude "$CLUSTER-[5,41]"
    assert_nodes_healthy
}

@test "one clock of 64 is 2 s ahead: its node alone is named" {
    break_node 23 clock-off
    step64
    assert_found 65 clock:23
    assert_exclude "$CLUSTER-23"
    assert_nodes_healthy
}

@test "a file system hangs on all of 64: the job fails, the file system is named and no node is" {
    step64_beside_hung_mount {1..64}
    assert_found 65 "mounts:$(echo {1..64})"
    [[ $(jq -r '.nodes[].checks[] | select(.name == "mounts") | .value' r.json |
        sed 's/ (the kernel holds it in .*)$//' | sort -u) == "fuse.hung $DT_CLUSTER_SHARED/fsx: did not answer in 500 ms" ]]
    assert_nobody_excluded
    assert_nodes_healthy
    assert_no_helpers
}

@test "a file system hangs on 20 of 64, and one node has a fault of its own: that node alone is named" {
    break_node 50 efa-port-down
    step64_beside_hung_mount {1..20}
    assert_found 65 "mounts:$(echo {1..20})" efa-port:50
    assert_exclude "$CLUSTER-50"
    assert_lines 1 "^dt: mounts fails on 20 of 64 nodes: that looks like a shared cause"
    assert_nodes_healthy
}

@test "a file system hangs on 2 of 64: these two are named" {
    step64_beside_hung_mount 7 8
    assert_found 65 "mounts:7 8"
    assert_exclude "$CLUSTER-[7-8]"
    assert_nodes_healthy
}

@test "a policy of drains: of 64 the node with a fault of its own is drained, those whose file system hangs are not" {
    # severities of both checks
    echo 'drain-on = {"REBOOT", "REPLACE"}' >>"$(changing prefix/etc/dt/dt.conf)"
    break_node 41 gpu-lost
    step64_beside_hung_mount {1..20}
    assert_found 65 "mounts:$(echo {1..20})" gpu-count:41
    assert_exclude "$CLUSTER-41"
    jobs_gone
    [[ $(sinfo --noheader --Node --format='%N %T' | grep -E 'drain|down|fail') == "$CLUSTER-41 drained" ]] ||
        tell "$(sinfo --noheader --Node --long | grep -v idle)"
}

# ---- a node that dies between its report and the verdict, as node 64 is late ------------------------------

# Its dt-node starts only when the file "go" is there.
held_node() { # NUMBER
    local real=$DT_CLUSTER_SHARED/dt-node held=$DT_CLUSTER_SHARED/held
    rm -f "$DT_CLUSTER_SHARED/go"
    cp -p "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/dt-node" "$real"
    printf '#!/bin/sh\nuntil [ -e %s ]; do sleep 0.05; done\nexec %s "$@"\n' "$DT_CLUSTER_SHARED/go" "$real" >"$held"
    chmod 755 "$held"
    will_break "$1"
    on_node "$1" mount --bind "$held" "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/dt-node"
}

# The step runs in the background; when the node has reported it is struck by COMMAND, and SECONDS later node 64 reports.
step64_struck() { # NUMBER SECONDS COMMAND...
    rm -f r.json
    held_node 64
    will_break "$1"
    step_start -N64 -n64 --dt-validate --dt-timeout=40 --dt-report="$PWD/r.json" echo "a rank ran"
    node_reported "$1"
    "${@:3}"
    sleep "$2"
    : >"$DT_CLUSTER_SHARED/go"
    step_ended
}

@test "dt-node of one of 64 is killed: its node alone is named" {
    step64_struck 30 0 on_node 30 pkill -KILL -x dt-node
    assert_found 67 report:30
    assert_exclude "$CLUSTER-30"
    assert_says "signal 9"
    assert_nodes_healthy
    assert_no_helpers
}

# Slurm's steps end along a tree. Where a node within it is gone, those above it wait for it longer than
# UnkillableStepTimeout, and Slurm itself drains them ("Kill task failed"), without dt as well. So here it is the
# tree's root that dies.
@test "slurmstepd of one of 64 is killed: its node alone is named, and none is drained" {
    step64_struck 1 0 on_node 1 pkill -KILL -x slurmstepd
    assert_found 66 report:1
    assert_exclude "$CLUSTER-1"
    jobs_gone
    assert_nodes_healthy
}

@test "one of 64 is cut off from the network: it alone is named, and none is drained" {
    # dt-gather asks for a sign of life once a second, and misses three
    step64_struck 1 6 dt_cluster break "$CLUSTER-1" net-down --name "$CLUSTER"
    assert_found 66 report:1
    assert_exclude "$CLUSTER-1"
    assert_none_drained
}
