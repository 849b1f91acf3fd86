#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nothing is left of a job, however it ends, where Slurm finds its processes by /proc and where by cgroups: once each of what
# tests/tools/teardown-proof does ten times.

load common

@test "a rank is killed, dt-launch is killed or stopped, the step is cancelled: nothing is left, and a bystander lives" {
    cluster_needed
    BUILD=$DT_BUILD RUNS=2 run -0 "$REPOSITORY/tests/tools/teardown-proof"
    assert_says 'all: nothing left in 16 of 16'
}
