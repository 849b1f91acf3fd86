#!/usr/bin/env bats
# dt-launch finds that nothing moves, and which rank is the odd one out; that a rank can not die; who is slow.
# Jobs of two nodes by hand, both on this machine.

# takes long: each hang is waited for
bats_require_minimum_version 1.5.0
load launch

setup() {
    launch_setup
    stall=$(realpath "$BATS_TEST_DIRNAME/../tools/stall.py")
}

stalls() { # WAY WORDS
    STALL=$1 two_nodes --hang-timeout 1.5 --on-hang stop --python-stacks -- python3 "$stall"
    [ "$status" -eq 70 ] || tell "$1: no code 70"
    [[ $output == *"rank 2 on "*" is the odd one out"* ]] || tell "$1: culprit not named"
    [[ $output == *"  | rank 2 on "*$2* ]] || tell "$1: lacks $2"
    [[ $output == *"ranks 0-1,3 (3) each: waits in "*"Python at stall.py:"*" in barrier, for the key \"step"* ]] ||
        tell "$1: the others are not told"
    [[ $output == *"dt-launch: the job hung for "*" s and is ended: rank 2 on "* ]] || tell "$1: the end is not told"
}

@test "a rank that sleeps is named, with its line of Python" {
    stalls sleep 'sleeps in *, Python at stall.py:*in hold'
}

@test "a rank that spins is named" {
    stalls spin 'computes and says nothing, Python at stall.py:*in hold'
}

@test "a rank that was stopped is named" {
    stalls stop 'is stopped (state T'
}

@test "a rank that writes into a pipe that nobody reads is named" {
    stalls pipe 'is blocked in write of a pipe*as nobody reads, Python at stall.py:*in hold'
}

@test "a rank in another collective is named by the key of the store" {
    stalls collective 'for the key "another" of the store'
}

@test "a rank that is stuck in import is named, and has not connected" {
    STALL=import two_nodes --hang-timeout 1.5 --on-hang stop --python-stacks -- python3 "$stall"
    [ "$status" -eq 70 ] || tell "no code 70"
    [[ $output == *"  | rank 2 on "*"Python at stuck_"*".py:1 in <module>, and has not connected to the store as others have"* ]] ||
        tell "culprit not named"
}

@test "without --python-stacks the culprit is named all the same" {
    STALL='sleep' two_nodes --hang-timeout 1.5 --on-hang stop -- python3 "$stall"
    [ "$status" -eq 70 ] || tell "no code 70"
    [[ $output == *"rank 2 on "*" is the odd one out"*"sleeps in "* ]] || tell "culprit not named"
    [[ $output != *Python* ]] || tell "Python's place without Python being asked"
}

@test "a long first step, a slow import and slow steps are no hang" {
    mkdir slow && echo 'import time; time.sleep(1.5)' >slow/sitecustomize.py
    PYTHONPATH=$PWD/slow FIRST=3 two_nodes --hang-timeout 6 -- python3 "$stall"
    [ "$status" -eq 0 ] || tell "failed"
    [[ $output$(cat one) != *dt-launch:* ]] || tell "a false alarm"
}

@test "a pause for a checkpoint and a validation that says nothing are no hang; watching takes next to nothing" {
    local proof=("$BATS_TEST_DIRNAME/../tools/quiet-proof")
    BUILD=$(dirname "$(dirname "$launch")") SCALE=0.1 DURATION=10 WATCHED=5 LIMIT=2 run -0 "${proof[@]}"
    [[ $output == *"false alarms in 10 s, time-out 4 s: 0"*"8 ranks looked at each second: "* ]] || tell "not measured"
    BUILD=$(dirname "$(dirname "$launch")") SCALE=0.1 TIMEOUT=10 DURATION=10 WATCHED=0.1 LIMIT=100 run -1 "${proof[@]}"
    [[ $output == *"hang: nothing has moved"* ]] || tell "a pause of twice the time-out was not seen: the test proves nothing"
}

@test "a report is no end: the job goes on, and that it moves again is told" {
    cat >pause.py <<'PY'
import os, time
if os.environ["RANK"] == "0":
    while not os.path.exists("told"):
        time.sleep(0.05)
    print("goes on", flush=True)
    time.sleep(1)
else:
    time.sleep(6)
PY
    "$launch" --nproc-per-node 2 --hang-timeout 1 -- python3 pause.py >out 2>&1 3>&- &
    until_ok grep -q 'hang: nothing has moved' out
    touch told
    until_ok grep -q 'the job moves again' out
    wait $!
}

@test "--on-hang dump writes what every thread does, on every node" {
    "$launch" --nproc-per-node 2 --hang-timeout 1 --on-hang dump --python-stacks -- python3 -c 'import time; time.sleep(60)' >out 2>&1 3>&- &
    pid=$!
    until_ok grep -q 'what every thread does is in dt-hang-' out
    kill "$pid"
    wait "$pid" || true
    [ "$(grep -c '^rank [01] on ' dt-hang-*.txt)" -eq 2 ]
    grep -q 'thread [0-9]* (python3, state S) sleeps in clock_nanosleep' dt-hang-*.txt
    grep -q 'File "<string>", line 1 in <module>' dt-hang-*.txt
}

@test "--on-hang restart starts all ranks again, and counts as a restart" {
    cat >once.py <<'PY'
import os, time
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    time.sleep(600 if os.environ["RANK"] == "2" else 500)
print("attempt", os.environ["TORCHELASTIC_RESTART_COUNT"], flush=True)
PY
    two_nodes --hang-timeout 1 --on-hang restart --max-restarts 1 -- python3 once.py
    [[ $status == 0 && $one == 0 ]] || tell "codes"
    [ "$(cat - one <<<"$output" | grep -c '^attempt 1$')" -eq 4 ] || tell "not all started again"
    [[ $output == *"dt-launch: the job hung for "*"dt-launch: restart 1 of 1"* ]] || tell "not told"
    two_nodes --hang-timeout 1 --on-hang restart -- python3 once.py
    [ "$status" -eq 70 ] || tell "restarted without --max-restarts"
}

@test "a rank in state D is named with the file and its file system, and dt-launch does not hang with it" {
    [ "$EUID" -eq 0 ] || skip "needs root, to mount"
    mkdir fsx
    cat >stuck.py <<'PY'
import os, time
if os.environ["RANK"] == "1":
    open("fsx/data/7")
time.sleep(600)
PY
    timeout 100 unshare --mount --propagation private python3 "$BATS_TEST_DIRNAME/hung_mount.py" "$PWD/fsx" \
        "$launch" --nproc-per-node 3 --hang-timeout 1 --on-hang stop --kill-grace 1 -- python3 stuck.py >out 2>&1 || status=$?
    [ "$status" -ne 77 ] || skip "no FUSE here"
    output=$(<out)
    [ "$status" -eq 70 ] || tell "code"
    [[ $output == *": rank 1 on "*" is the odd one out"*"is stuck in openat of $PWD/fsx/data/7, on fuse.hung ($PWD/fsx)"*"in state D: a disk or file system does not answer"* ]] ||
        tell "file, or file system, not named"
    [[ $output == *"ranks 0,2 (2) each: sleeps in "* ]] || tell "the others"
}

# Two nodes in a network namespace of their own, in which each rank has an address: ring HOW [COMMAND once all are connected].
ring() {
    [ "$EUID" -eq 0 ] || skip "needs root, for a network of its own"
    rm -f up.* at.* cut
    cat >ring.sh <<'SH'
ip link set lo up
for rank in 0 1 2 3; do ip addr add 10.9.9.$rank/32 dev lo; done
node() {
    timeout 100 "$launch" --nnodes 2 --node-rank "$1" --master-addr 127.0.0.1 --master-port 29555 --nproc-per-node 2 \
        --hang-timeout 2 --kill-grace 1 --on-hang stop -- python3 "$ring" "$how" 10.9.9.%d
}
node 1 >one 2>&1 &
node 0 >out 2>&1 &
zero=$!
for try in $(seq 1000); do [ "$(find . -name 'up.*' | wc -l)" = 4 ] && break || sleep 0.05; done
eval "$then"
wait $zero
SH
    status=0
    launch=$launch ring=$BATS_TEST_DIRNAME/../tools/ring.py how=$1 then=${2:-true} unshare --net bash ring.sh 3>&- || status=$?
    output=$(<out)
    [ "$status" -eq 70 ] || tell "code"
}

@test "packets that get lost: all wait alike, and the connection without an answer is named by both ranks" {
    ring cut 'ip addr del 10.9.9.2/32 dev lo; touch cut'
    [[ $output == *"nothing has moved for "[2-9]" s in any of 4 ranks: all do the same, so suspect the network between them"* ]] || tell headline
    [[ $output == *"  | rank 1 on "*" gets no answer from rank 2 on "*" (10.9.9.2:"*") since "*" s: sent again "[2-9]" times"* ]] || tell "1 to 2"
    [[ $output == *"  | rank 2 on "*" gets no answer from rank 3 on "*" (10.9.9.3:"* ]] || tell "2 to 3"
    [[ $output != *"rank 0 on "*" gets no answer"* && $output != *"rank 3 on "*" gets no answer"* ]] || tell "a good connection was named"
    [[ $output == *"  | rank 3 on "*" waits to hear from rank 2 on "* ]] || tell "who waits for whom"
}

@test "a peer that reads nothing is named by those who can not send to it" {
    ring deaf
    [[ $output == *"rank 1 on "*" is the odd one out"* ]] || tell "culprit"
    [[ $output == *"  | rank 0 on "*" can send no more to rank 1 on "*", which does not read: "*" bytes wait"* ]] || tell "0 to 1"
    [[ $output == *"  | rank 1 on "*" does not read what has come from rank 0 on "*" bytes"* ]] || tell "1 from 0"
    [[ $output != *"gets no answer"* ]] || tell "the network was blamed"
}

@test "all wait and nobody sends: who waits for whom is told, and no connection is blamed" {
    ring alike
    for rank in 0 1 2 3; do
        [[ $output == *"  | rank $rank on "*" waits to hear from rank $(((rank + 3) % 4)) on "*" (10.9.9.$(((rank + 3) % 4)):"* ]] || tell "rank $rank"
    done
    [[ $output != *"gets no answer"* && $output != *"does not read"* ]] || tell "a good connection was named"
}

@test "a rank that has printed a traceback and can not die ends the job as a failure" {
    cat >undead.py <<'PY'
import os, threading, time
if os.environ["RANK"] == "3":
    threading.Thread(target=time.sleep, args=(1000,)).start()
    raise ValueError("boom")
time.sleep(1000)
PY
    two_nodes --hang-timeout 4 -- python3 undead.py
    [ "$status" -eq 1 ] || tell "code"
    [[ $output == *"dt-launch: rank 3 (local 1 on "*"has printed a traceback and does not end: it waits in futex"*": ValueError: boom"* ]] ||
        tell "not named"
}

@test "a traceback that the program got over ends nothing" {
    cat >caught.py <<'PY'
import time, traceback
try:
    raise ValueError("boom")
except ValueError:
    traceback.print_exc()
for step in range(12):
    time.sleep(0.5)
    print("step", step, flush=True)
PY
    run -0 timeout 100 "$launch" --nproc-per-node 2 --hang-timeout 2 -- python3 caught.py
    [[ $output != *dt-launch:* ]] || tell "told"
}

@test "DT_PROGRESS_FD: a rank that says so gets on, however silent" {
    cat >silent.py <<'PY'
import os, time
with os.fdopen(int(os.environ["DT_PROGRESS_FD"]), "w", buffering=1) as progress:
    for step in range(8):
        time.sleep(0.5)
        print("step", step, file=progress)
PY
    run -0 timeout 100 "$launch" --nproc-per-node 2 --hang-timeout 2 -- python3 silent.py
    [[ $output != *dt-launch:* ]] || tell "told"
}

@test "a straggler is named by the pace of its steps, and its node when all ranks there share it" {
    cat >pace.py <<'PY'
import os, sys, time
rank = int(os.environ["RANK"])
slow = os.environ["SLOW"].split(",")
with os.fdopen(int(os.environ["DT_PROGRESS_FD"]), "w", buffering=1) as progress:
    for step in range(130):
        time.sleep(float(os.environ.get("PAUSE", 0)) if step == 60 + rank else 0.02)
        own = [] if "PAUSE" in os.environ else [0.2 if str(rank) in slow else 0.1 + 0.01 * rank * ("SPREAD" in os.environ)]
        print("step", step, *own, file=progress)
PY
    SLOW=1 two_nodes --hang-timeout 5 --events events -- python3 pace.py
    [ "$status" -eq 0 ] || tell "failed"
    [[ $output == *"dt-launch: rank 1 on "*" is 100 % slower than the others for 20 steps (0.2 s a step, median 0.1 s)"* ]] ||
        tell "not named"
    python3 -c 'import json; e, = [e for e in map(json.loads, open("events")) if e["event"] == "straggler"]
assert e["rank"] == 1 and abs(e["slower"] - 1) < 0.01 and e["node_shares"] is False, e'
    # A busy machine may slow a rank for real: it is a fault when each of three runs has one.
    nobody_slower() { # OPTION...
        for _ in 1 2 3; do
            SLOW=none two_nodes "$@" -- python3 pace.py
            [[ $output == *slower* ]] || return 0
        done
        return 1
    }
    nobody_slower --hang-timeout 5 || tell "named without being slow"
    # Healthy ranks of a machine that others use, too: no two have the same pace.
    SPREAD=1 nobody_slower --hang-timeout 5 || tell "one of many paces was taken for slowness"
    # One rank after the other stops for a while, as at a checkpoint.
    PAUSE=2 nobody_slower --hang-timeout 8 || tell "a pause was taken for slowness"
}

@test "the user's own sitecustomize runs too, and PYTHONPATH is kept" {
    mkdir own && echo 'print("mine", flush=True)' >own/sitecustomize.py
    TMPDIR=$PWD PYTHONPATH=$PWD/own run -0 "$launch" --python-stacks -- python3 -c 'import os, sitecustomize; print(sitecustomize.__file__); print(os.environ["PYTHONPATH"])'
    [[ ${lines[0]} == mine && ${lines[1]} == "$PWD/own/sitecustomize.py" && ${lines[2]} == */dt-python.*:"$PWD/own" ]]
    [ -z "$(compgen -G "$PWD/dt-python.??????")" ] || tell "left behind"
}

@test "wrong words are refused with 64" {
    run -64 "$launch" --hang-timeout soon -- true
    [[ $output == *'--hang-timeout is "soon"'* ]]
    run -64 "$launch" --on-hang=panic -- true
    [[ $output == *'--on-hang is "panic"'* ]]
    run -0 "$launch" --help
    [[ $output == *--hang-timeout* && $output == *--on-hang* && $output == *--python-stacks* ]]
}
