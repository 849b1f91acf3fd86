#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train in stages: what a pipeline says, keeps, saves and refuses. That it takes the steps of one process is
# train-layouts.bats's.

load train

setup() {
    train_setup
    SMALL=(--data "$TEXT" --layers 4 --channels 16 --heads 2 --seq 16 --global-batch 8 --blas builtin --steps 20)
}
teardown() { train_teardown; }

activations() { # OPTIONS...: MiB that one process keeps from forward for backward
    "$BIN" "${SMALL[@]}" --steps 1 --channels 128 --seq 64 "$@" | sed -n 's/.* and \([0-9.]*\) MiB of activations a rank.*/\1/p'
}

@test "the header tells of stages, micro-batches and the bubble; messages by MPI and by the window end on the same bits" {
    mpi 2 "${SMALL[@]}" --pp 2 --pp-chunks 2 --micro-batch 2 --checkpoint "$TMP/window" >"$TMP/out"
    grep -q '^1 copy of the model, pp 2 in 2 chunks, 4 micro-batches (bubble 11%), .* a rank; shared window$' "$TMP/out"
    mpi 2 "${SMALL[@]}" --pp 2 --pp-chunks 2 --micro-batch 2 --checkpoint "$TMP/messages" --comm mpi >"$TMP/out"
    grep -q '; MPI in pieces$' "$TMP/out"
    same_state "$TMP/window/step-00000020" "$TMP/messages/step-00000020"
}

@test "resumed on the same stages it ends as if it had not stopped, bit for bit; on others, to 1e-6" {
    local options=(--micro-batch 2 --clip 1 --eval-every 10)
    mpi 2 "${SMALL[@]}" "${options[@]}" --pp 2 --log "$TMP/whole" --checkpoint "$TMP/c-whole" --save-every 10 >/dev/null
    grep '"loss"' "$TMP/whole" | tail -10 >"$TMP/second"
    for layout in "2 --pp 2" "4 --pp 4" "4 --pp 2 --pp-chunks 2 --fsdp 2 --recompute full" "1"; do
        read -r ranks rest <<<"$layout"
        rm -rf "$TMP/c-cut" "$TMP/cut"
        mkdir "$TMP/c-cut"
        cp -r "$TMP/c-whole/step-00000010" "$TMP/c-cut"
        # shellcheck disable=SC2086 # several words
        mpi "$ranks" "${SMALL[@]}" "${options[@]}" --log "$TMP/cut" --checkpoint "$TMP/c-cut" --resume $rest >/dev/null
        losses_agree "$TMP/second" "$TMP/cut" 10
        [ "$layout" != "2 --pp 2" ] || same_state "$TMP/c-whole/step-00000020" "$TMP/c-cut/step-00000020"
    done
}

@test "--recompute keeps less, and gives the same bits" {
    local none selective full
    none=$(activations)
    selective=$(activations --recompute selective)
    full=$(activations --recompute full)
    # A layer keeps 16 times the width of the model, 10 times, or once; and layers share 6 or 15 times, once for all four.
    awk -v n="$none" -v s="$selective" -v f="$full" 'BEGIN { exit !(s < 0.85 * n && s > 0.6 * n && f < 0.4 * n && f > 0.2 * n) }'
    for kind in none selective full; do
        "$BIN" "${SMALL[@]}" --recompute "$kind" --checkpoint "$TMP/$kind" >/dev/null
    done
    same_state "$TMP/none/step-00000020" "$TMP/selective/step-00000020"
    same_state "$TMP/none/step-00000020" "$TMP/full/step-00000020"
}

@test "stages that do not fit: one sentence with the nearest that do, exit 64" {
    local options sentence
    while IFS='|' read -r options sentence; do
        # shellcheck disable=SC2086 # several words
        run mpi 2 "${SMALL[@]}" $options
        [ "$status" -eq 64 ]
        grep -qxF "dt-train: $sentence" <<<"$output"
    done <<'EOT'
--pp 2 --pp-chunks 2|--pp-chunks 2 wants a multiple of --pp 2 micro-batches a step, and there are 1; the nearest that fits is --micro-batch 4
--pp 2 --pp-chunks 2 --global-batch 7|--pp-chunks 2 wants a multiple of --pp 2 micro-batches a step, and a rank has 7 samples; the nearest that fits is --global-batch 8
--pp 2 --layers 3|--pp 2 does not divide --layers 3; the nearest that fits is --pp 1
--pp 3|--dp 1 x --fsdp 1 x --pp 3 is not the number of ranks, 2; the nearest that fits is --dp 1 --fsdp 1 --pp 2
EOT
    run "$BIN" "${SMALL[@]}" --pp-chunks 2
    [ "$status" -eq 64 ]
    one_sentence
    [[ $output == *"--pp-chunks 2 wants --pp N, the stages that take turns" ]]
    run "$BIN" "${SMALL[@]}" --recompute some
    [ "$status" -eq 64 ]
    one_sentence
    [[ $output == *"--recompute some: none, selective or full is wanted" ]]
}
