#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# srun --dt-shim: scripts that say torchrun are run by dt-launch. What dt-launch makes of the command line is in
# tests/cli/launch-shim.bats.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 2; }
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    plugstack=/run/dt-cluster/$CLUSTER/etc/plugstack.conf
    cp "$plugstack" "$BATS_TEST_TMPDIR/plugstack.conf"
    # the real one, as a virtual environment has it
    mkdir -p venv
    printf '#!/bin/sh\necho "the real torchrun: $* $TORCHELASTIC_RUN_ID"\n' >venv/torchrun
    chmod +x venv/torchrun
    PATH=$PWD/venv:$PATH
    words=(torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint "$CLUSTER-1:29500" --no-python
        sh -c 'echo "rank $RANK/$WORLD_SIZE of $TORCHELASTIC_RUN_ID"')
}
teardown() {
    cp "$BATS_TEST_TMPDIR/plugstack.conf" "$plugstack"
    rm -rf "${DT_CLUSTER_SHARED:?}"/*
}

assert_ours() {
    assert_code 0
    diff <(grep '^rank ' <<<"$output" | sort | sed 's/ of .*//') <(printf 'rank %d/4\n' 0 1 2 3) || tell "not four ranks"
}

assert_real() {
    assert_code 0
    assert_lines 2 '^the real torchrun: --nnodes 2 '
}

@test "--dt-shim, DT_SHIM and the admin's shim=on: dt-launch; without, or with off: the real one" {
    run srun -N2 --ntasks-per-node=1 --dt-shim "${words[@]}"
    assert_ours
    run srun -N2 --ntasks-per-node=1 "${words[@]}"
    assert_real
    DT_SHIM=on run srun -N2 --ntasks-per-node=1 "${words[@]}"
    assert_ours
    DT_SHIM=on run srun -N2 --ntasks-per-node=1 --dt-shim=off "${words[@]}"
    assert_real
    sed -i '/spank_dt.so/s/$/ shim=on/' "$plugstack"
    run srun -N2 --ntasks-per-node=1 "${words[@]}"
    assert_ours
    run srun -N2 --ntasks-per-node=1 --dt-shim=of "${words[@]}"
    assert_code 255
    assert_says "--dt-shim=of: 'of' is unknown; it must be on or off (did you mean on?)"
}

@test "#SBATCH --dt-shim: an unedited script, and with validation" {
    printf '#!/bin/bash\n#SBATCH -N2 --ntasks-per-node=1 --dt-shim --output=out\nsrun %s\n' "$(printf '%q ' "${words[@]}")" >job.sh
    run sbatch --wait job.sh
    run cat out
    assert_ours
    sed -i 's/--dt-shim/--dt-shim --dt-validate/' job.sh
    run sbatch --wait job.sh
    run cat out
    assert_ours
    assert_says "dt: 2 nodes fit"
}

@test "--export=NONE has the shim and a usual PATH; other variables stay away" {
    HIDDEN=1 run srun -N1 --export=NONE --dt-shim torchrun --no-python sh -c 'echo "$PATH $HIDDEN"'
    assert_code 0
    [ "$output" = "/usr/bin:/bin:/usr/sbin:/sbin " ] || tell "another PATH"
}

@test "behind pyxis the image's PATH is kept, with the shim before it; and without a torchrun there" {
    image_plugin before PATH=/usr/bin:/bin
    run srun -N2 --ntasks-per-node=1 --dt-shim "${words[@]}"
    assert_ours
    run srun -N1 --dt-shim sh -c 'echo "$PATH"'
    [ "$output" = "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/shim:/usr/bin:/bin" ] || tell "another PATH"
}

@test "a line that is not understood is the real torchrun's, on each node, and one line says so" {
    run srun -N2 --ntasks-per-node=1 --dt-shim torchrun --logs-specs own x.py
    assert_code 0
    assert_lines 2 '^the real torchrun: --logs-specs own x.py'
    assert_lines 1 "^dt-launch: called as torchrun: --logs-specs is not understood here; so $PWD/venv/torchrun runs instead\$"
}

@test "a failing rank is named, and its code is srun's: what torchrun loses" {
    run srun -N2 --ntasks-per-node=1 --dt-shim torchrun --nnodes 2 --nproc-per-node 2 --no-python \
        sh -c 'test $RANK = 3 && exit 42; exec sleep 30'
    assert_code 42
    assert_says "dt-launch: rank 3 (local 1 on $CLUSTER-2, pid "
}
