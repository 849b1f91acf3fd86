#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A batch job on 16 nodes and a spare, whose driver, agents, ranks, daemons and network are broken one after the other. Each time:
# the right sentence, exit code and job state; no process is left; and the training has gone on from its last whole
# checkpoint, so that each step has the loss that it has in an undisturbed run, bit for bit.
# shellcheck disable=SC2016 # commands for nodes are expanded there

load common
load training

setup_file() {
    cluster_up --nodes 17 || return
    cluster_enter
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >text
    # Rank 0 trains; the others only belong to the job, and end when it has.
    cat >rank.sh <<'SH'
touch "up.$TORCHELASTIC_RESTART_COUNT.$RANK"
if [ "$RANK" = 0 ]; then
    env -i PATH="$PATH" OMP_NUM_THREADS=1 dt-train --data text --layers 1 --channels 32 --heads 2 --seq 32 --global-batch 64 \
        --blas builtin --steps 400 --save-every 20 --print-every 400 --checkpoint "$1" --resume --log "$1.log" && touch "$1.done"
else
    until [ -e "$1.done" ]; do sleep 0.2; done
fi
SH
    # What has which process id in a node.
    cat >ids.sh <<'SH'
rank=$(pgrep -o -f "^bash rank.sh $1")
agent=$(awk '{ print $4 }' "/proc/$rank/stat")
keeper=$(awk '{ print $4 }' "/proc/$agent/stat")
stepd=$(awk '{ print $4 }' "/proc/$keeper/stat")
driver=$(pgrep -o -x dt-launch)
slurmd=$(pgrep -o -x slurmd)
SH
    RANK=0 TORCHELASTIC_RESTART_COUNT=0 bash rank.sh reference >reference.out 2>&1 || cat reference.out
    rm -f up.*
}

teardown_file() { cluster_down; }

setup() {
    cluster_enter
    name=try$BATS_TEST_NUMBER
    rm -f up.*
}

# The job: one batch script that is the driver. Options of dt-launch, and of sbatch in $sbatch.
submit() { # OPTION...
    cat >"$name.sh" <<SH
#!/bin/bash
exec dt-launch --nodes 16 --nproc-per-node 1 --max-restarts 3 --kill-grace 1 $* -- bash rank.sh $name
SH
    # shellcheck disable=SC2086 # words on purpose
    sbatch --parsable -N17 --no-kill -J "$name" -o "$name.out" ${sbatch:-} "$name.sh" >"$name.id"
}

node_of() { echo "$CLUSTER-$1"; }
on() { dt_cluster run "$(node_of "$1")" -- bash -c "cd '$PWD' && . ./ids.sh $name && $2"; } # NODE COMMANDS

all_up() { # ATTEMPT
    [ "$(find . -name "up.$1.*" | wc -l)" = 16 ]
}

# All ranks run, and the training is between two checkpoints.
under_way() {
    until_ok all_up 0
    until_ok trained 50
}

no_rank() { ! pgrep -f "rank.sh $name" >/dev/null; }

# How it must end where the fault was overcome.
assert_went_on() { # RESTARTS
    finished
    assert_job COMPLETED
    until_ok no_rank
    [ "$1" = 0 ] || grep -q '^resumed after step' "$name.out" || { cat "$name.out" && return 1; }
    [ ! -e "up.$(($1 + 1)).0" ]
    [ -e "up.$1.0" ]
    diff <(losses reference.log) <(losses "$name.log")
}

assert_ended() { # STATE
    assert_job "$1"
    until_ok no_rank
}

# What was broken is as new, without a reboot of the node.
all_idle() { ! sinfo --noheader --Node --format=%T | grep -qv -x idle; }

# ---- inside a step --------------------------------------------------------------------------

@test "kill -9 of a rank: all ranks start again in the same step" {
    submit
    under_way
    on 6 'kill -9 $rank'
    assert_went_on 1
    says "^dt-launch: rank [0-9]+ \\(local 0 on $(node_of 6), pid [0-9]+\\) was killed by signal 9 \\(SIGKILL\\)"
    says '^dt-launch: restart 1 of 3$'
    [ "$(grep -c '^dt-launch: starting' "$name.out")" = 1 ]
}

@test "garbage at the store's port harms nobody" {
    submit
    under_way
    on 9 'tr "\0" "\n" </proc/$rank/environ | grep ^MASTER_ >at'
    cat >garbage.py <<'PY'
import os, socket
at = dict(line.strip().split("=", 1) for line in open("at"))
for _ in range(20):
    for bytes in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4000), b"\0" + b"\xff" * 64, b"dt-hello 1 2 3\n", b"d" * 300000, b""):
        with socket.create_connection((at["MASTER_ADDR"], int(at["MASTER_PORT"])), 5) as s:
            try:
                s.sendall(bytes)
            except OSError:
                pass
PY
    on 3 'python3 garbage.py'
    assert_went_on 0
    [ "$(grep -c '^dt-launch' "$name.out")" = 1 ]
}

# ---- another node ---------------------------------------------------------------------------

# The driver has replaced it, once, and the job is as it should be.
assert_replaced() { # NODE SENTENCE
    assert_went_on 1
    says "^dt-launch: $2"
    says "^dt-launch: starting again on 16 nodes .*, 0 spares; left out: $(node_of "$1")\$"
}

@test "kill -9 of an agent: its node is left out, and a spare comes in" {
    submit --spares 1
    under_way
    on 7 'kill -9 $agent'
    assert_replaced 7 "node $(node_of 7) \\(6\\) with rank 6 was lost: its dt-launch was killed"
}

@test "kill -9 of the agent of node 0, which leads" {
    submit --spares 1
    under_way
    on 1 'kill -9 $agent'
    assert_went_on 1
    says "^dt-launch: starting again on 16 nodes .*, 0 spares; left out: $(node_of 1)\$"
}

@test "kill -9 of slurmd, and its restart: the step does not need it" {
    submit --spares 1
    under_way
    on 9 'mapfile -d "" words </proc/$slurmd/cmdline; kill -9 $slurmd
        setsid "${words[@]}" </dev/null >/dev/null 2>&1 3>&- &'
    assert_went_on 0
}

@test "a node's network is cut, and comes back: it is replaced, and ends its ranks by itself" {
    submit --spares 1 --lost-after 4
    under_way
    on 10 'ip link set eth0 down'
    until_ok all_up 1
    on 10 'ip link set eth0 up'
    assert_replaced 10 "node $(node_of 10) \\(9\\) with rank 9 was lost: it has said nothing for 4 s"
}

# ---- the end --------------------------------------------------------------------------------

@test "kill -9 of the driver: the step ends with it" {
    submit --spares 1
    under_way
    on 1 'kill -9 $driver'
    assert_ended FAILED
}

@test "scancel: nothing is called a failure" {
    submit --spares 1
    under_way
    scancel "$(<"$name.id")"
    assert_ended CANCELLED
    run -1 grep '^dt-launch: \(rank\|node\|restart\|starting again\)' "$name.out"
}

@test "the time limit: nothing is called a failure, and nothing starts again" {
    submit --spares 1
    under_way
    on 1 'kill -STOP $(pgrep -x dt-train)' # it would be done before its time is over
    scontrol update JobId="$(<"$name.id")" EndTime=now+1
    assert_ended TIMEOUT
    run -1 grep '^dt-launch: \(rank\|node\|restart\|starting again\)' "$name.out"
}

@test "requeue: when no spare is left, without the bad node" {
    sbatch="--requeue -N16" submit --requeue
    under_way
    on 11 'kill -9 $agent'
    until_ok job_is PENDING
    until_ok no_rank
    says "^dt-launch: 15 good node\\(s\\) of this allocation are left, and 16 are needed; bad: $(node_of 11)\$"
    [ "$(last_job ExcNodeList)" = "$(node_of 11)" ]
    [ "$(last_job Restarts)" = 1 ]
    scancel "$(<"$name.id")"
}

@test "preemption: nothing is called a failure, and Slurm requeues" {
    sed -i '/^PartitionName=all/s/$/ PriorityTier=1/' "$SLURM_CONF"
    echo 'PartitionName=urgent Nodes=ALL MaxTime=INFINITE OverSubscribe=EXCLUSIVE PriorityTier=9 PreemptMode=off State=UP
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE' >>"$SLURM_CONF"
    scontrol reconfigure
    sbatch=--requeue submit --spares 1
    under_way
    id=$(<"$name.id")
    timeout 60 srun -p urgent -N17 true
    [ "$(scontrol --oneliner show job "$id" | grep -o 'JobState=[A-Z]*')" = JobState=PENDING ]
    until_ok no_rank
    run -1 grep '^dt-launch: \(rank\|node\|restart\|starting again\)' "$name.out"
    scancel "$id"
}

@test "the disk of the logs is full: the training goes on" {
    for node in 1 5; do
        dt_cluster run "$(node_of $node)" -- sh -c 'mkdir -p /tmp/full && mount -t tmpfs -o size=64k none /tmp/full &&
            ! cat /dev/zero >/tmp/full/zeros 2>/dev/null'
    done
    sbatch='-o /tmp/full/out' submit --log-dir /tmp/full/logs
    assert_job COMPLETED
    until_ok no_rank
    [ ! -e up.1.0 ]
    diff <(losses reference.log) <(losses "$name.log")
}

# Slurm itself takes long to get over this one, drains two nodes when its UnkillableStepTimeout is as short as here, and
# calls the job COMPLETING meanwhile: so it comes last.
@test "kill -9 of slurmstepd: the training ends as if nothing were, and dt-launch does not wait for srun, which never ends" {
    submit --spares 1
    under_way
    on 8 'kill -9 $stepd'
    until_ok job_is 'COMPLET.*'
    [ "$(last_job ExitCode)" = 0:0 ]
    until_ok no_rank
    [ ! -e up.1.0 ]
    diff <(losses reference.log) <(losses "$name.log")
}
