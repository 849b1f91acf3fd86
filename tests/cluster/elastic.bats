#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# full runs only: a test waits for Slurm to miss a node
# Ranks of MPI under the driver, which has no spare: a node is lost, or a rank dies. The training goes on from its last whole
# checkpoint, on as many ranks as are left, which share the model anew, and the losses stay those of one process.
# shellcheck disable=SC2016 # commands for nodes are expanded there

load common
load training

setup_file() {
    cluster_up --nodes 4 || return
    cluster_enter
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >text
    # The ranks share all there is of the model, however many they are.
    cat >train.sh <<'SH'
name=$1
shift
exec env OMP_NUM_THREADS=1 dt-train --data text --layers 2 --channels 32 --heads 2 --seq 32 --global-batch 24 --blas builtin \
    --steps 600 --lr 3e-4 --print-every 50 --log "$name.log" "$@"
SH
    bash train.sh reference >reference.out 2>&1 || cat reference.out
}

teardown_file() { cluster_down; }

setup() {
    cluster_enter
    name=try$BATS_TEST_NUMBER
    broken=()
}

teardown() {
    [ ! -s "$name.id" ] || scancel "$(<"$name.id")" || true
    for node in ${broken[@]+"${broken[@]}"}; do dt_cluster heal "$CLUSTER-$node"; done
}

submit() { # OPTION of dt-launch...
    cat >"$name.sh" <<SH
#!/bin/bash
exec dt-launch --per-task --srun=--mpi=pmix --max-restarts 2 $* -- \
    sh -c 'exec bash train.sh $name --fsdp \$WORLD_SIZE --checkpoint $name --save-every 20 --resume'
SH
    sbatch --parsable -N4 --ntasks-per-node=2 --no-kill -J "$name" -o "$name.out" "$name.sh" >"$name.id"
}

# Every step that was made, some of them twice, has the loss of one process up to rounding.
assert_same_curve() {
    awk '!($1 in seen) && NR == FNR { loss[$1] = $2; next }
        { d = ($2 - loss[$1]) / loss[$1]; steps[$1] = 1; if (d * d > 1e-8) { print "step " $1 ": " $2 " and " loss[$1]; bad = 1 } }
        END { exit bad || length(steps) != 600 }' <(losses reference.log) <(losses "$name.log")
}

@test "a node is lost, and no spare is there: the ranks of the others share the model, and train on" {
    submit --nodes 2:4
    until_ok trained
    broken+=(3)
    dt_cluster run "$CLUSTER-3" -- ip link set eth0 down
    until_ok grep -q '^resumed after step' "$name.out" || until_ok grep -q '^resumed after step' "$name.out"
    finished
    assert_job COMPLETED
    says "^dt-launch: starting again on 3 nodes $CLUSTER-\\[1-2,4\\], 0 spares; left out: $CLUSTER-3\$"
    says '^1 copy of the model in 8 shards'
    says '^1 copy of the model in 6 shards'
    assert_same_curve
}

@test "kill -9 of one rank: all of them again on the same nodes" {
    submit --nodes 4
    until_ok trained
    dt_cluster run "$CLUSTER-2" -- pkill -9 -o -x dt-train
    until_ok grep -q '^resumed after step' "$name.out"
    finished
    assert_job COMPLETED
    says "^dt-launch: rank [23] .* was killed by signal 9"
    says "^dt-launch: starting again on 4 nodes $CLUSTER-\\[1-4\\], 0 spares\$"
    assert_same_curve
}
