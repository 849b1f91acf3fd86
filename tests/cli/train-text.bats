#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train with public tokenizers and models: --tokenizer, --write-tokens, --init, --generate.

load train

setup() {
    train_setup
    FIXTURES=$ROOT/tests/fixtures/tokenizer
    cd "$TMP" || return 1
    for i in $(seq 300); do echo "The licensee number $i of the licence, and $((i * i % 97)) licences"; done >text
    SIZES=("${SMALL[@]:2}") # without its text
}
teardown() { train_teardown; }

loss_column() { losses "$1" | cut -d ' ' -f 2; }

refused() { # CODE SENTENCE ARGUMENT...
    local code=$1 sentence=$2
    shift 2
    run "$BIN" "$@"
    [ "$status" -eq "$code" ]
    [ "$(wc -l <<<"$output")" -eq 1 ]
    [[ $output == "dt-train: "*"$sentence"* ]] || { printf '%s\n' "$output" >&2 && return 1; }
}

@test "--tokenizer: trains on its tokens; a shard written once trains the same; on two ranks, too" {
    "$BIN" --data text "${SIZES[@]}" --tokenizer "$FIXTURES/words.tokenizer.json" --steps 5 --log one >out
    "$BIN" --data text --tokenizer "$FIXTURES/words.tokenizer.json" --write-tokens tokens.bin >told
    [ "$(cat told)" = "$((($(stat -c %s tokens.bin) - 1024) / 2)) tokens in tokens.bin" ]
    "$BIN" --data tokens.bin "${SIZES[@]}" --vocab 400 --steps 5 --log two >/dev/null
    [ "$(loss_column one)" = "$(loss_column two)" ]
    [ "$(loss_column one | wc -l)" -eq 5 ]
    mpi 2 --data text "${SIZES[@]}" --tokenizer "$FIXTURES/words.tokenizer.json" --steps 5 --log three >/dev/null
    paste <(loss_column one) <(loss_column three) | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 2e-6 * $1) bad = 1 } END { exit bad || NR != 5 }'
}

@test "--init: what was exported goes on where it ended; copies, shards and halves begin alike" {
    "$BIN" --data text "${SIZES[@]}" --steps 20 --lr 0.01 --eval-every 20 --log first --export model >/dev/null
    "$BIN" --data text --init model --steps 1 --lr 0 --warmup 0 --eval-every 1 --global-batch 4 --blas builtin --log again >/dev/null
    [ "$(sed -n 's/.*"eval_loss"://p' first)" = "$(sed -n 's/.*"eval_loss"://p' again)" ]
    for layout in --dp=2 --fsdp=2; do
        mpi 2 --data text --init model --steps 3 --global-batch 4 --blas builtin --log "log$layout" "$layout" >/dev/null
    done
    [ "$(loss_column log--dp=2)" = "$(loss_column log--fsdp=2)" ]
    [ "$(loss_column log--dp=2 | wc -l)" -eq 3 ]
}

@test "--generate: from a checkpoint and from a model without data, the same text for the same seed; shards draw what one rank draws" {
    "$BIN" --data text "${SIZES[@]}" --seq 32 --steps 150 --lr 0.02 --checkpoint c --export model --generate 60 --prompt 'The l' >trained
    "$BIN" "${SIZES[@]}" --seq 32 --checkpoint c --resume --generate 60 --prompt 'The l' >resumed
    "$BIN" --init model --blas builtin --generate 60 --prompt 'The l' >begun
    mpi 2 "${SIZES[@]}" --seq 32 --fsdp 2 --checkpoint c --resume --generate 60 --prompt 'The l' >shards
    grep '^The l' trained >line
    [ "$(wc -c <line)" -ge 20 ] # it may have drawn a line feed
    for other in resumed begun shards; do cmp line <(grep '^The l' "$other"); done
    "$BIN" --init model --blas builtin --generate 60 --prompt 'The l' --seed 2 >other
    run cmp -s line <(grep '^The l' other)
    [ "$status" -eq 1 ]
    "$BIN" --init model --blas builtin --generate 60 --prompt 'The l' --temperature 0 >best # it has learnt its text
    grep -q '^The licen' best
}

@test "each refusal is one sentence, before anything starts" {
    "$BIN" --data text "${SIZES[@]}" --steps 1 --export model >/dev/null
    refused 64 "--tokenizer: tokenizer $TMP/none can not be opened" --data text --tokenizer "$TMP/none"
    refused 64 "wants --tokenizer, which makes them" --data text --write-tokens x
    refused 64 "makes 400 tokens, and the model's vocabulary is 256" --data text --init model --tokenizer "$FIXTURES"/words.tokenizer.json
    refused 64 "--preset tiny and --init model both give the sizes" --data text --preset tiny --init model
    refused 64 "--layers is 2, and the model of --init has 1; leave it out" --data text --init model --layers 2
    refused 64 "--seq is 64, and the model of --init knows 16 positions at most" --data text --init model --seq 64
    refused 64 "--init nowhere: No such file or directory" --data text --init nowhere
    refused 64 "--data FILE is missing" --generate 5
    refused 64 "--prompt is empty" --init model --generate 5 --prompt ''
    truncate -s -4 model/model.safetensors
    refused 64 "may be cut short" --data text --init model
    refused 73 "--write-tokens /dev/full can not be written" --data text --tokenizer "$FIXTURES"/words.tokenizer.json --write-tokens /dev/full
}
