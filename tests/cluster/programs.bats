#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Of the real programs in tests/programs those that need nothing but what "make deps" installs: MPI by PMIx and dt-train, and PyTorch DDP
# where Debian's torch is there. The runner boots a cluster of its own. All of them: make check-programs.

load common

@test "MPI by PMIx, dt-train, Debian's PyTorch: the same result with dt-launch as without, bit for bit" {
    cluster_needed
    run -0 "$REPOSITORY/tests/programs/run" "MPI ring" dt-train "Debian's torch"
    echo "$output"
    assert_lines 1 '^ok .* MPI ring +srun --mpi=pmix dt-launch +bit for bit the same'
    assert_lines 1 '^ok .* dt-train +srun --mpi=pmix dt-launch +bit for bit the same'
    assert_lines 1 "Debian's torch .*(launch, a task per rank +bit for bit the same|skipped)|^-- .* Debian's torch"
    assert_nothing_left "$(sed -n 's/: 2 node(s) ready.*//p' <<<"$output")"
}
