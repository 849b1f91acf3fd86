#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `make demo` as a newcomer runs it: from a path with spaces, on a machine where another Slurm runs already. It
# says what it should, and leaves nothing behind, also when it is interrupted or fails half way.

load common

# A demo with a name of its own, so that one that somebody keeps up is left alone.
demo_name() { echo "$CLUSTER" | tr -d -; }

setup_file() {
    cluster_up --nodes 1 --plugstack none # stands for a Slurm of the user's own
    mkdir -p "$BATS_FILE_TMPDIR/a path/with spaces/tmp"
    cd "$REPOSITORY" || return 1
    local entry
    for entry in .git .clang-format Makefile VERSION bench configs contrib docs launcher lib spank tests; do
        [[ ! -e $entry ]] || cp -a "$entry" "$BATS_FILE_TMPDIR/a path/with spaces/"
    done
    mkdir "$BATS_FILE_TMPDIR/a path/with spaces/build"
    cd "$DT_BUILD" || return 1
    cp -a bin include lib libdt.a libexec localcluster man obj "$BATS_FILE_TMPDIR/a path/with spaces/build/"
}

teardown_file() {
    "$DT_CLUSTER_PROGRAM" down --name "$(demo_name)" >/dev/null
    cluster_down
}

setup() {
    cluster_enter
    cd "$BATS_FILE_TMPDIR/a path/with spaces" || return 1
    NAME=$(demo_name)
    export DT_DEMO_NAME=$NAME TMPDIR=$PWD/tmp
    # in a session of its own, as in a terminal; bats' background processes ignore SIGINT, and a terminal's do not
    DEMO=(python3 -c 'import os, signal, sys
os.setsid()
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp("make", ["make", "--no-print-directory", "BUILD=build", "demo"] + sys.argv[1:])')
}

assert_demo_left_nothing() {
    assert_nothing_left "$NAME"
    [ ! -e "/run/dt-demo-$NAME.lock" ]
    [ -z "$(ls tmp)" ]
    srun -N1 true # the other Slurm has not noticed
}

@test "the whole demo, while Slurm's own ports are taken: every stage, quick, nothing left" {
    # shellcheck disable=SC2016
    python3 -c '
import socket, time
held = []
for port in (6817, 6818):
    try:
        held.append(socket.create_server(("", port)))
    except OSError:
        pass  # somebody listens there already: just as good
time.sleep(120)' 3>&- &
    listener=$!
    timed "${DEMO[@]}"
    kill $listener
    assert_code 0
    for stage in build cluster trained break refused down total; do
        assert_lines 1 "^$stage .* [0-9]+\.[0-9] s\$"
    done
    assert_lines 1 '^job +srun -N4 --ntasks-per-node=2 --mpi=pmix .*--dt-validate dt-launch'
    assert_lines 1 '^dt: 4 nodes fit: .* ms$'
    assert_says "2 ranks, 1 core, 4 GPUs and 16 NICs each"
    assert_lines 1 '^150 steps in [0-9.]+ s: loss [0-9.]+ -> [0-9.]+, [0-9]+ tokens/s$'
    awk '/^150 steps/ { fell = $7 - $9 } END { exit !(fell > 2) }' <<<"$output"
    assert_says "dt: 1 of 4 nodes is NOT fit"
    assert_says "--exclude=$NAME-3"
    refused=$(awk '$1 == "refused" { print $(NF - 1) * 1000 }' <<<"$output")
    assert_lines 1 '^Next: make demo KEEP=1 '
    assert_silent_about "couldn't chdir"
    assert_under_ms 40000 400
    # shellcheck disable=SC2034 # read by assert_under_ms
    elapsed_ms=${refused%.*} timed_command=()
    assert_under_ms 1500 10
    assert_demo_left_nothing
}

@test "Ctrl-C while it trains: ends at once, nothing left" {
    "${DEMO[@]}" >tmp/out 2>&1 3>&- &
    pid=$!
    until_ok grep -q '^ *15 ' tmp/out
    start=${EPOCHREALTIME/./}
    kill -INT -- -$pid
    status=0
    wait $pid || status=$?
    # shellcheck disable=SC2034 # read by assert_under_ms
    elapsed_ms=$(((${EPOCHREALTIME/./} - start) / 1000)) output=$(<tmp/out)
    rm tmp/out
    assert_failed
    assert_lines 0 '^150 steps'
    assert_under_ms 8000 80
    assert_demo_left_nothing
}

@test "a stage that fails: its own words are shown, exit code not 0, nothing left" {
    DT_DEMO_TYPE=p9.nosuch timed "${DEMO[@]}"
    assert_failed
    assert_lines 1 '^demo: the cluster did not come up:'
    assert_says "p9.nosuch"
    assert_demo_left_nothing
}
