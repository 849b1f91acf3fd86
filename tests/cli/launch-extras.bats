#!/usr/bin/env bats
# What dt-launch does around the ranks: commands and read-ahead before them, their limits, profilers.

bats_require_minimum_version 1.5.0
load launch

setup() { launch_setup; }

# ---- before ---------------------------------------------------------------------------------

@test "--pre-once runs on node 0, before any rank; --pre on each node" {
    two_nodes --pre-once 'sleep 0.5; echo once >>order' --pre 'echo "pre $NODE_RANK of $GROUP_WORLD_SIZE" >>pre' -- sh -c 'cat order >seen.$RANK'
    [[ $status == 0 && $one == 0 ]] || tell failed
    [ "$(cat order)" = once ] || tell "not once"
    [ "$(cat seen.0 seen.1 seen.2 seen.3)" = $'once\nonce\nonce\nonce' ] || tell "a rank was there before it"
    [ "$(sort pre)" = $'pre 0 of 2\npre 1 of 2' ] || tell "--pre"
}

@test "--pre that fails on one node: no rank starts on any, and its code is kept" {
    two_nodes --pre 'test $NODE_RANK = 0 || exit 9' -- sh -c 'touch started.$RANK; sleep 20'
    [[ $status == 9 && $one == 9 ]] || tell codes
    [[ $output == *"--pre ended with code 9, so no rank is started: test "* ]] || tell "not told"
    [ ! -e started.2 ] || tell "a rank of node 1 started"
}

@test "--pre and --pre-once need one dt-launch a node" {
    run -64 "$launch" --pre ''  -- true
    SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_NNODES=1 \
        SLURM_STEP_NUM_TASKS=1 SLURM_STEP_TASKS_PER_NODE=1 SLURM_STEP_NODELIST=x SLURMD_NODENAME=x run -64 "$launch" --pre true -- true
    [[ $output == *"--pre needs one dt-launch a node"* ]]
}

@test "--prewarm reads files, directories and modules, and tells how much" {
    mkdir -p tree/below many && head -c 40000000 /dev/zero >tree/below/big && echo small >tree/small
    ln -s . tree/loop && ln -s below/big tree/linked
    sync -f tree && dd if=tree/below/big iflag=nocache count=0 status=none
    mkdir package && echo 'raise SystemExit("imported")' >package/__init__.py
    PYTHONPATH=$PWD run -0 "$launch" --prewarm tree --prewarm python:package -- echo ran
    [[ $output == *"dt-launch: prewarm: 4 files, 76.3 MiB, of which "*" MiB were not in memory, in "*" MiB/s)"*ran ]] || tell "not told"
    PYTHONPATH=$PWD run -0 "$launch" --prewarm tree --prewarm python:package -- echo ran
    [[ $output == *"dt-launch: prewarm: nothing to do: "*" files and directories were looked at, and are in memory"*ran ]] || tell "read again"
    run -0 "$launch" --prewarm nothing --prewarm python:nosuchmodule -- echo ran
    [[ $output == *"--prewarm nothing: No such file or directory"*"--prewarm nosuchmodule: Python finds no such module"*ran ]] || tell "no warning"
}

# A start from a slow file system, freshly mounted: asked is how many questions the program itself had to wait for.
slow_start() { # OPTION of dt-launch...
    local tools=$BATS_TEST_DIRNAME/../tools build
    build=$(cd "$BATS_TEST_DIRNAME/../.." && realpath "${BUILD:-build}")
    rm -f log
    status=0
    SLOW_FS_LOG=log XDG_CACHE_HOME=$PWD/cache unshare --mount --propagation private "$build/tools/slow-fs" source mount 1 \
        "$launch" "$@" -- sh -c 'wc -l <log >before; exec python3 "$0" run mount' "$tools/slow_start.py" >out 2>&1 3>&- || status=$?
    output=$(<out)
    [ "$status" -ne 77 ] || skip "no FUSE here"
    [ "$status" -eq 0 ] || tell "code"
    asked=$(($(wc -l <log) - $(<before)))
}

@test "--prewarm last: what the program read at its last start is in memory, and nothing is asked of a slow file system any more" {
    [ "$EUID" -eq 0 ] || skip "needs root, to mount"
    mkdir source mount cache
    python3 "$BATS_TEST_DIRNAME/../tools/slow_start.py" make source 60 8
    SLOW_START_STAY=1 slow_start --prewarm last
    [[ $output == *"prewarm: what this program reads at its start is being noted for the next time"* ]] || tell "not told"
    [ "$asked" -gt 200 ] || tell "only $asked questions: the test proves nothing"
    slow_start --prewarm last
    [ "$asked" -le 5 ] || tell "$asked questions" "$(tail -n "$asked" log)"
    [[ $output == *"dt-launch: prewarm: "*" files, "* ]] || tell "not told"
    # A start that fails early does not shorten the list.
    XDG_CACHE_HOME=$PWD/cache run -1 "$launch" --prewarm last -- sh -c 'exit 1'
    slow_start --prewarm last
    [ "$asked" -le 5 ] || tell "$asked questions after a start that failed"
    # Without a home there is no list, and the program starts all the same.
    XDG_CACHE_HOME='' HOME='' run -0 "$launch" --prewarm last -- true
}

# ---- limits ---------------------------------------------------------------------------------

@test "--ulimit is what the ranks get, and dt-launch itself does not" {
    run -0 bash -c "ulimit -Sc 0; '$launch' --nproc-per-node 2 --ulimit core=hard --ulimit nofile=321 --ulimit stack=16M -- bash -c 'echo \$(ulimit -Sc) \$(ulimit -Sn) \$(ulimit -Ss)'"
    [ "$output" = "$(ulimit -Hc) 321 16384"$'\n'"$(ulimit -Hc) 321 16384" ] || tell limits
}

@test "--ulimit beyond the hard limit is refused with 69 where one may not raise it" {
    [ "$EUID" -eq 0 ] || skip "needs root, to be somebody else"
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" 2>/dev/null || true
    install -m 755 "$launch" /tmp/dt-launch-as-nobody.$$
    run -69 bash -c "cd /; ulimit -n 1000; setpriv --reuid 65534 --regid 65534 --clear-groups /tmp/dt-launch-as-nobody.$$ --ulimit nofile=2000 -- true"
    rm /tmp/dt-launch-as-nobody.$$
    [[ $output == *"--ulimit nofile=2000 is more than the hard limit of this node, 1000"* ]] || tell "not told"
}

# ---- profilers ------------------------------------------------------------------------------

fake_nsys() {
    mkdir bin
    cat >bin/nsys <<'SH'
#!/bin/sh
echo "$@" >"nsys.$RANK"
while [ "${1#-}" != "$1" ] || [ "$1" = profile ]; do shift; done
exec "$@"
SH
    chmod +x bin/nsys
    PATH=$PWD/bin:$PATH
}

@test "--profile nsys: the chosen ranks alone, with its options, and their code is the program's" {
    fake_nsys
    two_nodes --profile nsys:ranks=1-2:delay=60:duration=30:range=cuda -- sh -c 'echo "$RANK ran $1"; test $RANK != 2 || exit 42' sh --word
    [[ $status == 42 && $one == 42 ]] || tell codes
    [ "$(ls nsys.*)" = $'nsys.1\nnsys.2' ] || tell "ranks $(ls nsys.*)"
    [[ $(cat nsys.1) == "profile --trace=cuda,nvtx,osrt --force-overwrite=true --kill=none --output=dt-nsys-"*"-rank1 --delay=60 --duration=30 --capture-range=cudaProfilerApi --capture-range-end=stop sh -c "* ]] || tell "$(cat nsys.1)"
    [[ $output == *"0 ran --word"* ]] || tell "not run"
}

@test "--profile exec: any command, %r and %n, rank 0 unless told" {
    two_nodes --profile 'exec:env  WRAPPED=%r-%n-%%' -- sh -c 'echo "$RANK ${WRAPPED-none}" >out.$RANK'
    [ "$(cat out.0)" = "0 0-$(hostname)-%" ] || tell "$(cat out.0)"
    [ "$(cat out.1 out.2 out.3)" = $'1 none\n2 none\n3 none' ] || tell others
    two_nodes --profile exec:ranks=all:env -- true
    [[ $status == 0 ]] || tell all
}

@test "a profiler that is not there is told before anything starts" {
    two_nodes --profile exec:ranks=3:no-such-profiler -- touch started
    [[ $status == 127 && $one == 127 ]] || tell codes
    [[ $output == *"--profile: rank 3: program not found: no-such-profiler"* ]] || tell "not told"
}

@test "--dry-run shows the command of a profiled rank" {
    fake_nsys
    run -0 "$launch" --nproc-per-node 2 --dry-run --profile nsys -- echo word
    [[ $output == *"rank 0, "*"runs  $PWD/bin/nsys"*"argv  nsys profile "*" echo word"*"rank 1, "*"argv  echo word"* ]] || tell "$output"
}

@test "wrong words are refused with 64" {
    local word
    for word in gdb nsys:ranks=x nsys:ranks=3-1 nsys:delay=soon nsys:frobnicate exec: 'exec: ' exec:ranks=1: exec:ranks=a:true 'nsys:ranks=1,'; do
        run -64 "$launch" --profile "$word" -- true
        [[ $output == *'--profile'* ]] || tell "$word"
    done
    for word in core nothing=3 core=much core=3X core=-1 core= nofile=99999999999999999999; do
        run -64 "$launch" --ulimit "$word" -- true
        [[ $output == *"--ulimit is \"$word\""* ]] || tell "$word"
    done
    run -64 "$launch" --prewarm python: -- true
}
