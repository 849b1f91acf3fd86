#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train on GPUs, on a machine that has none: the whole program with the library of `make fake-cuda`, whose kernels run thread
# by thread on the host, and whose NCCL does nothing before it is waited for (tests/fake-cuda). What it computes is that of the CPU.

bats_require_minimum_version 1.5.0

load train

setup() {
    train_setup
    CUDA=$(cd "$ROOT" && realpath "${BUILD:-build}")/fake-cuda/dt-train
    [ -x "$CUDA" ] || { echo "make fake-cuda first"; return 1; }
    export FAKE_CUDA_DEVICES=4
    unset CUDA_VISIBLE_DEVICES
    MODEL=(--data "$TEXT" --layers 2 --channels 16 --heads 4 --seq 8 --vocab 257 --global-batch 4 --steps 3 --lr 1e-2 --clip 0.5
        --blas builtin)
    LLAMA=(--family llama --untied --kv-heads 2 --hidden 24)
}
teardown() { train_teardown; }

gpus() { # RANKS ARGUMENTS...
    local ranks=$1
    shift
    mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$CUDA" --device cuda "$@"
}

numbers() { # step, loss and length of the gradient, from a JSON log
    sed -n 's/.*"step":\([0-9]*\),"loss":\([0-9.e+-]*\),.*"grad_norm":\([0-9.e+-]*\).*/\1 \2 \3/p' "$1"
}

agree() { # LOG LOG LOSS LENGTH: how far these may be away, as a share
    paste -d ' ' <(numbers "$1") <(numbers "$2") | awk -v loss="$3" -v length_="$4" '
        function away(a, b) { d = (a - b) / a; return d < 0 ? -d : d }
        $1 != $4 || away($2, $5) > loss || away($3, $6) > length_ { bad = 1; print }
        END { exit bad || NR != 3 }'
}

# The same model by one process on its CPU, and by RANKS on GPUs that share it in LAYOUTs.
same() { # RANKS LAYOUT -- MODEL...
    local ranks=$1
    local -a layout=()
    shift
    while [ "$1" != -- ]; do
        layout+=("$1")
        shift
    done
    shift
    "$BIN" --device cpu "${MODEL[@]}" "$@" --log "$TMP/cpu" >/dev/null
    gpus "$ranks" "${MODEL[@]}" "$@" "${layout[@]}" --log "$TMP/gpu" >"$TMP/out" 2>&1 || { cat "$TMP/out"; return 1; }
    # (lengths are logged with six digits)
    agree "$TMP/cpu" "$TMP/gpu" "${LOSS:-1e-6}" "${LENGTH:-2e-5}"
    rm "$TMP/cpu" "$TMP/gpu"
}

@test "one GPU takes the steps of the CPU: both families, recomputed, experts" {
    same 1 --recompute selective --
    same 1 --recompute full -- "${LLAMA[@]}"
    same 1 --micro-batch 2 -- "${LLAMA[@]}" --experts 4
}

@test "bf16: as the CPU's, to what bf16 is worth" {
    LOSS=1e-3 LENGTH=2e-2 same 1 -- "${LLAMA[@]}" --precision bf16
    LOSS=1e-3 LENGTH=2e-2 same 2 --tp 2 -- --precision bf16
}

@test "copies and shards over NCCL: dp, fsdp with zero 1 and 3, both" {
    same 2 --dp 2 --
    same 2 --fsdp 2 --zero 1 --micro-batch 1 --
    same 2 --fsdp 2 --micro-batch 1 -- "${LLAMA[@]}"
    same 4 --dp 2 --fsdp 2 --
}

@test "parts over NCCL: tp with sp, pp, cp, ep, and several at once" {
    same 2 --tp 2 --sp -- "${LLAMA[@]}"
    same 2 --pp 2 --micro-batch 1 --
    same 2 --cp 2 -- "${LLAMA[@]}"
    same 2 --ep 2 -- --experts 4 --hidden 16
    same 4 --tp 2 --sp --fsdp 2 -- "${LLAMA[@]}"
    same 4 --pp 2 --tp 2 --micro-batch 1 --
}

@test "parameters: what a GPU has trained is what the CPU has, tensor by tensor, and goes on there" {
    "$BIN" --device cpu "${MODEL[@]}" --export "$TMP/cpu" --checkpoint "$TMP/cpu.saved" >/dev/null
    gpus 2 "${MODEL[@]}" --fsdp 2 --export "$TMP/gpu" --checkpoint "$TMP/gpu.saved" >/dev/null
    # AdamW makes whole steps of gradients that are all but 0, and so of their rounding; a wrong one is tenths away
    "$ROOT/tests/tools/tensors-away" "$TMP/cpu/model.safetensors" "$TMP/gpu/model.safetensors" 1e-3
    "$BIN" --device cpu "${MODEL[@]}" --steps 5 --resume --checkpoint "$TMP/cpu.saved" --log "$TMP/log.cpu" >/dev/null
    "$BIN" --device cpu "${MODEL[@]}" --steps 5 --resume --checkpoint "$TMP/gpu.saved" --log "$TMP/log.gpu" >/dev/null
    losses_agree "$TMP/log.cpu" "$TMP/log.gpu" 2
}

@test "two runs on GPUs agree bit for bit; the start line names the GPU" {
    gpus 2 "${MODEL[@]}" --tp 2 --checkpoint "$TMP/one" >"$TMP/out"
    gpus 2 "${MODEL[@]}" --tp 2 --checkpoint "$TMP/two" >/dev/null
    same_state "$TMP"/one/step-???????? "$TMP"/two/step-????????
    grep -q 'GPU 0 of 4, Fake GPU, cuBLAS 13.0, measured' "$TMP/out"
    grep -q '; NCCL$' "$TMP/out"
}

@test "auto: a GPU where every rank has one, else CPUs, and why" {
    run -0 "$CUDA" "${MODEL[@]}"
    [[ $output == *"GPU 0 of 4, Fake GPU"* ]]
    FAKE_CUDA_DRIVER=none run -0 "$CUDA" "${MODEL[@]}"
    [[ $output == *$'\n'"on CPUs: no NVIDIA driver is loaded here, or it is older than CUDA 13.0 wants; take a node with a GPU"* ]]
    [[ $output != *"Fake GPU"* ]]
    FAKE_CUDA_DEVICES=1 run -0 mpirun -np 2 --allow-run-as-root --oversubscribe "$CUDA" "${MODEL[@]}"
    [[ $output == *"on CPUs: 1 GPU is visible for the 2 ranks on "* ]]
    # with one GPU each, as a launcher binds them, they have one each
    # shellcheck disable=SC2016 # expanded by the inner shell
    FAKE_CUDA_DEVICES=2 run -0 mpirun -np 2 --allow-run-as-root --oversubscribe \
        bash -c 'CUDA_VISIBLE_DEVICES=$OMPI_COMM_WORLD_LOCAL_RANK exec "$@"' - "$CUDA" "${MODEL[@]}"
    [[ $output == *"GPU 0 of 1, Fake GPU"* ]]
}

@test "cuda asked for and not to be had: one sentence, 78" {
    mkdir "$TMP/alone"
    cp "$BIN" "$TMP/alone/dt-train"
    run -78 "$TMP/alone/dt-train" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == "dt-train: --device cuda: this dt-train has no dt-train-cuda.so beside it; it is built and installed where CUDA's nvcc is" ]]
    FAKE_CUDA_DRIVER=none run -78 "$CUDA" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == *"no NVIDIA driver is loaded here"* ]]
    CUDA_VISIBLE_DEVICES='' run -78 "$CUDA" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == *"no GPU is visible to this rank; ask Slurm for one a rank (--gpus-per-task=1)" ]]
    FAKE_CUDA_CAPABILITY=7 run -78 "$CUDA" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == *"GPU 0, Fake GPU, has compute capability 7.0, and 8.0 or newer is wanted" ]]
    FAKE_CUDA_DEVICES=1 run -78 gpus 2 "${MODEL[@]}"
    [[ ${lines[0]} == "dt-train: rank 1 on "*": --device cuda: 1 GPU is visible for the 2 ranks on "*", so that ranks 0 and 1 would share one; ask Slurm for one a rank (--gpus-per-task=1), take fewer ranks a node, or say --device cpu" ]]
}

@test "a library of another version, and one that lacks a library of its own, are refused" {
    mkdir "$TMP/mixed"
    cp "$CUDA" "$TMP/mixed/dt-train"
    version=$("$BIN" --version | awk '{ print $2 }')
    # the same length, so that nothing moves
    sed "s/\x00$version\x00/\x00$(tr '0-9a-z' '1-9a-z0' <<<"${version:0:1}")${version:1}\x00/" \
        "${CUDA%/*}/dt-train-cuda.so" >"$TMP/mixed/dt-train-cuda.so"
    chmod +x "$TMP/mixed/dt-train-cuda.so"
    run -78 "$TMP/mixed/dt-train" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == *"/dt-train-cuda.so is of dt "*", and this is dt $version; install both of one version" ]]
    echo 'int dt_needs_what_is_not_there(void); int dt(void) { return dt_needs_what_is_not_there(); }' >"$TMP/lacking.c"
    "${CC:-gcc}" -shared -fPIC -o "$TMP/mixed/dt-train-cuda.so" "$TMP/lacking.c"
    run -78 "$TMP/mixed/dt-train" --device cuda "${MODEL[@]}"
    one_sentence
    [[ $output == *"undefined symbol: dt_needs_what_is_not_there"*"; CUDA's libraries, cuBLAS and NCCL must be where the linker finds them" ]]
}

@test "out of the GPU's memory, a launch that fails, a group's operation that fails: a sentence each, nobody hangs" {
    FAKE_CUDA_MEMORY=1 run -1 "$CUDA" --device cuda "${MODEL[@]}" --channels 128 --vocab 4096
    one_sentence
    [[ $output == "dt-train: no memory for the model: it wants "* ]] || { echo "$output"; false; }
    FAKE_CUDA_FAILS=34 run -1 "$CUDA" --device cuda "${MODEL[@]}"
    [[ ${lines[-1]} == "dt-train: GPU 0: computing failed: unspecified launch failure" ]]
    FAKE_NCCL_FAILS=1:9 run gpus 2 "${MODEL[@]}" --dp 2
    [ "$status" -ne 0 ]
    [[ $output == *"dt-train: NCCL: "*" failed: unhandled system error (NCCL_DEBUG=WARN says more)"* ]]
}

@test "the library that nvcc has built has all that it needs, and says that a GPU is missing" {
    [ -e "${BIN%/*}/dt-train-cuda.so" ] || skip "make cuda has built none"
    CUDA_VISIBLE_DEVICES='' run -78 "$BIN" --device cuda "${MODEL[@]}"
    [[ $output != *"; install both of one version" ]] || skip "it is of an earlier build: make cuda"
    one_sentence
    [[ $output == *": no NVIDIA driver is loaded here"* || $output == *": no GPU is visible to this rank"* ]]
}
