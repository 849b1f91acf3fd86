#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What nodes remember from job to job, on a real Slurm: counters are kept when a step begins and ends, what grew is
# told to the next, a reboot begins anew, and jobs that a node went down under make it a lemon.

load common

setup_file() { cluster_up --nodes 2 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    first=$(awk 'NR == 1 { print $1 }' "$state/nodes")
}

state=/run/dt-cluster/$CLUSTER

kept() { # NODE: the file
    cat "$state/remember/$1/history"
}

on() { # NODE COMMAND...
    dt_cluster run "$1" -- "${@:2}"
}

has_kept() { # NODE PATTERN
    kept "$1" 2>/dev/null | grep -q -E "$2"
}

# EFA's counters as the node shows them, raised by a number.
retransmit() { # NODE NUMBER
    # shellcheck disable=SC2016
    on "$1" bash -c 'cd /sys/class/infiniband/rdmap79s0/ports/1/hw_counters &&
        echo $(($(<retrans_pkts) + $1)) >retrans_pkts' - "$2"
}

# Runs a validated step on all nodes. What a check says of the first node, and with which result: "WARN VALUE".
tells() { # CHECK [LEVEL]
    rm -f report.json
    run srun -N2 --dt-validate="${2:-fast}" --dt-on-fail=warn --dt-report=report.json true
    [ "$status" -eq 0 ] || return 1
    until_ok ended "$first" "$(last_job)"
    jq -r --arg node "$first" --arg check "$1" \
        '.nodes[] | select(.name == $node) | .checks[] | select(.name == $check) | .result + " " + .value' report.json
}

ended() { # NODE JOB: the end of this job is kept, and no step runs
    has_kept "$1" "^ended [0-9]+ [0-9]+ $2 [0-9]+$" && ! has_kept "$1" '^running '
}

@test "the end of a step that used dt is kept on each of its nodes, and its counters" {
    run srun -N2 --dt-validate true
    assert_code 0
    local node
    while read -r node _; do
        until_ok ended "$node" "$(last_job)"
        has_kept "$node" '^counter efa.retrans_pkts rdmap79s0 0 '
        has_kept "$node" '^counter gpu.pcie_replay 0000:53:00.0 0 '
        [ "$(stat -c '%a %u' "$state/remember/$node/history")" = "644 0" ]
    done <"$state/nodes"
    # a step without dt leaves nothing
    local before
    before=$(kept "$first")
    run srun -N2 true
    assert_code 0
    [ "$(kept "$first")" = "$before" ]
    assert_no_helpers
}

@test "a step that runs is known, and forgotten when it ends, however it ends" {
    srun -N1 -w "$first" --dt-validate sleep 60 3>&- &
    local srun=$!
    until_ok has_kept "$first" '^running '
    scancel "$(last_job)"
    wait "$srun" || true
    until_ok ended "$first" "$(last_job)"
    run srun -N1 -w "$first" --dt-validate=fast false
    assert_code 1
    until_ok ended "$first" "$(last_job)"
    run ! has_kept "$first" '^lost '
}

@test "what grew under a job is told to the next, with the node, and to no one after it" {
    # in the job itself, as its traffic would: the node's own view of the machine
    run srun -N2 --dt-validate true
    assert_code 0
    until_ok ended "$first" "$(last_job)"
    srun -N1 -w "$first" --dt-validate sleep 60 3>&- &
    local srun=$!
    until_ok has_kept "$first" '^running '
    retransmit "$first" 1000000000000
    scancel "$(last_job)"
    wait "$srun" || true
    until_ok ended "$first" "$(last_job)"
    has_kept "$first" '^grew efa.retrans_pkts rdmap79s0 1000000000000 '
    run tells efa-retransmits
    assert_says "WARN efa.retrans_pkts of rdmap79s0 grew by 1000000000000 in the last job here"
    run tells efa-retransmits
    assert_says "PASS"
}

@test "what grew between two jobs is told at level full" {
    until_ok ended "$first" "$(last_job)"
    retransmit "$first" 1000000000000
    run tells efa-retransmits full
    assert_says "WARN efa.retrans_pkts of rdmap79s0 grew by 1000000000000 in*since the last job"
}

@test "a failed job is lost to the node when a GPU failed under it; three of them make it a lemon" {
    local srun
    for _ in 1 2 3; do
        srun -N1 -w "$first" --dt-validate --dt-on-fail=warn sleep 60 3>&- &
        srun=$!
        until_ok has_kept "$first" '^running '
        # the driver asks; before the next job somebody has reset the GPU
        dt_cluster break "$first" gpu-reset
        scancel "$(last_job)"
        wait "$srun" || true
        until_ok ended "$first" "$(last_job)"
        has_kept "$first" "^lost $(last_job) 0 [0-9]+ 0000:[0-9a-f:.]+: the driver asks for recovery$"
        on "$first" sed -i '/recovery/d' /usr/local/nvidia/lib64/nvml.conf
    done
    run tells lemon
    assert_says "WARN 3 jobs lost here in 7 days: $(($(last_job) - 1)) (*the driver asks for recovery), "
}

@test "after a reboot: no alarm, lost jobs are remembered, and a job that it went down under is one of them" {
    srun -N1 -w "$first" --dt-validate sleep 600 3>&- &
    local srun=$! job
    until_ok has_kept "$first" '^running '
    job=$(last_job)
    dt_cluster heal "$first"
    wait "$srun" || true
    # larger than before the boot, and no growth all the same
    retransmit "$first" 2000000000000
    run tells efa-retransmits full
    assert_says "SKIP nothing to compare with: no job has begun or ended here since the node booted"
    has_kept "$first" "^lost $job 0 [0-9]+ the node went down under it$"
    run tells lemon
    assert_says "WARN 4 jobs lost here in 7 days: $job (*the node went down under it), "
}

@test "a damaged file is told of in slurmd's log, and started anew; the job knows nothing of it" {
    echo "lost 1 2 3 x" >>"$state/remember/$first/history"
    run srun -N2 --dt-validate true
    assert_code 0
    assert_silent_about checksum
    until_ok ended "$first" "$(last_job)"
    run ! has_kept "$first" '^lost '
    until_ok grep -q 'what step .* started anew: state-directory .*/history: its checksum is wrong' "$state/log/$first.log"
}

@test "a state directory that can not be written harms no job; slurmd's log says why" {
    chmod 0777 "$state/remember/$first"
    run srun -N2 --dt-validate true
    assert_code 0
    # slurmstepd writes when srun has gone.
    told=0 && until_ok grep -q 'what step .* left on this node.*state-directory .*must belong to root' "$state/log/$first.log" || told=1
    chmod 0755 "$state/remember/$first"
    [ "$told" -eq 0 ]
    assert_nodes_healthy
}

@test "without the plugin an Epilog keeps the counters, and never fails" {
    local validate=$state/prefix/bin/dt-validate conf=$state/prefix/etc/dt/dt.conf
    on "$first" env SLURM_JOB_ID=4711 "$validate" --config "$conf" --save-counters
    has_kept "$first" '^ended [0-9]+ [0-9]+ 4711 0$'
    run on "$first" "$validate" --config /nowhere --save-counters
    assert_code 0
    assert_says "/nowhere can not be read"
}

@test "what a job has measured serves its later steps, unless fresh is asked for; and no other job" {
    cat >steps.sh <<'TEXT'
#!/bin/sh
step() { srun -N1 -n1 --dt-validate="$1" --dt-report="report-$2.json" true 2>"step-$2" || exit 1; }
step deep 1
step deep 2
step deep,fresh 3
step fast 4
TEXT
    run sbatch --wait -N1 -w "$first" --output=batch.out steps.sh
    assert_code 0
    run ! grep 'measured up to' step-1
    grep -q 'measured up to [0-9]* s ago, by an earlier step, on 1 of 1 node; --dt-validate=deep,fresh' step-2
    run ! grep 'measured up to' step-3
    run ! grep 'measured up to' step-4
    run jq -c '[.nodes[0].facts | ."mem.bandwidth_mb_s", ."measured.age_s" != null]' report-1.json report-2.json
    [ "${lines[0]%,*}" = "${lines[1]%,*}" ]
    [ "${lines[0]##*,}" = 'false]' ] && [ "${lines[1]##*,}" = 'true]' ]
    # another job measures for itself
    run srun -N1 -w "$first" --dt-validate=deep true
    assert_code 0
    assert_silent_about "measured up to"
}

@test "what was measured is used no longer than reuse-seconds" {
    local conf=$state/prefix/etc/dt/dt.conf
    cp -p "$conf" dt.conf.before
    echo 'reuse-seconds = 1' >>"$conf"
    cat >steps.sh <<'TEXT'
#!/bin/sh
srun -N1 -n1 --dt-validate=deep true 2>step-1
sleep 2.5
srun -N1 -n1 --dt-validate=deep true 2>step-2
TEXT
    run sbatch --wait -N1 -w "$first" --output=batch.out steps.sh
    cat dt.conf.before >"$conf"
    assert_code 0
    grep -q 'node fits' step-2
    run ! grep 'measured up to' step-2
}

@test "what a failed step has measured is not reused" {
    dt_cluster break "$first" gpu-reset
    cat >steps.sh <<'TEXT'
#!/bin/sh
srun -N1 -n1 --dt-validate=deep true 2>step-1
srun -N1 -n1 --dt-validate=deep --dt-on-fail=warn true 2>step-2
srun -N1 -n1 --dt-validate=deep --dt-on-fail=warn true 2>step-3
TEXT
    run sbatch --wait -N1 -w "$first" --output=batch.out steps.sh
    on "$first" sed -i '/recovery/d' /usr/local/nvidia/lib64/nvml.conf
    grep -q 'NOT fit' step-3
    run ! on "$first" grep -s "\"job\":$(last_job)," "$state/cache/measured.json"
}
