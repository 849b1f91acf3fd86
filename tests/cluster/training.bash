# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # $name is the test's
# What tests share that break a job while dt-train trains in it: $name.log has the losses of its steps, $name.out what dt said.

trained() { # STEPS (50): so many are done, and saved in part
    [ -s "$name.log" ] && (($(wc -l <"$name.log") >= ${1:-50}))
}

losses() { jq -r 'select(.loss) | "\(.step) \(.loss)"' "$1" | sort -u; }

# Training takes as long as it takes on a busy machine, but each minute some steps.
gets_on() { job_has_ended || (($(wc -l <"$name.log") > before)); }
finished() {
    until job_has_ended; do
        before=$(wc -l <"$name.log")
        until_ok gets_on || return
    done
}

says() { # PATTERN: one line of the job's output does
    [ "$(grep -c -E -- "$1" "$name.out")" = 1 ] || { echo "not one line says $1:" && cat "$name.out" && return 1; }
}
