#!/usr/bin/env bats
# dt-launch has the job saved before its time is over: without a Slurm, the end of the job is told by its variable.

bats_require_minimum_version 1.5.0
load launch

setup() {
    launch_setup
    # Saves at SIGUSR1: how it says so, and what then, is in HOW. Counts signals.
    cat >train.py <<'PY'
import os, signal, sys, time
rank, how, hits = os.environ["RANK"], os.environ.get("HOW", "exit"), []
signal.signal(signal.SIGUSR1, lambda n, f: hits.append(time.time()))
open("up." + rank, "w").write("x")
end = time.time() + 60
while not hits and time.time() < end:
    time.sleep(0.02)
time.sleep(0.3)
open("signalled." + rank, "w").write(f"{hits[0]} {len(hits)}\n")
if how == "exit":
    sys.exit(0)
if how == "line" and rank == "3":
    print("checkpoint complete at step 7", flush=True)
if how == "file" and rank == "1":
    os.makedirs("saved", exist_ok=True)
    open("saved/writing", "w").write("7\n")
    time.sleep(0.5)
    os.rename("saved/writing", "saved/step-7.done")
time.sleep(60)
PY
}

# Every rank once, and all within a moment.
signalled_together() {
    [ "$(cat signalled.* | wc -l)" -eq 4 ] || tell "not all were signalled"
    python3 -c 'import glob
times = [open(f).read().split() for f in glob.glob("signalled.*")]
assert all(n == "1" for _, n in times), times
assert max(float(t) for t, _ in times) - min(float(t) for t, _ in times) < 1, times' || tell "not together, or not once"
}

soon() { echo $(($(date +%s) + $1)); }

@test "before the time limit all ranks of all nodes are signalled at one moment; they end: 75" {
    SLURM_JOB_END_TIME=$(soon 12) two_nodes --checkpoint-signal USR1 --checkpoint-window 9 -- python3 train.py
    [[ $status == 75 && $one == 75 ]] || tell "codes"
    [[ $output == *"dt-launch: "*" s before the time limit: SIGUSR1 to all ranks"*"all ranks ended after SIGUSR1: the job is to be run again"* ]] ||
        tell "not told"
    signalled_together
}

@test "acknowledged by a line of any rank: the ranks are ended then" {
    HOW=line SLURM_JOB_END_TIME=$(soon 14) two_nodes --checkpoint-signal SIGUSR1 --checkpoint-window 12 --checkpoint-ack 'line:checkpoint complete' -- python3 train.py
    [[ $status == 75 && $one == 75 ]] || tell "codes"
    [[ $output == *"the job was saved within "*" s of SIGUSR1 and ends, to be run again"* ]] || tell "not told"
    signalled_together
}

@test "acknowledged by a file that is whole, not by one that is being written" {
    HOW=file SLURM_JOB_END_TIME=$(soon 14) two_nodes --checkpoint-signal USR1 --checkpoint-window 12 --checkpoint-ack 'saved/*.done' -- python3 train.py
    [[ $status == 75 && $one == 75 ]] || tell "codes"
    [ -s saved/step-7.done ] || tell "ended before it was whole"
    [ ! -e saved/writing ] || tell "torn"
}

@test "nobody acknowledges: that is told, and 1" {
    HOW=never SLURM_JOB_END_TIME=$(soon 8) two_nodes --checkpoint-signal USR1 --checkpoint-window 6 --checkpoint-ack 'saved/*.done' -- python3 train.py
    [[ $status == 1 && $one == 1 ]] || tell "codes"
    [[ $output == *"that the job was saved was not confirmed within "*" s of SIGUSR1"* ]] || tell "not told"
}

@test "a rank that does not know the signal is named: nothing was saved" {
    SLURM_JOB_END_TIME=$(soon 10) two_nodes --checkpoint-signal USR1 --checkpoint-window 8 -- sleep 60
    [[ $status == 138 && $one == 138 ]] || tell "codes"
    [[ $output == *"was killed by signal 10 (SIGUSR1)"* ]] || tell "not named"
}

@test "SIGTERM from outside is a warning: saved on all nodes, though one dt-launch was told" {
    HOW=line two_nodes --checkpoint-signal USR1 --checkpoint-ack 'line:checkpoint complete' -- sh -c '
        if [ "$RANK" = 2 ]; then
            (until [ -s up.0 ] && [ -s up.1 ] && [ -s up.3 ] && [ -s up.2 ]; do sleep 0.05; done
             exec kill -TERM "$(cut -d" " -f4 /proc/$PPID/stat)") & fi
        exec python3 train.py'
    [[ $status == 75 && $one == 75 ]] || tell "codes"
    [[ $output == *"the time limit is not known"* ]] || tell "no warning"
    [[ $output == *"the job was told to end: SIGUSR1 to all ranks"*"the job was saved within "* ]] || tell "not told"
    signalled_together
}

@test "a second SIGTERM ends the job as one without --checkpoint-signal does" {
    HOW=never "$launch" --nproc-per-node 2 --checkpoint-signal USR1 --checkpoint-ack never -- python3 train.py >out 2>&1 3>&- &
    pid=$!
    until_ok test -s up.0 -a -s up.1
    kill "$pid"
    until_ok test -s signalled.1
    sleep 1.1
    kill "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" -eq 143 ] || tell "code $code"
}

@test "the signal from outside is passed on, and the job goes on" {
    HOW=line "$launch" --nproc-per-node 2 --checkpoint-signal USR1 --checkpoint-ack line:x -- python3 -c '
import os, signal, time
hits = []
signal.signal(signal.SIGUSR1, lambda n, f: hits.append(1))
open("up." + os.environ["RANK"], "w").write("x")
while not hits: time.sleep(0.02)
time.sleep(1)' >out 2>&1 3>&- &
    pid=$!
    until_ok test -s up.0 -a -s up.1
    kill -USR1 "$pid"
    wait "$pid"
}

# A rank with a worker that it forks before it knows the signal, one of a thread that is forked later, and one that is started anew.
write_loader() {
    cat >loader.py <<'PY'
import multiprocessing, os, signal, sys, threading, time

def work(how, beats):
    open(f"up.{how}", "w").write(str(os.getpid()))
    while True:
        time.sleep(0.02)
        beats.value += 1

def start(how, method):
    context = multiprocessing.get_context(method)
    beats = context.Value("L", 0)
    worker = context.Process(target=work, args=(how, beats), daemon=True)
    starter = threading.Thread(target=worker.start)
    starter.start()
    starter.join()
    return how, worker, beats

if __name__ == "__main__":
    hits = []
    workers = [start("early", "fork")]
    signal.signal(signal.SIGUSR1, lambda n, f: (hits.append(n), open(f"saved.{os.getpid()}", "w").write("x")))
    workers += [start("forked", "fork"), start("spawned", "spawn")]
    while not hits:
        time.sleep(0.02)
    time.sleep(0.3)
    before = [beats.value for _, _, beats in workers]
    time.sleep(0.3)
    print("saved; living:", *(how for (how, worker, beats), old in zip(workers, before) if beats.value > old), flush=True)
    sys.exit(0)
PY
}

tree() { # PID: it and its descendants
    local child
    for child in $(pgrep -P "$1"); do tree "$child"; done
    echo "$1"
}

# All processes of the rank get the signal, as from a Slurm without proctrack/cgroup.
signal_all() { # OPTION...: of a job with loader.py
    rm -f up.* saved.*
    "$launch" --nproc-per-node 1 "$@" -- python3 loader.py >out 2>&1 3>&- &
    pid=$!
    until_ok test -s up.early -a -s up.forked -a -s up.spawned
    # shellcheck disable=SC2046 # numbers
    kill -USR1 $(tree "$(pgrep -P "$(pgrep -P "$pid")")")
    status=0
    wait "$pid" || status=$?
    output=$(<out)
}

@test "workers that Python has forked or started ignore the signal, whoever sends it to them" {
    write_loader
    signal_all --checkpoint-signal USR1
    [[ $status == 0 && $output == *"saved; living: early forked spawned"* ]] || tell "workers died"
    [ "$(find . -name 'saved.*' | wc -l)" -eq 1 ] || tell "a worker has saved"
    signal_all
    [[ $output != *"living: early"* ]] || tell "they live without the hook, too: the test proves nothing"
}

@test "a window that is longer than half of the time left is cut" {
    SLURM_JOB_END_TIME=$(soon 8) run -75 timeout 60 "$launch" --checkpoint-signal USR1 -- python3 train.py
    [[ $output == *"8 s are left to the job: it is to be saved 4 s before the end"* || $output == *"7 s are left"* ]] || tell "not told"
}

@test "wrong words are refused with 64" {
    run -64 "$launch" --checkpoint-signal KILL -- true
    [[ $output == *'--checkpoint-signal is "KILL": USR1, USR2, TERM, HUP, INT or QUIT is needed'* ]]
    run -64 "$launch" --checkpoint-ack line: -- true
    [[ $output == *'exit, line:TEXT or a file is needed'* ]]
    run -64 "$launch" --checkpoint-window=-3 -- true
    SLURM_JOB_END_TIME=tomorrow run -0 "$launch" --checkpoint-signal USR1 -- true
    [[ $output == *'SLURM_JOB_END_TIME is "tomorrow", and not seconds since 1970'* ]]
}
