#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train over ranks: copies, shards of the three kinds and both together take the steps of one process.

load train

setup() {
    train_setup
    SMALL=(--data "$TEXT" --layers 3 --channels 16 --heads 2 --seq 16 --global-batch 8 --blas builtin --steps 50)
}
teardown() { train_teardown; }

train() { # RANKS NAME ARGUMENTS...: NAME is that of the log and the checkpoint
    local ranks=$1 name=$2
    shift 2
    mpi "$ranks" "${SMALL[@]}" --log "$TMP/$name" --checkpoint "$TMP/c-$name" "$@" >"$TMP/out"
}

close_to() { losses_agree "$TMP/$1" "$TMP/$2" "$3"; } # NAME NAME STEPS

same() { same_state "$TMP/c-$1/step-00000050" "$TMP/c-$2/step-00000050"; } # NAME NAME: the final checkpoints

@test "shards of each kind end as copies do, bit for bit, and as one process does, to 1e-6" {
    train 1 one
    for ranks in 2 4; do
        train "$ranks" "copies$ranks"
        close_to one "copies$ranks" 50
        for zero in 1 2 3; do
            train "$ranks" "zero$zero-$ranks" --fsdp "$ranks" --zero "$zero"
            same "copies$ranks" "zero$zero-$ranks"
        done
    done
    train 4 both --dp 2 --fsdp 2
    close_to one both 50
    grep -q '^2 copies of the model in 2 shards each (zero 3), .* a rank; shared window$' "$TMP/out"
    train 4 messages --fsdp 4 --comm mpi # no shared memory: the same bits
    same copies4 messages
    grep -q '; MPI in pieces$' "$TMP/out"
}

@test "micro-batches, held-out loss, clipping and the family llama over shards" {
    local more=(--family llama --micro-batch 1 --eval-every 10 --clip 0.5)
    train 1 one "${more[@]}"
    for zero in 1 3; do
        train 2 "zero$zero" --fsdp 2 --zero "$zero" "${more[@]}"
        close_to one "zero$zero" 50
        paste <(grep eval_loss "$TMP/one") <(grep eval_loss "$TMP/zero$zero") |
            awk -F '[:}]' '{ d = $3 - $6; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit bad || NR != 5 }'
    done
}

@test "resumed on the same shards it ends as if it had not stopped, bit for bit; on others, to 1e-6" {
    train 2 whole --fsdp 2 --save-every 25
    for layout in "2 --fsdp 2" "4 --dp 2 --fsdp 2" "1"; do
        read -r ranks rest <<<"$layout"
        mkdir "$TMP/c-cut$ranks"
        cp -r "$TMP/c-whole/step-00000025" "$TMP/c-cut$ranks"
        # shellcheck disable=SC2086 # several words
        train "$ranks" "cut$ranks" --resume $rest
        grep -q '^resumed after step 25$' "$TMP/out"
        grep '"loss"' "$TMP/whole" | tail -25 >"$TMP/second"
        close_to second "cut$ranks" 25
    done
    same whole cut2
}

@test "sizes that do not fit the ranks: the nearest that do are named, exit 64" {
    run train 2 wrong --fsdp 3
    [ "$status" -eq 64 ]
    [ "$(grep -c '^dt-train: --dp 1 x --fsdp 3 is not the number of ranks, 2; the nearest that fits is --dp 1 --fsdp 2$' <<<"$output")" -eq 1 ]
    run train 2 wrong --dp 4
    [ "$status" -eq 64 ]
    [[ $output == *"--dp 4 x --fsdp 1 is not the number of ranks, 2"* ]]
    run "$BIN" "${SMALL[@]}" --zero 2
    [ "$status" -eq 64 ]
    [[ $output == "dt-train: --zero 2 wants --fsdp N"* ]]
    run "$BIN" "${SMALL[@]}" --fsdp 1 --zero 4
    [ "$status" -eq 64 ]
}

refused() { # ranks, the sentence, options
    local ranks=$1 sentence=$2 code=0
    shift 2
    train "$ranks" wrong "$@" 2>"$TMP/said" || code=$?
    [ "$code" -eq 64 ]
    [ "$(grep -cF -- "$sentence" "$TMP/said")" -eq 1 ]
}

@test "what can not be shared by --tp and --sp is refused, with the nearest that can" {
    refused 4 'dt-train: --tp 4 does not divide --heads 2; the nearest that fits is --tp 2' --tp 4
    refused 4 'dt-train: --tp 4 does not divide --kv-heads 2; the nearest that fits is --tp 2' \
        --family llama --heads 4 --kv-heads 2 --tp 4
    refused 2 'dt-train: --tp 2 does not divide --hidden 63; the nearest that fits is --tp 1' --tp 2 --hidden 63
    refused 2 'dt-train: --sp: the 17 rows of a sample can not be shared by --tp 2 ranks evenly; the nearest that can is --seq 16' \
        --tp 2 --sp --seq 17
    refused 2 '--sp wants --tp N, the ranks to share the rows' --sp
    refused 4 'dt-train: --dp 1 x --fsdp 1 x --tp 3 is not the number of ranks, 4; the nearest that fits is --dp 2 --fsdp 1 --tp 2' --tp 3
}

@test "what the ranks of --tp have saved goes on on others, and what they export is the whole model" {
    local more=(--vocab 259)
    train 1 one "${more[@]}" --export "$TMP/one.export"
    train 4 whole --tp 2 --sp --fsdp 2 --save-every 25 "${more[@]}" --export "$TMP/tp.export"
    close_to one whole 50
    grep -q '^1 copy of the model, tp 2 with sp in 2 shards each (zero 3), ' "$TMP/out"
    cmp "$TMP/one.export/config.json" "$TMP/tp.export/config.json"
    [ "$(stat -c %s "$TMP/one.export/model.safetensors")" -eq "$(stat -c %s "$TMP/tp.export/model.safetensors")" ]
    grep '"loss"' "$TMP/whole" | tail -25 >"$TMP/second"
    for layout in "1" "2 --tp 2" "4 --tp 2 --sp --fsdp 2"; do
        read -r ranks rest <<<"$layout"
        mkdir "$TMP/c-cut$ranks"
        cp -r "$TMP/c-whole/step-00000025" "$TMP/c-cut$ranks"
        # shellcheck disable=SC2086 # several words
        train "$ranks" "cut$ranks" --resume "${more[@]}" $rest
        grep -q '^resumed after step 25$' "$TMP/out"
        close_to second "cut$ranks" 25
    done
    cmp <(cd "$TMP/c-whole/step-00000050" && cat ./*) <(cd "$TMP/c-cut4/step-00000050" && cat ./*)
}
