#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train where ranks share the positions of a sample: 50 steps as one process takes them.

setup() {
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|PMI|OMPI|OMP_|GOMP_|OPENBLAS_)'); do
        unset "$name"
    done
    BIN=$(realpath "$BATS_TEST_DIRNAME/../..")
    BIN=$(cd "$BIN" && realpath "${BUILD:-build}/bin/dt-train")
    TMP=$(mktemp -d)
    TEXT=$TMP/text
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >"$TEXT"
    export OMP_NUM_THREADS=1
    SMALL=(--data "$TEXT" --layers 2 --channels 16 --heads 4 --seq 16 --global-batch 8 --blas builtin --steps 50
        --eval-every 25)
}

teardown() {
    rm -rf "$TMP"
}

train() { # ranks, name of the log, arguments
    local ranks=$1 name=$2
    shift 2
    rm -f "${TMP:?}/$name" # logs are appended to
    mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$BIN" "${SMALL[@]}" --log "$TMP/$name" "$@" \
        </dev/null >"$TMP/out"
}

numbers() { # losses of a JSON log, those on held-out text among them
    sed -n 's/.*"\(step\|eval\)[^}]*loss":\([0-9.e+-]*\)[,}].*/\2/p' "$TMP/$1"
}

close_to() { # two logs: no loss differs by more than 1e-6 of it
    paste <(numbers "$1") <(numbers "$2") | awk '
        { d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > 1e-6) bad = 1 } END { exit bad || NR != 52 }'
}

@test "shared positions, alone and with copies, shards and micro-batches, over memory and messages" {
    for family in gpt2 "llama --kv-heads 2"; do
        # shellcheck disable=SC2086 # several words
        train 1 one --family $family
        while read -r ranks rest; do
            # shellcheck disable=SC2086
            train "$ranks" many --family $family $rest
            close_to one many || { echo "$family, $rest"; return 1; }
        done <<'ROWS'
2 --cp 2
4 --cp 4 --comm mpi
4 --cp 2 --dp 2 --micro-batch 2
4 --cp 2 --fsdp 2
4 --cp 2 --fsdp 2 --zero 1 --micro-batch 1 --comm mpi
ROWS
    done
    grep -q ', cp 2 in 2 shards each (zero 1)' "$TMP/out"
}

@test "a context that can not be cut so: the nearest that can is named, exit 64" {
    run train 2 wrong --cp 2 --seq 18
    [ "$status" -eq 64 ]
    [ "$(grep -c '^dt-train: --cp 2 cuts each sample in 4 pieces, and they do not divide --seq 18; the nearest that can be cut is --seq 20$' <<<"$output")" -eq 1 ]
}
