#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every failure of a validated step is told once: in dt-gather's table; by srun's plugin where dt-gather is
# gone; and only where both have said their last word by the node itself. slurmd's log has the node's own words.
#
#   what fails                                          who tells it
#   dt-node is missing, not executable, in no place     the table, with the reason
#   dt-node crashes before it connects                  the table, with the signal
#   dt-node crashes connected, all others have reported the table, with the signal
#   dt-node crashes after its report                    the table, with the signal
#   dt-node hangs                                       the table; the log says that it was killed
#   a node does not reach dt-gather                     the table; the log says why
#   no node reaches dt-gather                           one sentence when the step ends
#   dt-gather crashes                                   one sentence of srun's plugin
#   dt-node crashes after the verdict                   the node
#   the same configuration is wrong on all nodes        the table, one row

load common

setup_file() { cluster_up --nodes 3 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    helpers=/run/dt-cluster/$CLUSTER/prefix/libexec/dt
    broken=()
}
teardown() {
    local node
    for node in "${broken[@]}"; do dt_cluster heal "$node" --name "$CLUSTER"; done
    [[ -z ${plugstack:-} ]] || cp "$BATS_TEST_TMPDIR/plugstack.conf" "$plugstack"
}

break_node() { # NUMBER FAULT
    broken+=("$CLUSTER-$1")
    dt_cluster break "$CLUSTER-$1" "$2" --name "$CLUSTER"
}

# What node NUMBER finds where dt-node should be: a program on standard input.
instead_of_dt_node() { # NUMBER
    local file=$DT_CLUSTER_SHARED/dt-node-$1
    broken+=("$CLUSTER-$1")
    cat >"$file"
    chmod 755 "$file"
    dt_cluster run "$CLUSTER-$1" --name "$CLUSTER" -- mount --bind "$file" "$helpers/dt-node"
}

# Node 2 has the real dt-node, but it is killed SECONDS after it has said WORD, which the plugin hears only if
# there is time for it.
real_dt_node_2() { # SECONDS WORD
    cp "$helpers/dt-node" "$DT_CLUSTER_SHARED/dt-node-real"
    instead_of_dt_node 2 <<PYTHON
#!/usr/bin/env python3
import os, signal, subprocess, sys, time
real = subprocess.Popen(["$DT_CLUSTER_SHARED/dt-node-real", *sys.argv[1:]], stdout=subprocess.PIPE, pass_fds=(3,))
for line in real.stdout:
    if line.startswith(b"$2") and $1 == 0:
        break
    os.write(1, line)
    if line.startswith(b"$2"):
        time.sleep($1)
        break
real.kill()
os.kill(os.getpid(), signal.SIGKILL)
PYTHON
}

plugin_arguments() { # ARGUMENTS: of all nodes and of srun
    plugstack=/run/dt-cluster/$CLUSTER/etc/plugstack.conf
    cp "$plugstack" "$BATS_TEST_TMPDIR/plugstack.conf"
    sed -i "s|\$| $*|" "$plugstack"
}

step() { # ARGUMENTS of srun
    timed srun -N3 -n3 --dt-validate "$@" echo "a rank ran"
}

# Lines of dt: COUNT of them do not belong to its one table, TABLES times there.
assert_told() { # TABLES OTHER_LINES
    local tables others
    tables=$(grep -c -E '^dt: [0-9]+ (of|nodes fit)' <<<"$output" || true)
    others=$(grep -E '\bdt: ' <<<"$output" | grep -c -v -E '^dt:   |^dt: [0-9]+ |^dt: (to run|no node is to blame|[a-z-]+ fails on)' || true)
    [[ $tables == "$1" ]] || tell "$tables tables, expected $1"
    [[ $others == "$2" ]] || tell "$others lines of dt beside the table, expected $2"
}

assert_refused() { # CODE
    assert_code "$1"
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
    assert_silent_about "a rank ran"
}

# slurmd's log of a node holds a sentence about the newest job. It is written after the step has ended.
assert_logged() { # NUMBER TEXT
    local i log=/run/dt-cluster/$CLUSTER/log
    for ((i = 0; i < 100; i++)); do
        grep -h -F "[$(last_job JobId).0] dt: node $CLUSTER-$1: " "$log"/* 2>/dev/null | grep -q -F -- "$2" && return 0
        sleep 0.05
    done
    tell "slurmd's log of node $1 does not hold: $2"
}

@test "dt-node is missing on all nodes: one row of the table" {
    mkdir -p "$DT_CLUSTER_SHARED/helpers"
    cp "$helpers/dt-gather" "$DT_CLUSTER_SHARED/helpers"
    plugin_arguments "helpers=$DT_CLUSTER_SHARED/helpers"
    step
    assert_refused 67
    assert_under_ms 2000
    assert_told 1 0
    assert_lines 1 "^dt:   $CLUSTER-\[1-3\]  report  could not check"
    assert_logged 1 "helpers/dt-node can not be started: No such file or directory"
}

@test "dt-node is not executable on one node" {
    instead_of_dt_node 2 <<<'#!/bin/sh'
    chmod 644 "$DT_CLUSTER_SHARED/dt-node-2"
    step
    assert_refused 67
    assert_under_ms 2000
    assert_told 1 0
    assert_lines 1 "^dt:   $CLUSTER-2  report"
    assert_logged 2 "could not be executed"
}

@test "dt-node is of no format that the kernel knows" {
    instead_of_dt_node 2 <<<'this is no program'
    step
    assert_refused 67
    assert_under_ms 2000
    assert_told 1 0
    assert_lines 1 "^dt:   $CLUSTER-2  report"
}

@test "dt-node crashes before it connects" {
    break_node 2 helper-crash
    step
    assert_refused 67
    assert_under_ms 2000
    assert_told 1 0
    assert_lines 1 "dt-node was killed by"
    assert_logged 2 "signal 11"
}

@test "dt-node crashes when it has connected and all others have reported" {
    instead_of_dt_node 2 <<'PYTHON'
#!/usr/bin/env python3
import json, os, signal, socket, struct, sys, time
request = dict(line.rstrip("\n").split(" ", 1) for line in iter(sys.stdin.readline, "end\n"))
_, addresses, port, token = request["rendezvous"].split("/")
job, _, step = request["job"].split(" ")
hello = json.dumps({"type": "hello", "dt": 1, "token": token, "node": request["node"].split(" ")[0],
                    "nodeid": int(request["node"].split(" ")[2]), "nodes": 3, "tasks": 3, "step": job + "." + step,
                    "het_group": -1, "het_size": 0}).encode()
for address in addresses.split(","):
    try:
        gather = socket.create_connection((address.strip("[]"), int(port)), timeout=0.3)
        break
    except OSError:
        pass
gather.sendall(struct.pack(">I", len(hello)) + hello)
gather.recv(1000)
time.sleep(1)
os.kill(os.getpid(), signal.SIGSEGV)
PYTHON
    step
    assert_refused 67
    assert_told 1 0
    assert_lines 1 "dt-node was killed by"
    assert_logged 2 "signal 11"
}

@test "dt-node crashes after its report, before the verdict" {
    break_node 3 helper-hang
    real_dt_node_2 1 reported
    step --dt-timeout=3
    assert_failed
    assert_nodes_healthy
    assert_told 1 0
    assert_lines 1 "dt-node was killed by"
    assert_lines 1 "no connection in 3"
    assert_logged 2 "signal 9"
}

@test "dt-node hangs" {
    break_node 2 helper-hang
    step --dt-timeout=0.5
    assert_refused 66
    assert_told 1 0
    assert_lines 1 "no connection in 0"
    assert_logged 2 "did not answer in 2.5 s and was killed"
}

@test "one node does not reach dt-gather" {
    break_node 2 firewall
    step --dt-timeout=1
    assert_refused 66
    assert_told 1 0
    assert_lines 1 "no connection in 1"
    assert_logged 2 "dt-gather of srun can not be reached on port"
}

@test "no node reaches dt-gather: one sentence when the step has ended" {
    break_node 1 firewall
    break_node 2 firewall
    break_node 3 firewall
    step --dt-timeout=2
    assert_refused 66
    assert_told 0 1
    assert_lines 1 "^dt: the step ended before dt's verdict: 3 of 3 nodes did not report: $CLUSTER-\[1-3\] "
    assert_logged 3 "dt-gather of srun can not be reached on port"
}

@test "dt-gather crashes: srun's plugin tells, the nodes only log it" {
    break_node 2 helper-hang
    srun -N3 -n3 --dt-validate --dt-timeout=2 echo "a rank ran" >out 2>&1 3>&- &
    local srun=$! i
    for ((i = 0; i < 600; i++)); do
        pgrep -P "$srun" -x dt-gather >gather && break
        sleep 0.05
    done
    sleep 0.3 # the other two have reported as a rule; it is right either way
    kill -SEGV "$(<gather)"
    status=0
    wait "$srun" || status=$?
    output=$(<out)
    assert_refused 66
    assert_told 0 1
    assert_lines 1 "dt: dt-gather was killed by signal 11 .*; nodes that had not heard its verdict started nothing"
}

@test "dt-node crashes after the verdict: the node tells" {
    real_dt_node_2 0 checked
    step
    assert_failed # the ranks of the other nodes may have started, and are ended
    assert_told 1 1
    assert_lines 1 "^dt: 3 nodes fit"
    assert_lines 1 "dt: node $CLUSTER-2: dt-node was killed by signal 9"
    assert_nodes_healthy
}

@test "the configuration is wrong on all nodes: one row" {
    printf 'colour = red\n' >"$DT_CLUSTER_SHARED/wrong.conf"
    local n
    for n in 1 2 3; do
        broken+=("$CLUSTER-$n")
        dt_cluster run "$CLUSTER-$n" --name "$CLUSTER" -- mount --bind "$DT_CLUSTER_SHARED/wrong.conf" "/run/dt-cluster/$CLUSTER/prefix/etc/dt/dt.conf"
    done
    step
    assert_refused 78
    assert_under_ms 2000
    assert_told 1 0
    assert_lines 1 "^dt:   $CLUSTER-\[1-3.*  report " # the table may fold a long name
}
