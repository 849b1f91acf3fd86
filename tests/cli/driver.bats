#!/usr/bin/env bats
# dt-launch as the driver of an allocation, with a srun that is a script: what it types, what it makes of the ends of
# steps, and who may talk to it. The real thing is in tests/cluster.

bats_require_minimum_version 1.5.0
load ../timing

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    build=$(realpath "${BUILD:-build}")
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|PMI|OMPI|MASTER_|TORCH|RANK|WORLD_SIZE)'); do
        unset "$name"
    done
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p bin libexec/dt
    cp "$build/bin/dt-launch" bin/
    PATH=$PWD/bin:$PATH
    # srun runs srun.K the K-th time, or else the agents' command line here, as a step of one node
    cat >bin/srun <<'SH'
#!/bin/bash
echo "$*" >>typed
step=$(($(wc -l <typed) - 1))
[ ! -e "srun.$step" ] || . "./srun.$step"
while [[ $1 == --* ]]; do
    case $1 in --nodelist=*) list=${1#*=} ;; esac
    shift
done
export SLURM_STEP_ID=$step SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_NUM_NODES=1 \
    SLURM_STEP_TASKS_PER_NODE=1 SLURM_STEP_NODELIST=$list SLURMD_NODENAME=$list
[ -z "${apart:-}" ] || { "$@" & wait; wait; exit; }
exec "$@"
SH
    # Slurm, as far as the helper tells of it
    cat >libexec/dt/dt-slurm <<'SH'
#!/bin/bash
echo "$*" >>asked
[ ! -e "slurm.$1" ] || cat "slurm.$1"
SH
    chmod +x bin/srun libexec/dt/dt-slurm
}

# An allocation, as a batch script finds it.
allocation() { # NODES COUNT
    export SLURM_JOB_ID=77 SLURM_JOB_NODELIST=$1 SLURM_JOB_NUM_NODES=$2 SLURM_NNODES=$2 SLURM_NTASKS=$2
}

said() { # N PATTERN: as many lines match
    local n
    n=$(grep -c -E -- "$2" <<<"$output" || true)
    [ "$n" = "$1" ] || { printf '%s lines match %s, expected %s, in:\n%s\n' "$n" "$2" "$1" "$output"; return 1; }
}

refused() { # WORD ARGUMENT...: one sentence, 64
    local word=$1
    shift
    run -64 dt-launch "$@"
    [[ $output == *"$word"* ]] || { echo "no \"$word\" in: $output"; return 1; }
    [ "${#lines[@]}" -eq 1 ] || { echo "more than one line: $output"; return 1; }
}

@test "wrong words: one sentence each" {
    refused '--nodes needs an allocation of Slurm' --nodes 2 --nproc-per-node 1 -- true
    refused '--spares needs an allocation of Slurm' --spares 1 --nproc-per-node 1 -- true
    allocation 'a[1-3]' 3
    refused '--nodes needs --nproc-per-node' --nodes 2 -- true
    for wrong in 0 2:1 0:3 2: :3 2:3x; do
        refused "--nodes is \"$wrong\"" --nodes "$wrong" --nproc-per-node 1 -- true
    done
    refused '--nodes 3 and --spares 1 need 4 nodes, and 3 of this allocation may be used' --nodes 3:4 --spares 1 --nproc-per-node 1 -- true
    refused '--nodes 3 and --spares 1 need 4 nodes, and 3 of this allocation may be used' --nodes 3 --spares 1 --nproc-per-node 1 -- true
    refused '--spares 3 leaves no node of the 3' --spares 3 --nproc-per-node 1 -- true
    refused 'node b1 is not in this allocation' --nodes 1 --nodelist b1 --nproc-per-node 1 -- true
    refused '--nodelist' --nodes 1 --nodelist 'a[1' --nproc-per-node 1 -- true
    refused 'contradict' --nodes 1 --spares 1 --restart-owner hyperpod --nproc-per-node 1 -- true
    refused 'auto, dt or hyperpod' --nodes 1 --restart-owner me --nproc-per-node 1 -- true
    refused 'an option of srun is needed' --nodes 1 --srun exclusive --nproc-per-node 1 -- true
    refused 'or dt-launch --nodes N' --nproc-per-node 1 -- true
    export SLURM_STEP_ID=0
    refused 'type dt-launch without srun' --nodes 1 --nproc-per-node 1 -- true
    unset SLURM_STEP_ID
    rm bin/srun
    PATH=$PWD/bin refused 'srun is in no directory of PATH' --nodes 1 --nproc-per-node 1 -- true
    [ ! -e typed ]
}

@test "a step on the first nodes, with what srun needs, and the program's exit code" {
    allocation 'a[1-4]' 4
    # shellcheck disable=SC2016
    run -42 dt-launch --nodes 1 --spares 2 --nodelist 'a[2-4]' --exclude a2 --spares 1 --nproc-per-node 2 \
        --srun=--container-image=x.sqsh -- sh -c 'echo $RANK $TORCHELASTIC_RUN_ID ${SLURM_LAUNCH_DRIVER-none}; sleep 0.2; exit 42'
    said 1 '^dt-launch: starting on 1 node a3, 1 spare$'
    said 2 '^[01] 77 none$'
    [ "$(wc -l <typed)" -eq 1 ]
    [[ $(<typed) == "--nodes=1 --ntasks=1 --ntasks-per-node=1 --nodelist=a3 --overlap --wait=0 --kill-on-bad-exit=0 --container-image=x.sqsh dt-launch --nodes 1 "* ]]
}

@test "restarts inside the step are the step's; the driver does not start another" {
    allocation 'a[1-2]' 2
    # shellcheck disable=SC2016
    run -0 dt-launch --nodes 1 --spares 1 --max-restarts 2 --nproc-per-node 1 -- \
        sh -c 'echo attempt $TORCHELASTIC_RESTART_COUNT; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || kill -9 $$'
    said 1 '^attempt 1$'
    [ "$(wc -l <typed)" -eq 1 ]
}

@test "a node that Slurm calls down: another step on a spare, the count goes on, and no third one" {
    allocation 'a[1-3]' 3
    echo 'exit 137' >srun.0 # no agent has told anything
    echo a1 >slurm.down
    # shellcheck disable=SC2016
    run -0 dt-launch --nodes 1 --spares 2 --max-restarts 1 --nproc-per-node 1 -- \
        sh -c 'echo attempt $TORCHELASTIC_RESTART_COUNT/$TORCHELASTIC_MAX_RESTARTS'
    said 1 '^attempt 1/1$'
    said 1 '^dt-launch: starting again on 1 node a2, 1 spare; left out: a1$'
    rm typed
    echo 'echo a2 >slurm.down; exit 137' >srun.1
    run -137 dt-launch --nodes 1 --spares 2 --max-restarts 1 --nproc-per-node 1 -- true
    said 1 '^dt-launch: no restart: all 1 of --max-restarts were used$'
    [ "$(wc -l <typed)" -eq 2 ]
}

@test "--nodes MIN:MAX: on as many as there are; on fewer when one is lost, and no fewer than MIN" {
    allocation 'a[1-3]' 3
    # shellcheck disable=SC2016 # srun expands it
    echo 'echo a$((step + 1)) >slurm.down; exit 137' | tee srun.0 srun.1 >srun.2
    run -74 dt-launch --nodes 2:4 --nproc-per-node 1 -- true
    said 1 '^dt-launch: starting on 3 nodes a\[1-3\], 0 spares$'
    said 1 '^dt-launch: starting again on 2 nodes a\[2-3\], 0 spares; left out: a1$'
    said 1 '^dt-launch: 1 good node\(s\) of this allocation are left, and 2 are needed; bad: a\[1-2\]$'
    [ "$(grep -c -- '--nodes=3 --ntasks=3 ' typed)" -eq 1 ]
    [ "$(grep -c -- '--nodes=2 --ntasks=2 ' typed)" -eq 1 ]
    # a spare comes in first
    rm typed slurm.down
    echo 'exit 0' >srun.1
    run -0 dt-launch --nodes 1:2 --spares 1 --nproc-per-node 1 -- true
    said 1 '^dt-launch: starting again on 2 nodes a\[2-3\], 0 spares; left out: a1$'
    # as many restarts as there are nodes to do without, unless --max-restarts says so
    rm typed slurm.down
    run -137 dt-launch --nodes 2:2 --nproc-per-node 1 -- true
    said 1 '^dt-launch: no restart: all 0 of --nodes and --spares were used$'
}

@test "--per-task: srun starts the ranks, ends them at the first failure, and starts them again as --max-restarts says" {
    allocation 'a[1-2]' 2
    export SLURM_NTASKS_PER_NODE=4
    echo 'exit 137' >srun.0
    echo 'exit 0' >srun.1 # this srun knows steps of one node only
    run -0 dt-launch --nodes 2 --per-task --max-restarts 1 --srun=--mpi=pmix -- true
    said 1 '^dt-launch: starting again on 2 nodes a\[1-2\], 0 spares$'
    [[ $(head -n 1 typed) == "--nodes=2 --ntasks=8 --ntasks-per-node=4 --nodelist=a[1-2] --overlap --wait=0 --kill-on-bad-exit=1 --mpi=pmix dt-launch "* ]]
    # a lost node: without it
    rm typed srun.1
    echo a2 >slurm.down
    run -0 dt-launch --nodes 1:2 --per-task --srun=--mpi=pmix -- true
    said 1 '^dt-launch: starting again on 1 node a1, 0 spares; left out: a2$'
    grep -q -- '--nodes=1 --ntasks=4 --ntasks-per-node=4 --nodelist=a1 ' typed
    # by the policy of agents: no restart at all, no further, the same fault twice, what another attempt would not change
    rm typed slurm.down
    run -137 dt-launch --nodes 2 --per-task -- true
    [ "$(wc -l <typed)" -eq 1 ]
    cp srun.0 srun.1
    echo 'exit 0' >srun.2
    rm typed
    run -137 dt-launch --nodes 2 --per-task --max-restarts 5 -- true
    said 1 '^dt-launch: no restart: the last restart got the training no further'
    rm typed
    # shellcheck disable=SC2016 # srun expands it
    echo 'echo $step >ckpt.$step; exit 3' | tee srun.0 >srun.1
    run -0 dt-launch --nodes 2 --per-task --max-restarts 5 --restart-progress 'ckpt.*' -- true
    [ "$(wc -l <typed)" -eq 3 ]
    rm typed ckpt.*
    echo 'exit 3' | tee srun.0 >srun.1
    run -3 dt-launch --nodes 2 --per-task --max-restarts 5 -- true
    said 1 '^dt-launch: no restart: the program failed in the same way twice'
    rm typed
    for code in 64 75; do
        echo "exit $code" >srun.0
        run "-$code" dt-launch --nodes 2 --per-task --max-restarts 5 -- true
        [ "$(wc -l <typed)" -eq 1 ]
        rm typed
    done
}

@test "--per-task for real: a wrapped rank that fails restarts nothing itself, and has one sentence" {
    allocation a1 1
    # shellcheck disable=SC2016
    run -0 dt-launch --nodes 1 --per-task --max-restarts 2 -- sh -c 'echo attempt $TORCHELASTIC_RESTART_COUNT of $WORLD_SIZE ${SLURM_LAUNCH_DRIVER-none}; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || kill -9 $$'
    said 1 '^attempt 0 of 1 none$'
    said 1 '^attempt 1 of 1 none$'
    said 1 '^dt-launch: rank 0 .* was killed by signal 9'
    [ "$(wc -l <typed)" -eq 2 ]
}

@test "--drain: a node that is replaced is drained with what was seen; a refusal is told, and no more" {
    allocation 'a[1-2]' 2
    echo 'exit 137' >srun.0
    echo a1 >slurm.down
    run -0 dt-launch --nodes 1 --spares 1 --drain --nproc-per-node 1 -- true
    grep -qx 'drain a1 dt: job 77: Slurm called the node down while dt-launch ran on it' asked
    [[ $output != *--drain* ]]
    rm typed asked
    echo 'Slurm does not drain a1: Access/permission denied' >slurm.drain
    run -0 dt-launch --nodes 1 --spares 1 --drain --nproc-per-node 1 -- true
    said 1 '^dt-launch: --drain: Slurm does not drain a1: Access/permission denied$'
    rm typed asked
    run -0 dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true
    run -1 grep drain asked
}

@test "dt-slurm: wrong arguments are refused before Slurm is asked" {
    for words in '' nothing 'requeue' 'requeue x' 'give-back 7' 'give-back away 7' 'give-back end 7x' 'drain a1' 'end-time 0' 'preempted -1'; do
        # shellcheck disable=SC2086 # words on purpose
        run -64 "$build/libexec/dt-slurm" $words
        [[ $output == 'Usage: dt-slurm '* ]] || { echo "$words: $output"; false; }
    done
}

@test "no node is down: srun's exit code is the end" {
    allocation 'a[1-2]' 2
    echo 'exit 9' >srun.0
    run -9 dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true
    [ "$(wc -l <typed)" -eq 1 ]
    grep -qx 'down a1' asked
}

@test "too few good nodes: 74, and with --requeue the job is requeued without the bad ones" {
    allocation 'a[1-2]' 2
    echo 'exit 137' | tee srun.0 >srun.1
    echo 'a[1-2]' >slurm.down
    run -74 dt-launch --nodes 2 --nproc-per-node 1 --max-restarts 5 -- true
    said 1 '^dt-launch: 0 good node\(s\) of this allocation are left, and 2 are needed; bad: a\[1-2\]$'
    rm typed
    dt-launch --nodes 1 --spares 1 --requeue --nproc-per-node 1 --max-restarts 5 -- true >out 2>&1 3>&- &
    until_ok grep -q 'job 77 is requeued without a\[1-2\]' out
    kill -TERM $!
    code=0
    wait $! || code=$?
    [ "$code" -eq 74 ]
    grep -qx 'requeue --exclude a\[1-2\] 77' asked
}

@test "validation asked for: all nodes are validated first, and unfit ones left out" {
    allocation 'a[1-3]' 3
    cat >srun.0 <<'SH'
[[ " $* " == *" --nodes=3 "*" true "* && -n $DT_REPORT ]] || exit 99
exit 65
SH
    echo a1 >slurm.unfit
    DT_VALIDATE=fast DT_VERDICT=go:77.1 run -0 dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true
    said 1 '^dt-launch: starting on 1 node a2, 1 spare; left out: a1$'
    grep -q '^unfit /tmp/dt-launch.report.' asked
    [ ! -e "$(awk '{ print $2 }' asked)" ]
    # all unfit, and nothing that can be read
    rm typed slurm.unfit
    DT_VALIDATE=fast run -65 dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true
    [ "$(wc -l <typed)" -eq 1 ]
}

@test "HyperPod: it is asked to resume, and nothing is replaced here" {
    allocation 'a[1-2]' 2
    echo 'exit 137' >srun.0
    echo a1 >slurm.down
    run -137 dt-launch --nodes 1 --max-restarts 5 --restart-owner hyperpod --nproc-per-node 1 -- true
    [ "$(wc -l <typed)" -eq 1 ]
    grep -q -- --auto-resume=1 typed
    [ ! -e asked ]
    [ "$EUID" = 0 ] || return 0
    rm typed
    run -137 unshare --mount sh -c 'mount -t tmpfs none /opt && mkdir /opt/sagemaker_cluster &&
        exec dt-launch --nodes 1 --nproc-per-node 1 -- true'
    grep -q -- --auto-resume=1 typed
    rm typed srun.0
    run -0 unshare --mount sh -c 'mount -t tmpfs none /opt && mkdir /opt/sagemaker_cluster &&
        exec dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true'
    run -1 grep -- --auto-resume typed
}

@test "a driver that is killed takes its step with it" {
    allocation a1 1
    nobody() { ! pgrep -f "sleep 600.$$" >/dev/null; }
    # srun gets SIGTERM; and where it can not do anything, agents see that nobody listens any more
    for apart in '' 'apart=1; trap : TERM'; do
        echo "$apart" >srun.0
        rm -f up typed
        dt-launch --nodes 1 --nproc-per-node 2 --kill-grace 1 -- sh -c 'touch up; exec sleep '"600.$$" >out 2>&1 3>&- &
        until_ok test -e up
        kill -9 $!
        wait $! || true
        until_ok nobody
    done
    until_ok grep -q 'the dt-launch that has started this step is gone' out
}

@test "strangers at the driver's port, and agents of another job, are not heard" {
    allocation 'a[1-2]' 2
    cat >stranger.py <<'PY'
import os, socket
job, _, _, addresses, port, token = os.environ["DRIVER"].split("/")
for hello in (b"GET / HTTP/1.1\r\n\r\n", b"cause 2 67 0 a1 lie\n", b"\xff" * 5000,
              f"dt-agent 3 {job} 0 a1 {'0' * 32}\ncause 2 67 0 a1 lie\n".encode(),
              f"dt-agent 3 78 0 a1 {token}\ncause 2 67 0 a1 lie\n".encode()):
    with socket.create_connection((addresses.split(",")[0], int(port)), 5) as s:
        s.sendall(hello)
        s.settimeout(5)
        try:
            assert s.recv(1) == b"", hello
        except ConnectionResetError:
            pass
PY
    # shellcheck disable=SC2016
    echo 'DRIVER=$SLURM_LAUNCH_DRIVER python3 stranger.py || exit 99' >srun.0
    run -0 dt-launch --nodes 1 --spares 1 --nproc-per-node 1 -- true
    [ "$(wc -l <typed)" -eq 1 ]
}
