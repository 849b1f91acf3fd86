#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What dt.conf has done with unfit nodes: a node drains itself, with evidence, on what its own checks find, within a limit
# over the cluster; never when the cause is shared, never over somebody else's reason; and nothing by default.

load common

setup_file() { cluster_up --nodes 6 --as p5.48xlarge; }
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    prefix=/run/dt-cluster/$CLUSTER/prefix
    conf=$prefix/etc/dt/dt.conf
    cp "$conf" "$BATS_TEST_TMPDIR/dt.conf"
    broken=()
}

teardown() {
    local node
    cp "$BATS_TEST_TMPDIR/dt.conf" "$conf"
    for node in "${broken[@]}"; do dt_cluster heal "$node" --name "$CLUSTER"; done
    for node in $(out_of_service); do scontrol update nodename="$node" state=resume; done
}

policy() { # LINES of dt.conf
    { cat "$BATS_TEST_TMPDIR/dt.conf" && printf '%s\n' "$@"; } >"$conf"
}

break_node() { # NUMBER FAULT
    broken+=("$CLUSTER-$1")
    dt_cluster break "$CLUSTER-$1" "$2" --name "$CLUSTER"
}

node() { echo "$CLUSTER-$1"; }

reason_of() { # NUMBER
    scontrol --oneliner show node "$(node "$1")" | sed -n 's/.* Reason=\(.*\) \[.*/\1/p'
}

state_of() { # NUMBER
    sinfo -N -h -n "$(node "$1")" -o %T | head -n 1
}

assert_drained() { # NUMBER PATTERN
    [[ $(state_of "$1") == drain* ]] || tell "node $1 is $(state_of "$1"), expected drained"
    # shellcheck disable=SC2053 # a pattern on purpose
    [[ $(reason_of "$1") == $2 ]] || tell "reason of node $1: $(reason_of "$1"), expected $2"
}

out_of_service() {
    sinfo -N -h -o '%N %T' | awk '$2 ~ /drain|fail|down/ { print $1 }' | sort -u
}

assert_drains() { # COUNT
    local count
    count=$(out_of_service | wc -l)
    [[ $count == "$1" ]] || tell "$count nodes are drained, expected $1: $(sinfo -N -h -o '%N %T %E')"
}

# As root of node NUMBER.
dt_drain() { # NUMBER ARGUMENTS
    local number=$1
    shift
    run dt_cluster run "$(node "$number")" --name "$CLUSTER" -- env SLURM_CONF="/run/dt-cluster/$CLUSTER/etc/slurm.conf" \
        "$prefix/libexec/dt/dt-drain" "$@"
}

dt_validate() { # NUMBER ARGUMENTS: as Slurm starts it, root on the node
    local number=$1
    shift
    run dt_cluster run "$(node "$number")" --name "$CLUSTER" -- env SLURM_CONF="/run/dt-cluster/$CLUSTER/etc/slurm.conf" \
        "$prefix/bin/dt-validate" --config "$conf" "$@"
}

no_tickets() {
    ! scontrol show node | grep -F "dt-drain="
}

@test "by default an unfit node is named, and not drained" {
    break_node 2 gpu-lost
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_says "--exclude=$(node 2)"
    assert_silent_about "drain"
    assert_nodes_healthy
}

@test "a node drains itself on a severity of drain-on, with prefix, check, value, limit" {
    policy 'drain-on = {"REPLACE"}'
    break_node 2 gpu-lost
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_says "$(node 2) drains itself, as dt.conf asks for gpu-count"
    assert_drains 1
    assert_drained 2 "dt: gpu-count: 7 *; wanted: 8 *p5.48xlarge* (REPLACE)"
    no_tickets
    [[ $(scontrol --oneliner show node "$(node 2)") == *"[root@"* ]]
    assert_no_helpers
}

@test "a severity that drain-on does not name drains nothing" {
    policy 'drain-on = {"REBOOT"}'
    break_node 2 gpu-lost
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_silent_about "drains itself"
    assert_nodes_healthy
}

@test "a job that goes on all the same drains the node, too" {
    policy 'drain-on = {"REPLACE"}' 'drain-prefix = "site/gpu:"'
    break_node 3 gpu-lost
    run srun -N6 -n6 --dt-validate --dt-on-fail=warn true
    assert_code 0
    assert_drained 3 "site/gpu: gpu-count: *"
}

@test "brake: what all nodes share drains none, and the reason says so" {
    policy 'drain-on = {"MONITOR","RESET","REBOOT","REPLACE"}' 'required-mounts = {"/fsx"}'
    run srun -N6 -n6 --dt-validate --dt-report=report.json true
    assert_code 65
    assert_says "fs-mounted fails on 6 of 6 nodes: that looks like a shared cause"
    assert_says "none of the 6 is drained"
    assert_silent_about "--exclude"
    assert_nodes_healthy
    jq -e '.verdict.reason | contains("shared by 6 of 6 nodes")' report.json
    jq -e '.shared == ["fs-mounted"] and all(.nodes[]; .drain == null)' report.json
}

@test "brake: a node's own failure beside a shared one drains that node alone, for its own" {
    policy 'drain-on = {"RESET","REBOOT","REPLACE"}' 'required-mounts = {"/fsx"}'
    break_node 4 efa-port-down
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_says "--exclude=$(node 4)"
    assert_drains 1
    assert_drained 4 "dt: efa-port: *"
}

@test "the limit holds over the cluster, within one job and after it" {
    policy 'drain-on = {"REPLACE"}' 'drain-max-nodes = 2'
    break_node 1 gpu-lost
    break_node 2 efa-lost
    break_node 3 memory-missing
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_drains 2
    no_tickets
    # The third is found again, by itself, and stays.
    local left
    left=$(printf '%s\n' "$(node 1)" "$(node 2)" "$(node 3)" | grep -vxF "$(out_of_service)")
    run srun -w "$left" -N1 -n1 --dt-validate true
    assert_code 65
    assert_drains 2
    assert_says "$left is not drained: 2 other nodes of the cluster are drained by dt"
}

@test "the limit holds when all nodes ask at one moment" {
    local number pids=()
    for number in 1 2 3 4 5 6; do
        dt_cluster run "$(node "$number")" --name "$CLUSTER" -- env SLURM_CONF="/run/dt-cluster/$CLUSTER/etc/slurm.conf" \
            "$prefix/libexec/dt/dt-drain" --reason "dt: together" --max-nodes 3 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}" || true
    assert_drains 3
    no_tickets
}

@test "a drain of somebody else is left as it is, and a note in extra, too" {
    policy 'drain-on = {"REPLACE"}'
    break_node 2 gpu-lost
    scontrol update nodename="$(node 5)" extra="rack 7"
    # The drain comes while the job holds its nodes.
    run timeout 60 salloc -Q -N6 bash -c "scontrol update nodename=$(node 2) state=drain reason='fan replaced, J. D.' &&
        srun -N6 -n6 --dt-validate true"
    assert_code 65
    assert_drained 2 "fan replaced, J. D."
    dt_drain 5 --reason "dt: by hand"
    assert_code 0
    [[ $(scontrol show node "$(node 5)") == *"Extra=rack 7"* ]]
    scontrol update nodename="$(node 5)" extra=""
}

@test "a node that is down is left alone" {
    scontrol update nodename="$(node 6)" state=down reason="dt: was dt once"
    dt_drain 6 --reason "dt: x"
    assert_code 3
    assert_says "left alone: it is down"
    scontrol update nodename="$(node 6)" state=resume
}

@test "nothing is resumed: a node that is well again stays drained" {
    policy 'drain-on = {"REPLACE"}'
    break_node 2 gpu-lost
    run srun -N6 -n6 --dt-validate true
    assert_drained 2 "dt: gpu-count: *"
    dt_validate 2 --healthcheck --skip gpu-count # what it would say, were it repaired
    assert_code 0
    assert_drained 2 "dt: gpu-count: *"
    dt_drain 2 --reason "dt: again"
    assert_code 0
    assert_says "is drained already: dt: gpu-count"
}

@test "hyperpod: state FAIL and the words that its agent looks for" {
    policy 'drain-on = {"RESET","REBOOT","REPLACE"}' 'drain-style = "hyperpod"'
    break_node 1 gpu-lost
    break_node 2 gpu-reset
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    [[ $(reason_of 1) == "Action:Replace" ]] || tell "reason: $(reason_of 1)"
    [[ $(reason_of 2) == "Action:Reboot" ]] || tell "reason: $(reason_of 2)"
    [[ $(scontrol show node "$(node 1)") == *"State="*FAIL* ]]
    dt_drain 3 --hyperpod --reason "Action:Reboot" --state FAIL
    assert_code 2
}

@test "print: the command is told, nothing is done" {
    policy 'drain-on = {"REPLACE"}' 'drain-how = "print"'
    break_node 2 gpu-lost
    run srun -N6 -n6 --dt-validate true
    assert_code 65
    assert_says "scontrol update NodeName='$(node 2)' State=DRAIN Reason='dt: gpu-count: 7 "
    assert_nodes_healthy
    bash -c "$(sed -n 's/^dt: an admin may drain it:  //p' <<<"$output")"
    assert_drained 2 "dt: gpu-count: 7 *"
}

@test "a user can not drain a node by dt-drain" {
    dt_cluster run "$(node 1)" --name "$CLUSTER" -- true
    run dt_cluster run "$(node 1)" --name "$CLUSTER" -- env SLURM_CONF="/run/dt-cluster/$CLUSTER/etc/slurm.conf" \
        setpriv --reuid 65534 --regid 65534 --clear-groups "$prefix/libexec/dt/dt-drain" --reason "dt: I say so"
    assert_code 69
    assert_says "only root and SlurmUser may drain nodes"
    assert_nodes_healthy
}

@test "--healthcheck and --prolog: without drain-on nothing is drained, and the job starts" {
    break_node 2 gpu-lost
    dt_validate 2 --healthcheck
    assert_code 2
    assert_says "not drained: drain-on in dt.conf names none of these severities"
    dt_validate 2 --prolog
    assert_code 0
    assert_says "FAIL     gpu-count"
    assert_nodes_healthy
}

@test "--healthcheck drains the node that it runs on, within the limit" {
    policy 'drain-on = {"REPLACE"}' 'drain-max-nodes = 1'
    break_node 2 gpu-lost
    break_node 3 efa-lost
    dt_validate 1 --healthcheck
    assert_code 0
    dt_validate 2 --healthcheck
    assert_code 2
    assert_drained 2 "dt: gpu-count: 7 *"
    dt_validate 3 --healthcheck
    assert_code 2
    assert_says "$(node 3) is not drained: 1 other node of the cluster is drained by dt"
    assert_drains 1
}

@test "--prolog: 2 when the node is drained by dt, and 0 beyond the limit, so that Slurm drains no more" {
    policy 'drain-on = {"REPLACE"}' 'drain-max-nodes = 1'
    break_node 2 gpu-lost
    break_node 3 efa-lost
    dt_validate 2 --prolog
    assert_code 2
    assert_drained 2 "dt: gpu-count: 7 *"
    dt_validate 3 --prolog
    assert_code 0
    assert_says "is not drained: 1 other node"
    assert_drains 1
}

@test "--prolog and print: the command is told, and the job starts" {
    policy 'drain-on = {"REPLACE"}' 'drain-how = "print"'
    break_node 2 gpu-lost
    dt_validate 2 --prolog
    assert_code 0
    assert_says "scontrol update NodeName='$(node 2)' State=DRAIN Reason='dt: gpu-count"
    assert_nodes_healthy
}

slurm_with() { # LINES of slurm.conf
    local file=/run/dt-cluster/$CLUSTER/etc/slurm.conf
    cp "$file" "$BATS_TEST_TMPDIR/slurm.conf"
    printf '%s\n' "$@" >>"$file"
    scontrol reconfigure
}

slurm_as_before() {
    cp "$BATS_TEST_TMPDIR/slurm.conf" "/run/dt-cluster/$CLUSTER/etc/slurm.conf"
    scontrol reconfigure
}

is_drained() { # NUMBER
    [[ $(state_of "$1") == drain* ]]
}

script() { # NAME: that runs dt-validate; ARGUMENTS
    local name=$1
    shift
    # slurmd gives a HealthCheckProgram no environment but the node's name
    printf '#!/bin/sh\nexport SLURM_CONF=%s\nexec %s/bin/dt-validate --config %s %s\n' \
        "/run/dt-cluster/$CLUSTER/etc/slurm.conf" "$prefix" "$conf" "$*" >"$prefix/bin/$name"
    chmod 755 "$prefix/bin/$name"
    echo "$prefix/bin/$name"
}

@test "Slurm's HealthCheckProgram: the sick node drains, the others do not" {
    policy 'drain-on = {"REPLACE"}'
    break_node 2 gpu-lost
    slurm_with "HealthCheckProgram=$(script health --healthcheck)" HealthCheckInterval=1
    until_ok is_drained 2
    slurm_as_before
    assert_drained 2 "dt: gpu-count: 7 *"
    assert_drains 1
}

@test "Slurm's Prolog: the sick node drains with dt's reason, the job is requeued, the others run it" {
    policy 'drain-on = {"REPLACE"}'
    break_node 2 gpu-lost
    slurm_with "Prolog=$(script prolog --prolog)"
    sbatch -w "$(node 2)" --wrap true >submitted
    until_ok is_drained 2
    scancel --me
    run srun -N5 -n5 echo ran
    slurm_as_before
    assert_code 0
    assert_lines 5 '^ran$'
    assert_drained 2 "dt: gpu-count: 7 *"
    assert_drains 1
}

# A user may run any dt-gather: an srun without dt's plugin hands on what he puts into the environment.
forged_step() { # ARGUMENTS of srun
    mkdir -p own
    cp "/run/dt-cluster/$CLUSTER/etc/"*.conf own/
    : >own/plugstack.conf
    sed -i "s|^PlugStackConfig=.*|PlugStackConfig=$PWD/own/plugstack.conf|" own/slurm.conf
    rm -f forged
    python3 "$REPOSITORY/tests/cli/fake_nodes.py" forge "$CLUSTER-[1-6]" 3>&- >forged &
    until_ok test -s forged
    SLURM_CONF=$PWD/own/slurm.conf SLURM_DT_RENDEZVOUS=$(cat forged) \
        SLURM_DT_SETTINGS='1 validate=fast env=off bind=off on-fail=abort timeout=10 nic=off' run timeout 60 srun "$@"
    assert_failed
}

@test "a forged verdict that names all nodes drains only those that root's own checks have found" {
    policy 'drain-on = {"MONITOR","RESET","REBOOT","REPLACE"}'
    break_node 2 gpu-lost
    forged_step -N6 -n6 true
    assert_drains 1
    assert_drained 2 "dt: gpu-count: *"
}

@test "a forged verdict drains none beyond the limit" {
    policy 'drain-on = {"MONITOR","RESET","REBOOT","REPLACE"}' 'drain-max-nodes = 1' 'required-mounts = {"/fsx"}'
    forged_step -N6 -n6 true
    assert_drains 1
}
