#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# full runs only: each test waits for Slurm to miss a node
# Spares: a node of four is taken away in every way, with the rank that trains, the lead, or the batch script on it. The training
# goes on from its last whole checkpoint, and each step has the loss of an undisturbed run; no allocation stays without a use.
# shellcheck disable=SC2016 # commands for nodes are expanded there

load common
load training

setup_file() {
    cluster_up --nodes 5 || return
    cluster_enter
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >text
    # The rank $2 trains; the others only belong to the job, and end when it has.
    cat >rank.sh <<'SH'
touch "$1.up.$TORCHELASTIC_RESTART_COUNT.$RANK"
if [ "$RANK" = "$2" ]; then
    env -i PATH="$PATH" OMP_NUM_THREADS=1 dt-train --data text --layers 1 --channels 32 --heads 2 --seq 32 --global-batch 64 \
        --blas builtin --steps "$3" --save-every 20 --print-every 400 --checkpoint "$1" --resume --log "$1.log" && touch "$1.done"
else
    until [ -e "$1.done" ]; do sleep 0.2; done
fi
SH
    RANK=0 TORCHELASTIC_RESTART_COUNT=0 bash rank.sh reference 0 1500 >reference.out 2>&1 || cat reference.out
}

teardown_file() { cluster_down; }

setup() {
    cluster_enter
    name=try$BATS_TEST_NUMBER steps=1500 # so many take longer than it does to see that a node is lost
}

teardown() {
    [ ! -s "$name.id" ] || scancel "$(<"$name.id")" || true
    for node in ${broken[@]+"${broken[@]}"}; do dt_cluster heal "$CLUSTER-$node"; done
}

# The job: one batch script that is the driver. $trains: the rank that does; $sbatch: options of sbatch.
submit() { # OPTION of dt-launch...
    cat >"$name.sh" <<SH
#!/bin/bash
exec dt-launch --nproc-per-node 1 --max-restarts 3 --kill-grace 1 --lost-after 4 $* -- bash rank.sh $name ${trains:-2} $steps
SH
    # shellcheck disable=SC2086 # words on purpose
    sbatch --parsable -N4 --no-kill -J "$name" -o "$name.out" --open-mode=append ${sbatch:-} "$name.sh" >"$name.id"
}

take_away() { # NODE COMMANDS on it
    broken+=("$1")
    dt_cluster run "$CLUSTER-$1" -- bash -c "$2"
}

no_rank() { ! pgrep -f "^bash rank.sh $name" >/dev/null; } # an agent that is cut off waits
same_losses() { cmp <(losses reference.log) <(losses "$name.log"); }

# It has trained to its end, behind a fault; the sentences about nodes are looked at by who calls.
assert_went_on() {
    finished
    assert_job COMPLETED
    until_ok no_rank
    grep -q '^resumed after step' "$name.out" || { cat "$name.out" && return 1; }
    same_losses
}

reason() { scontrol --oneliner show node "$CLUSTER-$1" | sed -n 's/.* Reason=\(.*\) \[.*/\1/p'; }

@test "the network of the node that trains is cut: a spare trains on, and the node is drained with what was seen" {
    submit --nodes 3 --spares 1 --drain
    until_ok trained
    take_away 3 'ip link set eth0 down'
    assert_went_on
    says "^dt-launch: starting again on 3 nodes $CLUSTER-\\[1-2,4\\], 0 spares; left out: $CLUSTER-3\$"
    id=$(<"$name.id")
    [[ $(reason 3) =~ ^"dt: job $id: node $CLUSTER-3 (2) with rank 2 was lost: it has said nothing for "[4-9]" s, so its network or the node is down"$ ]] ||
        { reason 3 >&2 && return 1; }
}

@test "slurmd of the node that trains is killed for good: Slurm ends the step, and that node is replaced, no other" {
    submit --nodes 3 --spares 1
    until_ok trained
    take_away 3 'kill -STOP $(pgrep -x dt-train); kill -9 $(pgrep -o -x slurmd)' # it would be done before Slurm sees it
    until_ok grep -q '^resumed after step' "$name.out"
    assert_went_on
    says "^dt-launch: starting again on 3 nodes $CLUSTER-\\[1-2,4\\], 0 spares; left out: $CLUSTER-3\$"
}

@test "node 0, with the store, is cut off, and the batch script is elsewhere: a spare comes in" {
    trains=1 submit --nodelist "$CLUSTER-[2-4]" --nodes 2 --spares 1
    until_ok trained
    take_away 2 'ip link set eth0 down'
    assert_went_on
    says "^dt-launch: starting again on 2 nodes $CLUSTER-\\[3-4\\], 0 spares; left out: $CLUSTER-2\$"
}

started_again() { # Slurm lets two minutes pass before a requeued job starts
    local job
    [ "$(last_job Restarts)" = 1 ] || return 1
    job=$(squeue --noheader --states=PENDING --format=%i)
    [ -z "$job" ] || scontrol update "JobId=$job" StartTime=now >/dev/null 2>&1 || true
    grep -q '^resumed after step' "$name.out"
}

@test "the node of the batch script is cut off, with the driver and node 0: requeued without it, and trained on" {
    sbatch=--requeue submit --nodes 3 --spares 1 --requeue
    until_ok trained
    take_away 1 'ip link set eth0 down'
    until_ok started_again || until_ok started_again
    [ "$(last_job ExcNodeList)" = "$CLUSTER-1" ]
    assert_went_on
}

@test "the same without --requeue: the allocation does not wait for its time limit" {
    steps=1000000
    submit --nodes 3 --spares 1
    until_ok trained
    take_away 1 'ip link set eth0 down'
    until_ok job_has_ended || until_ok job_has_ended
    [ "$(last_job JobState)" = CANCELLED ]
    [ "$(last_job Comment)" = dt-launch: ] # the first word of it
    until_ok no_rank
}
