#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train where ranks share the positions of a sample, and with experts: what train-layouts.txt does not have.

load train

setup() {
    train_setup
    SMALL=(--data "$TEXT" --layers 2 --channels 16 --heads 4 --seq 16 --global-batch 8 --blas builtin)
}
teardown() { train_teardown; }

train() { # ranks, name of the log, arguments
    local ranks=$1 name=$2
    shift 2
    mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$BIN" "${SMALL[@]}" --log "$TMP/$name" "$@" \
        </dev/null >"$TMP/out"
}

refused() { # ranks, sentence, arguments
    local ranks=$1 sentence=$2
    shift 2
    run train "$ranks" wrong "$@"
    [ "$status" -eq 64 ]
    [ "$(grep -cxF "dt-train: $sentence" <<<"$output")" -eq 1 ]
}

@test "held-out loss is that of one process, where positions and experts are shared" {
    for model in "" "--family llama --experts 4"; do
        # shellcheck disable=SC2086 # several words
        train 1 one $model --steps 10 --eval-every 5
        # shellcheck disable=SC2086
        train 4 many $model --steps 10 --eval-every 5 --cp 2 ${model:+--ep 2}
        paste <(grep eval_loss "$TMP/one") <(grep eval_loss "$TMP/many") |
            awk -F '[:}]' '{ d = $3 - $6; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit bad || NR != 2 }'
        rm "$TMP/one" "$TMP/many"
    done
}

@test "experts are used evenly for the sake of the balance, and the log tells how evenly" {
    balance() { # weight: the last step's balance by it; each of the 2 layers adds 1 where the use is even
        rm -f "$TMP/log"
        "$BIN" "${SMALL[@]}" --experts 4 --experts-balance "$1" --steps 40 --lr 1e-2 --log "$TMP/log" >/dev/null
        sed -n 's/.*"step":40,.*"balance":\([0-9.e+-]*\).*/\1/p' "$TMP/log" | awk -v x="$1" '{ print $1 / x }'
    }
    awk -v little="$(balance 1e-6)" -v much="$(balance 1)" \
        'BEGIN { print little, much; exit !(much >= 1.99 && much < 2.1 && little > much) }'
}

@test "a mixture is saved, resumed on other ranks, and heard of" {
    train 2 whole --experts 4 --ep 2 --steps 20 --save-every 10 --checkpoint "$TMP/c"
    rm -r "$TMP"/c/*00000020*
    train 4 cut --experts 4 --ep 2 --fsdp 2 --steps 20 --checkpoint "$TMP/c" --resume --generate 5
    grep -q '^resumed after step 10$' "$TMP/out"
    last() { sed -n 's/.*"step":20,"loss":\([0-9.e+-]*\),.*/\1/p' "$TMP/$1"; }
    awk -v a="$(last whole)" -v b="$(last cut)" 'BEGIN { d = (a - b) / a; exit !(d < 1e-6 && d > -1e-6) }'
    run train 1 wrong --experts 2 --steps 30 --checkpoint "$TMP/c" --resume
    [ "$status" -eq 78 ]
    [[ $output == *"can not be resumed: it is of a model with --experts 4, and this run has 2"* ]]
}

@test "sizes that can not be shared so: the nearest that can are named, exit 64" {
    refused 2 "--cp 2 cuts each sample in 4 pieces, and they do not divide --seq 18; the nearest that can be cut is --seq 20" \
        --cp 2 --seq 18
    refused 4 "--ep 4 does not divide --experts 6; the nearest that fits is --ep 3" --experts 6 --ep 4
    refused 2 "--ep 2 wants --experts N, of which each rank has a share" --ep 2
    refused 1 "--experts-per-token 2 wants --experts N, how many there are" --experts-per-token 2
    refused 1 "--experts-per-token 5 is more than --experts 4; the nearest that fits is --experts-per-token 4" \
        --experts 4 --experts-per-token 5
    refused 1 "--export knows no public model of the family gpt2 with --experts; take --family llama, which with experts is Mixtral's" \
        --experts 4 --export "$TMP/e"
}
