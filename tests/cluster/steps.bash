# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Steps on a cluster of three p5.48xlarge that tests break and that is whole again after each: for spank.bats,
# refusals.bats and badinput.bats. Loads common.

load common

setup_file() { cluster_up --nodes 3 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() { cluster_enter; }
teardown() {
    local node
    # A reboot in the midst of a job's end keeps slurmctld waiting for 5 s and more; jobs that hang are not waited for.
    [[ -z ${broken:-} ]] || jobs_gone_within 3 >/dev/null || true
    for node in ${broken[@]+"${broken[@]}"}; do dt_cluster heal "$node" --name "$CLUSTER"; done
    [[ -z ${mount_point:-} ]] || umount "$mount_point"
    # What a test changes below the cluster's prefix and etc.
    [[ ! -d $BATS_TEST_TMPDIR/kept ]] || cp -a "$BATS_TEST_TMPDIR/kept/." "/run/dt-cluster/$CLUSTER/"
}

# The node is rebooted after the test.
will_break() { # NUMBER
    broken+=("$CLUSTER-$1")
}

break_node() { # NUMBER FAULT...
    local fault
    will_break "$1"
    for fault in "${@:2}"; do dt_cluster break "$CLUSTER-$1" "$fault" --name "$CLUSTER"; done
}

on_node() { # NUMBER COMMAND...
    dt_cluster run "$CLUSTER-$1" --name "$CLUSTER" -- "${@:2}"
}

# Prints the path of a file of the cluster, which the test may change: it comes back as it was.
changing() { # PATH below the cluster's directory
    local copy=$BATS_TEST_TMPDIR/kept/$1
    mkdir -p "$(dirname "$copy")"
    [[ -e $copy ]] || cp -a "/run/dt-cluster/$CLUSTER/$1" "$copy"
    echo "/run/dt-cluster/$CLUSTER/$1"
}

# The plugin's line of all nodes and of srun with more arguments, until the test ends.
plugin_arguments() { # ARGUMENTS
    sed -i "s|\$| $*|" "$(changing etc/plugstack.conf)"
}

# The node's dt-node starts only after some seconds, so that the step is between report and verdict until then.
late_node() { # NUMBER SECONDS
    local real=$DT_CLUSTER_SHARED/dt-node late=$DT_CLUSTER_SHARED/late-$2
    cp -p "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/dt-node" "$real"
    printf '#!/bin/sh\nsleep %s\nexec %s "$@"\n' "$2" "$real" >"$late"
    chmod 755 "$late"
    will_break "$1"
    on_node "$1" mount --bind "$late" "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/dt-node"
}

# "srun WORDS" in the background, its output in the file out; then step_ended sets status and output.
step_start() { # WORDS...
    srun "$@" >out 2>&1 3>&- &
    srun=$!
}

# shellcheck disable=SC2034 # status and output are read by the assertions
step_ended() {
    local waited=0
    until_ok srun_ended || waited=$?
    ((waited == 0)) || kill -KILL "$srun"
    status=0
    wait "$srun" || status=$?
    output=$(<out)
    return "$waited"
}

srun_ended() {
    [[ ! -d /proc/$srun ]] || grep -q '^State:.Z' "/proc/$srun/status"
}

# Until dt-node of a node has sent its hello, and then its report.
node_reported() { # NUMBER
    until_ok node_has_sent "$1" 2
}

node_has_sent() { # NUMBER SEGMENTS
    local sent
    sent=$(on_node "$1" ss -Htinp | grep -A1 '"dt-node"' | grep -oE 'data_segs_out:[0-9]+')
    ((${sent#*:} >= $2)) 2>/dev/null
}

# What every refusal by a verdict looks like, and of each step that fails on a node.
assert_step_failed() { # CODE
    assert_code "$1"
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
    assert_silent_about "a rank ran"
}

# The same, and nothing was waited for.
assert_refused() { # CODE
    assert_under_ms 2000
    assert_step_failed "$1"
}

# Refused by srun itself: no node has heard of it. Slurm then calls the job cancelled, as srun has ended before its step.
assert_not_started() { # CODE
    assert_code "$1"
    assert_under_ms 2000
    assert_job CANCELLED
    assert_nodes_healthy
    assert_no_helpers
    assert_silent_about "a rank ran"
}
