#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-cluster itself: what it boots is a Slurm, clusters live side by side, and it always cleans up.

load common

A=$CLUSTER-a
B=$CLUSTER-b

setup_file() {
    cluster_needed
    for name in "$A" "$B" "$CLUSTER-k"; do dt_cluster down --name "$name" >/dev/null; done
    dt_cluster up --name "$A" --nodes 2 --plugstack none --build "$DT_BUILD" 3>&- &
    dt_cluster up --name "$B" --nodes 3 --as p5.48xlarge,trn1.32xlarge,host --plugstack none \
        --build "$DT_BUILD" 3>&-
    wait $!
}

teardown_file() {
    for name in "$A" "$B" "$CLUSTER-k"; do dt_cluster down --name "$name" >/dev/null; done
    rm -rf "$BATS_FILE_TMPDIR/with space"
}

bridge_of() {
    sed -n 's/^BRIDGE=//p' "/run/dt-cluster/$1/vars"
}

@test "two clusters of different names run jobs side by side" {
    cluster_enter "$A"
    run srun -N2 -n2 hostname
    assert_code 0
    assert_lines 1 "^$A-1$"
    assert_lines 1 "^$A-2$"
    cluster_enter "$B"
    run srun -N3 -n3 hostname
    assert_code 0
    assert_lines 3 "^$B-[123]$"
    [ "$(bridge_of "$A")" != "$(bridge_of "$B")" ]
}

@test "the recorded job state follows the exit code, and nodes stay healthy" {
    cluster_enter "$A"
    timed srun -N2 true
    assert_code 0
    assert_under_ms 2000
    assert_job COMPLETED
    run srun -N2 sh -c 'exit 3'
    assert_code 3
    assert_job FAILED
    assert_nodes_healthy
}

@test "sbatch and salloc work in a cluster" {
    cluster_enter "$A"
    run sbatch --wait --output=batch.out --wrap 'srun -N2 -n2 hostname; exit 5' -N2
    assert_code 5
    assert_job FAILED
    [ "$(sort <batch.out)" = "$A-1"$'\n'"$A-2" ]
    run salloc -N1 srun hostname
    assert_code 0
    assert_says "$A-1"
    assert_job COMPLETED
}

@test "a node has its own host name, address, processes, /tmp and /dev/shm" {
    run dt_cluster run "$A-1" -- sh -c 'hostname; touch /tmp/$0 /dev/shm/$0; ps ax | wc -l' "$CLUSTER.mine"
    assert_code 0
    [ "${lines[0]}" = "$A-1" ]
    [ "${lines[1]}" -lt 12 ]
    run dt_cluster run "$A-2" -- ls "/tmp/$CLUSTER.mine" "/dev/shm/$CLUSTER.mine"
    assert_code 2
    [ ! -e "/tmp/$CLUSTER.mine" ] && [ ! -e "/dev/shm/$CLUSTER.mine" ]
    run dt_cluster run "$A-1" -- getent hosts "$A-2"
    assert_says "198.1"
    run dt_cluster run "$A-1" -- sh -c 'exit 9'
    assert_code 9
}

@test "a node shows the type that it was booted as, with its GPUs and memory" {
    cluster_enter "$B"
    run dt_cluster run "$B-1" -- sh -c \
        'cat /sys/class/dmi/id/product_name; ls /sys/class/infiniband | wc -l; ls /proc/driver/nvidia/gpus | wc -l'
    assert_code 0
    [ "${lines[0]}" = p5.48xlarge ]
    [ "${lines[1]}" = 32 ]
    [ "${lines[2]}" = 8 ]
    run dt_cluster run "$B-2" -- cat /sys/class/dmi/id/product_name
    assert_says trn1.32xlarge
    run cat /sys/class/dmi/id/product_name
    assert_silent_about p5.48xlarge
    # shellcheck disable=SC2016 # for the rank's shell
    run srun -w "$B-1" --gres=gpu:8 sh -c 'echo $CUDA_VISIBLE_DEVICES'
    assert_code 0
    assert_says 0,1,2,3,4,5,6,7
    run sinfo -h -N -n "$B-1" -o '%c %m'
    assert_says "192 2097152"
}

@test "PMIx and several ranks a node work" {
    cluster_enter "$A"
    # shellcheck disable=SC2016 # for the rank's shell
    run srun -N2 --ntasks-per-node=2 --mpi=pmix sh -c 'echo rank $PMIX_RANK'
    assert_code 0
    assert_lines 4 '^rank [0-3]$'
}

@test "status, logs, faults and env speak of the cluster" {
    run dt_cluster status --name "$A"
    assert_code 0
    assert_lines 2 "^$A-[12] .* host +idle"
    run dt_cluster logs "$A-1"
    assert_says "slurmd started"
    run dt_cluster logs slurmctld --name "$A"
    assert_says "slurmctld version"
    run dt_cluster faults --build "$DT_BUILD"
    assert_lines 1 "^shm-small "
    run dt_cluster env --name "$A"
    assert_says "SLURM_CONF=/run/dt-cluster/$A/etc/slurm.conf"
}

@test "faults are planted in one node, add up, and heal takes them away" {
    cluster_enter "$A"
    local fault
    for fault in memlock-low nofile-low shm-small fs-readonly no-plugin firewall; do
        run dt_cluster break "$A-2" "$fault"
        assert_code 0
    done
    run dt_cluster status --name "$A"
    assert_lines 1 "^$A-2 .* memlock-low nofile-low shm-small fs-readonly no-plugin firewall$"
    assert_lines 1 "^$A-1 .* idle +$"
    run srun -w "$A-2" bash -c 'ulimit -l; ulimit -n; df --output=size /dev/shm | tail -1'
    assert_code 0
    [ "${lines[0]}" = 64 ]
    [ "${lines[1]}" = 256 ]
    [ "${lines[2]}" -eq 16384 ]
    run srun -w "$A-2" touch /tmp/x
    assert_failed
    assert_says "Read-only file system"
    timed dt_cluster heal "$A-2"
    assert_code 0
    assert_under_ms 5000 25
    run srun -w "$A-2" bash -c 'ulimit -l; ulimit -n; touch /tmp/x'
    assert_code 0
    [ "${lines[0]}" != 64 ]
    [ "${lines[1]}" != 256 ]
}

@test "the firewall fault stops new connections to srun's machine, but for Slurm's own" {
    local host
    host=$(sed -n 's/^HOST_IP=//p' "/run/dt-cluster/$A/vars")
    # Nobody listens: without the fault the refusal comes at once, with it nothing comes.
    run dt_cluster run "$A-1" -- timeout 1 bash -c "exec 3<>/dev/tcp/$host/40999"
    assert_says "Connection refused"
    dt_cluster break "$A-1" firewall
    run dt_cluster run "$A-1" -- timeout 0.5 bash -c "exec 3<>/dev/tcp/$host/40999"
    assert_code 124
    run dt_cluster run "$A-1" -- timeout 1 bash -c "exec 3<>/dev/tcp/$host/60999"
    assert_says "Connection refused"
    cluster_enter "$A"
    run srun -N2 -n2 hostname
    assert_code 0
    dt_cluster heal "$A-1"
}

@test "a dead node and a node without network come back with heal" {
    cluster_enter "$A"
    dt_cluster break "$A-1" dead
    run dt_cluster run "$A-1" -- pgrep slurmd
    assert_code 1
    dt_cluster break "$A-2" net-down
    run dt_cluster run "$A-2" -- cat /sys/class/net/eth0/operstate
    assert_says down
    dt_cluster heal "$A-1"
    dt_cluster heal "$A-2"
    run srun -N2 -n2 hostname
    assert_code 0
    assert_nodes_healthy
}

@test "a fault of the machine is seen by its node alone, and not planted where the machine is real" {
    local fault
    fault=$("$DT_BUILD/localcluster/dt-personality" faults | awk '$1 ~ /^efa-port-down/ { print $1; exit }')
    [ -n "$fault" ]
    dt_cluster break "$B-1" "$fault"
    run dt_cluster run "$B-1" -- sh -c 'cat /sys/class/infiniband/*/ports/1/state'
    assert_says "1: DOWN"
    run grep -L ACTIVE "/run/dt-cluster/$B/types/p5.48xlarge/sys/class/infiniband"/*/ports/1/state
    [ -z "$output" ] || tell "the fault is in the tree that all nodes share"
    dt_cluster heal "$B-1"
    run dt_cluster run "$B-1" -- sh -c 'cat /sys/class/infiniband/*/ports/1/state'
    assert_silent_about "1: DOWN"
    run dt_cluster break "$B-3" "$fault"
    assert_code 64
    assert_says "shows the real machine"
}

@test "bad arguments get one sentence and exit code 64" {
    local arguments
    while read -r -a arguments; do
        run dt_cluster "${arguments[@]}"
        assert_code 64
        [ "${#lines[@]}" -eq 1 ] || tell "not one line for: ${arguments[*]}"
    done <<TEXT
up --nodes 0
up --nodes 1001
up --nodes four
up --nodes
up --as p5.48xlarge,nosuch.large
up --as p5.48xlarge;reboot
up --name Dt
up --name ../x
up --plugstack maybe
up extra
down extra
break $A-1
break $A-1 nosuch-fault
break $A-99 dead
heal nosuch-1
run $A-1
frobnicate
TEXT
    run dt_cluster
    assert_code 64
    run dt_cluster --help
    assert_code 0
}

@test "a second up, an unknown cluster and a missing build are refused" {
    run dt_cluster up --name "$A" --plugstack none --build "$DT_BUILD"
    assert_code 69
    assert_says "is up already; end it with"
    run dt_cluster env --name nosuch
    assert_code 69
    assert_says "no cluster \"nosuch\" is up"
    run dt_cluster up --name "$CLUSTER-k" --build "$BATS_TEST_TMPDIR"
    assert_code 78
    assert_says "is missing; run make"
    run dt_cluster down --name "$CLUSTER-k"
    assert_code 0
    assert_nothing_left "$CLUSTER-k"
}

@test "without root it says that it needs root" {
    local copy # the repository may lie below a directory that only root can enter
    copy=$(mktemp -d)
    chmod 755 "$copy"
    cp -r "$REPOSITORY/contrib" "$REPOSITORY/configs" "$copy"
    run setpriv --reuid=65534 --regid=65534 --clear-groups \
        "$copy/contrib/localcluster/dt-cluster" up --name "$CLUSTER-k"
    rm -r "$copy"
    assert_code 69
    assert_lines 1 "needs root"
    [ ! -e "/run/dt-cluster/$CLUSTER-k" ]
}

@test "down leaves nothing after up was killed at any moment" {
    local delay pid
    for delay in 0.01 0.03 0.06 0.1 0.15 0.2 0.3; do
        "$DT_CLUSTER_PROGRAM" up --name "$CLUSTER-k" --plugstack none --build "$DT_BUILD" >/dev/null 2>&1 3>&- &
        pid=$!
        sleep "$delay"
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        run dt_cluster down --name "$CLUSTER-k"
        assert_code 0
        assert_nothing_left "$CLUSTER-k"
    done
}

boot() { # NODES TYPE: also again
    dt_cluster down --name "$CLUSTER-k" >/dev/null
    dt_cluster up --name "$CLUSTER-k" --nodes "$1" --as "$2" --plugstack none --build "$DT_BUILD" 3>&-
}

@test "4 nodes are ready in 5 s and 64 in 30 s, and go without a trace" {
    local bridge
    cluster_enter "$A" # for the baseline
    timed boot 4 host
    assert_code 0
    assert_under_ms 5000 30
    timed boot 64 p5.48xlarge
    assert_code 0
    assert_under_ms 30000 200
    cluster_enter "$CLUSTER-k"
    run srun -N64 -n64 hostname
    assert_code 0
    assert_lines 64 "^$CLUSTER-k-[0-9]+$"
    cd /
    bridge=$(bridge_of "$CLUSTER-k")
    dt_cluster down --name "$CLUSTER-k"
    assert_nothing_left "$CLUSTER-k" "$bridge"
}

@test "heal gives a node back whose job has hung" {
    cluster_enter "$A"
    srun -N2 -n2 sleep 100 3>&- &
    until_ok job_is RUNNING
    dt_cluster break "$A-2" net-down
    timed dt_cluster heal "$A-2"
    assert_code 0
    # shellcheck disable=SC2034 # read by assert_under_ms: a healthy node's reboot would prove nothing
    timed_command=()
    assert_under_ms 10000 50
    wait $! || true
    assert_job NODE_FAIL
    run srun -N2 -n2 hostname
    assert_code 0
    assert_nodes_healthy
}

@test "the plugin is named as asked, its helpers are root's, and faults of the helper stay in one node" {
    local libexec=/run/dt-cluster/$CLUSTER-k/prefix/libexec/dt fault real
    dt_cluster up --name "$CLUSTER-k" --nodes 2 --plugstack required --plugin-args "validate=off timeout=5" \
        --build "$DT_BUILD" 3>&-
    run cat "/run/dt-cluster/$CLUSTER-k/etc/plugstack.conf"
    assert_says "required */spank_dt.so helpers=$libexec config=*/dt.conf validate=off timeout=5"
    run stat --format '%U %a' "$libexec" "$libexec/dt-node"
    assert_lines 2 '^root 755$'
    real=$(cksum <"$libexec/dt-node")
    for fault in clock-off helper-crash helper-hang; do
        dt_cluster break "$CLUSTER-k-2" "$fault"
        [ "$(dt_cluster run "$CLUSTER-k-2" -- cat "$libexec/dt-node" | cksum)" != "$real" ]
        [ "$(dt_cluster run "$CLUSTER-k-1" -- cat "$libexec/dt-node" | cksum)" = "$real" ]
    done
    dt_cluster heal "$CLUSTER-k-2"
    [ "$(dt_cluster run "$CLUSTER-k-2" -- cat "$libexec/dt-node" | cksum)" = "$real" ]
    dt_cluster down --name "$CLUSTER-k"
}

@test "up on a half-up name says so and offers down" {
    dt_cluster up --name "$CLUSTER-k" --nodes 1 --plugstack none --build "$DT_BUILD" 3>&-
    sed -i '/^READY=/d' "/run/dt-cluster/$CLUSTER-k/vars"
    run dt_cluster up --name "$CLUSTER-k" --nodes 1 --plugstack none --build "$DT_BUILD"
    assert_code 69
    assert_says "left half up; remove it with"
    local bridge
    bridge=$(bridge_of "$CLUSTER-k")
    dt_cluster down --name "$CLUSTER-k"
    assert_nothing_left "$CLUSTER-k" "$bridge"
}

@test "it works from a repository whose path has blanks" {
    local copy="$BATS_FILE_TMPDIR/with space/dt"
    mkdir -p "$copy/contrib" "$copy/build"
    cp -a "$REPOSITORY/contrib/localcluster" "$copy/contrib/"
    cp -a "$REPOSITORY/configs" "$copy/"
    cp -aL "$DT_BUILD/localcluster" "$copy/build/"
    run "$copy/contrib/localcluster/dt-cluster" up --name "$CLUSTER-k" --nodes 1 --as p4d.24xlarge \
        --plugstack none 3>&-
    assert_code 0
    run dt_cluster run "$CLUSTER-k-1" -- cat /sys/class/dmi/id/product_name
    assert_says p4d.24xlarge
    run "$copy/contrib/localcluster/dt-cluster" down --name "$CLUSTER-k"
    assert_code 0
    assert_nothing_left "$CLUSTER-k"
}

@test "down leaves nothing: no process, mount, network or directory" {
    local bridge
    bridge=$(bridge_of "$A")
    cluster_enter "$A"
    srun -N2 sleep 100 3>&- &
    until_ok job_is RUNNING
    cd /
    run dt_cluster down --name "$A"
    assert_code 0
    kill -KILL $! || true
    assert_nothing_left "$A" "$bridge"
    run dt_cluster down --name "$A"
    assert_code 0
    assert_says "no cluster"
}

@test "up --slurm PREFIX runs the daemons and the commands of that Slurm" {
    local prefix program # not below /tmp: nodes have one of their own
    prefix=$(mktemp -d /var/tmp/dt-test-slurm-XXXXXX)
    chmod 755 "$prefix"
    mkdir -p "$prefix/bin" "$prefix/sbin"
    ln -s /usr/bin/{srun,sbatch,salloc,sinfo,squeue,scontrol,scancel} "$prefix/bin"
    for program in slurmctld slurmd; do
        printf '#!/bin/sh\necho "$0" >>%s/started\nexec /usr/sbin/%s "$@"\n' "$prefix" $program >"$prefix/sbin/$program"
        chmod 755 "$prefix/sbin/$program"
    done
    run dt_cluster up --name "$CLUSTER-k" --nodes 1 --plugstack none --build "$DT_BUILD" --slurm "$prefix" 3>&-
    assert_code 0
    grep -qx "$prefix/sbin/slurmctld" "$prefix/started"
    grep -qx "$prefix/sbin/slurmd" "$prefix/started"
    cluster_enter "$CLUSTER-k"
    [ "$(command -v srun)" = "$prefix/bin/srun" ]
    srun -N1 true
    cd /
    dt_cluster down --name "$CLUSTER-k"
    rm -r "$prefix"

    run dt_cluster up --name "$CLUSTER-k" --nodes 1 --slurm "$BATS_TEST_TMPDIR/none"
    assert_code 78
    assert_says "$BATS_TEST_TMPDIR/none"
}
