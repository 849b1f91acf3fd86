#!/usr/bin/env bats
# dt-launch on each platform, by the variables that the platform sets, and with torchrun's words. No platform is
# there: what is looked at is what the ranks find in their environment (--dry-run, or a program that prints it).

bats_require_minimum_version 1.5.0
load launch

setup() { launch_setup; }

# What rank 0 of this node is given, of the variables that matter: "RANK/WORLD NODE/NODES ADDR:PORT".
world() { # ARGUMENT...
    "$launch" --dry-run "$@" -- true >dry 2>err || { cat err; return 1; }
    local name text='' value
    for name in RANK / WORLD_SIZE ' ' NODE_RANK / GROUP_WORLD_SIZE ' ' MASTER_ADDR : MASTER_PORT; do
        value=$name
        if [[ $name == [A-Z]* ]]; then # what is as it was is not shown
            value=$(sed -n "s/^  set   $name=//p" dry | head -n 1)
            value=${value:-$(printenv "$name")}
        fi
        text+=$value
    done
    echo "$text"
}

is() { # EXPECTED ARGUMENT...
    local expected=$1
    shift
    run world "$@"
    [ "$output" = "$expected" ] || { echo "expected $expected, got $output"; return 1; }
}

refused() { # WORD ARGUMENT...
    local word=$1
    shift
    run -64 "$launch" "$@" -- true
    [[ $output == *"$word"* ]] || { echo "no \"$word\" in: $output"; return 1; }
    [ "${#lines[@]}" -eq 1 ] || { echo "more than one line: $output"; return 1; }
}

own_host() { # NAME COMMAND...: in a namespace with this host name, and /etc/hosts of the test's directory
    local name=$1
    shift
    unshare --uts --mount bash -c 'hostname "$1"; mount --bind hosts /etc/hosts; shift; "$@"' - "$name" "$@"
}

# ---- platforms ------------------------------------------------------------------------------

@test "AWS Batch: the main node is node 0, the others know its address, the ones before it move up" {
    export AWS_BATCH_JOB_NUM_NODES=4 AWS_BATCH_JOB_NODE_INDEX=3 AWS_BATCH_JOB_MAIN_NODE_INDEX=0 \
        AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS=10.0.0.9
    is '24/32 3/4 10.0.0.9:29500' --nproc-per-node 8
    run -0 "$launch" --dry-run --nproc-per-node 1 -- true
    [[ ${lines[0]} == "batch, one agent per node, "* ]]
    AWS_BATCH_JOB_MAIN_NODE_INDEX=2 AWS_BATCH_JOB_NODE_INDEX=0 is '1/4 1/4 10.0.0.9:29500' --nproc-per-node 1
    AWS_BATCH_JOB_MAIN_NODE_INDEX=2 AWS_BATCH_JOB_NODE_INDEX=3 is '3/4 3/4 10.0.0.9:29500' --nproc-per-node 1
    # Batch gives the main node no address: it uses its own
    unset AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS
    AWS_BATCH_JOB_NODE_INDEX=0 run world --nproc-per-node 1
    [[ $output == '0/4 0/4 '*:29500 && $output != *' 127.'* ]] || [ -z "$(ip -4 route show default)" ]
    refused 'AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS' --nproc-per-node 1
    AWS_BATCH_JOB_NODE_INDEX=4 refused 'AWS_BATCH_JOB_NODE_INDEX is "4": a number from 0 to 3' --nproc-per-node 1
}

@test "SageMaker: the place in SM_HOSTS" {
    export SM_HOSTS='["algo-1", "algo-2","algo-3"]' SM_CURRENT_HOST=algo-2
    is '4/12 1/3 algo-1:29500' --nproc-per-node 4
    SM_CURRENT_HOST=algo-9 refused 'SM_CURRENT_HOST is "algo-9"' --nproc-per-node 4
    SM_HOSTS='algo-1,algo-2' refused 'SM_HOSTS is "algo-1,algo-2"' --nproc-per-node 4
    SM_HOSTS='["algo-1' refused 'SM_HOSTS' --nproc-per-node 4
}

# Each node would be a job of its own, and nobody would be told.
@test "half of what a platform tells is refused; --platform alone, and one node, go on" {
    AWS_BATCH_JOB_NUM_NODES=4 refused 'AWS_BATCH_JOB_NUM_NODES is "4", but AWS_BATCH_JOB_NODE_INDEX is not set: that is half of what AWS Batch tells'
    AWS_BATCH_JOB_NODE_INDEX=0 refused 'AWS_BATCH_JOB_NUM_NODES is not set'
    SM_HOSTS='["algo-1","algo-2"]' refused 'SM_CURRENT_HOST is not set'
    KUBERNETES_SERVICE_HOST=10.1.0.1 MASTER_ADDR=m WORLD_SIZE=2 refused 'WORLD_SIZE is "2", but RANK is not set'
    SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2 refused 'SLURM_PROCID is not set'
    AWS_BATCH_JOB_NUM_NODES=4 run -0 "$launch" --platform alone -- true
    AWS_BATCH_JOB_NUM_NODES=1 run -0 "$launch" -- true
    SM_HOSTS='["algo-1"]' run -0 "$launch" -- true
    WORLD_SIZE=2 run -0 "$launch" -- true
}

@test "PyTorchJob: RANK and WORLD_SIZE count pods" {
    export KUBERNETES_SERVICE_HOST=10.1.0.1 MASTER_ADDR=job-master-0 MASTER_PORT=23456 RANK=2 WORLD_SIZE=3
    is '16/24 2/3 job-master-0:23456' --nproc-per-node 8
    # newer operators: WORLD_SIZE counts processes, PET_NNODES pods
    WORLD_SIZE=24 PET_NNODES=3 PET_NPROC_PER_NODE=8 is '16/24 2/3 job-master-0:23456'
    # inside a rank of another launcher the numbers are ranks
    LOCAL_RANK=0 run -0 "$launch" --dry-run --nproc-per-node 1 -- true
    [[ ${lines[0]} == alone,* ]]
}

@test "Trainer: everything in PET_ variables; options win over them" {
    export PET_NNODES=2 PET_NPROC_PER_NODE=4 PET_NODE_RANK=1 PET_MASTER_ADDR=10.0.0.7 PET_MASTER_PORT=4711
    is '4/8 1/2 10.0.0.7:4711'
    is '2/4 1/2 10.0.0.7:4711' --nproc-per-node 2
    PET_NPROC_PER_NODE=many refused 'PET_NPROC_PER_NODE is "many"'
}

@test "Indexed Job and JobSet: pod 0 is named as this one, with another number" {
    [ "$(id -u)" = 0 ] || skip "needs root for a host name of its own"
    export JOB_COMPLETION_INDEX=2
    echo '10.2.0.3 train-2.workers.ns.svc.cluster.local train-2' >hosts
    refused 'give --nnodes N' --nproc-per-node 1
    run -0 own_host train-2 "$launch" --dry-run --nnodes 4 --nproc-per-node 2 -- true
    [[ ${lines[0]} == "indexed-job, "*"node train-2 (2 of 4), ranks 4 to 5 of 8" ]]
    [[ $output == *'MASTER_ADDR=train-0.workers.ns.svc.cluster.local'* ]]
    run -64 own_host other "$launch" --dry-run --nnodes 4 --nproc-per-node 2 -- true
    [[ $output == *"does not end in this pod's index 2"* ]]
    export JOBSET_NAME=set
    run -0 own_host set-workers-0-2 "$launch" --dry-run --nnodes 4 --nproc-per-node 2 -- true
    [[ ${lines[0]} == "jobset, "*"(2 of 4)"* && $output == *'MASTER_ADDR=set-workers-0-0'* ]]
    run -64 own_host set-workers-1-2 "$launch" --dry-run --nnodes 4 --nproc-per-node 2 -- true
    [[ $output == *'give --node-rank'* ]]
}

@test "mpirun: each rank is wrapped; one a node is an agent" {
    export OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=4 \
        PMIX_RANK=5 OMPI_MCA_orte_hnp_uri='99.0;tcp://10.0.0.3,10.1.0.3:41911'
    run -0 "$launch" --dry-run -- true
    [[ ${lines[0]} == "openmpi, one process per task, "*"(1 of 2), rank 5 of 8" ]]
    [[ $output == *'set   MASTER_ADDR=10.0.0.3'* && $output != *'unset PMIX_RANK'* ]]
    refused 'mpirun --npernode 1' --nproc-per-node 2
    OMPI_COMM_WORLD_LOCAL_SIZE=1 OMPI_COMM_WORLD_LOCAL_RANK=0 is '10/16 5/8 10.0.0.3:29500' --nproc-per-node 2
}

@test "mpirun for real: two wrapped ranks see what mpirun gave them" {
    command -v mpirun >/dev/null || skip "mpirun is not installed"
    run -0 mpirun --allow-run-as-root --oversubscribe -n 2 "$launch" -- sh -c 'echo $RANK $OMPI_COMM_WORLD_RANK $LOCAL_RANK $WORLD_SIZE'
    [ "$(sort <<<"$output")" = $'0 0 0 2\n1 1 1 2' ]
}

@test "--platform: what is not there is said, what is there can be overruled" {
    refused '--platform batch: its variables (AWS_BATCH_JOB_NUM_NODES and' --platform batch
    refused '--platform is "moon": auto, slurm,' --platform moon
    export AWS_BATCH_JOB_NUM_NODES=2 AWS_BATCH_JOB_NODE_INDEX=0
    is '0/1 0/1 127.0.0.1:29500' --platform alone --nproc-per-node 1
    is '1/2 1/2 10.0.0.1:29500' --platform plain --nnodes 2 --node-rank 1 --master-addr 10.0.0.1 --nproc-per-node 1
    refused '--nnodes is 5 but batch runs this on 2 nodes' --nnodes 5
    refused '--node-rank is 1 but batch has numbered this node 0 of 2' --node-rank 1
    is '0/2 0/2 10.0.0.1:29500' --nnodes 1:2 --node-rank 0 --master-addr 10.0.0.1 --nproc-per-node 1
}

# ---- torchrun's words -----------------------------------------------------------------------

@test "torchrun's command lines are understood" {
    is '0/2 0/1 127.0.0.1:29500' --standalone --nproc_per_node=2
    is '1/2 1/2 10.0.0.5:6000' --nnodes=2 --node_rank=1 --nproc_per_node=1 --rdzv_id=7 --rdzv_backend=c10d --rdzv_endpoint=10.0.0.5:6000
    is '1/2 1/2 10.0.0.5:29500' --nnodes 1:2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint 10.0.0.5
    run world --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint "$(hostname):6000"
    [[ $output == '0/2 0/2 '*:6000 ]]
    is '1/2 1/2 fd00::5:6000' --nnodes 2 --node-rank 1 --nproc-per-node 1 --rdzv-endpoint '[fd00::5]:6000'
    refused '--nnodes 3 needs --node-rank' --nnodes 3 --nproc-per-node 1 --rdzv-endpoint 10.0.0.5:6000
    refused '--rdzv-backend is "zookeeper": c10d, static, etcd-v2 or etcd' --rdzv-backend zookeeper
    refused '--rdzv-endpoint is "host:port"' --rdzv-endpoint host:port
    run -0 "$launch" --monitor-interval 1 --start-method spawn --rdzv-conf timeout=9 --nproc-per-node 1 -- true
}

@test "a program in Python is run by Python, unbuffered" {
    mkdir package
    echo 'import sys; print("script", sys.argv[1:], sys.flags.unbuffered if hasattr(sys.flags, "unbuffered") else "")' >train.py
    echo 'import sys; print("module", sys.argv[1:])' >package/train.py
    run -0 "$launch" --nproc-per-node 1 train.py --lr 1
    [[ $output == "script ['--lr', '1']"* ]]
    run -0 "$launch" --nproc-per-node 1 -m package.train --lr 1
    [ "$output" = "module ['--lr', '1']" ]
    run -0 "$launch" --nproc-per-node 1 --run-path package/train.py x
    [ "$output" = "module ['x']" ]
    run -126 "$launch" --nproc-per-node 1 --no-python ./train.py
    [[ $output == *'can not be executed: ./train.py'* ]]
    printf '#!/bin/sh\necho own python "$@"\n' >python
    chmod +x python
    PYTHON_EXEC=./python run -0 "$launch" train.py
    [ "$output" = 'own python -u train.py' ]
    run -64 "$launch" -m --no-python -- x
    [[ $output == *'--module and --no-python contradict'* ]]
}

@test "--virtual-local-rank: one GPU and LOCAL_RANK 0 for each; --role, --rdzv-id" {
    CUDA_VISIBLE_DEVICES=4,5,GPU-x run -0 "$launch" --virtual-local-rank --role actor --rdzv-id exp1 --nproc-per-node 3 -- \
        sh -c 'echo $RANK $LOCAL_RANK $CUDA_VISIBLE_DEVICES $ROLE_NAME $TORCHELASTIC_RUN_ID'
    [ "$(sort <<<"$output")" = $'0 0 4 actor exp1\n1 0 5 actor exp1\n2 0 GPU-x actor exp1' ]
    run -0 "$launch" --virtual-local-rank --nproc-per-node 2 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    [ "$(sort <<<"$output")" = $'0\n1' ]
}

@test "letters: -m, -l; an unknown one is refused" {
    run -64 "$launch" -x -- true
    [[ $output == *'unknown option -x'* ]]
    run -64 "$launch" -mx -- true
    [[ $output == *'unknown option -mx'* ]]
}

# ---- other launchers' files -----------------------------------------------------------------

@test "--compat accelerate: the variables of accelerate launch, and its number of processes" {
    cat >config.yaml <<'END'
distributed_type: FSDP
num_machines: 1
num_processes: 2
fsdp_config:
  fsdp_sharding_strategy: FULL_SHARD
mixed_precision: bf16
END
    run -0 "$launch" --compat accelerate:config.yaml -- sh -c 'echo $RANK $WORLD_SIZE $ACCELERATE_USE_FSDP $FSDP_SHARDING_STRATEGY $ACCELERATE_MIXED_PRECISION'
    [ "$(sort <<<"$output")" = $'0 2 true FULL_SHARD bf16\n1 2 true FULL_SHARD bf16' ]
    run -0 "$launch" --compat accelerate:config.yaml --nproc-per-node 3 -- sh -c 'echo $WORLD_SIZE'
    [ "${lines[0]}" = 3 ]
    echo 'num_processes 2' >config.yaml
    refused 'config.yaml:1: "num_processes 2" is not "key: value"' --compat accelerate:config.yaml
    refused '--compat accelerate: nowhere: No such file' --compat accelerate:nowhere
    refused '--compat is "horovod:x": accelerate:FILE, deepspeed:FILE, megatron or composer' --compat horovod:x
    run -0 "$launch" --compat megatron --compat composer -- sh -c 'echo $CUDA_DEVICE_MAX_CONNECTIONS $PYTHONUNBUFFERED'
    [ "$output" = '1 1' ]
    CUDA_DEVICE_MAX_CONNECTIONS=8 run -0 "$launch" --compat megatron -- sh -c 'echo $CUDA_DEVICE_MAX_CONNECTIONS'
    [ "$output" = 8 ]
}

@test "--compat deepspeed: a hostfile, before the ranks start" {
    run -0 "$launch" --compat deepspeed:hosts --nproc-per-node 2 -- cat hosts
    [ "$output" = "$(hostname) slots=2"$'\n'"$(hostname) slots=2" ]
    export SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_STEP_NUM_TASKS=1 \
        SLURM_STEP_NUM_NODES=1 SLURM_STEP_TASKS_PER_NODE=1 SLURM_STEP_NODELIST=p5-3
    run -0 "$launch" --compat deepspeed:hosts --nproc-per-node 8 -- true
    [ "$(cat hosts)" = 'p5-3 slots=8' ]
    refused 'nowhere/hosts can not be written: No such file' --compat deepspeed:nowhere/hosts --nproc-per-node 1
}
