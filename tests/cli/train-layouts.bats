#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train: whatever the ranks share (train-layouts.txt), they take the steps of one process.

# takes long: a row of the table is a run
load train

setup() {
    train_setup
    declare -gA MODELS=()
}
teardown() { train_teardown; }

run_ranks() { # ranks, name of the log, arguments
    local ranks=$1 log=$TMP/$2
    shift 2
    mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$BIN" --data "$TMP/text" --blas builtin --steps 50 --lr 1e-3 \
        --clip 0.5 --log "$log" "$@" >"$TMP/out" 2>&1 </dev/null
}

numbers() { # step, loss and length of the gradient, from a JSON log
    sed -n 's/.*"step":\([0-9]*\),"loss":\([0-9.e+-]*\),.*"grad_norm":\([0-9.e+-]*\).*/\1 \2 \3/p' "$TMP/$1"
}

# Two logs of 50 steps. Fails where a loss differs by more than 1e-6 of it in the first ten steps, by more than 1e-5 after
# them (sums in another order, and 50 steps that each begin where the one before ended), or where the first length of the
# gradient, which is logged with six digits, is another.
compare() {
    paste -d ' ' <(numbers "$1") <(numbers "$2") | awk '
        function away(a, b) { d = (a - b) / a; return d < 0 ? -d : d }
        $1 != $4 { bad = 1 }
        away($2, $5) > far { far = away($2, $5) }
        NR <= 10 { soon = far }
        NR == 1 && away($3, $6) > 1e-5 { bad = 1; print "length of the gradient " $3 " and " $6 }
        END { print NR " steps, " soon " away in ten, " far " in all"; exit bad || NR != 50 || soon > 1e-6 || far > 1e-5 }'
}

@test "every layout has the losses of one process" {
    local kind model rest ranks count=0 failed=0
    local -a options
    while read -r kind model rest; do
        [ "$kind" != more ] || [ "${LAYOUTS:-}" = all ] || continue
        case $kind in
        model)
            read -ra options <<<"$rest"
            MODELS[$model]=$rest
            run_ranks 1 "$model" "${options[@]}"
            ;;
        layout | more)
            read -r ranks rest <<<"$rest"
            read -ra options <<<"${MODELS[$model]} $rest"
            rm -f "$TMP/layout"
            count=$((count + 1))
            if ! run_ranks "$ranks" layout "${options[@]}"; then
                failed=$((failed + 1))
                echo "$model on $ranks ranks, $rest: it fails:"
                cat "$TMP/out"
            elif ! compare "$model" layout >"$TMP/said"; then
                failed=$((failed + 1))
                echo "$model on $ranks ranks, $rest: $(cat "$TMP/said")"
            fi
            ;;
        esac
    done < <(grep -v '^#' "$BATS_TEST_DIRNAME/train-layouts.txt")
    echo "$failed of $count layouts fail"
    [ "$failed" -eq 0 ]
    [ "$count" -ge "$([ "${LAYOUTS:-}" = all ] && echo 60 || echo 15)" ]
}

@test "another loss is told: the comparison is no empty one" {
    read -r _ _ options < <(grep '^model gpt2' "$BATS_TEST_DIRNAME/train-layouts.txt")
    # shellcheck disable=SC2086 # several words
    run_ranks 1 one $options
    # shellcheck disable=SC2086
    run_ranks 1 other $options --seed 2
    run compare one other
    [ "$status" -ne 0 ]
    run compare one one
    [ "$status" -eq 0 ]
}
