#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-launch called as torchrun, accelerate, deepspeed and composer: what ranks find, and who runs when a command line is not
# understood. What the plugin does for it is in tests/cluster/shim.bats.

# shellcheck disable=SC2016 # the shells of the ranks expand them

bats_require_minimum_version 1.5.0
load launch

setup() {
    launch_setup
    repository=$OLDPWD
    shim=$(dirname "$launch")/../libexec/shim
    shim=$(realpath "$shim")
    PATH=$shim:$PWD/bin:/usr/bin:/bin
    unset HF_HOME XDG_CACHE_HOME HOME LOCAL_WORLD_SIZE NODE_RANK
    echo 'import os, sys; e = os.environ
sys.stdout.write("%s/%s %s\n" % (e["RANK"], e["WORLD_SIZE"], sys.argv[1:]))' >show.py
}

# A tool of that name further down PATH, which says its own words.
real() { # NAME
    mkdir -p bin
    printf '#!/bin/sh\necho "the real %s: $*"\necho "PATH $PATH"\n' "$1" >"bin/$1"
    chmod +x "bin/$1"
}

is() { # LINES ARGUMENT...: what the ranks say, sorted
    local wanted=$1
    shift
    run -0 "$@"
    [ "$(sort <<<"$output")" = "$wanted" ] || tell "wanted $wanted"
}

# The tool itself runs, with the same words and a PATH without the shim, and one line says why.
gives_way() { # WORD TOOL ARGUMENT...
    local word=$1
    shift
    run -0 "$@"
    [[ ${lines[0]} == "dt-launch: called as $1: "*"$word"*"; so $PWD/bin/$1 runs instead" ]] || tell "no line with $word"
    [ "${lines[1]}" = "the real $1: ${*:2}" ] || tell "not with its own words"
    [ "${lines[2]}" = "PATH $PWD/bin:/usr/bin:/bin" ] || tell "not with its own PATH"
}

@test "torchrun: 54 command lines, what the ranks find is what the real torchrun gives" {
    run -0 python3 "$repository/tests/tools/torchrun_lines.py" --compare "$repository/tests/fixtures/torchrun/workers" --as-dt -- torchrun
    [ "$output" = "54 command lines, 0 wrong" ]
}

@test "the comparison finds a variable that is missing, or other, a rank too few, and other words" {
    printf '#!/bin/sh\nexec torchrun --no-python env -u ROLE_RANK "$@"\n' >missing
    printf '#!/bin/sh\nexec torchrun --no-python env ROLE_NAME=x "$@"\n' >other
    printf '#!/bin/sh\nexec torchrun "$@" more\n' >words
    printf '#!/bin/sh\nexport PET_NPROC_PER_NODE=2\nexec torchrun "$@"\n' >ranks
    sed 's/ show.py/ python3 -u show.py/' "$repository/tests/fixtures/torchrun/lines" | grep -E '^#|^bare' >plain
    chmod +x missing other words ranks
    compare() { python3 "$repository/tests/tools/torchrun_lines.py" --compare "$repository/tests/fixtures/torchrun/workers" --as-dt --only bare "$@"; }
    run -0 compare -- torchrun
    run -1 compare --table plain -- ./missing
    [[ $output == *"ROLE_RANK: wanted 0, found None"* ]] || tell "not found"
    run -1 compare --table plain -- ./other
    [[ $output == *"ROLE_NAME: wanted default, found x"* ]] || tell "not found"
    run -1 compare -- ./words
    [[ $output == *"words: wanted , found more"* ]] || tell "not found"
    run -1 compare -- ./ranks
    [[ $output == *"wanted 1 ranks, found 2"* ]] || tell "not found"
}

@test "torchrun: a line that is not understood is the real one's, and one line says so" {
    real torchrun
    gives_way '--logs-specs is not understood here' torchrun --nproc-per-node 2 --logs-specs own show.py
    gives_way '--event-log-handler console is not understood' torchrun --event-log-handler console show.py
    gives_way '-x is not understood' torchrun -x show.py
    gives_way 'no program was given' torchrun --nproc-per-node 2
    gives_way '--nnodes 1:4' torchrun --nnodes 1:4 --rdzv-endpoint h:1 show.py
    gives_way '--nnodes "x" is not understood' torchrun --nnodes x show.py
    gives_way 'dt-launch asks no etcd' torchrun --rdzv-backend etcd --rdzv-endpoint h:1 show.py
    gives_way '--nnodes 3 needs --node-rank' torchrun --nnodes 3 --rdzv-backend c10d --rdzv-endpoint 192.0.2.9:1 show.py
    gives_way '--nproc-per-node is "xpu"' torchrun --nproc-per-node xpu show.py
    gives_way '--module and --no-python contradict' torchrun --module --no-python show
    export PET_LOGS_SPECS=own
    gives_way 'PET_LOGS_SPECS=own is not understood' torchrun show.py
}

@test "without the tool itself what is understood runs all the same, and what is not is refused with 64" {
    is $'0/2 []\n1/2 []' /usr/bin/env PATH="$shim" PYTHON_EXEC=/usr/bin/python3 torchrun --nproc-per-node 2 show.py
    run -64 /usr/bin/env PATH="$shim" torchrun --logs-specs own show.py
    [ "$output" = "dt-launch: called as torchrun: --logs-specs is not understood here; and there is no other torchrun in PATH to run instead" ] || tell "other words"
}

@test "in an empty root, as in a container, torchrun needs neither the tool nor Python" {
    [ "$EUID" -eq 0 ] || skip "chroot needs root"
    mkdir -p root/{bin,opt/dt/shim,proc}
    cp "$launch" root/bin/dt-launch
    cp "$(command -v busybox || command -v dash)" root/bin/sh
    for library in $(ldd root/bin/sh 2>/dev/null | grep -oE '/[^ ]+'); do mkdir -p "root${library%/*}" && cp "$library" "root$library"; done
    ln -s ../../../bin/dt-launch root/opt/dt/shim/torchrun
    is $'0/2\n1/2' env -i PATH=/opt/dt/shim:/bin /usr/sbin/chroot root torchrun --nproc-per-node 2 --no-python sh -c 'echo $RANK/$WORLD_SIZE'
}

@test "a copy of dt-launch by the tool's name is not taken for the tool more than once" {
    mkdir bin
    cp "$launch" bin/torchrun
    run -64 timeout 20 env PATH="$shim:$PWD/bin" torchrun --logs-specs own show.py
    [ "${#lines[@]}" -eq 2 ] && [[ ${lines[1]} == *"there is no other torchrun in PATH"* ]] || tell "other words"
    run -64 timeout 20 env PATH="$shim:$(dirname "$launch")/../libexec/shim:$shim/." torchrun --logs-specs own show.py
    [ "${#lines[@]}" -eq 1 ] || tell "the shim was met twice"
}

@test "a script is run by the Python of the real torchrun; PYTHON_EXEC wins" {
    mkdir bin venv
    printf '#!/bin/sh\necho "own python $*"\n' >venv/python3
    printf '#!%s/venv/python3\n' "$PWD" >bin/torchrun
    chmod +x bin/torchrun venv/python3
    is 'own python -u show.py' torchrun show.py
    is 'own python -u -m show x' torchrun -m show x
    PYTHON_EXEC=/usr/bin/python3 is '0/1 []' torchrun show.py
    printf '#!/usr/bin/env python3\n' >bin/torchrun
    is '0/1 []' torchrun show.py
}

@test "torchrun: in a Slurm step of several nodes --nnodes counts, as it does for torchrun" {
    export SLURM_JOB_ID=12 SLURM_STEP_ID=3 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 \
        SLURM_NNODES=4 SLURM_STEP_NUM_NODES=4 SLURM_STEP_TASKS_PER_NODE='1(x4)' SLURM_STEP_NODELIST='localhost,n[2-4]' SLURMD_NODENAME=localhost
    is '0/1 []' torchrun show.py
    is $'0/2 []\n1/2 []' torchrun --nnodes 1 --nproc-per-node 2 show.py
    run -0 torchrun --nnodes 1 --nproc-per-node 1 --no-python sh -c 'echo $SLURM_PROCID/$SLURM_NTASKS'
    [ "$output" = 0/1 ]
    real torchrun
    gives_way '--nnodes 2 needs --master-addr' torchrun --nnodes 2 --node-rank 0 show.py
    SLURM_NTASKS=8 SLURM_STEP_NUM_TASKS=8 SLURM_STEP_TASKS_PER_NODE='2(x4)' gives_way 'needs --node-rank' \
        torchrun --nnodes 4 --rdzv-endpoint 192.0.2.9:1 show.py
}

@test "accelerate launch: its configuration, and options over it" {
    cp "$repository/tests/programs/accelerate.yaml" .
    echo 'import os, sys; e = os.environ
sys.stdout.write("%s/%s %s %s\n" % (e["RANK"], e["WORLD_SIZE"], e.get("FSDP_STATE_DICT_TYPE"), e.get("ACCELERATE_MIXED_PRECISION")))' >show.py
    is $'0/2 SHARDED_STATE_DICT bf16\n1/2 SHARDED_STATE_DICT bf16' accelerate launch --config_file accelerate.yaml show.py
    is $'0/3 SHARDED_STATE_DICT no\n1/3 SHARDED_STATE_DICT no\n2/3 SHARDED_STATE_DICT no' \
        accelerate launch --config_file=accelerate.yaml --num_processes 3 --mixed_precision=no show.py
    is $'0/2 None fp16\n1/2 None fp16' accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision fp16 show.py
    mkdir -p home/accelerate
    cp accelerate.yaml home/accelerate/default_config.yaml
    HF_HOME=$PWD/home is $'0/2 SHARDED_STATE_DICT bf16\n1/2 SHARDED_STATE_DICT bf16' accelerate launch show.py
    real accelerate
    gives_way 'only "accelerate launch" is understood' accelerate config
    gives_way '--use_deepspeed is not understood' accelerate launch --use_deepspeed show.py
    gives_way '(distributed_type "") is not understood' accelerate launch --num_processes 2 show.py
    gives_way 'num_processes) is not given' accelerate launch --multi_gpu show.py
    gives_way '3 ranks can not be shared by 2 nodes evenly' accelerate launch --multi_gpu --num_processes 3 --num_machines 2 show.py
    gives_way 'missing.yaml: No such file' accelerate launch --config_file missing.yaml show.py
}

@test "deepspeed: this node's ranks, and --local_rank=N behind the script" {
    is $'0/2 [\'--local_rank=0\', \'--lr\', \'1\']\n1/2 [\'--local_rank=1\', \'--lr\', \'1\']' deepspeed --num_gpus 2 show.py --lr 1
    is $'0/2 [\'--local_rank=0\']\n1/2 [\'--local_rank=1\']' deepspeed --num_gpus=2 --module show
    is $'0/2 []\n1/2 []' deepspeed --num_gpus 2 --no_local_rank show.py
    CUDA_VISIBLE_DEVICES=3,4 is $'0/2 []\n1/2 []' deepspeed --no_local_rank show.py
    real deepspeed
    gives_way '--hostfile is not understood' deepspeed --hostfile hosts show.py
    gives_way '--num-nodes 2 is not understood' deepspeed --num_nodes 2 show.py
}

@test "composer: the ranks of a node, its output is that of local rank 0" {
    is '0/2 []' composer -n 2 show.py
    real composer
    gives_way '--stdout is not understood' composer -n 2 --stdout 'x{rank}' show.py
    gives_way '5 ranks with 2 on each node are not understood' composer -n 2 --world_size 5 show.py
    port=$(free_port)
    NODE_RANK=1 WORLD_SIZE=4 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port timeout 60 composer -n 2 show.py >one 2>&1 3>&- &
    is '0/4 []' env NODE_RANK=0 WORLD_SIZE=4 MASTER_ADDR=127.0.0.1 MASTER_PORT="$port" composer -n 2 show.py
    wait $!
    [ "$(cat one)" = '2/4 []' ]
}

@test "--help by each name, and completion of what it says" {
    # shellcheck source=/dev/null
    source "$repository/contrib/completion/dt"
    PATH=$(dirname "$launch"):$PATH
    for tool in torchrun 'accelerate launch' deepspeed composer; do
        # shellcheck disable=SC2086 # two words
        run -0 $tool --help
        [[ $output == "Usage: $tool [OPTION...] PROGRAM [ARGUMENT...]"* ]] || tell "no help"
        # shellcheck disable=SC2206
        COMP_WORDS=($tool --)
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _dt "${COMP_WORDS[0]}" || true # compopt works within a completion only
        [ "$(printf '%s\n' "${COMPREPLY[@]}" | sed 's/=$//' | sort)" = "$(grep -oE '^ +(-[a-z], )?--[a-z-]+' <<<"$output" | grep -oE -- '--[a-z-]+' | sort)" ] || tell "completion of $tool: ${COMPREPLY[*]}"
    done
    COMP_WORDS=(torchrun --start-method = f) COMP_CWORD=3
    _dt torchrun
    [ "${COMPREPLY[*]}" = 'fork forkserver' ]
    COMP_WORDS=(accelerate '') COMP_CWORD=1
    _dt accelerate
    [ "${COMPREPLY[*]}" = launch ]
}
