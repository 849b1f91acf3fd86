# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2154 # what the tests read, and what bats sets
# What the tests of dt-train share: a small text, a small model, and how its losses and checkpoints are compared.

load ../timing

train_setup() {
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|PMI|OMPI|OMP_|GOMP_|OPENBLAS_)'); do
        unset "$name"
    done
    ROOT=$(realpath "$BATS_TEST_DIRNAME/../..")
    BIN=$(cd "$ROOT" && realpath "${BUILD:-build}/bin/dt-train")
    TMP=$(mktemp -d)
    TEXT=$TMP/text
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >"$TEXT"
    export OMP_NUM_THREADS=1
    SMALL=(--data "$TEXT" --layers 1 --channels 16 --heads 2 --seq 16 --global-batch 4 --blas builtin)
}

train_teardown() {
    rm -rf "$TMP"
}

mpi() { # RANKS ARGUMENTS...
    local ranks=$1
    shift
    mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$BIN" "$@"
}

losses() { # the loss of each step, from a JSON log
    sed -n 's/.*"step":\([0-9]*\),"loss":\([0-9.e+-]*\),.*/\1 \2/p' "$1"
}

losses_agree() { # LOG LOG STEPS: as many steps in both, and no loss differs by more than 1e-6 of it
    paste <(losses "$1") <(losses "$2") | awk -v steps="$3" '
        { d = ($2 - $4) / $2; if (d < 0) d = -d; if ($1 != $3 || d > 1e-6) bad = 1 }
        END { exit bad || NR != steps }'
}

whole() { # CHECKPOINT: its arrays, put together from the files of all ranks
    "$ROOT/tests/tools/checkpoint-whole" "$1"
}

same_state() { # CHECKPOINT CHECKPOINT: equal bit for bit, whoever wrote them
    whole "$1" >"$TMP/.first" && whole "$2" >"$TMP/.second" && [ -s "$TMP/.first" ] && cmp "$TMP/.first" "$TMP/.second"
}

one_sentence() { # what run left in $output
    [ "$(wc -l <<<"$output")" -eq 1 ]
    [[ $output == "dt-train: "* ]]
}
