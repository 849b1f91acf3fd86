#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The whole of it on a real Slurm: validated jobs of dt-launch and dt-train on four p5.48xlarge, and what
# happens when one of their ranks dies, gets a signal, or computes wrong. And dt-launch with the plugin's verdict.

load common

setup_file() { cluster_up --nodes 4 --as p5.48xlarge; }
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    rm -rf "${DT_CLUSTER_SHARED:?}"/*
    for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >text
    EIGHT=(srun -N4 --ntasks-per-node=2 --mpi=pmix --dt-validate dt-launch --)
    TRAIN=(dt-train --data "$PWD/text" --layers 1 --channels 16 --heads 2 --seq 16 --global-batch 16 --blas builtin)
}

until_says() { # FILE TEXT
    until_ok grep -qs -- "$2" "$1" || { cat "$1" && return 1; }
}

no_rank() {
    ! pgrep -a -f "dt-(launch|train) .*$DT_CLUSTER_SHARED/"
}

assert_no_ranks() { until_ok no_rank; }

@test "8 ranks on 4 nodes: the table, then the loss falls; a second job goes on bit for bit, a smaller one in shards, and one in stages" {
    timed "${EIGHT[@]}" "${TRAIN[@]}" --steps 60 --lr 1e-2 --save-every 30 --checkpoint whole
    assert_code 0
    assert_lines 1 '^dt: 4 nodes fit: '
    assert_says "8 ranks x 1 thread"
    awk '$1 == 1 { first = $2 } $1 == 60 && $2 + 0 { last = $2 } END { exit !(last > 0 && last < first - 1.5) }' <<<"$output"
    mkdir cut
    cp -r whole/step-00000030 cut
    timed "${EIGHT[@]}" "${TRAIN[@]}" --steps 60 --lr 1e-2 --save-every 30 --checkpoint cut --resume
    assert_code 0
    assert_says "resumed after step 30"
    diff -r whole cut
    # and on two nodes, by half as many ranks
    rm -r cut/step-00000060
    timed srun -N2 --ntasks-per-node=2 --mpi=pmix --dt-validate dt-launch -- "${TRAIN[@]}" --steps 60 --lr 1e-2 --checkpoint cut --resume --fsdp 2
    assert_code 0
    assert_says "resumed after step 30"
    assert_says "2 copies of the model in 2 shards each"
    assert_job COMPLETED
    # and in stages, a node each, whose two ranks share the products
    STAGES=("${TRAIN[@]}" --layers 4 --steps 20 --lr 1e-2 --micro-batch 4)
    timed srun -N1 -n1 --mpi=none "${STAGES[@]}"
    assert_code 0
    alone=$(awk '$1 == 20 && $2 + 0 { print $2 }' <<<"$output")
    timed "${EIGHT[@]}" "${STAGES[@]}" --pp 4 --tp 2
    assert_code 0
    assert_says ", pp 4, 4 micro-batches (bubble 43%)"
    awk -v alone="$alone" '$1 == 20 && $2 + 0 { d = $2 - alone; seen = 1 } END { exit !(seen && alone > 0 && d * d <= 4e-8) }' <<<"$output"
}

@test "kill -9 of one rank: 137, the rank is named, the job ends at once, nothing stays" {
    "${EIGHT[@]}" "${TRAIN[@]}" --steps 1000000 --print-every 5 >out 2>&1 3>&- &
    until_says out '^ *10 '
    start=${EPOCHREALTIME/./}
    # shellcheck disable=SC2016 # expanded on the node
    dt_cluster run "$CLUSTER-3" -- bash -c 'for p in /proc/[0-9]*; do
        [[ $(cat $p/comm 2>/dev/null) == dt-train ]] && grep -qsz "^RANK=5\$" $p/environ && kill -9 ${p#/proc/}; done; true'
    status=0
    wait $! || status=$?
    # shellcheck disable=SC2034 # read by assert_under_ms
    elapsed_ms=$(((${EPOCHREALTIME/./} - start) / 1000)) output=$(<out)
    assert_code 137
    assert_under_ms 6000 20
    assert_lines 1 '^dt-launch: '
    assert_says "dt-launch: rank 5 (local 1 on $CLUSTER-3, pid * was killed by signal 9 (SIGKILL) after * s: dt-train"
    assert_job FAILED
    assert_nodes_healthy
    assert_no_ranks
}

@test "SIGUSR1 from scancel writes one checkpoint for all ranks, SIGTERM one more and the end" {
    "${EIGHT[@]}" "${TRAIN[@]}" --steps 1000000 --print-every 5 --checkpoint saved >out 2>&1 3>&- &
    until_says out '^ *10 '
    scancel --signal=USR1 "$(last_job)"
    until_says out 'saved in saved'
    from=$(awk '/^ *[0-9]+ saved/ { print $1 + 0 }' out)
    until_says out "^ *$(((from / 5 + 10) * 5)) "
    [ "$(grep -c '^SIGUSR1: saving' out)" -eq 1 ]
    scancel --signal=TERM "$(last_job)"
    status=0
    wait $! || status=$?
    output=$(<out)
    assert_failed
    assert_lines 1 '^SIGTERM: ending after step'
    assert_lines 2 'saved in saved$'
    assert_silent_about "dt-launch: rank"
    timed "${EIGHT[@]}" "${TRAIN[@]}" --steps 5 --checkpoint saved --resume
    assert_code 0
    assert_says "resumed after step"
    assert_no_ranks
}

@test "a rank whose sums are corrupted: checksums find it, rank and node are named" {
    mpicc -O1 -shared -fPIC -o flip.so "$REPOSITORY/tests/tools/flip.c"
    timed "${EIGHT[@]}" env LD_PRELOAD="$PWD/flip.so" FLIP_RANK=6 FLIP_SUM=7 "${TRAIN[@]}" --steps 20 --save-every 10 --checkpoint c
    assert_code 1
    assert_lines 1 '^dt-train: '
    assert_says "dt-train: parameters of rank 6 on $CLUSTER-4 differ from what 7 of 8 ranks have (first in "
    assert_says "): memory, CPU or network of that node is at fault"
    [ -z "$(ls c)" ]
}

@test "a node with other data: rank and node are named, exit 78" {
    dt_cluster run "$CLUSTER-2" -- sh -c 'echo other, and short >/tmp/text'
    for node in 1 3 4; do dt_cluster run "$CLUSTER-$node" -- cp "$PWD/text" /tmp/text; done
    timed "${EIGHT[@]}" "${TRAIN[@]}" --data /tmp/text --steps 5
    assert_code 78
    assert_lines 1 '^dt-train: '
    assert_says "dt-train: rank 2 on $CLUSTER-2: --data has "
}

@test "dt-launch under a verdict, in both shapes: numbers, and the plugin's MASTER_ADDR and port" {
    # shellcheck disable=SC2016 # expanded by the ranks
    show='echo "is $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK $DT_VERDICT $MASTER_ADDR:$MASTER_PORT"'
    # what the plugin gives to a program without dt-launch is the reference
    # shellcheck disable=SC2016
    timed srun -N2 --ntasks-per-node=1 --dt-validate sh -c 'echo "at $MASTER_ADDR"'
    assert_code 0
    address=$(awk '/^at / { print $2; exit }' <<<"$output")
    [[ $address == 198.18.* || $address == 198.19.* ]]
    for shape in "--ntasks-per-node=2 --dt-validate dt-launch" \
        "--ntasks-per-node=1 --dt-validate dt-launch --nproc-per-node 2"; do
        # shellcheck disable=SC2086 # words on purpose
        timed srun -N2 $shape -- sh -c "$show"
        assert_code 0
        diff <(awk '/^is / { print $2, $3, $4 }' <<<"$output" | sort) \
            <(for r in 0 1 2 3; do echo "$r/4 $((r % 2))/2 $((r / 2))"; done)
        assert_lines 4 "^is .* go:$(last_job)\\.0 $address:[0-9]+\$"
        [ "$(awk '/^is / { print $NF }' <<<"$output" | sort -u | wc -l)" -eq 1 ]
        port=$(awk '/^is / { print $NF; exit }' <<<"$output")
        # a port that the kernel gave to the plugin, not one that dt-launch works out
        ((${port##*:} != 20000 + ($(last_job) * 101) % 12768))
    done
}
