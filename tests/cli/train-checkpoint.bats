#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-train's checkpoints: written in the background by all ranks, whole or not there, loaded on any ranks; and the comparison of
# what several ranks hold. What is compared with is always the run that was not disturbed.

load train

setup() { train_setup; }
teardown() { train_teardown; }

until_through() { # PID: its exit code is in $status
    status=0
    wait "$1" || status=$?
}

# A library for LD_PRELOAD from tests/tools.
preload() { # NAME
    mpicc -O1 -shared -fPIC -o "$TMP/$1.so" "$ROOT/tests/tools/$1.c"
}

@test "resumed from step 5, it ends as if it had not stopped; so do 2 ranks" {
    for ranks in 1 2; do
        mpi "$ranks" "${SMALL[@]}" --steps 10 --save-every 5 --checkpoint "$TMP/whole$ranks" >/dev/null
        mkdir "$TMP/cut"
        cp -r "$TMP/whole$ranks/step-00000005" "$TMP/cut"
        run mpi "$ranks" "${SMALL[@]}" --steps 10 --save-every 5 --checkpoint "$TMP/cut" --resume
        [ "$status" -eq 0 ]
        [[ $output == *"resumed after step 5"* ]]
        diff -r "$TMP/whole$ranks" "$TMP/cut"
        rm -r "$TMP/cut"
    done
}

@test "what shards of tp wrote goes on in the same way bit for bit, and in stages, positions and one process to 1e-6" {
    local more=(--layers 4 --global-batch 8 --steps 16 --lr 1e-3)
    mpi 4 "${SMALL[@]}" "${more[@]}" --tp 2 --fsdp 2 --save-every 8 --checkpoint "$TMP/whole" --log "$TMP/log" >/dev/null
    grep '"loss"' "$TMP/log" | tail -n 8 >"$TMP/second"
    for layout in "4 --tp 2 --fsdp 2" "1" "4 --tp 2 --pp 2 --micro-batch 4" "2 --cp 2"; do
        read -r ranks rest <<<"$layout"
        rm -rf "$TMP/cut" "$TMP/cut.log"
        mkdir "$TMP/cut"
        cp -r "$TMP/whole/step-00000008" "$TMP/cut"
        # shellcheck disable=SC2086 # several words
        mpi "$ranks" "${SMALL[@]}" "${more[@]}" $rest --save-every 8 --checkpoint "$TMP/cut" --resume --log "$TMP/cut.log" >/dev/null
        losses_agree "$TMP/second" "$TMP/cut.log" 8
        [[ $layout != "4 --tp 2 --fsdp 2" ]] || diff -r "$TMP/whole" "$TMP/cut"
    done
}

@test "ranks that hold the same share the work of writing it" {
    # the token table is a MiB: four shares
    mpi 4 "${SMALL[@]}" --channels 256 --vocab 1024 --steps 2 --checkpoint "$TMP/copies" >/dev/null
    mpi 4 "${SMALL[@]}" --channels 256 --vocab 1024 --steps 2 --checkpoint "$TMP/shards" --fsdp 4 >/dev/null
    same_state "$TMP/copies/step-00000002" "$TMP/shards/step-00000002"
    for way in copies shards; do
        stat -c %s "$TMP/$way/step-00000002"/rank-* | awk '{ sum += $1; if ($1 > most) most = $1 } END { exit !(NR == 4 && most < 0.4 * sum) }'
    done
}

@test "training goes on while a checkpoint is written; the next one waits for it" {
    preload slow_sync
    SLOW_SYNC_MS=400 LD_PRELOAD=$TMP/slow_sync.so "$BIN" "${SMALL[@]}" --steps 200 --save-every 90 --print-every 1 --checkpoint "$TMP/c" \
        --log "$TMP/log" >"$TMP/out"
    # step 180 is long before 90 is whole; then its own checkpoint has to wait, which the step after it tells
    awk '$1 == 180 { begun = 1 } / 90 saved in / { exit !begun }' "$TMP/out"
    jq -s -e '[.[] | select(.checkpoint_ms > 300) | .step] == [181]' "$TMP/log"
    jq -s -e '[.[] | select(.saved_s) | .step] == [90, 180, 200] and all(.[]; .saved_s == null or .saved_s > 0.7)' "$TMP/log"
    # what a step took is what its parts took
    jq -s -e 'all(.[]; .loss == null or (.ms - .compute_ms - .exposed_ms - .data_ms - .checkpoint_ms | fabs) < 0.01 and .mfu > 0)' "$TMP/log"
}

@test "a damaged checkpoint is passed over, and the one before is used" {
    mpi 2 "${SMALL[@]}" --steps 10 --save-every 5 --checkpoint "$TMP/whole" >/dev/null
    newest=$TMP/c/step-00000010
    # shellcheck disable=SC2016 # expanded by eval
    for harm in 'truncate -s -100 $newest/rank-00001' 'rm $newest/rank-00000' 'rm $newest/manifest' \
        'printf x | dd of=$newest/rank-00000 bs=1 seek=2000 conv=notrunc status=none' 'sed -i s/^step.*/step\ 9/ $newest/manifest' \
        'truncate -s 300 $newest/manifest' ': >$newest/manifest'; do
        rm -rf "$TMP/c"
        cp -r "$TMP/whole" "$TMP/c"
        eval "$harm"
        run mpi 2 "${SMALL[@]}" --steps 10 --save-every 5 --checkpoint "$TMP/c" --resume
        [ "$status" -eq 0 ]
        [ "$(grep -c "^dt-train: checkpoint $newest is passed over: " <<<"$output")" -eq 1 ]
        [[ $output == *"resumed after step 5"* ]]
        diff -r "$TMP/whole" "$TMP/c" # written anew, as it was
    done
}

@test "no checkpoint that can be used: one sentence, exit 78, no hang" {
    mpi 2 "${SMALL[@]}" --steps 10 --save-every 5 --checkpoint "$TMP/c" >/dev/null
    truncate -s -100 "$TMP"/c/*/rank-00001
    run timeout 120 mpirun --allow-run-as-root --oversubscribe -np 2 "$BIN" "${SMALL[@]}" --steps 20 --resume --checkpoint "$TMP/c"
    [ "$status" -eq 78 ]
    [ "$(grep -c "^dt-train: no checkpoint in $TMP/c can be used; the oldest: rank 1 on $(hostname): file rank-00001: it is cut short" <<<"$output")" -eq 1 ]
}

@test "--resume where there is no checkpoint yet: said, and begun" {
    run "$BIN" "${SMALL[@]}" --steps 2 --checkpoint "$TMP/none" --resume
    [ "$status" -eq 0 ]
    [ "$(grep -cx "$TMP/none holds no checkpoint: training begins at step 0" <<<"$output")" -eq 1 ]
    run "$BIN" "${SMALL[@]}" --steps 3 --checkpoint "$TMP/none" --resume
    [[ $output == *"resumed after step 2"* ]]
    [[ $output != *"holds no checkpoint"* ]]
}

@test "a checkpoint of another model, and a directory in use, are refused" {
    "$BIN" "${SMALL[@]}" --steps 2 --checkpoint "$TMP/c" >/dev/null
    run "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c" --resume --layers 2
    [ "$status" -eq 78 ]
    one_sentence
    [[ $output == *"--layers 1, and this run has 2"* ]]
    run "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c" --resume --vocab 300
    [ "$status" -eq 78 ]
    one_sentence
    [[ $output == *"--vocab 256, and this run has 300"* ]]
    run "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c"
    [ "$status" -eq 64 ]
    one_sentence
    [[ $output == *"--resume"* ]]
}

@test "a file of the format before: told, exit 78" {
    mkdir "$TMP/c"
    touch "$TMP/c/step-00000040.dtc"
    run "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c"
    [ "$status" -eq 64 ]
    run "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c" --resume
    [ "$status" -eq 78 ]
    one_sentence
    [[ $output == *"holds step-00000040.dtc of an earlier dt-train, whose format this one does not read; "* ]]
}

@test "a directory that the ranks do not share: the rank and its node are named, exit 73" {
    mkdir "$TMP/mine" "$TMP/other"
    run timeout 120 mpirun --allow-run-as-root --oversubscribe -np 1 "$BIN" "${SMALL[@]}" --checkpoint "$TMP/mine" : \
        -np 1 "$BIN" "${SMALL[@]}" --checkpoint "$TMP/other"
    [ "$status" -eq 73 ]
    [ "$(grep -c "^dt-train: rank 1 on $(hostname): checkpoint directory $TMP/other is not the one that rank 0 on $(hostname) has; --checkpoint wants a directory that all nodes share$" <<<"$output")" -eq 1 ]
    [ -z "$(find "$TMP/mine" "$TMP/other" -mindepth 1)" ]
}

@test "full disk: exit 73, and the checkpoint before can be used" {
    [ "$(id -u)" -eq 0 ] || skip "needs root for a small file system"
    "$BIN" "${SMALL[@]}" --steps 4 --checkpoint "$TMP/c" >/dev/null
    kib=$(du -sk "$TMP/c" | cut -f1)
    # a disk with room for one and a half
    cat >"$TMP/full" <<TEXT
mount -t tmpfs -o size=$((kib * 3 / 2))k tmpfs "$TMP/c" || exit 99
"\$@" --steps 5 --checkpoint "$TMP/c" >/dev/null || exit 98
"\$@" --steps 9 --checkpoint "$TMP/c" --resume
code=\$?
ls "$TMP/c"
"\$@" --steps 5 --checkpoint "$TMP/c" --resume
exit \$code
TEXT
    for ranks in 1 2; do
        run timeout 120 unshare -m sh "$TMP/full" mpirun -np "$ranks" --allow-run-as-root --oversubscribe "$BIN" "${SMALL[@]}"
        [ "$status" -eq 73 ]
        [ "$(grep -c '^dt-train: .*checkpoint .*step-00000009 can not be written: No space left on device; earlier ones are untouched$' <<<"$output")" -eq 1 ]
        [ "$(grep -c '^step-' <<<"$output")" -eq 1 ] # nothing half-written stays
        [ "$(grep -c '^resumed after step 5$' <<<"$output")" -eq 2 ]
    done
}

@test "SIGUSR1 saves and goes on, SIGTERM saves and ends with 143" {
    preload slow_sync
    SLOW_SYNC_MS=50 LD_PRELOAD=$TMP/slow_sync.so "$BIN" "${SMALL[@]}" --steps 1000000 --print-every 1 --checkpoint "$TMP/c" >"$TMP/out" 3>&- &
    pid=$!
    until_ok grep -q '^ *2 ' "$TMP/out"
    kill -USR1 $pid
    until_ok grep -q 'saved in' "$TMP/out"
    # that it is whole is what comes next
    [[ $(grep -A 1 '^SIGUSR1: saving' "$TMP/out") == *" saved in $TMP/c" ]]
    kill -TERM $pid
    until_through $pid
    [ "$status" -eq 143 ]
    grep -q 'SIGTERM: ending after step' "$TMP/out"
    [ "$(grep -c 'saved in' "$TMP/out")" -eq 2 ]
    newest=$(awk '/ saved in / { step = $1 } END { printf "step-%08d", step }' "$TMP/out")
    [ -s "$TMP/c/$newest/manifest" ]
}

@test "kill -9 at random moments, also while a checkpoint is written: KILLS=50 tests/tools/kill-proof has more" {
    KILLS=${KILLS:-4} run "$ROOT/tests/tools/kill-proof" "$BIN" "$TEXT"
    [ "$status" -eq 0 ] || { echo "$output" && false; }
    [[ ${lines[-1]} == "killed ${KILLS:-4} times, "* ]]
    echo "# ${lines[-1]}" >&3
}

@test "killed while a checkpoint is written, for certain: what is there is swept up, and the one before is used" {
    preload slow_sync
    "$BIN" "${SMALL[@]}" --steps 5 --checkpoint "$TMP/c" >/dev/null
    SLOW_SYNC_MS=5000 LD_PRELOAD=$TMP/slow_sync.so "$BIN" "${SMALL[@]}" --steps 10 --checkpoint "$TMP/c" --resume >"$TMP/out" 3>&- &
    pid=$!
    until_ok test -s "$TMP/c/step-00000010.writing/rank-00000"
    kill -9 $pid
    until_through $pid
    run "$BIN" "${SMALL[@]}" --steps 10 --checkpoint "$TMP/c" --resume
    [ "$status" -eq 0 ]
    [[ $output == *"resumed after step 5"* ]]
    [[ $output != *"passed over"* ]]
    [ "$(ls "$TMP/c")" = $'step-00000005\nstep-00000010' ]
}

@test "elastic: dt-launch starts the job again after a rank is killed, on fewer ranks, and its losses go on" {
    mpi 2 "${SMALL[@]}" --steps 300 --lr 1e-4 --log "$TMP/whole" >/dev/null
    cat >"$TMP/job" <<'SH'
ranks=$((2 - TORCHELASTIC_RESTART_COUNT))
step() { grep -c '"loss"' "$1/log" 2>/dev/null; }
if [ "$TORCHELASTIC_RESTART_COUNT" = 0 ]; then
    # one rank dies between two checkpoints
    (until [ "$(step "$1")" -ge 60 ]; do sleep 0.01; done; kill -9 "$(pgrep -n -f "checkpoint $1/c")") >/dev/null 2>&1 &
fi
dir=$1
shift
env -i PATH="$PATH" OMP_NUM_THREADS=1 mpirun -np $ranks --allow-run-as-root --oversubscribe "$@" --save-every 20 --checkpoint "$dir/c" \
    --log "$dir/log" --resume
SH
    run timeout 120 "$(dirname "$BIN")/dt-launch" --nproc-per-node 1 --max-restarts 2 -- sh "$TMP/job" "$TMP" "$BIN" "${SMALL[@]}" --steps 300 --lr 1e-4
    [ "$status" -eq 0 ]
    [ "$(grep -c '^dt-launch: restart 1 of 2' <<<"$output")" -eq 1 ]
    [[ $output == *"2 ranks x 1 thread"*"1 rank x 1 thread"*"resumed after step "* ]]
    # steps after the last checkpoint were done twice, by other numbers of ranks
    join <(losses "$TMP/whole" | sort) <(losses "$TMP/log" | sort) | awk '
        { seen[$1] = 1; d = ($2 - $3) / $2; if (d < 0) d = -d; if (d > 1e-6) bad = 1 }
        END { exit bad || length(seen) != 300 }'
}

@test "--validate-every: a flipped bit is found, and the ranks that hold the same are named" {
    preload flip
    local shape=(--channels 64 --layers 2 --comm mpi --steps 40)
    run timeout 120 mpirun -np 4 --allow-run-as-root --oversubscribe -x LD_PRELOAD="$TMP/flip.so" -x FLIP_RANK=2 -x FLIP_SUM=7 \
        "$BIN" "${SMALL[@]}" "${shape[@]}" --validate-every 1
    [ "$status" -eq 1 ]
    [ "$(grep -c "^dt-train: parameters of rank 2 on $(hostname) differ from what 3 of 4 ranks have (first in [a-z0-9. ]*): memory, CPU or network" <<<"$output")" -eq 1 ]
    [ "$(grep -c '^ *40 ' <<<"$output")" -eq 0 ] # at once, not at the end
    # two copies in two shards each: ranks 1 and 3 hold the same
    run timeout 120 mpirun -np 4 --allow-run-as-root --oversubscribe -x LD_PRELOAD="$TMP/flip.so" -x FLIP_RANK=3 -x FLIP_SUM=9 \
        "$BIN" "${SMALL[@]}" "${shape[@]}" --dp 2 --fsdp 2
    [ "$status" -eq 1 ]
    [ "$(grep -c "^dt-train: parameters of rank 1 on $(hostname) and of rank 3 on $(hostname) differ (first in " <<<"$output")" -eq 1 ]
    # a gradient that is no number, of which the loss knows a step later: where it can be known at once nothing is saved, and its
    # rank is named
    for when in "--save-every 1 --checkpoint $TMP/nan" "--clip 1"; do
        # shellcheck disable=SC2086 # options are words
        run timeout 120 mpirun -np 4 --allow-run-as-root --oversubscribe -x LD_PRELOAD="$TMP/flip.so" -x FLIP_RANK=2 -x FLIP_SUM=1 \
            -x FLIP_NAN=1 "$BIN" "${SMALL[@]}" "${shape[@]}" $when
        [ "$status" -eq 1 ]
        [ "$(grep -c "^dt-train: rank 2 on $(hostname): gradient is not a number at step 1, and the loss is one" <<<"$output")" -eq 1 ]
    done
    [ -z "$(ls "$TMP/nan")" ]
    # and of this nothing is saved
    run timeout 120 mpirun -np 4 --allow-run-as-root --oversubscribe -x LD_PRELOAD="$TMP/flip.so" -x FLIP_RANK=2 -x FLIP_SUM=7 \
        "$BIN" "${SMALL[@]}" "${shape[@]}" --checkpoint "$TMP/c" --save-every 20
    [ "$status" -eq 1 ]
    [ -z "$(ls "$TMP/c")" ]
    run "$BIN" "${SMALL[@]}" --validate-every 0
    [ "$status" -eq 64 ]
}
