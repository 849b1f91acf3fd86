#!/usr/bin/env bats
# What dt-launch makes of the ranks' output: folded, kept in files, shown of some ranks; events and metrics; --doctor.

bats_require_minimum_version 1.5.0
load launch

setup() { launch_setup; }

# Two nodes of three ranks each, on this machine: node 0's output in lead, node 1's in member.
two_nodes() { # ARGUMENT...
    local free node
    free=$(free_port)
    local common=(--platform plain --nnodes 2 --master-addr 127.0.0.1 --master-port "$free" --nproc-per-node 3)
    "$launch" "${common[@]}" --node-rank 1 "$@" >member 2>member.err &
    node=$!
    "$launch" "${common[@]}" --node-rank 0 "$@" >lead 2>lead.err
    code=$?
    wait "$node" || true
    [ "$code" = 0 ] || cat lead.err member.err >&2
    return "$code"
}

# All ranks come to this point before any goes on: a line waits for its like 0.1 s on a node, 0.3 s on the lead's.
together=': >at.$RANK; while [ "$(echo at.* | wc -w)" -lt $WORLD_SIZE ]; do sleep 0.01; done;'

# ---- folding --------------------------------------------------------------------------------

@test "--fold: what all ranks write is one line, what one writes is his" {
    run -0 --separate-stderr "$launch" --nproc-per-node 4 --fold -- \
        sh -c "$together"'echo ready; echo rank $RANK; echo warning >&2; test $RANK = 2 || echo three'
    [ "${lines[0]}" = '[0-3] ready' ]
    [ "$(grep -c ready <<<"$output")" -eq 1 ]
    [[ $output == *'[2] rank 2'* && $output == *'[0-1,3] three'* ]]
    [ "$stderr" = '[0-3] warning' ]
}

@test "--fold: across nodes, by the lead; members show nothing" {
    two_nodes --fold -- sh -c "$together"' echo begin; echo $RANK is here; test $RANK = 4 || echo end; echo bad >&2'
    [ ! -s member ] && [ ! -s member.err ]
    [ "$(head -n 1 lead)" = '[0-5] begin' ]
    [ "$(grep -c 'is here' lead)" -eq 6 ]
    grep -q '^\[0-5 except 4\] end$' lead
    [ "$(cat lead.err)" = '[0-5] bad' ]
}

@test "--fold=numbers: lines that differ in numbers are one" {
    run -0 "$launch" --nproc-per-node 3 --fold=numbers -- sh -c "$together"'echo "step 5 loss 7.$RANK on gpu$RANK"; echo "step 5 memory 1$RANK GiB"'
    [[ $output == *'[0-2] step 5 memory 10..11..12 GiB'* ]]
    [[ $output == *'[1] step 5 loss 7.1 on gpu1'* ]] # a word is no number
}

@test "--fold: nothing is lost between nodes, each rank's lines in their order" {
    cat >writer.py <<'END'
import os
rank = int(os.environ["RANK"])
for i in range(3000):
    print(f"line {i}" if i % 7 else f"rank {rank} line {i}", flush=i % 100 == 0)
END
    two_nodes --fold -- python3 writer.py
    [ ! -s member ]
    python3 - <<'END'
import re
seen = {r: 0 for r in range(6)}
count = 0
for line in open("lead"):
    count += 1
    ranks, text = re.fullmatch(r"\[([^]]*)\] (.*)\n", line).groups()
    chosen = set()
    def members(part):
        for item in part.split(","):
            a, _, b = item.partition("-")
            yield from range(int(a), int(b or a) + 1)
    base, _, missing = ranks.partition(" except ")
    chosen = set(members(base)) - (set(members(missing)) if missing else set())
    for rank in chosen:
        i = seen[rank]
        assert text == (f"line {i}" if i % 7 else f"rank {rank} line {i}"), (rank, i, line)
        seen[rank] += 1
assert all(n == 3000 for n in seen.values()), seen
print(count, "lines of 18000")
END
}

@test "--fold: a rank that dies among others is named, its words shown" {
    run two_nodes --fold -- sh -c "$together"' echo go; test $RANK = 4 && { sleep 0.5; echo bad disk >&2; exit 9; }; sleep 60'
    [ "$status" -eq 9 ]
    grep -q '^\[0-5\] go$' lead
    grep -q '^\[4\] bad disk$' lead.err
    grep -q '^dt-launch: rank 4 ' lead.err
}

@test "--fold: a reader that stops reading does not keep a failed job" {
    mkfifo fifo
    exec 8<>fifo
    timed -7 timeout 60 bash -c "'$launch' --fold --nproc-per-node 2 --kill-grace 0.2 -- sh -c 'test \$RANK = 0 && { sleep 0.3; exit 7; }; yes' >fifo"
}

# ---- who is shown ---------------------------------------------------------------------------

@test "--ranks and --local-ranks-filter choose whose output is shown, in the whole job" {
    two_nodes -l --ranks 1,4-5 -- sh -c 'echo x'
    [ "$(cat lead member)" = $'[1] x\n[4] x\n[5] x' ] || [ "$(sort lead member)" = $'[1] x\n[4] x\n[5] x' ]
    two_nodes -l --local-ranks-filter 0 -- sh -c 'echo x'
    [ "$(sort lead member)" = $'[0] x\n[3] x' ]
    run -64 "$launch" --ranks 3 --nproc-per-node 2 -- true
    [[ $output == *'--ranks is "3", but there are only ranks 0 to 1'* ]]
    SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=1 \
        SLURM_STEP_TASKS_PER_NODE=2 SLURM_STEP_NODELIST=a run -64 "$launch" --fold -- true
    [[ $output == *'--fold needs --nproc-per-node'* ]]
    run -64 "$launch" --ranks 1- --nproc-per-node 2 -- true
    [[ $output == *'--ranks is "1-": ranks are needed'* ]]
}

@test "a rank that is not shown still has last words" {
    run -3 "$launch" --ranks 0 --nproc-per-node 2 -- sh -c 'test $RANK = 0 || { echo the reason >&2; exit 3; }; sleep 60'
    [ "$(grep -c 'the reason' <<<"$output")" -ge 1 ]
    [[ $output == *'dt-launch: rank 1 '*'| the reason'* ]]
}

# ---- files ----------------------------------------------------------------------------------

@test "--log-dir: both streams of each rank, whole, in a directory that is made" {
    run -0 "$launch" --nproc-per-node 2 --log-dir a/b/logs -- sh -c 'seq 20000; echo err $RANK >&2; printf rest'
    [ "$(grep -c . <<<"$output")" -ge 40000 ]
    for rank in 0 1; do
        [ "$(head -n 20000 a/b/logs/$rank.out | md5sum)" = "$(seq 20000 | md5sum)" ]
        [ "$(tail -n 1 a/b/logs/$rank.out)" = rest ]
        [ "$(cat a/b/logs/$rank.err)" = "err $rank" ]
    done
    run -0 "$launch" --nproc-per-node 1 --log-dir a/b/logs -- echo again
    [ "$(tail -n 1 a/b/logs/0.out)" = 'restagain' ] # appended, nothing is lost
}

@test "--redirects, --tee: as torchrun's" {
    run -0 "$launch" --nproc-per-node 2 -r 0:1 -t 1:3 -- sh -c 'echo out $RANK; echo err $RANK >&2'
    [ "$(sort <<<"$output")" = $'err 0\nerr 1\nout 1' ]
    [ "$(cd dt-logs && grep . ./* | sort)" = $'./0.out:out 0\n./1.err:err 1\n./1.out:out 1' ]
    run -0 "$launch" --nproc-per-node 2 --redirects 3 --log-dir quiet -- sh -c 'echo out; echo err >&2'
    [ -z "$output" ]
    [ "$(cat quiet/1.out quiet/1.err)" = $'out\nerr' ]
    PET_REDIRECTS=3 PET_LOG_DIR=pet run -0 "$launch" --nproc-per-node 1 -- echo out
    [ -z "$output" ] && [ "$(cat pet/0.out)" = out ]
    run -64 "$launch" -r 4 -- true
    [[ $output == *'--redirects is "4": 0, 1, 2 or 3'* ]]
    run -64 "$launch" -t 0:1,x -- true
    [[ $output == *'--tee is "0:1,x"'* ]]
}

@test "--log-size: a file begins anew at a line's end, the one before stays" {
    run -0 "$launch" --nproc-per-node 1 --log-dir logs -r 3 --log-size 2k -- seq 1000
    [ "$(stat -c %s logs/0.out)" -le 2048 ] && [ "$(stat -c %s logs/0.out.1)" -le 2048 ]
    [ "$(tail -n 1 logs/0.out)" = 1000 ]
    first=$(head -n 1 logs/0.out.1)
    [ "$(cat logs/0.out.1 logs/0.out)" = "$(seq "$first" 1000)" ]
    run -64 "$launch" --log-size 5x -- true
    [[ $output == *'--log-size is "5x": a number of bytes'* ]]
}

@test "a log directory that can not be made is told, and nothing starts" {
    : >file
    run -67 "$launch" --log-dir file/logs -- touch started
    [[ $output == *'--log-dir: file/logs can not be made: Not a directory'* ]]
    [ ! -e started ]
}

@test "a disk that is full for the logs does not end the job" {
    [ "$(id -u)" = 0 ] || skip "needs root for a small file system"
    mkdir small
    run -0 unshare --mount bash -c "mount -t tmpfs -o size=64k none small
        '$launch' --nproc-per-node 2 --log-dir small -r 3 -- sh -c 'seq 100000; echo done \$RANK >&2' && echo fine"
    [[ $output == *fine* ]]
    [ "$(grep -c 'can not be written: No space left on device; what this rank writes is not kept any more' <<<"$output")" -ge 1 ]
}

# ---- events and metrics ---------------------------------------------------------------------

@test "--events: start, failure, cause, end, each a JSON object" {
    run -5 "$launch" --events events --nproc-per-node 2 -- sh -c 'test $RANK = 0 || exit 5; sleep 60'
    python3 - <<'END'
import json
events = [json.loads(line) for line in open("events")]
names = [e["event"] for e in events]
assert names[0] == "start" and names[-1] == "end", names
assert events[0]["ranks"] == 2 and events[0]["platform"] == "alone"
cause = events[names.index("cause")]
assert cause["rank"] == 1 and cause["code"] == 5 and cause["cause"] == "exit", cause
assert "rank 1" in cause["sentence"]
assert events[-1]["code"] == 5
END
    two_nodes --events both -- true
    [ "$(grep -c '"start"' both)" -eq 1 ]
    run -64 "$launch" --events /nowhere/file -- true
    [[ $output == *'--events: /nowhere/file can not be opened'* ]]
}

@test "--metrics: what a collector finds, at the end too" {
    run -5 "$launch" --metrics job.prom --nproc-per-node 2 -- sh -c 'cp job.prom during.$RANK; test $RANK = 0 || exit 5; sleep 60'
    grep -q '^dt_launch_up{slurm_job_id="",node_rank="0"} 1$' during.1
    grep -q '^dt_launch_up{slurm_job_id="",node_rank="0"} 0$' job.prom
    grep -q '^dt_launch_world_size{slurm_job_id=""} 2$' job.prom
    grep -q '^dt_launch_first_failure{slurm_job_id="",rank="1",node="'"$(hostname)"'",cause="exit"} 1$' job.prom
    # every metric has its HELP and TYPE
    for name in $(grep -v '^#' job.prom | sed 's/{.*//' | sort -u); do
        grep -q "^# HELP $name " job.prom && grep -q "^# TYPE $name " job.prom
    done
    run -64 "$launch" --metrics job.txt -- true
    [[ $output == *'--metrics is "job.txt": a file whose name ends in .prom'* ]]
}

@test "--metrics with %n: each node tells how far its own ranks are" {
    cat >steps.py <<'PY'
import os, shutil, sys, time
rank = int(os.environ["RANK"])
with os.fdopen(int(os.environ["DT_PROGRESS_FD"]), "w", buffering=1) as progress:
    print("step 7 0.25", file=progress)
    for _ in range(3000):
        time.sleep(0.02)
        text = open("node.prom").read()
        if f'dt_rank_step{{slurm_job_id="",rank="{rank}"}}' in text:
            break
    open(f"seen.{rank}", "w").write(text)
PY
    run -0 "$launch" --nproc-per-node 2 --metrics %n.prom -- sh -c 'ln -sf "$(hostname).prom" node.prom; exec python3 steps.py'
    for rank in 0 1; do
        grep -q "^dt_rank_step{slurm_job_id=\"\",rank=\"$rank\"} 7\$" seen.$rank
        grep -q "^dt_rank_step_seconds{slurm_job_id=\"\",rank=\"$rank\"} 0.25\$" seen.$rank
        at=$(sed -n "s/^dt_rank_last_progress_timestamp_seconds{slurm_job_id=\"\",rank=\"$rank\"} //p" seen.$rank)
        ((${at%.*} >= EPOCHSECONDS - 100 && ${at%.*} <= EPOCHSECONDS))
    done
    run -1 grep dt_rank "$(hostname).prom"
    if command -v promtool >/dev/null; then promtool check metrics <seen.0; fi
    two_nodes --metrics 'at-%n.prom' -- true # both nodes are this machine
    grep -q '^dt_launch_up{slurm_job_id="",node_rank="[01]"} 0$' "at-$(hostname).prom"
}

@test "--events: the steps of the job, and its save before the end" {
    run -75 "$launch" --events events --nproc-per-node 2 --checkpoint-signal USR1 --checkpoint-ack line:saved -- python3 -c '
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: print("saved", flush=True))
print("step 3", flush=True)
open("up." + os.environ["RANK"], "w").close()
while os.environ["RANK"] == "0" and not ("number\": 3" in open("events").read() and os.path.exists("up.1")): time.sleep(0.02)
if os.environ["RANK"] == "0": os.kill(os.getppid(), signal.SIGTERM)
while True: time.sleep(1)'
    python3 - <<'END'
import json
events = {e["event"]: e for e in map(json.loads, open("events"))}
assert events["step"]["number"] == 3 and events["save"]["acknowledged"] is True and events["end"]["code"] == 75, events
END
}

@test "--progress: how far the job is; a line that is wiped on a terminal" {
    steps='for i in 1 2 3 4 5 6; do echo step $i; sleep 0.2; done'
    run -0 --separate-stderr "$launch" --progress=0.3 --nproc-per-node 2 -- sh -c "$steps"
    grep -qE '^dt-launch: 0:00:0[0-9], 2 ranks on 1 node, step [2-6], [0-9.]+ (steps/s|s a step)$' <<<"$stderr"
    [ "$(grep -c '^step' <<<"$output")" -eq 12 ]
    command -v script >/dev/null || skip "script(1) is not installed"
    printf '%s\n' "$steps" >steps
    run -0 script -qec "'$launch' --progress=0.3 --nproc-per-node 2 -- sh steps" /dev/null
    [[ $output == *'2 ranks on 1 node, step '*$'\r\e[K'* ]]
    [ "$(tr -d '\r' <<<"$output" | sed 's/.*\x1b\[K//' | grep -c '^step')" -eq 12 ] # none was written over
    run -64 "$launch" --progress=soon -- true
}

# ---- doctor ---------------------------------------------------------------------------------

@test "--doctor: what a rank will find and where it comes from" {
    NCCL_DEBUG=INFO DT_ENV_APPLIED=FI_PROVIDER FI_PROVIDER=efa PMI_FD=9 run -0 "$launch" --doctor=1 --nproc-per-node 2 -- true
    [ "${lines[0]}" = "rank 1 of 2, local rank 1 of 2, on $(hostname) (node 0 of 1)" ]
    for words in 'dt-launch *RANK=1' 'environment *NCCL_DEBUG=INFO' "dt's rules *FI_PROVIDER=efa" 'taken away *PMI_FD' \
        'platform *alone, one agent per node' 'cpus *[0-9]' 'limits *memlock'; do
        grep -qE "$words" <<<"$output" || { echo "no $words in $output"; false; }
    done
    run -0 "$launch" --doctor=5 --nproc-per-node 2 -- true
    [ -z "$output" ] # another node's
    run -64 "$launch" --doctor=one -- true
}
