#!/usr/bin/env bats
# dt-launch under a real srun: both shapes, ends, signals. The plugin is left out of this cluster, so that
# what is seen is dt-launch's own.

load common

setup_file() { cluster_up --nodes 4 --plugstack none; }
teardown_file() { cluster_down; }
setup() { cluster_enter; }
teardown() { rmdir "/sys/fs/cgroup/dt-$CLUSTER" "/sys/fs/cgroup/memory/dt-$CLUSTER" 2>/dev/null || true; }

# The lines of dt-launch itself in $output.
said() { grep '^dt-launch: ' <<<"$output"; }

@test "one wrapper per task: 8 ranks with the right numbers, and Slurm's own left alone" {
    timed srun -N4 --ntasks-per-node=2 dt-launch -- sh -c \
        'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK/$GROUP_WORLD_SIZE $SLURM_PROCID/$SLURM_NTASKS'
    assert_code 0
    diff <(sort <<<"$output" | grep /8) <(for r in 0 1 2 3 4 5 6 7; do echo "$r/8 $((r % 2))/2 $((r / 2))/4 $r/8"; done)
}

@test "one agent per node: 8 ranks, and Slurm's numbers rewritten" {
    timed srun -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- sh -c \
        'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK/$GROUP_WORLD_SIZE $SLURM_PROCID/$SLURM_NTASKS'
    assert_code 0
    diff <(sort <<<"$output" | grep /8) <(for r in 0 1 2 3 4 5 6 7; do echo "$r/8 $((r % 2))/2 $((r / 2))/4 $r/8"; done)
}

# What a shell in screen, ssh with SendEnv, or sbatch typed in a step brings along.
@test "the whole environment of another step is refused, with both steps named; --platform slurm is believed" {
    # shellcheck disable=SC2016 # expanded in the steps and jobs
    run -0 srun -N1 sh -c 'env -0 >ended; echo $SLURM_JOB_ID.$SLURM_STEP_ID'
    local ended=$output
    sed -z -E '/^(PATH|HOME|LD_LIBRARY_PATH)=/!{/^SLURM/!d}' ended >variables
    cat >inherited.sh <<'SH'
#!/bin/bash
mapfile -d '' -t variables <variables
env "${variables[@]}" "$@" dt-launch -- touch started
echo "code $?"
SH
    chmod +x inherited.sh
    timed srun -N1 ./inherited.sh
    [[ $output == *"code 64"* ]]
    [[ $(said) == *"SLURM_JOB_ID and SLURM_STEP_ID say step $ended, but this process runs in step "*": the variables were inherited from another step; start dt-launch by srun"* ]]
    [ ! -e started ]
    # In a batch script, as sbatch exports all of the step in which it was typed
    # shellcheck disable=SC2016
    sbatch --wait -N1 -o job.out --wrap './inherited.sh SLURM_JOB_ID=$SLURM_JOB_ID'
    grep -q "say step [0-9]*\.0, but this process runs in step [0-9]*\.batch" job.out || { cat job.out; false; }
    grep -q '^code 64$' job.out || { cat job.out; false; }
    [ ! -e started ]
    timed srun -N1 sh -c 'SLURM_STEP_ID=999 dt-launch --platform slurm -- echo ran'
    assert_code 0
    [[ $output == *ran* ]]
}

@test "salloc's interactive step is no srun's: on several nodes dt-launch says what to type" {
    timed salloc -N2 srun --interactive dt-launch -- touch started
    [[ $(said) == *"this is a Slurm allocation of 2 nodes, but dt-launch runs outside srun"* ]]
    [ ! -e started ]
    timed salloc -N1 srun --interactive dt-launch -- echo ran
    assert_code 0
    [[ $output == *ran* ]]
}

@test "all ranks meet at MASTER_ADDR:MASTER_PORT" {
    cat >meet.py <<'PY'
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(address) as server:
        for _ in range(world - 1):
            server.accept()[0].close()
    print("all met")
else:
    for _ in range(200):
        try:
            socket.create_connection(address, 1).close()
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise SystemExit("rank %d does not reach %s" % (rank, address))
PY
    timed timeout 30 srun -N4 --ntasks-per-node=1 dt-launch --store rank0 --nproc-per-node 2 -- python3 meet.py
    assert_code 0
    [[ $output == *"all met"* ]]
    timed timeout 30 srun -N4 --ntasks-per-node=2 dt-launch -- python3 meet.py
    assert_code 0
    [[ $output == *"all met"* ]]
}

@test "a heterogeneous step is one world" {
    timed timeout 60 srun -N1 -n2 dt-launch -- sh -c 'echo $RANK/$WORLD_SIZE' : -N2 -n3 dt-launch -- sh -c 'echo $RANK/$WORLD_SIZE'
    assert_code 0
    diff <(grep /5 <<<"$output" | sort) <(printf '%s\n' 0/5 1/5 2/5 3/5 4/5)
}

@test "per task: exit code 42 of rank 5 is srun's, and only rank 5 is named" {
    timed timeout 30 srun -K -N4 --ntasks-per-node=2 dt-launch -- sh -c 'test $RANK = 5 && exit 42; exec sleep 20'
    assert_code 42
    [ "$(said | wc -l)" -eq 1 ]
    [[ $(said) == *"rank 5 (local 1 on $CLUSTER-3, pid "*"exited with code 42"* ]]
    assert_under_ms 5000 20
    assert_job FAILED
    assert_nodes_healthy
}

@test "per node: SIGSEGV of rank 5 is srun's code, and only rank 5 is named" {
    timed timeout 30 srun -K -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- \
        sh -c 'ulimit -c 0; test $RANK = 5 && kill -SEGV $$; exec sleep 20'
    assert_code 139
    [ "$(said | wc -l)" -eq 1 ]
    [[ $(said) == *"rank 5 (local 1 on $CLUSTER-3, pid "*"was killed by signal 11 (SIGSEGV)"* ]]
    assert_under_ms 5000 20
    assert_job FAILED
    assert_nodes_healthy
}

# ---- the exit code, in every cell ---------------------------------------------------------------------

# A memory cgroup with 96 MiB that a wrapper of the task joins.
small_group() {
    if [ -d /sys/fs/cgroup/memory ]; then
        group=/sys/fs/cgroup/memory/dt-$CLUSTER
        mkdir "$group" && echo $((96 << 20)) >"$group/memory.limit_in_bytes"
    else
        group=/sys/fs/cgroup/dt-$CLUSTER
        mkdir "$group" && echo $((96 << 20)) >"$group/memory.max" && { echo 0 >"$group/memory.swap.max" || true; }
    fi
}

# Rank 3 of 4 does what CELL says; srun's code and the job's ExitCode are CODE, and rank 3 alone is named.
assert_cell() { # SHAPE CELL CODE
    local shape=$1 cell=$2 code=$3 words=(dt-launch --) tasks=2
    [[ $shape == B ]] || { words=(dt-launch --nproc-per-node 2 --max-restarts 0 --) && tasks=1; }
    rm -f started.*
    timed timeout 60 srun -K -N2 --ntasks-per-node=$tasks bash -c "
        [[ $cell != oom || \$SLURM_PROCID != $((2 * tasks - 1)) ]] || echo \$\$ >$group/cgroup.procs
        exec \"\$@\"" _ "${words[@]}" bash ./cell.sh "$cell"
    assert_code "$code"
    [ "$(last_job ExitCode)" = "$code:0" ] || tell "$shape $cell: the job's ExitCode is $(last_job ExitCode)"
    if [ "$code" = 0 ]; then
        assert_job COMPLETED
        [ -z "$(said)" ]
    else
        assert_job FAILED
        [ "$(said | wc -l)" -eq 1 ] && [[ $(said) == *"rank 3 (local 1 on $CLUSTER-2, pid "* ]] || tell "$shape $cell: rank 3 alone is to be named"
    fi
    [ "$(cat started.3 | wc -l)" -eq 1 ] || tell "$shape $cell: started again"
    [[ $cell != oom || $(said) == *"out of memory, the kernel has killed a process of this cgroup"* ]] || tell "$shape: not called out of memory"
}

@test "exit codes 0, 1, 42, 93, SIGSEGV, SIGKILL and out of memory are srun's and the job's, in both shapes" {
    cat >cell.sh <<'SH'
echo x >>"started.$RANK"
[ "$RANK" = 3 ] || exec sleep "$([ "$1" = 0 ] && echo 0 || echo 30)"
ulimit -c 0
case $1 in
SEGV | KILL) kill -"$1" $$ ;;
oom) exec python3 -c 'x = b"x" * (300 << 20); import time; time.sleep(30)' ;;
*) exit "$1" ;;
esac
SH
    small_group
    for shape in A B; do
        for cell in 0:0 1:1 42:42 93:93 SEGV:139 KILL:137 oom:137; do
            assert_cell "$shape" "${cell%:*}" "${cell#*:}"
        done
    done
}

@test "exit code 93 (do not restart) is not followed by a restart, whatever --max-restarts says" {
    timed timeout 60 srun -K -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --max-restarts 3 -- \
        sh -c 'echo started $RANK; test $RANK = 3 && exit 93; exec sleep 30'
    assert_code 93
    [ "$(last_job ExitCode)" = 93:0 ]
    assert_lines 1 '^started 3$'
}

@test "contradictory counts and a missing program: one sentence, srun's exit code" {
    timed srun -N4 --ntasks-per-node=2 dt-launch --nproc-per-node 2 -- true
    assert_code 64
    [ "$(said | wc -l)" -eq 1 ]
    timed -127 srun -K -N4 --ntasks-per-node=2 dt-launch -- no-such-program-anywhere
    assert_code 127
    [ "$(said | wc -l)" -eq 1 ]
}

@test "validation asked for on a node without the plugin: 68" {
    timed env SLURM_DT_SETTINGS='1 validate=fast' srun -N4 --ntasks-per-node=2 dt-launch -- touch started
    assert_code 68
    [[ $(said) == *"runs without the dt plugin"* ]]
    [ ! -e started ]
}

@test "a signal from scancel reaches every rank once, in both shapes" {
    cat >count.py <<'PY'
import os, signal, sys, time
rank, hits = os.environ["RANK"], []
signal.signal(signal.SIGUSR1, lambda n, f: hits.append(n))
open("ready." + rank, "w").close()
end = time.time() + 30
while not hits and time.time() < end:
    time.sleep(0.05)
time.sleep(0.5)
sys.stdout.write(f"rank {rank} hits {len(hits)}\n")
PY
    for shape in "--ntasks-per-node=2 dt-launch" "--ntasks-per-node=1 dt-launch --nproc-per-node 2"; do
        rm -f ready.*
        # shellcheck disable=SC2086  # words on purpose
        srun -J signals -N2 $shape -- python3 count.py >out 2>&1 3>&- &
        until_ok test -e ready.0 -a -e ready.1 -a -e ready.2 -a -e ready.3
        scancel --signal=USR1 --name signals
        wait $!
        diff <(sort out) <(for r in 0 1 2 3; do echo "rank $r hits 1"; done)
    done
}

@test "scancel: nothing is called a failure, and no process stays" {
    srun -J stay -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- sh -c 'touch up.$RANK; exec sleep 4711' >out 2>&1 3>&- &
    until_ok test -e up.0 -a -e up.1 -a -e up.2 -a -e up.3
    scancel --name stay
    code=0
    wait $! || code=$?
    [ "$code" -ne 0 ]
    run -1 grep '^dt-launch' out
    jobs_gone
    run -1 pgrep -f 'sleep 4711'
}

# ---- the job as one: the store, the cause, lost nodes ------------------------------------------------

# Speaks the store's protocol as PyTorch 2 does: every rank adds one and waits for the last.
write_barrier() {
    cat >barrier.py <<'PY'
import os, socket, struct, sys, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
assert os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "True"
text = lambda s: struct.pack("<Q", len(s)) + s
store = socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), 10)
store.sendall(b"\0" + struct.pack("<I", 0x3C85F7CE) + b"\4" + text(b"count") + struct.pack("<q", 1))
count, = struct.unpack("<q", store.recv(8, socket.MSG_WAITALL))
if count == world:
    store.sendall(b"\1" + text(b"all") + text(b"here"))
store.sendall(b"\6" + struct.pack("<Q", 1) + text(b"all"))
assert store.recv(1) == b"\0"
sys.stdout.write(f"rank {rank} passed\n") # in one piece: unbuffered output of several ranks mixes
exec(sys.argv[1] if len(sys.argv) > 1 else "")
PY
}

@test "one agent per node: node 0 serves the store, and all ranks meet there" {
    write_barrier
    timed timeout 30 srun -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 4 -- python3 barrier.py
    assert_code 0
    assert_lines 16 '^rank [0-9]+ passed$'
    [ -z "$(said)" ]
}

@test "a port of the step that is taken: the next one is, and all nodes learn it" {
    write_barrier
    cat >take.sh <<'SH'
port=$((20000 + (SLURM_JOB_ID * 101 + SLURM_STEP_ID) % 12768))
[ "$SLURM_NODEID" != 0 ] || python3 -c "
import socket, time
s = socket.create_server(('', $port)); open('taken', 'w').close(); time.sleep(5)" &
[ "$SLURM_NODEID" != 0 ] || until [ -e taken ]; do sleep 0.05; done
dt-launch --nproc-per-node 2 -- python3 barrier.py
code=$?
kill %1
exit $code
SH
    rm -f taken
    timed timeout 40 srun -N3 --ntasks-per-node=1 bash take.sh
    assert_code 0
    assert_lines 6 '^rank [0-9]+ passed$'
}

@test "the first failure of the job is named, on whichever node, and with what it said" {
    write_barrier
    timed timeout 30 srun -K -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- python3 barrier.py '
if rank == 5:
    open("raised", "w").close()
    raise ValueError("boom")
while not os.path.exists("raised"): time.sleep(0.001)
time.sleep(0.02); sys.exit(3)'
    assert_code 1
    [ "$(said | wc -l)" -eq 1 ]
    [[ $(said) == *"rank 5 (local 1 on $CLUSTER-3, pid "*"exited with code 1"*"ValueError: boom"* ]]
    assert_says '  | ValueError: boom'
    assert_job FAILED
    assert_nodes_healthy
}

@test "dt-launch of a node is killed: the node is named, 67, and no rank stays" {
    write_barrier
    timed timeout 30 srun -K0 -N3 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- python3 barrier.py '
if rank == 4: os.kill(os.getppid(), 9)
time.sleep(4713)'
    assert_failed
    [[ $(said) == *"node $CLUSTER-3 (2) with ranks 4 to 5 was lost"* ]]
    jobs_gone
    run -1 pgrep -f 'time.sleep.4713'
}

@test "dt-launch of node 0 is killed: that is said, and no rank stays" {
    write_barrier
    timed timeout 30 srun -K0 -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 -- python3 barrier.py '
if rank == 1: os.kill(os.getppid(), 9)
time.sleep(4714)'
    assert_failed
    # srun names a task that was killed and ends the step; then dt-launch has nothing to add
    [[ $(said) == *"node $CLUSTER-1 (0) was lost"* || $output == *"$CLUSTER-1: task 0: Killed"* ]]
    jobs_gone
    run -1 pgrep -f 'time.sleep.4714'
}

@test "--fold: what the ranks of all nodes write is one line" {
    timed srun -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --fold --missing-after 60 -- python3 -c '
import os, socket, time
here, world = os.environ["RANK"], os.environ["WORLD_SIZE"]
s = socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))  # they come here one after the other
time.sleep(0.2)
print("ready", flush=True)
print("rank", here, flush=True)'
    assert_code 0
    [ "$(grep -c ready <<<"$output")" -le 4 ] # 1, but for nodes that are late by more than the window
    diff <(grep -o 'rank [0-7]$' <<<"$output" | sort) <(printf 'rank %d\n' 0 1 2 3 4 5 6 7)
}

@test "--roles: each role has its nodes and its world; where another role is, by address; its end is the job's" {
    export CLUSTER # the roles file has it
    cat >"$CLUSTER-serve.py" <<'PY'
import http.server
http.server.test(http.server.SimpleHTTPRequestHandler, port=8765, bind="0.0.0.0")
PY
    cat >job.roles <<'ROLES'
role  server  last:1 -- python3 ${CLUSTER}-serve.py
ready server  http://@server.0@:8765/ 60
role  trainer rest --nproc-per-node 2 -- sh -c 'echo $RANK/$WORLD_SIZE node $NODE_RANK slurm $SLURM_PROCID/$SLURM_NTASKS asks @server.0@ of @server.count@'
end   trainer
ROLES
    timed timeout 90 srun -N4 --ntasks-per-node=1 dt-launch --roles job.roles
    assert_code 0
    address=$(srun -N1 -w n4 -n1 sh -c 'getent ahosts n4 | head -n 1 | cut -d" " -f1' 2>/dev/null || true)
    diff <(grep asks <<<"$output" | sed 's/ asks .*//' | sort) \
        <(for r in 0 1 2 3 4 5; do echo "$r/6 node $((r / 2)) slurm $r/6"; done)
    [ -z "$address" ] || [ "$(grep -c "asks $address of 1" <<<"$output")" -eq 6 ]
    run pgrep -f "python3 $CLUSTER-serve.py" # nodes have PIDs of their own, but are processes of this machine
    [ -z "$output" ]
}
