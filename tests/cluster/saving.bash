# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Saving before the end on a real Slurm, for watch.bats and watch-cgroup.bats: a Slurm that signals every process of a
# step, and one that signals the tasks alone. Loads common.

load common

saving_cluster() { # linuxproc|cgroup
    cluster_up --nodes 2 --proctrack "$1" || return
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

resumes() { # [STEP]: where it was saved
    local step=${1:-}
    until_ok has_resumed || tell "not resumed" "$(cat out)" "$(scontrol show job)"
    [ -n "$step" ] || step=$(saved_step 'resumed after step')
    [ "$step" -gt 0 ] || tell "nothing was saved" "$(cat out)"
    grep -q "resumed after step $step\$\|resumed after step ${step}[^0-9]" out || tell "not at $step" "$(cat out)"
    [ -z "$(find saved -name '*.writing')" ] || tell "torn files"
}

# The time limit: signalled before it, saved, 75, requeued, resumed where it was saved.
at_the_time_limit() {
    write_job "--checkpoint-signal USR1 --checkpoint-window 40 --checkpoint-ack 'saved/step-????????'"
    sbatch --time=1 job
    until_says out 'before the time limit: SIGUSR1 to all ranks' || until_says out 'before the time limit'
    resumes
    output=$(cat out)
    assert_says 'SIGUSR1: saving'
    assert_says "the job was saved within * s of SIGUSR1 and ends, to be run again"
    assert_says "is requeued"
}

# Preemption: warned, saved within the grace, requeued, resumed where it was saved.
at_preemption() {
    write_job "--checkpoint-signal USR1 --checkpoint-ack 'saved/step-????????'"
    sbatch --exclusive --time=10 job
    until_says out '^ *400 '
    srun -p urgent -N2 --ntasks-per-node=1 --exclusive sleep 1
    resumes
}

# Scancel -s USR1: saved, and the job goes on; cancelled, a new one goes on from the last save.
at_scancel() {
    write_job "--checkpoint-signal USR1 --checkpoint-ack 'saved/step-????????'"
    sbatch --time=10 job
    until_says out '^ *400 '
    scancel --signal=USR1 "$(last_job)"
    until_says out ' saved in '
    step=$(saved_step never)
    until_says out "^ *$((step / 400 * 400 + 800)) "
    [ ! -e lives ] || tell "ended" "$(cat lives out)"
    scancel "$(last_job)" # where tasks alone are signalled, the ranks save once more
    jobs_gone
    newest=$(find saved -name 'step-????????' | sort | tail -n 1)
    kept=$((10#${newest//[^0-9]/}))
    [ "$kept" -ge "$step" ] || tell "saved at $step, and there is $newest"
    # As if a node had lost what it wrote: a checkpoint that is not whole is never gone on from.
    torn=saved/step-$(printf %08d $((kept + 7)))
    cp -r "$newest" "$torn"
    truncate -s 5000 "$torn/rank-00001"
    sbatch --time=10 --begin=now+60 job
    resumes "$kept"
}

# DataLoader's workers, which Slurm may signal with the rest, live on; the rank alone saves.
workers_live() {
    cat >loader.py <<'PY'
import multiprocessing, os, signal, time

def work(beats):
    while True:
        time.sleep(0.02)
        beats.value += 1

def start():
    context = multiprocessing.get_context("fork")
    beats = context.Value("L", 0)
    context.Process(target=work, args=(beats,), daemon=True).start()
    return beats

rank, hits = os.environ["RANK"], []
workers = [start()]
signal.signal(signal.SIGUSR1, lambda n, f: (hits.append(n), open(f"saved.{rank}.{os.getpid()}", "w").write("x")))
workers += [start()]
open(f"up.{rank}", "w").close()
while not hits:
    time.sleep(0.02)
time.sleep(0.5)
before = [beats.value for beats in workers]
time.sleep(0.5)
living = sum(beats.value > old for beats, old in zip(workers, before))
print(f"living {living}\n", end="", flush=True)  # in one piece: the ranks' lines do not mix
PY
    srun -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 "$@" -- python3 "$PWD/loader.py" >out 2>&1 3>&- &
    until_ok test -e up.0 -a -e up.1 -a -e up.2 -a -e up.3
    scancel --signal=USR1 "$(last_job)"
    status=0
    wait $! || status=$?
    output=$(<out)
    saved=$(find . -name 'saved.*' | wc -l)
}

at_scancel_with_workers() {
    workers_live --checkpoint-signal USR1
    assert_code 0
    assert_lines 4 '^living 2$'
    [ "$saved" -eq 4 ] || tell "$saved processes have saved"
}

# Sbatch --signal: saved when Slurm says so, saved again and requeued before the limit.
at_sbatch_signal() {
    write_job "--checkpoint-signal USR1 --checkpoint-window 15 --checkpoint-ack 'saved/step-????????'"
    sbatch --time=1 --signal=USR1@45 job
    until_says out 'SIGUSR1: saving'
    until_says out ' saved in '
    until_says out 'before the time limit: SIGUSR1'
    resumes
}
