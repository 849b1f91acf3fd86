#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# full runs only: what tests/cluster/watch.bats holds, once more with another proctrack
# dt-launch's watch over a job on a real Slurm: saving before the end where Slurm has cgroups, and signals tasks alone.

load saving

setup_file() { saving_cluster cgroup; }

@test "the time limit: signalled before it, saved, 75, requeued, resumed where it was saved" { at_the_time_limit; }
@test "preemption: warned, saved within the grace, requeued, resumed where it was saved" { at_preemption; }
@test "scancel -s USR1: saved, and the job goes on; cancelled, a new one goes on from the last save" { at_scancel; }
@test "sbatch --signal: saved when Slurm says so, saved again and requeued before the limit" { at_sbatch_signal; }
@test "scancel -s USR1: workers of a DataLoader live on, and the ranks alone save" { at_scancel_with_workers; }
