#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-launch's watch over a job on a real Slurm: a hang over two nodes, and saving before the end: time limit,
# preemption, scancel -s, --signal, where Slurm signals every process.

# takes long: one job after the other trains until a limit
load saving

setup_file() { saving_cluster linuxproc; }

@test "a hang over two nodes: the odd rank is named, 70, nothing stays" {
    cp "$REPOSITORY/tests/tools/stall.py" "$CLUSTER-stall.py"
    run env STALL=sleep srun -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --hang-timeout 2 --on-hang stop --python-stacks -- python3 "$CLUSTER-stall.py"
    assert_code 70
    assert_says "rank 2 on $CLUSTER-2 is the odd one out"
    assert_says "rank 2 on $CLUSTER-2 (pid *sleeps in *Python at $CLUSTER-stall.py:*in hold"
    assert_says 'ranks 0-1,3 (3) each: waits in recv*for the key "step2" of the store'
    assert_job FAILED
    jobs_gone
    run -1 pgrep -f "python3 $CLUSTER-stall.py"
    assert_nodes_healthy
}

@test "a slow node: its ranks are named, and that they share it" {
    cat >"$CLUSTER-pace.py" <<'PY'
import os, time
rank = int(os.environ["RANK"])
with os.fdopen(int(os.environ["DT_PROGRESS_FD"]), "w", buffering=1) as progress:
    for step in range(130):
        time.sleep(0.02)
        print("step", step, 0.118 if rank >= 2 else 0.1, file=progress)
PY
    run srun -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --hang-timeout 5 -- python3 "$CLUSTER-pace.py"
    assert_code 0
    assert_says "dt-launch: rank [23] on $CLUSTER-2 is 18 % slower than the others for 20 steps *; all ranks of $CLUSTER-2 share it: suspect the node"
    assert_lines 0 "^dt-launch: rank [01] on "
}

@test "the network between two nodes loses what ranks send: the connections are named, and the nodes" {
    cp "$REPOSITORY/tests/tools/ring.py" "$CLUSTER-ring.py"
    srun -N2 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --hang-timeout 3 --kill-grace 1 --on-hang stop -- \
        python3 "$CLUSTER-ring.py" cut >out 2>&1 3>&- &
    until_ok test -e up.0 -a -e up.1 -a -e up.2 -a -e up.3
    port=$(cut -d' ' -f2 at.2) # rank 1 on node 1 sends to it
    dt_cluster run "$CLUSTER-2" -- nft "add table ip lost; add chain ip lost input { type filter hook input priority 0; }; add rule ip lost input tcp dport $port drop"
    touch cut
    status=0
    wait $! || status=$?
    dt_cluster run "$CLUSTER-2" -- nft 'delete table ip lost'
    output=$(<out)
    assert_code 70
    assert_says 'all do the same, so suspect the network between them'
    assert_says "  | rank 1 on $CLUSTER-1 gets no answer from rank 2 on $CLUSTER-2 (*:$port) since * s: sent again * times; suspect the network between the two nodes"
    assert_lines 1 ' gets no answer '
}

@test "the time limit: signalled before it, saved, 75, requeued, resumed where it was saved" { at_the_time_limit; }
@test "preemption: warned, saved within the grace, requeued, resumed where it was saved" { at_preemption; }
@test "scancel -s USR1: saved, and the job goes on; cancelled, a new one goes on from the last save" { at_scancel; }
@test "sbatch --signal: saved when Slurm says so, saved again and requeued before the limit" { at_sbatch_signal; }
@test "scancel -s USR1: workers of a DataLoader live on, and the ranks alone save" { at_scancel_with_workers; }

@test "without --checkpoint-signal such a Slurm ends the workers: what dt-launch protects from is there" {
    workers_live
    assert_lines 0 '^living 2$'
}
