#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train from its command line: it learns, says so, exports, and refuses with one sentence.

load train

setup() { train_setup; }
teardown() { train_teardown; }

@test "the loss falls, and each step has its line in the log" {
    run "$BIN" "${SMALL[@]}" --steps 60 --lr 1e-2 --log "$TMP/log"
    [ "$status" -eq 0 ]
    [[ ${lines[-2]} == "60 steps in "*" loss "*" -> "*" tokens/s" ]]
    [[ ${lines[-1]} == *" GFLOP/s a rank ("*"exposed communication 0%, data "*"%, checkpoints 0.0%" ]]
    [ "$(losses "$TMP/log" | wc -l)" -eq 60 ]
    losses "$TMP/log" | awk 'NR == 1 { first = $2 } END { exit !($2 < first - 1.5) }'
}

@test "two runs are the same bit for bit" {
    for i in 1 2; do "$BIN" "${SMALL[@]}" --steps 10 --log "$TMP/$i" --checkpoint "$TMP/c$i" >/dev/null; done
    [ "$(losses "$TMP/1")" = "$(losses "$TMP/2")" ]
    diff -r "$TMP/c1" "$TMP/c2"
}

@test "2 and 4 ranks have the losses of 1, and two runs of 2 are equal" {
    "$BIN" "${SMALL[@]}" --steps 10 --log "$TMP/1" >/dev/null
    mpi 2 "${SMALL[@]}" --steps 10 --log "$TMP/2" --checkpoint "$TMP/c2" >/dev/null
    mpi 2 "${SMALL[@]}" --steps 10 --log "$TMP/2again" --checkpoint "$TMP/c2again" >/dev/null
    mpi 4 "${SMALL[@]}" --steps 10 --log "$TMP/4" >/dev/null
    mpi 4 "${SMALL[@]}" --steps 10 --log "$TMP/4messages" --comm mpi >/dev/null
    [ "$(losses "$TMP/4")" = "$(losses "$TMP/4messages")" ]
    diff -r "$TMP/c2" "$TMP/c2again"
    for ranks in 2 4; do
        losses_agree "$TMP/1" "$TMP/$ranks" 10
    done
}

@test "the family llama: 2 ranks have the losses of 1, and a resumed run ends as if it had not stopped" {
    LLAMA=("${SMALL[@]}" --family llama --heads 4 --kv-heads 2 --untied --clip 1 --steps 10)
    "$BIN" "${LLAMA[@]}" --log "$TMP/1" --save-every 5 --checkpoint "$TMP/whole" >/dev/null
    mpi 2 "${LLAMA[@]}" --log "$TMP/2" >/dev/null
    losses_agree "$TMP/1" "$TMP/2" 10
    mkdir "$TMP/cut"
    cp -r "$TMP/whole/step-00000005" "$TMP/cut"
    "$BIN" "${LLAMA[@]}" --save-every 5 --checkpoint "$TMP/cut" --resume >/dev/null
    diff -r "$TMP/whole" "$TMP/cut"
}

@test "micro-batches have the losses of the whole batch" {
    "$BIN" "${SMALL[@]}" --steps 10 --log "$TMP/whole" >/dev/null
    "$BIN" "${SMALL[@]}" --steps 10 --micro-batch 1 --log "$TMP/micro" >/dev/null
    mpi 2 "${SMALL[@]}" --steps 10 --micro-batch 1 --log "$TMP/micro2" >/dev/null
    for other in micro micro2; do
        losses_agree "$TMP/whole" "$TMP/$other" 10
    done
}

@test "the gradient's length is in the log, and --clip changes what is learnt" {
    "$BIN" "${SMALL[@]}" --steps 5 --clip 1e6 --log "$TMP/loose" >/dev/null
    "$BIN" "${SMALL[@]}" --steps 5 --log "$TMP/none" >/dev/null
    "$BIN" "${SMALL[@]}" --steps 5 --clip 1e-9 --log "$TMP/tight" >/dev/null
    [ "$(grep -c '"grad_norm":[0-9]' "$TMP/loose")" -eq 5 ]
    [ "$(losses "$TMP/loose")" = "$(losses "$TMP/none")" ]
    [ "$(losses "$TMP/tight")" != "$(losses "$TMP/none")" ]
}

@test "full disk for the log: told once, the run goes on" {
    run "$BIN" "${SMALL[@]}" --steps 5 --log /dev/full
    [ "$status" -eq 0 ]
    [ "$(grep -c '^dt-train: log can not be written any more: No space left on device; ' <<<"$output")" -eq 1 ]
}

@test "a line a step goes to DT_PROGRESS_FD" {
    DT_PROGRESS_FD=5 "$BIN" "${SMALL[@]}" --steps 3 5>"$TMP/progress" >/dev/null
    [ "$(grep -c '^step [0-9]* loss [0-9.]* tokens/s [0-9]*$' "$TMP/progress")" -eq 3 ]
    DT_PROGRESS_FD=77 run "$BIN" "${SMALL[@]}"
    [ "$status" -eq 64 ]
    one_sentence
}

float_at() { # file, byte
    od -A n -t x4 -j "$2" -N 4 "$1"
}

@test "--export: names, shapes and places are those of transformers" {
    "$BIN" "${SMALL[@]}" --steps 3 --checkpoint "$TMP/c" --export "$TMP/gpt2" >/dev/null
    "$BIN" "${SMALL[@]}" --steps 3 --family llama --heads 4 --kv-heads 2 --untied --hidden 24 --export "$TMP/llama" >/dev/null
    "$BIN" "${SMALL[@]}" --steps 3 --family llama --untied --hidden 24 --experts 4 --export "$TMP/mixtral" >/dev/null
    for family in gpt2 llama mixtral; do
        file=$TMP/$family/model.safetensors
        length=$(od -A n -t u8 -N 8 "$file" | tr -d ' ')
        [ $((length % 8)) -eq 0 ]
        dd if="$file" bs=1 skip=8 count="$length" of="$TMP/$family.json" status=none
        # offsets follow each other up to the end of the file, and fit the shapes
        [ "$(jq -r '[to_entries[] | select(.key != "__metadata__") | .value] | sort_by(.data_offsets[0]) |
            reduce .[] as $t (0; if $t.data_offsets[0] == . and
                $t.data_offsets[1] - . == 4 * ($t.shape | reduce .[] as $n (1; . * $n))
                then $t.data_offsets[1] else -1e9 end)' "$TMP/$family.json")" -eq $(($(stat -c %s "$file") - 8 - length)) ]
        jq -e '.model_type == "'$family'" and .vocab_size == 256' "$TMP/$family/config.json"
    done
    jq -e '."model.layers.0.self_attn.k_proj.weight".shape == [8,16] and ."lm_head.weight".shape == [256,16] and
        ."model.layers.0.mlp.down_proj.weight".shape == [16,24] and (keys | length) == 13' "$TMP/llama.json"
    jq -e '."model.layers.0.block_sparse_moe.gate.weight".shape == [4,16] and (keys | length) == 23 and
        ."model.layers.0.block_sparse_moe.experts.3.w2.weight".shape == [16,24]' "$TMP/mixtral.json"
    jq -e '.num_local_experts == 4 and .num_experts_per_tok == 2' "$TMP/mixtral/config.json"
    jq -e '."transformer.h.0.attn.c_attn.weight".shape == [16,48] and (keys | length) == 17' "$TMP/gpt2.json"
    # the matrix lies transposed: its second number is the first of the second row in the checkpoint, behind 256 + 16 rows
    # of 16 channels, gain and bias
    file=$TMP/gpt2/model.safetensors
    at=$(jq '."transformer.h.0.attn.c_attn.weight".data_offsets[0]' "$TMP/gpt2.json")
    length=$(od -A n -t u8 -N 8 "$file" | tr -d ' ')
    matrix=$((4 * (272 * 16 + 32)))
    whole "$TMP/c/step-00000003" >"$TMP/arrays"
    [ "$(float_at "$file" $((8 + length + at + 4)))" = "$(float_at "$TMP/arrays" $((matrix + 64)))" ]
    [ "$(float_at "$file" $((8 + length + at + 4)))" != "$(float_at "$TMP/arrays" $((matrix + 4)))" ]
}

@test "--export: of shards the same as of copies; of a complete run, on resume; refused with one sentence" {
    mpi 2 "${SMALL[@]}" --steps 3 --export "$TMP/copies" --checkpoint "$TMP/c" >/dev/null
    mpi 2 "${SMALL[@]}" --steps 3 --export "$TMP/shards" --fsdp 2 >/dev/null
    mpi 2 "${SMALL[@]}" --steps 3 --export "$TMP/later" --checkpoint "$TMP/c" --resume >/dev/null
    cmp "$TMP/copies/model.safetensors" "$TMP/shards/model.safetensors"
    cmp "$TMP/copies/model.safetensors" "$TMP/later/model.safetensors"
    run "$BIN" "${SMALL[@]}" --steps 3 --export "$TMP/none/of/these"
    [ "$status" -eq 73 ]
    one_sentence # before the training
    [[ $output == "dt-train: --export directory $TMP/none/of/these can not be made: "* ]]
    mkdir -p "$TMP/taken/model.safetensors/full"
    run "$BIN" "${SMALL[@]}" --steps 3 --export "$TMP/taken"
    [ "$status" -eq 73 ]
    [ "$(grep -c '^dt-train: .*model.safetensors can not be written: ' <<<"$output")" -eq 1 ]
    [ "$(ls "$TMP/taken")" = model.safetensors ] # nothing half-written stays
    run "$BIN" "${SMALL[@]}" --kv-heads 1 --export "$TMP/e"
    [ "$status" -eq 64 ]
    one_sentence
}

@test "held-out loss is printed" {
    run "$BIN" "${SMALL[@]}" --steps 4 --eval-every 2
    [ "$status" -eq 0 ]
    [ "$(grep -c 'on held-out data' <<<"$output")" -eq 2 ]
}

@test "--precision bf16: other products, nearly the same loss, and the header says so" {
    run "$BIN" "${SMALL[@]}" --steps 4
    local full=$output
    run "$BIN" "${SMALL[@]/--blas/--precision}" --steps 4 # builtin is no precision
    [ "$status" -eq 64 ]
    run "$BIN" "${SMALL[@]/builtin/auto}" --precision bf16 --steps 4
    [ "$status" -eq 0 ]
    [[ $output == *"products in bf16, all else in fp32"* ]]
    [[ $full != *bf16* ]]
    awk -v a="$(awk '$1 == 4 {print $2}' <<<"$full")" -v b="$(awk '$1 == 4 {print $2}' <<<"$output")" \
        'BEGIN {d = (a - b) / a; exit !(d < 1e-3 && d > -1e-3)}'
}

@test "wrong options: one sentence, exit 64" {
    for wrong in "--layers 0" "--lr x" "--steps 1e3" "--preset huge" "--family mamba" "--vocab 100" "--clip -1" "--micro-batch 0" "--nosuch" "--blas mkl" "--precision fp8" "--precision bf16 --blas onednn" "--comm udp" "word" \
        "--save-every 3" "--resume" "--seq"; do
        # shellcheck disable=SC2086 # an option and its value
        run "$BIN" --data "$TEXT" $wrong
        [ "$status" -eq 64 ]
        one_sentence
    done
    run "$BIN"
    [ "$status" -eq 64 ]
    one_sentence
}

@test "sizes that do not divide: the nearest that does is named" {
    run "$BIN" "${SMALL[@]}" --channels 64 --heads 5
    [ "$status" -eq 64 ]
    one_sentence
    [[ $output == *"--heads 4"* ]]
    run "$BIN" "${SMALL[@]}" --heads 4 --kv-heads 3
    [ "$status" -eq 64 ]
    [[ $output == *"--kv-heads 2" ]]
    run "$BIN" "${SMALL[@]}" --micro-batch 3
    [ "$status" -eq 64 ]
    [[ $output == *"--micro-batch 2" ]]
    run "$BIN" "${SMALL[@]}" --family llama --channels 6
    [ "$status" -eq 64 ]
    one_sentence
    run mpi 2 "${SMALL[@]}" --global-batch 7
    [ "$status" -eq 64 ]
    [[ $output == *"dt-train: --global-batch 7 can not be shared by 2 ranks evenly; the nearest that can is --global-batch 6"* ]]
}

@test "missing, short and unreadable data: exit 78" {
    run "$BIN" --data "$TMP/none"
    [ "$status" -eq 78 ]
    one_sentence
    [[ $output == *"$TMP/none"* ]]
    echo short >"$TMP/short"
    run "$BIN" --data "$TMP/short"
    [ "$status" -eq 78 ]
    one_sentence
}

shard() { # FILE, its number of tokens by the header, tokens that are there: 0, 1, 2 ...
    perl -e 'print pack("l<256", 20240520, 1, $ARGV[0], (0) x 253), pack("S<*", 0 .. $ARGV[1] - 1)' "$2" "$3" >"$1"
}

@test "shards: cut short, or with a token that the model has not: exit 78, with the file; and of which rank" {
    shard "$TMP/whole.bin" 600 600
    shard "$TMP/cut.bin" 600 599
    mkdir "$TMP/both"
    cp "$TMP/whole.bin" "$TMP/both"
    shard "$TMP/both/more.bin" 300 300
    "$BIN" "${SMALL[@]:2}" --data "$TMP/both" --vocab 600 --steps 3 >/dev/null
    run "$BIN" "${SMALL[@]:2}" --data "$TMP/cut.bin" --vocab 600
    [ "$status" -eq 78 ]
    one_sentence
    run mpi 2 "${SMALL[@]:2}" --data "$TMP/both" --vocab 590 --steps 100
    [ "$status" -eq 78 ]
    [ "$(grep -c "^dt-train: rank [01] on $(hostname): data file $TMP/both/whole.bin has token 590 at place 590, and --vocab is 590" <<<"$output")" -eq 1 ]
}

@test "ranks that find different data: the rank is named, exit 78" {
    sed 's/times/timez/' "$TEXT" >"$TMP/content"
    head -c 5000 "$TEXT" >"$TMP/size"
    for other in content size none; do
        run timeout 120 mpirun --allow-run-as-root --oversubscribe -np 1 "$BIN" "${SMALL[@]}" : \
            -np 1 "$BIN" "${SMALL[@]:2}" --data "$TMP/$other"
        [ "$status" -eq 78 ]
        [ "$(grep -c "^dt-train: rank 1 on $(hostname): .*data" <<<"$output")" -eq 1 ]
    done
}

@test "a rank with other options is named" {
    run mpirun --allow-run-as-root --oversubscribe -np 1 "$BIN" "${SMALL[@]}" --lr 0.1 : \
        -np 1 "$BIN" "${SMALL[@]}" --lr 0.2
    [ "$status" -eq 64 ]
    [[ $output == *"dt-train: rank 1 on "*"--lr 0.2"*"rank 0 with --lr 0.1"* ]]
}

@test "ranks that MPI does not know: rank 0 says so, and none trains alone" {
    for rank in 0 1; do
        SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=$rank run "$BIN" "${SMALL[@]}"
        [ "$status" -eq 64 ]
        [ "$rank" = 1 ] || one_sentence
        [[ $rank = 0 && $output == *"srun started 2 ranks without an MPI interface"*"--mpi=pmix"* || -z $output ]]
    done
    # agents, of dt-launch or others
    run "${BIN%/*}/dt-launch" --nproc-per-node 2 --env off -- "$BIN" "${SMALL[@]}"
    [ "$status" -eq 64 ]
    [ "$(grep -c '^dt-train: 2 ranks were started by an agent .*, so each would train alone; start them by srun --mpi=pmix' <<<"$output")" -eq 1 ]
    [[ $output != *tokens/s* ]]
    run "${BIN%/*}/dt-launch" --nproc-per-node 1 --env off -- "$BIN" "${SMALL[@]}" --steps 2
    [ "$status" -eq 0 ]
}

@test "a loss that explodes ends the run with a sentence" {
    run "$BIN" "${SMALL[@]}" --steps 200 --lr 10 --warmup 0 --weight-decay 10
    [ "$status" -eq 1 ]
    [[ ${lines[-1]} == *"loss is not a number at step"* ]]
    run mpi 2 "${SMALL[@]}" --steps 200 --lr 10 --warmup 0 --weight-decay 10
    [ "$status" -eq 1 ]
    [ "$(grep -c "^dt-train: rank [01] on $(hostname): loss is not a number at step [0-9]*; a lower --lr" <<<"$output")" -eq 1 ]
}

@test "a loss that jumps ends the run, and the rank with the highest is named" {
    run mpi 2 "${SMALL[@]}" --steps 400 --warmup 400 --lr 10 --spike 4
    [ "$status" -eq 1 ]
    [ "$(grep -c "^dt-train: rank [01] on .*: loss [0-9.]* at step [0-9]* is [0-9.]* standard deviations above" <<<"$output")" -eq 1 ]
}

@test "on one node Open MPI opens no network; on several, and where the user says so, it does" {
    STEP=("${SMALL[@]}" --steps 1)
    told() { # COMMAND...: what Open MPI says of the ways that it loads for messages
        OMPI_MCA_pml_base_verbose=10 "$@" 2>&1 | sed -n 's/.*found loaded component //p' | sort -u
    }
    [ "$(told mpi 2 "${STEP[@]}")" = ob1 ]
    for other in OMPI_COMM_WORLD_LOCAL_SIZE=1 OMPI_MCA_pml=^v OMPI_MCA_mtl=^psm; do
        run told mpirun -np 2 --allow-run-as-root --oversubscribe env "$other" "$BIN" "${STEP[@]}"
        [[ $output == *cm*ob1* ]]
    done
}

@test "--help and --version" {
    run "$BIN" --help
    [ "$status" -eq 0 ]
    for option in data preset family layers channels heads kv-heads hidden seq \
        vocab rope-base tied untied steps global-batch micro-batch lr clip spike warmup weight-decay seed \
        blas precision dp fsdp zero comm checkpoint save-every resume validate-every export eval-every print-every log; do
        [[ $output == *"--$option"* ]]
    done
    run "$BIN" --version
    [ "$status" -eq 0 ]
}
