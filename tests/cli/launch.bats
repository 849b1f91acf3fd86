#!/usr/bin/env bats
# dt-launch without a Slurm: the environment of a task is made by hand.
# BUILD names the build directory, relative to the repository or absolute.

bats_require_minimum_version 1.5.0
load ../timing

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    launch=$(realpath "${BUILD:-build}/bin/dt-launch")
    dir=$BATS_TEST_TMPDIR
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|PMI|OMPI|MASTER_|CUDA_|OMP_|JAX_|TORCH|RANK|WORLD_SIZE)'); do
        unset "$name"
    done
    cd "$dir" || return 1
}

# Task RANK of a step of 4 nodes with 2 tasks each, as srun makes it.
fake_task() {
    local rank=$1
    export SLURM_JOB_ID=1234 SLURM_STEP_ID=5 SLURM_PROCID=$rank SLURM_LOCALID=$((rank % 2)) \
        SLURM_NODEID=$((rank / 2)) SLURM_NTASKS=8 SLURM_NPROCS=8 SLURM_STEP_NUM_TASKS=8 \
        SLURM_NNODES=4 SLURM_STEP_NUM_NODES=4 SLURM_STEP_TASKS_PER_NODE='2(x4)' \
        SLURM_TASKS_PER_NODE='2(x4)' SLURM_STEP_NODELIST='p5-[1-3],q' SLURMD_NODENAME=p5-$((rank / 2 + 1)) \
        PMIX_RANK=$rank PMI_FD=9 SLURM_PMIXP_ABORT_AGENT_PORT=77
}

# The one task of node NODE of a step of 4 nodes.
fake_node() {
    fake_task 0
    export SLURM_PROCID=$1 SLURM_LOCALID=0 SLURM_NODEID=$1 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 \
        SLURM_NPROCS=4 SLURM_STEP_TASKS_PER_NODE='1(x4)' SLURM_TASKS_PER_NODE='1(x4)'
}

refused() { # CODE WORD ARGUMENT...
    local code=$1 word=$2
    shift 2
    run -"$code" "$launch" "$@"
    [[ $output == *"$word"* ]] || { echo "no \"$word\" in: $output"; return 1; }
    [ "${#lines[@]}" -eq 1 ] || { echo "more than one line: $output"; return 1; }
}

gone() { # PID
    [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

no_process() { # PID...: soon none runs any more
    local pid
    for pid; do until_ok gone "$pid"; done
}

wait_for() { # FILE...
    local file
    for file; do until_ok test -s "$file"; done
}

# ---- command line ---------------------------------------------------------------------------

@test "--version and --help" {
    run -0 "$launch" --version
    [[ $output == "dt-launch "* ]]
    run -0 "$launch" --help
    for option in --per-task --nproc-per-node --nnodes --node-rank --master-addr --master-port \
        --prefix-output --kill-grace --dry-run --store --missing-after --max-restarts --restart-progress; do
        [[ $output == *"$option"* ]] || { echo "$option is not in --help"; return 1; }
    done
}

@test "wrong options: one sentence, exit 64" {
    refused 64 'did you mean --nproc-per-node?' --nproc-pr-node 2 -- true
    refused 64 'did you mean --dry-run?' --dryrun -- true
    refused 64 'unknown option --frobnicate' --frobnicate -- true
    refused 64 'unknown option -x' -x -- true
    refused 64 'more than one option' --n 2 -- true
    refused 64 '--per-task takes no value' --per-task=3 -- true
    refused 64 '--nproc-per-node needs a value' --nproc-per-node
    refused 64 'no program was given'
    refused 64 'no program was given' --
    refused 64 'auto, gpu, cpu or a number' --nproc-per-node 0 -- true
    refused 64 'auto, gpu, cpu or a number' --nproc-per-node 8x -- true
    refused 64 'from 1 to 65535' --master-port 65536 -- true
    refused 64 '--kill-grace is "nan"' --kill-grace nan -- true
    refused 64 '--kill-grace is "-1"' --kill-grace=-1 -- true
    refused 64 'rank or node' --prefix-output=host -- true
    refused 64 'contradict' --per-task --nproc-per-node 2 -- true
}

@test "options after the program are the program's" {
    run -0 "$launch" -- echo --nproc-per-node 9 -l
    [ "$output" = '--nproc-per-node 9 -l' ]
    run -0 "$launch" sh -c 'echo "$1"' sh --help
    [ "$output" = '--help' ]
    run -0 "$launch" --nproc-per=1 -- echo abbreviated
    [ "$output" = abbreviated ]
    run -0 "$launch" --nproc_per_node=1 --kill_grace 3 sh -c 'echo "$1"' sh --left_alone=a_b
    [ "$output" = '--left_alone=a_b' ]
    refused 64 'did you mean --nproc-per-node?' --nproc_pr_node 2 -- true
}

@test "program not found 127, not executable 126" {
    refused 127 'program not found: no-such-program-anywhere' no-such-program-anywhere
    refused 127 'program not found: ./nothing' ./nothing
    echo data >data
    refused 126 'can not be executed: ./data' ./data
    refused 126 'is a directory' ./
    chmod +x data
    refused 126 'neither a program' ./data
    printf '#!/no/such/interpreter\n' >script
    chmod +x script
    refused 127 'interpreter' ./script
    mkdir bin && cp data bin/hidden && chmod -x bin/hidden
    PATH=$dir/bin:$PATH refused 126 'can not be executed: hidden' hidden
}

@test "the program in PATH keeps the name that was typed" {
    run -0 "$launch" -- sh -c 'echo "$0"'
    [ "$output" = sh ]
}

# ---- numbers --------------------------------------------------------------------------------

@test "alone: world of one, then of three" {
    run -0 "$launch" -- sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $MASTER_ADDR'
    [ "$output" = '0/1 0/1 127.0.0.1' ]
    run -0 "$launch" --nproc-per-node 3 -- sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK $OMPI_COMM_WORLD_RANK $TORCHELASTIC_RUN_ID ${SLURM_PROCID-none}'
    [ "$(sort <<<"$output")" = $'0/3 0 0 none none\n1/3 1 1 none none\n2/3 2 2 none none' ]
}

@test "alone: MASTER_PORT is free and ours, and a program that reuses addresses can have it" {
    cat >bind.py <<'PY'
import os, socket
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", int(os.environ["MASTER_PORT"])))
    s.listen()
    print("bound")
PY
    run -0 "$launch" --store rank0 -- python3 bind.py
    [ "$output" = bound ]
}

@test "auto: visible GPUs, else cores" {
    count='test $RANK = 0 && echo $WORLD_SIZE || true'
    CUDA_VISIBLE_DEVICES=0,3,GPU-8f run -0 "$launch" --nproc-per-node auto -- sh -c "$count"
    [ "$output" = 3 ]
    DT_BIND_GPUS=GPU-a,GPU-b run -0 "$launch" --nproc-per-node=gpu -- sh -c "$count"
    [ "$output" = 2 ]
    CUDA_VISIBLE_DEVICES='' refused 64 'no GPU is visible' --nproc-per-node gpu -- true
    CUDA_VISIBLE_DEVICES=NoDevFiles refused 64 'no GPU is visible' --nproc-per-node gpu -- true
    run -0 taskset -c 0 "$launch" --nproc-per-node cpu -- sh -c "$count"
    [ "$output" = 1 ]
}

@test "plain: --nnodes, --node-rank, --master-addr" {
    show='echo $RANK/$WORLD_SIZE $NODE_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR $MASTER_PORT $JAX_COORDINATOR_ADDRESS'
    run -0 "$launch" --store rank0 --nnodes 4 --node-rank 3 --master-addr 10.0.0.9 --nproc-per-node 1 -- sh -c "$show"
    [ "$output" = '3/4 3/4 10.0.0.9 29500 10.0.0.9:29500' ]
    run -0 "$launch" --store rank0 --nnodes 2 --node-rank 1 --master-addr fd00::1 --master-port 4242 -- sh -c "$show"
    [ "$output" = '1/2 1/2 fd00::1 4242 [fd00::1]:4242' ]
    refused 64 'needs --node-rank' --nnodes 2 -- true
    refused 64 'needs --master-addr' --nnodes 2 --node-rank 0 -- true
    refused 64 'must be below it' --nnodes 2 --node-rank 2 --master-addr x -- true
    MASTER_PORT=x refused 64 'MASTER_PORT is "x"' -- true
}

@test "Slurm, one wrapper per task: rank variables set, Slurm's and PMI's untouched" {
    fake_task 5
    run -0 "$launch" -- sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR $JAX_PROCESS_ID/$JAX_NUM_PROCESSES'
    [ "$output" = '5/8 1/2 2/4 p5-1 5/8' ]
    env | grep -E '^(SLURM|PMI|OMPI|TORCHELASTIC)' | sort >before
    "$launch" -- env | grep -E '^(SLURM|PMI|OMPI|TORCHELASTIC)' | sort >after
    diff before after
}

@test "Slurm: all ranks of a step agree on MASTER_PORT, another step has another" {
    fake_task 0
    one=$("$launch" -- sh -c 'echo $MASTER_PORT')
    fake_task 7
    two=$("$launch" -- sh -c 'echo $MASTER_PORT')
    [ "$one" = "$two" ]
    [ "$one" -ge 20000 ] && [ "$one" -le 32767 ]
    SLURM_STEP_ID=6
    [ "$("$launch" -- sh -c 'echo $MASTER_PORT')" != "$one" ]
}

@test "MASTER_ADDR and MASTER_PORT that are there stay; options win" {
    fake_task 1
    export MASTER_ADDR=10.1.2.3 MASTER_PORT=777
    run -0 "$launch" -- sh -c 'echo $MASTER_ADDR:$MASTER_PORT'
    [ "$output" = 10.1.2.3:777 ]
    run -0 "$launch" --master-addr h --master-port 778 -- sh -c 'echo $MASTER_ADDR:$MASTER_PORT'
    [ "$output" = h:778 ]
}

@test "Slurm, fan-out: Slurm's variables rewritten for each worker, PMI gone" {
    fake_node 2
    run -0 "$launch" --store rank0 --nproc-per-node 3 -- sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK $NODE_RANK $SLURM_PROCID/$SLURM_NTASKS $SLURM_LOCALID $SLURM_NPROCS $SLURM_STEP_NUM_TASKS $SLURM_TASKS_PER_NODE $SLURM_STEP_TASKS_PER_NODE $SLURM_NTASKS_PER_NODE $SLURM_GTIDS ${PMI_FD-gone} ${PMIX_RANK-gone} ${SLURM_PMIXP_ABORT_AGENT_PORT-gone} $TORCHELASTIC_RUN_ID $OMP_NUM_THREADS'
    [ "$(sort <<<"$output" | head -1)" = '6/12 0 2 6/12 0 12 12 3(x4) 3(x4) 3 6,7,8 gone gone gone 1234.5 1' ]
    [ "$(sort <<<"$output" | tail -1)" = '8/12 2 2 8/12 2 12 12 3(x4) 3(x4) 3 6,7,8 gone gone gone 1234.5 1' ]
    [ "${#lines[@]}" -eq 3 ]
}

@test "a dt-launch inside a worker of a fan-out sees the same world" {
    fake_node 1
    run -0 "$launch" --store rank0 --nproc-per-node 2 -- "$launch" -- sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK'
    [ "$(sort <<<"$output")" = $'2/8 0/2 1\n3/8 1/2 1' ]
}

@test "Slurm: contradictions and environments of other jobs, exit 64" {
    fake_task 0
    refused 64 'srun starts 2 tasks on a node' --nproc-per-node 8 -- true
    refused 64 'slurm runs this on 4 nodes' --nnodes 2 -- true
    SLURM_PROCID=abc refused 64 'SLURM_PROCID is "abc"' -- true
    SLURM_PROCID=-1 refused 64 'SLURM_PROCID is "-1"' -- true
    SLURM_PROCID=8 refused 64 'SLURM_PROCID is 8 of 8' -- true
    SLURM_NODEID=4 refused 64 'SLURM_NODEID is 4 of 4' -- true
    SLURM_LOCALID=2 refused 64 'SLURM_LOCALID is 2 of 2' -- true
    SLURM_STEP_NUM_TASKS=9 refused 64 'says 8 tasks on 4 nodes' -- true
    SLURM_STEP_TASKS_PER_NODE='2(x' refused 64 "not Slurm's notation" -- true
    SLURM_STEP_TASKS_PER_NODE='99999999999999999999' refused 64 "not Slurm's notation" -- true
    SLURM_STEP_TASKS_PER_NODE='2(x9999999999)' refused 64 "not Slurm's notation" -- true
    SLURM_STEP_NODELIST='p5-[1-3' refused 64 "without ']'" -- true
    SLURM_STEP_NODELIST='p5-[1-3]' refused 64 'names 3 nodes' -- true
    unset SLURM_LOCALID
    refused 64 'SLURM_LOCALID is not set' -- true
}

@test "what is wrong for all ranks is said by rank 0 only" {
    fake_task 3
    run -64 "$launch" --nproc-per-node 8 -- true
    [ -z "$output" ]
    run -127 "$launch" -- no-such-program-anywhere
    [ -z "$output" ]
}

# Who is not slurmstepd's child any more, as a daemon, is still in the step's cgroup.
@test "Slurm: the cgroup of another step is told of, that of this step is right" {
    local top
    for top in /sys/fs/cgroup/freezer /sys/fs/cgroup/pids /sys/fs/cgroup; do
        mkdir "$top/slurm_dt$$" 2>/dev/null && break
        top=''
    done
    [ -n "$top" ] || skip "no cgroup can be made here"
    local step
    for step in 1234/step_5 1234/step_batch 77/step_5; do
        mkdir -p "$top/slurm_dt$$/job_${step%/*}/${step#*/}"
    done
    fake_task 0
    inside() { # STEP
        run sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" -- echo ran' - "$top/slurm_dt$$/job_$1" "$launch"
    }
    inside 1234/step_5
    local good="$status $output"
    inside 1234/step_batch
    local batch="$status $output"
    inside 77/step_5
    rmdir "$top/slurm_dt$$"/job_*/step_* "$top/slurm_dt$$"/job_* "$top/slurm_dt$$"
    [ "$good" = "0 ran" ]
    [[ $batch == "64 "*"say step 1234.5, but this process runs in step 1234.batch"* ]]
    [[ $status == 64 && $output == *"say step 1234.5, but this process runs in step 77.5"* ]]
}

# Slurm, here this shell, has signalled dt-launch, and the rank or not.
@test "Slurm: a signal is passed on to the rank, unless cgroup.conf says that Slurm signals all processes" {
    local top step
    for top in /sys/fs/cgroup/freezer /sys/fs/cgroup/pids /sys/fs/cgroup; do
        step=$top/slurm_dt$$/job_1234/step_5
        mkdir -p "$step" 2>/dev/null && break
        step=''
    done
    [ -n "$step" ] || skip "no cgroup can be made here"
    fake_task 0
    export SLURM_CONF=$PWD/slurm.conf
    # shellcheck disable=SC2016
    cat >starter <<'SH'
echo $$ >"$2/cgroup.procs"
rm -f ready
"$1" -- sh -c 'trap "echo got it" USR1; trap "exit 0" TERM; echo $$ >ready; while :; do sleep 0.02; done' &
until [ -s ready ]; do sleep 0.02; done
kill -USR1 $!
sleep 0.5
kill -TERM "$(cat ready)"
wait
SH
    for word in '' '# SignalChildrenProcesses=yes' 'SignalChildrenProcesses=no' 'SignalChildrenProcesses=yes' ' signalchildrenprocesses = Yes # all'; do
        echo "$word" >cgroup.conf
        run timeout 20 sh starter "$launch" "$step"
        echo "$word: $output" >>seen
    done
    rmdir "$step" "${step%/*}" "${step%/*/*}"
    diff <(grep -c 'got it' seen) <(echo 3)
    [[ $(tail -n 2 seen) != *'got it'* ]]
}

@test "in an allocation of several nodes, outside srun: refused; with one node: runs" {
    export SLURM_JOB_ID=9 SLURM_JOB_NUM_NODES=4
    refused 64 'type srun dt-launch' -- true
    SLURM_JOB_NUM_NODES=1 run -0 "$launch" -- sh -c 'echo $WORLD_SIZE'
    [ "$output" = 1 ]
    refused 64 'neither a Slurm step' --per-task -- true
}

@test "--dry-run shows each rank and starts nothing" {
    fake_node 1
    run -0 "$launch" --store rank0 --nproc-per-node 2 --dry-run -- touch "$dir/started"
    [[ $output == *'slurm, one agent per node, node p5-1 (1 of 4), ranks 2 to 3 of 8'* ]]
    [[ $output == *'set   RANK=2'*'set   RANK=3'* ]]
    [[ $output == *'unset PMIX_RANK'* ]]
    [[ $output == *"argv  touch $dir/started"* ]]
    [ ! -e started ]
}

# ---- validation -----------------------------------------------------------------------------

@test "validation asked for and no verdict of this step: refused with 68" {
    fake_task 0
    SLURM_DT_SETTINGS='1 validate=fast env=auto' refused 68 'node p5-1 runs without the dt plugin' -- touch started
    DT_VALIDATE=deep refused 68 'DT_VALIDATE' -- touch started
    SLURM_SPANK__SLURM_SPANK_OPTION_dt_dt_validate=fast refused 68 'plugstack.conf' -- touch started
    _SLURM_SPANK_OPTION_dt_dt_validate='(null)' refused 68 'dt-validate' -- touch started
    SLURM_DT_SETTINGS='1 validate=fast' DT_VERDICT=go:1234.4 refused 68 'verdict "go:1234.4"' -- touch started
    SLURM_DT_SETTINGS='1 validate=fast' DT_VERDICT=go:1234.55 refused 68 'step 1234.5' -- touch started
    SLURM_DT_SETTINGS='1 validate=fast' DT_VERDICT='' refused 68 'no verdict' -- touch started
    [ ! -e started ]
    fake_task 1 # local rank 1: silent
    DT_VALIDATE=fast run -68 "$launch" -- touch started
    [ -z "$output" ]
}

@test "validation with the verdict of this step, or switched off: runs" {
    fake_task 0
    DT_VALIDATE=fast DT_VERDICT=go:1234.5 run -0 "$launch" -- echo ran
    [ "$output" = ran ]
    SLURM_DT_SETTINGS='1 validate=off env=auto' DT_VALIDATE=fast run -0 "$launch" -- echo ran
    [ "$output" = ran ]
    _SLURM_SPANK_OPTION_dt_dt_validate=off DT_VALIDATE=fast run -0 "$launch" -- echo ran
    [ "$output" = ran ]
    DT_VALIDATE=off run -0 "$launch" -- echo ran
    [ "$output" = ran ]
}

@test "validation asked for outside Slurm: refused with 68" {
    DT_VALIDATE=fast refused 68 'this is no Slurm step' -- true
}

# ---- ends -----------------------------------------------------------------------------------

@test "exit code 42 stays 42 and is told once" {
    timed -42 "$launch" -- sh -c 'exit 42'
    assert_under_ms 1000
    [ "${#lines[@]}" -eq 1 ]
    [[ $output =~ ^'dt-launch: rank 0 (local 0 on '.*') exited with code 42 after '[0-9]+.[0-9]' s: sh -c exit 42'$ ]]
}

@test "a signal is 128 + its number, with its name" {
    run -139 "$launch" -- sh -c 'ulimit -c 0; kill -SEGV $$'
    [[ $output == *'was killed by signal 11 (SIGSEGV) after'* ]]
    fake_task 0
    run -137 "$launch" -- sh -c 'kill -KILL $$'
    [[ $output == *'was killed by signal 9 (SIGKILL) after'* ]]
}

@test "the first failing rank ends the others, gives the code and the one sentence" {
    run -42 timeout 60 "$launch" --nproc-per-node 4 -- sh -c 'test $RANK = 2 && exit 42; exec sleep 300'
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *'rank 2 (local 2 on '*'exited with code 42'* ]]
}

@test "a rank that ignores SIGTERM is killed after --kill-grace" {
    timed -3 timeout 60 "$launch" --nproc-per-node 2 --kill-grace 0.3 -- \
        sh -c 'if test $RANK = 1; then sleep 0.2; exit 3; fi; trap "" TERM; echo $$ >pid; while :; do sleep 0.1; done'
    assert_under_ms 4000
    no_process "$(cat pid)"
}

@test "what the ranks leave behind is ended, in whatever session it is" {
    run -0 timeout 60 "$launch" --nproc-per-node 2 -- sh -c 'setsid sh -c "echo \$\$ >left.$RANK; exec sleep 60" & while ! test -s left.$RANK; do sleep 0.02; done'
    no_process "$(cat left.0)" "$(cat left.1)"
}

@test "kill -9 of dt-launch leaves no rank" {
    "$launch" --nproc-per-node 2 -- sh -c 'echo $$ >pid.$RANK; exec sleep 60' 3>&- &
    agent=$!
    wait_for pid.0 pid.1
    kill -9 "$agent"
    no_process "$(cat pid.0)" "$(cat pid.1)"
}

@test "SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGTERM reach the ranks, each once, and no others" {
    cat >catch.py <<'PY'
import os, signal, sys, time
seen = []
def hit(number):
    name = signal.Signals(number).name
    seen.append(name)
    open("%s.%s" % (name, os.environ["RANK"]), "w").write("1")
for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT):
    signal.signal(s, lambda n, f: hit(n))
def leave(n, f):
    open("seen." + os.environ["RANK"], "w").write(" ".join(seen))
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
child = os.fork()
if child == 0:
    # SIGTERM comes when its rank has ended, and only then
    for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT):
        signal.signal(s, lambda n, f: open("child", "a").write("hit"))
    rank = os.getppid()
    signal.signal(signal.SIGTERM, lambda n, f: os.getppid() == rank and open("child", "a").write("early") or os._exit(0))
    while True:
        time.sleep(60)
open("ready." + os.environ["RANK"], "w").write("1")
while True:
    time.sleep(60)
PY
    "$launch" --nproc-per-node 2 -- python3 catch.py 3>&- &
    agent=$!
    wait_for ready.0 ready.1
    for signal in USR1 USR2 HUP INT; do
        kill -$signal "$agent"
        wait_for "SIG$signal.0" "SIG$signal.1"
    done
    kill -TERM "$agent"
    wait "$agent"
    [ "$(cat seen.0)" = 'SIGUSR1 SIGUSR2 SIGHUP SIGINT' ]
    [ "$(cat seen.1)" = 'SIGUSR1 SIGUSR2 SIGHUP SIGINT' ]
    [ ! -e child ]
}

@test "ranks that a forwarded SIGTERM ends are no failure to tell, but the code stays" {
    "$launch" --nproc-per-node 2 -- sh -c 'echo $$ >pid.$RANK; exec sleep 60' >out 2>&1 3>&- &
    agent=$!
    wait_for pid.0 pid.1
    kill -TERM "$agent"
    code=0; wait "$agent" || code=$?
    [ "$code" -eq 143 ]
    [ ! -s out ]
}

@test "the program gets default signal dispositions and mask" {
    run -0 "$launch" --nproc-per-node 1 -- grep -E '^Sig(Blk|Ign)' /proc/self/status
    [[ $output == *SigBlk:*0000000000000000* ]]
    ign=$(awk '/SigIgn/ {print $2}' <<<"$output")
    [ $((0x$ign & 0x1000)) -eq 0 ] # SIGPIPE
}

@test "standard input goes to the first rank" {
    run -0 sh -c "echo data | '$launch' --nproc-per-node 2 -- sh -c 'echo \$RANK:\$(cat)'"
    [ "$(sort <<<"$output")" = $'0:data\n1:' ]
}

# ---- output ---------------------------------------------------------------------------------

@test "prefixed output: no torn line, none lost, both streams" {
    cat >writer.py <<'PY'
import os, random
rank = int(os.environ["RANK"])
rng = random.Random(rank)
for i in range(4000):
    fd = 1 + i % 2
    text = ("%d %d " % (rank, i) + "x" * rng.randrange(200) + " end\n").encode()
    cut = rng.randrange(len(text))
    os.write(fd, text[:cut])   # in two writes, so that the pump sees halves
    os.write(fd, text[cut:])
PY
    "$launch" -l --nproc-per-node 4 -- python3 writer.py >out 2>&1
    [ "$(wc -l <out)" -eq 16000 ]
    run -1 grep -vE '^\[([0-3])\] \1 [0-9]+ x* end$' out
    [ "$(awk '{print $1, $3}' out | sort -u | wc -l)" -eq 16000 ]
    # each stream of a rank stays in order
    awk '{ k = $1 " " $3 % 2; if (k in last && $3 <= last[k]) exit 1; last[k] = $3 }' out
}

@test "prefixed output: node form, last line without newline, line of 200,000 bytes" {
    fake_task 2
    run -0 "$launch" --prefix-output=node -- printf 'a\nb'
    [ "$output" = $'[p5-2:2] a\n[p5-2:2] b' ]
    "$launch" -l -- python3 -c 'print("y" * 200000); print("z")' >out
    [ "$(head -1 out | cut -c1-6)" = '[2] yy' ]
    [ "$(grep -c '^\[2+\] ' out)" -eq 3 ]
    [ "$(tail -1 out)" = '[2] z' ]
    [ "$(tr -cd y <out | wc -c)" -eq 200000 ]
}

@test "prefixed output: the reader goes away, the job ends" {
    run -0 timeout 60 bash -c "'$launch' -l -- sh -c 'while echo line; do :; done' 2>err | head -1"
    [ "$output" = '[0] line' ]
}

@test "prefixed output: a reader that never reads does not keep a failed job" {
    mkfifo fifo
    sleep 300 <fifo 3>&- &
    reader=$!
    timed -7 timeout 60 bash -c "'$launch' -l --nproc-per-node 2 --kill-grace 0.2 -- sh -c 'test \$RANK = 0 && { sleep 0.3; exit 7; }; yes' >fifo"
    assert_under_ms 8000
    kill "$reader"
    [[ $output == *'exited with code 7'* ]]
}

@test "prefixed output: full disk is told once, the job goes on" {
    # 4 MB are more than the pipes hold, so that a rank that nobody reads would stand still or die
    run -0 timeout 60 bash -c "'$launch' -l --nproc-per-node 2 -- sh -c 'yes | head -c 4000000 && echo rank \$RANK is done >&2' >/dev/full"
    [ "$(grep -c 'can not be written' <<<"$output")" -eq 1 ]
    [ "$(grep -c 'rank [01] is done' <<<"$output")" -eq 2 ]
    [[ $output != *SIGPIPE* ]]
}

# ---- anywhere -------------------------------------------------------------------------------

@test "static: runs in an empty root, finds fake GPUs and Neuron cores there" {
    [ "$(id -u)" -eq 0 ] || skip "needs root for chroot"
    file -L "$launch" | grep -q sanit && skip "sanitized build is not static"
    if ldd "$launch" 2>&1 | grep -q '=>'; then skip "this build is dynamic"; fi
    mkdir root && cp "$launch" root/dt-launch
    run -0 chroot root /dt-launch --nproc-per-node 2 -- /dt-launch --version
    [ "${#lines[@]}" -eq 2 ]
    run -127 chroot root /dt-launch -- python
    mkdir -p root/proc/driver/nvidia/gpus/0000:0{1,2,3}:00.0
    run -0 chroot root /dt-launch --nproc-per-node auto --dry-run -- /dt-launch
    [[ $output == *'ranks 0 to 2 of 3'* ]]
    mkdir -p root/dev root/sys/class/neuron_device/neuron{0,1} && touch root/dev/neuron0
    echo 2 | tee root/sys/class/neuron_device/neuron{0,1}/core_count >/dev/null
    run -0 chroot root /dt-launch --nproc-per-node 4 --dry-run -- /dt-launch
    [[ $output == *'NEURON_RT_ROOT_COMM_ID=127.0.0.1:62182'* ]]
    [[ $output == *'NEURON_PJRT_PROCESSES_NUM_DEVICES=1,1,1,1'*'NEURON_PJRT_PROCESS_INDEX=3'* ]]
}

@test "node 0's address is taken from /etc/hosts, loopback entries aside" {
    [ "$(id -u)" -eq 0 ] || skip "needs root for a mount namespace"
    printf '127.0.1.1 p5-1\n10.20.30.41 p5-1.cluster p5-1 # node one\n' >hosts
    fake_task 7
    run -0 unshare --mount sh -c "mount --bind '$dir/hosts' /etc/hosts && exec '$launch' -- sh -c 'echo \$MASTER_ADDR'"
    [ "$output" = 10.20.30.41 ]
}

# A directory with dt-launch and a dt-env of our own beside it; on standard input: the script.
beside() {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    cp "$launch" "$BATS_TEST_TMPDIR/bin/dt-launch"
    { echo '#!/bin/sh'; cat; } >"$BATS_TEST_TMPDIR/bin/dt-env"
    chmod +x "$BATS_TEST_TMPDIR/bin/dt-env"
}

@test "--env: what dt-env gives is set, taken away and named, for each rank its own" {
    beside <<'SH'
[ "$1 $2 $3 $4" = "print --format shell0 --local-rank" ] || exit 64
echo "dt-env: warning: one" >&2
printf 'FI_PROVIDER=efa\0A_B=x y=%s\0GONE\0' "$5"
SH
    GONE=1 run "$BATS_TEST_TMPDIR/bin/dt-launch" --env auto --nproc-per-node 2 -- \
        sh -c 'echo "got $LOCAL_RANK $FI_PROVIDER $A_B [$GONE] $DT_ENV_APPLIED"'
    [ "$status" -eq 0 ]
    [[ $output == *"got 0 efa x y=0 [] FI_PROVIDER,A_B,-GONE"* ]]
    [[ $output == *"got 1 efa x y=1 [] FI_PROVIDER,A_B,-GONE"* ]]
    [ "$(grep -c 'warning: one' <<<"$output")" -eq 1 ]
}

@test "--env: nothing is asked when it is off, or when the plugin has been here" {
    beside <<<'echo "dt-env ran" >&2; exit 1'
    run "$BATS_TEST_TMPDIR/bin/dt-launch" -- sh -c 'echo "[${DT_ENV_APPLIED-none}]"'
    [ "$output" = "[none]" ]
    DT_ENV=auto DT_ENV_APPLIED=FI_PROVIDER run "$BATS_TEST_TMPDIR/bin/dt-launch" -- sh -c 'echo "[$DT_ENV_APPLIED]"'
    [ "$output" = "[FI_PROVIDER]" ]
    DT_ENV=auto run "$BATS_TEST_TMPDIR/bin/dt-launch" --env off -- sh -c 'echo "[${DT_ENV_APPLIED-none}]"'
    [ "$output" = "[none]" ]
}

@test "--env without dt-env, or with one that fails: said once, and the ranks run" {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    cp "$launch" "$BATS_TEST_TMPDIR/bin/dt-launch"
    run "$BATS_TEST_TMPDIR/bin/dt-launch" --env auto --nproc-per-node 3 -- echo ran
    [ "$status" -eq 0 ]
    [ "$(grep -c '^dt-launch: warning: --env: dt-env is neither beside' <<<"$output")" -eq 1 ]
    [ "$(grep -c '^ran$' <<<"$output")" -eq 3 ]
    beside <<<'exit 78'
    DT_ENV=auto run "$BATS_TEST_TMPDIR/bin/dt-launch" --nproc-per-node 2 -- sh -c 'echo "[${DT_ENV_APPLIED-none}]"'
    [ "$status" -eq 0 ]
    [ "$(grep -c 'dt-env ended with code 78' <<<"$output")" -eq 1 ]
    [ "$(grep -c '^\[none\]$' <<<"$output")" -eq 2 ]
    beside <<<'kill -9 $$'
    run "$BATS_TEST_TMPDIR/bin/dt-launch" --env auto -- true
    [ "$status" -eq 0 ]
    [[ $output == *"was killed by signal 9"* ]]
}

@test "--env=explain shows the table once; a wrong word is refused" {
    beside <<<'[ "$1" = explain ] && echo "the table"; exit 0'
    run "$BATS_TEST_TMPDIR/bin/dt-launch" --env explain --nproc-per-node 2 -- echo ran
    [ "$status" -eq 0 ]
    [ "$(grep -c '^the table$' <<<"$output")" -eq 1 ]
    run "$launch" --env atuo -- true
    [ "$status" -eq 64 ]
    [[ $output == 'dt-launch: --env is "atuo": auto, explain or off is needed' ]]
    DT_ENV=1 run "$launch" -- true
    [ "$status" -eq 64 ]
    [[ $output == 'dt-launch: DT_ENV is "1": auto, explain or off is needed' ]]
}

# ---- the store, and who is to blame -----------------------------------------------------------------

@test "the store is there before the ranks are, and takes garbage" {
    cat >meet.py <<'PY'
import os, socket, struct
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"dt-hello 1 2 3\n", b"d" * 300000, b"\0" + b"\xff" * 8):
    stranger = socket.create_connection(address, 5)
    stranger.settimeout(5)
    try:
        stranger.sendall(garbage)
        while stranger.recv(4096):
            pass
    except ConnectionError:
        pass
silent = socket.create_connection(address, 5)
store = socket.create_connection(address, 5)
text = lambda s: struct.pack("<Q", len(s)) + s
store.sendall(b"\x00" + text(b"key") + text(b"value") + b"\x02" + text(b"key"))  # as PyTorch 1.13 does
assert store.recv(13, socket.MSG_WAITALL) == text(b"value")
print("served", os.environ["TORCHELASTIC_USE_AGENT_STORE"])
PY
    run -0 timeout 30 "$launch" -- python3 meet.py
    [ "$output" = 'served True' ]
}

@test "clients that say nothing, or half a thing, do not keep the ranks out when descriptors run out" {
    cat >loris.py <<'PY'
import os, socket, struct, time
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
def hold(count):
    held = []
    for i in range(count):
        s = socket.socket()
        s.settimeout(0.2)
        try:
            s.connect(address)
            s.sendall(b"" if i < 10 else b"\x00" + struct.pack("<Q", 500))  # a key of 500 bytes, which come one by one
            held.append(s)
        except OSError:
            s.close()
    open("full.%d" % os.getpid(), "w").close()
    end = time.time() + 60
    while not os.path.exists("served") and time.time() < end:
        for s in held[10:]:
            try:
                s.sendall(b"x")
            except OSError:
                pass
        time.sleep(0.5)
if os.environ["RANK"] == "1":  # more than dt-launch has descriptors
    pids = [os.fork() for _ in range(2) if os.getpid() == int(os.environ["OWN"])]
    hold(100) if 0 in pids else [os.waitpid(pid, 0) for pid in pids]
else:
    while sum(name.startswith("full.") for name in os.listdir(".")) < 2:
        time.sleep(0.05)
    store = socket.create_connection(address, 60)
    text = lambda s: struct.pack("<Q", len(s)) + s
    store.sendall(b"\x00" + text(b"key") + text(b"value") + b"\x02" + text(b"key"))
    assert store.recv(13, socket.MSG_WAITALL) == text(b"value")
    open("served", "w").close()
    print("served")
PY
    run -0 timeout 100 bash -c "ulimit -n 128; exec '$launch' --nproc-per-node 2 -- sh -c 'OWN=\$\$ exec python3 loris.py'"
    [ "$output" = served ]
}

@test "two jobs started at once beside a process that takes random ports: none finds its port in use" {
    run -0 python3 "$OLDPWD/tests/tools/port_races.py" --starts 4 --eaten 1000 "$launch"
    [[ $output == *"port in use with dt-launch 0, with 29500 4, "*" of 8 jobs" ]]
}

@test "MASTER_PORT that is another's is refused before anything starts" {
    python3 -c '
import socket, time
s = socket.create_server(("", 0)); open("port", "w").write(str(s.getsockname()[1])); time.sleep(60)' 3>&- &
    local taker=$!
    wait_for port
    refused 64 'can not be had on node 0' --master-port "$(<port)" -- touch started
    [ ! -e started ]
    kill "$taker"
}

@test "two nodes by hand: one world, one cause, one exit code" {
    port=$(python3 -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')
    node() { timeout 60 "$launch" --nnodes 2 --node-rank "$1" --master-addr 127.0.0.1 --master-port "$port" \
        --nproc-per-node 2 -- sh -c "$2"; }
    node 1 'echo $RANK/$WORLD_SIZE $JAX_COORDINATOR_ADDRESS' >one 2>&1 3>&- &
    run -0 node 0 'echo $RANK/$WORLD_SIZE $JAX_COORDINATOR_ADDRESS'
    wait $!
    [ "$(sort <<<"$output" | cut -d' ' -f1)" = $'0/4\n1/4' ]
    [ "$(sort one | cut -d' ' -f1)" = $'2/4\n3/4' ]
    [ "$(cut -d' ' -f2 one <(echo "$output") | sort -u | wc -l)" -eq 1 ]
    node 1 'test $RANK = 3 && { echo oops >&2; exit 42; }; exec sleep 30' >one 2>&1 3>&- &
    run -42 node 0 'exec sleep 30'
    code=0; wait $! || code=$?
    [ "$code" -eq 42 ]
    [[ $output == *"rank 3 (local 1 on "*"exited with code 42"*"  | oops"* ]]
    [ "$(cat one)" = oops ]
}

@test "a node of another job, and one that is there twice, are refused" {
    port=$(python3 -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')
    node() { timeout 60 "$launch" --nnodes "$2" --node-rank "$1" --master-addr 127.0.0.1 --master-port "$port" \
        --nproc-per-node 1 -- sh -c "$3"; }
    node 0 3 'touch zero; until [ -e over ]; do sleep 0.05; done' 3>&- &
    local zero=$!
    for _ in $(seq 500); do [ -e zero ] && break; sleep 0.02; done
    run -67 node 1 2 'touch started'
    [[ $output == *"node 0 does not take this node: it calls itself node 1 of 2, and node 0 counts 3 nodes"* ]]
    node 1 3 'touch two; until [ -e over ]; do sleep 0.05; done' 3>&- &
    local one=$!
    for _ in $(seq 500); do [ -e two ] && break; sleep 0.02; done
    run -67 node 1 3 'touch started'
    [[ $output == *"node 1 is here already"* ]]
    node 2 3 'touch over'
    wait "$zero" "$one"
    [ ! -e started ]
}

@test "the rank that failed first is named, though its victims die sooner" {
    cat >slow.py <<'PY'
import atexit, os, sys, time
if os.environ["RANK"] == "1":
    atexit.register(lambda: (open("down", "w").write("x"), time.sleep(20)))
    raise ValueError("the cause")
while not os.path.exists("down"):
    time.sleep(0.01)
time.sleep(0.05)
raise RuntimeError("Connection reset by peer")
PY
    run -1 timeout 30 "$launch" --kill-grace 0.2 --nproc-per-node 3 -- python3 slow.py
    [[ $output == *$'\ndt-launch: rank 1 ('*": ValueError: the cause"* ]]
}

@test "the same traceback of many ranks is shown once, and how many have it is said" {
    cat >same.py <<'PY'
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("at." + os.environ["RANK"], "w").close()
while len([name for name in os.listdir() if name.startswith("at.")]) < 4:
    time.sleep(0.01)
if os.environ["RANK"] == os.environ.get("OTHER"):
    time.sleep(0.5)
    raise KeyError("bad batch")
raise ValueError("bad batch")
PY
    run -1 "$launch" --nproc-per-node 4 --kill-grace 20 --fold -- python3 same.py
    [[ $output == *": ValueError: bad batch (3 more failed after it, with the same last words)"$'\n'* ]] || { echo "$output"; false; }
    [ "$(grep -c '^\[0-3\] ValueError: bad batch' <<<"$output")" -eq 1 ]
    rm at.*
    OTHER=3 run -1 "$launch" --nproc-per-node 4 --kill-grace 20 -- python3 same.py
    [[ $output == *": ValueError: bad batch (2 more failed after it, with the same last words)"* ]] || { echo "$output"; false; }
}

@test "the exit code is that of the first, whatever the others do" {
    for _ in 1 2 3; do
        rm -f over
        run -42 timeout 30 "$launch" --nproc-per-node 4 -- sh -c 'test $RANK = 2 && { touch over; exit 42; }
            until [ -e over ]; do sleep 0.01; done; sleep 0.2; kill -SEGV $$'
        [[ $output == *"rank 2 ("* ]]
    done
}

@test "last words: the traceback, the last lines, the error file" {
    run -1 "$launch" -- python3 -c 'import sys; print("noise", file=sys.stderr); int("x")'
    [[ $output == *"dt-launch: rank 0 ("*": ValueError: invalid literal for int() with base 10: 'x'"* ]]
    [[ $output == *$'\n  | Traceback (most recent call last):'* ]]
    [[ $output != *"  | noise"* ]]
    run -3 "$launch" -- sh -c 'echo some word >&2; exit 3'
    [[ $output == *$'\n  | some word'* ]]
    run -4 "$launch" -- sh -c 'echo "{\"message\": {\"message\": \"KeyError: k\", \"extraInfo\": {\"py_callstack\": \"Traceback\\n  f\"}}}" >$TORCHELASTIC_ERROR_FILE; exit 4'
    [[ $output == *": KeyError: k"* && $output == *$'\n  | Traceback\n  |   f'* ]]
    [ -z "$(compgen -G "${TMPDIR:-/tmp}/dt-launch.??????/0.json")" ]
    TORCHELASTIC_ERROR_FILE=$dir/error.json run -5 "$launch" -- sh -c 'echo why >&2; exit 5'
    python3 -c 'import json; m = json.load(open("error.json"))["message"]
assert "rank 0" in m["message"] and m["extraInfo"]["py_callstack"] == "why", m'
}

@test "ranks get the limit of open files that dt-launch was given" {
    run -0 bash -c "ulimit -Sn 500; '$launch' -- bash -c 'ulimit -Sn'"
    [ "$output" = 500 ]
}

@test "the rank that began to end first is named, though others are dead before it is" {
    run -0 "$OLDPWD/bench/launch/culprit.py" --runs 5 --gap-ms 5 --atleast 80 --world 4 -- "$launch" --nproc-per-node 4 --
    [[ $output == *"named right in "* ]]
}

@test "the same between nodes whose clocks differ by 5 s, 20 ms apart" {
    [ "$EUID" -eq 0 ] && unshare --time --monotonic 5 --fork true 2>/dev/null || skip "needs root and time namespaces"
    BUILD=$(dirname "$launch")/.. RUNS=4 ATLEAST=75 run -0 "$OLDPWD/tests/tools/culprit-two-nodes"
    [ "$(grep -c 'named right in [34] of 4 runs' <<<"$output")" -eq 2 ]
}

@test "the store takes a thousand clients through a barrier" {
    (($(ulimit -Hn) > 1200)) || skip "needs 1200 open files"
    run -0 timeout 60 "$launch" -- "$OLDPWD/bench/launch/store_clients.py" 1000
    [[ $output == "1000 clients: connected in "* ]]
}

@test "who has not arrived is said, on whichever node" {
    cat >late.py <<'PY'
import os, socket, struct, time
text = lambda s: struct.pack("<Q", len(s)) + s
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
while rank == world - 1 and "dt-launch: after" not in open("said").read():
    time.sleep(0.05)
store = socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
store.sendall(b"\x03" + text(b"count") + struct.pack("<q", 1))
if struct.unpack("<q", store.recv(8, socket.MSG_WAITALL))[0] == world:
    store.sendall(b"\x00" + text(b"all") + text(b"1"))
store.sendall(b"\x05" + struct.pack("<Q", 1) + text(b"all"))
assert store.recv(1) == b"\0"
PY
    port=$(python3 -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')
    node() { timeout 60 "$launch" --missing-after 0.5 --nnodes 2 --node-rank "$1" --master-addr 127.0.0.1 \
        --master-port "$port" --nproc-per-node 2 -- sh -c 'python3 late.py; exit $?'; }
    : >said
    node 1 3>&- &
    node 0 2>said
    wait $!
    grep -E '^dt-launch: after .* wait in the store \(for the key "all"\), [1-3] rank\(s\) have not connected' said
    grep -E '^  \| rank 3 on .* opened no connection; state S' said
}

@test "which rank is missing is said when --missing-after is over, not before" {
    run -0 python3 "$OLDPWD/tests/tools/missing_rank.py" --runs 2 --after 3 --late 60 "$launch"
    [[ $output == "missing rank named in 2 of 2 runs, "* ]]
}
