#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-launch as the driver of a batch job of four p5.48xlarge: with the plugin's validation, and with hardware that fails in
# the middle. Faults of processes, daemons and the network are in faults16.bats, what it types in tests/cli/driver.bats.

load common

setup_file() { cluster_up --nodes 4 --as p5.48xlarge; }
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    rm -f up.* out
}

# The batch script is the driver; its output and exit code are then in $output and $status. $sbatch: options.
drive() { # OPTION OR WORD...
    printf '#!/bin/bash\ndt-launch --nproc-per-node 2 --kill-grace 1' >script
    printf ' %q' "$@" >>script
    status=0
    # shellcheck disable=SC2086 # words on purpose
    timeout 60 sbatch --wait --no-kill -N4 -o "$PWD/out" ${sbatch:-} script >/dev/null || status=$?
    output=$(<out)
}

@test "validated: an unfit node is left out, the step is validated again, and runs on good ones" {
    dt_cluster break "$CLUSTER-2" memlock-low
    # shellcheck disable=SC2016
    sbatch=--dt-validate drive --nodes 2 --spares 1 -- sh -c 'echo "rank $RANK on $SLURMD_NODENAME $DT_VERDICT"'
    assert_code 0
    assert_says "dt-launch: starting on 2 nodes $CLUSTER-\\[1,3\\], 1 spare; left out: $CLUSTER-2"
    assert_lines 2 "^rank [01] on $CLUSTER-1 go:$(last_job)\\.1\$"
    assert_lines 2 "^rank [23] on $CLUSTER-3 go:$(last_job)\\.1\$"
    assert_job COMPLETED
    # and where too many are unfit, the job ends with a code of its own
    dt_cluster break "$CLUSTER-3" memlock-low
    sbatch=--dt-validate drive --nodes 2 --spares 2 -- true
    assert_code 0
    sbatch=--dt-validate drive --nodes 3 --spares 1 -- true
    assert_code 74
    assert_says "dt-launch: 2 good node(s) of this allocation are left, and 3 are needed; bad: $CLUSTER-\\[2-3\\]"
    dt_cluster heal "$CLUSTER-2"
    dt_cluster heal "$CLUSTER-3"
}

@test "a GPU falls off the bus: its node is replaced, and the others go on" {
    cat >rank.sh <<'SH'
touch "up.$TORCHELASTIC_RESTART_COUNT.$RANK"
echo "rank $RANK attempt $TORCHELASTIC_RESTART_COUNT/$TORCHELASTIC_MAX_RESTARTS on $SLURMD_NODENAME"
[ "$TORCHELASTIC_RESTART_COUNT" = 0 ] || exit 0
if [ "$RANK" = 3 ]; then
    until [ "$(ls up.0.* | wc -l)" = 6 ]; do sleep 0.05; done
    echo '3,9999,300,-;NVRM: Xid (PCI:0000:53:00): 79, pid=4711, GPU has fallen off the bus.' >>/dev/kmsg
    exit 1
fi
exec sleep 60
SH
    # a log of the kernel that the test may write to
    dt_cluster run "$CLUSTER-2" -- sh -c ': >/tmp/kmsg && mount --bind /tmp/kmsg /dev/kmsg'
    drive --nodes 3 --spares 1 -- sh rank.sh
    assert_code 0
    assert_lines 1 "^dt-launch: rank 3 \\(local 1 on $CLUSTER-2, pid [0-9]+\\) exited with code 1 .*: the kernel says: NVRM: Xid .* 79"
    assert_lines 6 'attempt 1/1 on'
    assert_says "dt-launch: starting again on 3 nodes $CLUSTER-\\[1,3-4\\], 0 spares; left out: $CLUSTER-2"
    assert_job COMPLETED
    dt_cluster heal "$CLUSTER-2"
}

@test "a program that is missing, or no program, on one node only: the node is named, once, and nothing is tried again" {
    for node in 1 2 4; do dt_cluster run "$CLUSTER-$node" -- sh -c 'cp /bin/true /tmp/program'; done
    drive --nodes 4 --max-restarts 3 -- /tmp/program
    assert_code 127
    assert_lines 1 "^dt-launch: program not found: /tmp/program \\(node $CLUSTER-3\\)\$"
    dt_cluster run "$CLUSTER-3" -- sh -c 'echo text >/tmp/program'
    drive --nodes 4 --max-restarts 3 -- /tmp/program
    assert_code 126
    assert_lines 1 "^dt-launch: program can not be executed: /tmp/program: Permission denied \\(node $CLUSTER-3\\)\$"
    assert_lines 1 '^dt-launch: starting'
    assert_job FAILED
    assert_nodes_healthy
}
