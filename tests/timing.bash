# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Time limits that a slow or busy machine does not break, and a wait for a deadline always does:
#
#   timed srun -N4 --dt-validate true    # bats' run, and $elapsed_ms
#   assert_under_ms 2000
#
# One launch may be slow because of what else runs, three in a row are not. So a limit that was missed is tried
# again with the same command: the best of three counts. And as a machine may be slow as a whole, the
# limit is then at least FACTOR times what baseline_ms measures there and then, where the tests define it: the same
# kind of launch without dt. It never grows beyond 4 times itself: what waits for one of dt's default deadlines (10 s,
# against a limit of 2 s) is found on any machine.
# A command that can not be repeated, because it ends something, is timed by hand: elapsed_ms=..., timed_command=().

timed() { # what bats' run takes; words only: a variable before "timed" would be lost at the second try
    local start=${EPOCHREALTIME/./}
    timed_command=("$@")
    run "$@"
    elapsed_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
}

# The output that later assertions see is that of the first try; each try must end with the same code.
assert_under_ms() { # LIMIT [FACTOR]
    local limit=$1 factor=${2:-5} allowed=$1 baseline='' tries=$elapsed_ms
    # shellcheck disable=SC2154 # bats sets status
    local first_output=$output first_lines=("${lines[@]}") first_status=$status
    ((elapsed_ms >= limit)) || return 0
    if declare -F baseline_ms >/dev/null; then
        baseline=$(baseline_ms) || return 1
        allowed=$((factor * baseline))
        ((allowed <= 4 * limit)) || allowed=$((4 * limit))
        ((allowed >= limit)) || allowed=$limit
    fi
    while ((elapsed_ms >= allowed && ${#timed_command[@]})) && [[ $tries != *,*,* ]]; do
        declare -F before_try >/dev/null && before_try
        timed "${timed_command[@]}"
        tries+=,$elapsed_ms
        [[ $status == "$first_status" ]] || timing_tell "exit code $status, but $first_status at the first try" || return
    done
    ((elapsed_ms < allowed)) || timing_tell "took $tries ms, expected less than $allowed" \
        "(limit $limit ms${baseline:+, without dt it takes $baseline ms here})" || return
    output=$first_output lines=("${first_lines[@]}")
}

timing_tell() {
    printf '%s\n' "$*" "--- exit code ${status:-none}, output:" "${output:-}" >&2
    return 1
}

# Until a command succeeds: as soon as it can be on a quick machine, 60 s at most on any.
until_ok() { # COMMAND...
    local deadline=$((SECONDS + 60))
    until "$@"; do
        ((SECONDS < deadline)) || timing_tell "not within 60 s: $*" || return
        sleep 0.02
    done
}
