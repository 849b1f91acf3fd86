#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-launch's watch over a job on a real Slurm: a hang over two nodes, and saving before the end: time limit, preemption,
# scancel -s, --signal; dt-train goes on at the step that was saved.

load common

setup_file() {
    cluster_up --nodes 2
    # A partition whose jobs make way for those of another.
    cluster_enter
    sed -i 's/^PartitionName=all .*/& PreemptMode=REQUEUE PriorityTier=1 GraceTime=20/' "$SLURM_CONF"
    printf '%s\n' PreemptType=preempt/partition_prio PreemptMode=REQUEUE \
        'PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 OverSubscribe=NO State=UP' >>"$SLURM_CONF"
    scontrol reconfigure
}
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    rm -rf "${DT_CLUSTER_SHARED:?}"/*
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >text
}

teardown() {
    squeue --noheader --format=%i | xargs --no-run-if-empty scancel
    squeue --noheader --format=%i | xargs --no-run-if-empty scancel # what was being requeued
    jobs_gone
}

until_says() { # FILE TEXT
    until_ok grep -Eqs -- "$2" "$1" || { cat "$1" && return 1; }
}

# A batch job of two ranks that saves into "saved", and in its second life goes on from there. Steps are slow enough to tell apart.
write_job() { # OPTIONS of dt-launch
    cat >job <<SH
#!/bin/bash
#SBATCH -N2 --ntasks-per-node=1 --requeue --output=out --open-mode=append -J save
srun --mpi=pmix --export=ALL,OMP_NUM_THREADS=1 dt-launch $* -- dt-train --data $PWD/text --layers 2 --channels 64 --heads 2 --seq 64 \\
    --global-batch 16 --blas builtin --steps 10000000 --print-every 400 --checkpoint saved --resume
code=\$?
echo "code \$code in life \${SLURM_RESTART_COUNT:-0}" >>lives
exit \$code
SH
}

saved_step() { # the last step that was saved before TEXT in out
    awk -v until="$1" 'index($0, until) { exit } / saved in / { step = $1 } END { print step + 0 }' out
}

# Slurm lets two minutes pass before a requeued job starts. Sent on its way while its first life is still being cleaned up, that
# life's end counts for the second: so only once the nodes are idle, and a moment later.
has_resumed() {
    grep -Eqs 'resumed after step [0-9]+' out && return
    local job
    job=$(squeue --noheader --states=PENDING --format=%i)
    [[ -n $job && $(sinfo --noheader --format=%T) == idle ]] || return 1
    sleep 3
    scontrol update "JobId=$job" StartTime=now >/dev/null 2>&1
    return 1
}

resumes() { # where it was saved
    local step
    until_ok has_resumed || tell "not resumed" "$(cat out)" "$(scontrol show job)"
    step=$(saved_step 'resumed after step')
    [ "$step" -gt 0 ] || tell "nothing was saved" "$(cat out)"
    grep -q "resumed after step $step\$\|resumed after step ${step}[^0-9]" out || tell "not at $step" "$(cat out)"
    [ -z "$(find saved -name '*.writing')" ] || tell "torn files"
}

@test "a hang over two nodes: the odd rank is named, 70, nothing stays" {
    cp "$REPOSITORY/tests/tools/stall.py" "$CLUSTER-stall.py"
    run env STALL=sleep srun -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --hang-timeout 2 --on-hang stop --python-stacks -- python3 "$CLUSTER-stall.py"
    assert_code 70
    assert_says "rank 2 on $CLUSTER-2 is the odd one out"
    assert_says "rank 2 on $CLUSTER-2 (pid *sleeps in *Python at $CLUSTER-stall.py:*in hold"
    assert_says 'ranks 0-1,3 (3) each: waits in recv*for the key "step2" of the store'
    assert_job FAILED
    jobs_gone
    run -1 pgrep -f "python3 $CLUSTER-stall.py"
    assert_nodes_healthy
}

@test "the time limit: signalled before it, saved, 75, requeued, resumed where it was saved" {
    write_job "--checkpoint-signal USR1 --checkpoint-window 40 --checkpoint-ack 'saved/step-*.dtc'"
    sbatch --time=1 job
    until_says out 'before the time limit: SIGUSR1 to all ranks' || until_says out 'before the time limit'
    resumes
    output=$(cat out)
    assert_says 'SIGUSR1: saving'
    assert_says "the job was saved within * s of SIGUSR1 and ends, to be run again"
    assert_says "is requeued"
}

@test "preemption: warned, saved within the grace, requeued, resumed where it was saved" {
    write_job "--checkpoint-signal USR1 --checkpoint-ack 'saved/step-*.dtc'"
    sbatch --exclusive --time=10 job
    until_says out '^ *400 '
    srun -p urgent -N2 --ntasks-per-node=1 --exclusive sleep 1
    resumes
}

@test "scancel -s USR1: saved, and the job goes on; cancelled, a new one goes on from the last save" {
    write_job "--checkpoint-signal USR1 --checkpoint-ack 'saved/step-*.dtc'"
    sbatch --time=10 job
    until_says out '^ *400 '
    scancel --signal=USR1 "$(last_job)"
    until_says out ' saved in '
    step=$(saved_step never)
    until_says out "^ *$((step / 400 * 400 + 800)) "
    [ ! -e lives ] || tell "ended" "$(cat lives out)"
    scancel "$(last_job)"
    jobs_gone
    sbatch --time=10 --begin=now+60 job
    resumes
}

@test "sbatch --signal: saved when Slurm says so, saved again and requeued before the limit" {
    write_job "--checkpoint-signal USR1 --checkpoint-window 15 --checkpoint-ack 'saved/step-*.dtc'"
    sbatch --time=1 --signal=USR1@45 job
    until_says out 'SIGUSR1: saving'
    until_says out ' saved in '
    until_says out 'before the time limit: SIGUSR1'
    resumes
}
