#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What Slurm's loader and an administrator see of the plugin file; no cluster is needed.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    plugin=$(readlink -m -- "${BUILD:-build}")/lib/spank_dt.so
}

# srun reads its configuration and its plugins before it looks at --help.
slurm() {
    cat >"$BATS_TEST_TMPDIR/slurm.conf" <<CONF
ClusterName=none
SlurmctldHost=localhost
PlugStackConfig=$BATS_TEST_TMPDIR/plugstack.conf
NodeName=localhost
PartitionName=all Nodes=ALL
CONF
    SLURM_CONF=$BATS_TEST_TMPDIR/slurm.conf "$@"
}

@test "the plugin links libc and nothing else" {
    run ldd "$plugin"
    [ "$status" -eq 0 ]
    [ "$(grep -cvE 'linux-vdso|libc\.so|ld-linux' <<<"$output")" -eq 0 ]
}

@test "the plugin exports Slurm's names and nothing else" {
    run nm -D --defined-only "$plugin"
    [ "$status" -eq 0 ]
    [ "$(awk '{ print $3 }' <<<"$output" | grep -cvE '^(slurm_spank_[a-z_]+|plugin_(name|type|version)|spank_plugin_version)$')" -eq 0 ]
    for name in slurm_spank_init slurm_spank_user_init slurm_spank_task_init plugin_name; do
        grep -qw "$name" <<<"$output"
    done
}

@test "the plugin adds less than 1 MB to a process" {
    size "$plugin" | awk 'NR == 2 { exit !($4 < 200000) }'
}

@test "srun, sbatch and salloc load it and show all six options" {
    echo "optional $plugin" >"$BATS_TEST_TMPDIR/plugstack.conf"
    for program in srun sbatch salloc; do
        command -v "$program" || skip "$program is not installed"
        run slurm "$program" --help
        [ "$status" -eq 0 ]
        for option in validate env bind on-fail report timeout; do
            grep -q -- "--dt-$option=" <<<"$output"
        done
        [[ $output != *error:* ]]
    done
}

@test "a wrong option value is refused by all three before anything is submitted" {
    echo "optional $plugin" >"$BATS_TEST_TMPDIR/plugstack.conf"
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/job"
    for program in srun sbatch salloc; do
        run slurm timeout 60 "$program" --dt-bind=nearest "$BATS_TEST_TMPDIR/job"
        [ "$status" -eq 255 ]
        [ "$(grep -c "error: dt: --dt-bind=nearest: 'nearest' is unknown; it must be auto, explain" <<<"$output")" -eq 1 ]
    done
}

@test "garbage in DT_ variables is refused with 64 before anything is submitted" {
    echo "optional $plugin" >"$BATS_TEST_TMPDIR/plugstack.conf"
    for setting in VALIDATE=fsat ENV=x BIND=x ON_FAIL=x TIMEOUT=-3 "VALIDATE=$(printf '\033[2J')"; do
        run slurm timeout 60 env "DT_$setting" srun true
        [ "$status" -eq 64 ]
        [[ $output == *"dt: DT_${setting%%=*}="* && $output != *$'\033'* ]]
    done
}

@test "a wrong argument in plugstack.conf is logged and does not stop srun" {
    echo "optional $plugin validat=fast timeout=never" >"$BATS_TEST_TMPDIR/plugstack.conf"
    run slurm srun --help
    [ "$status" -eq 0 ]
    [ "$(grep -c "'validat=fast' is unknown and left out" <<<"$output")" -eq 1 ]
    [ "$(grep -c "timeout=never: it must be a number of seconds" <<<"$output")" -eq 1 ]
}

@test "the sample line in configs/plugstack.conf is one optional line" {
    run grep -vE '^#|^$' configs/plugstack.conf
    [ "$output" = "optional /usr/local/lib/slurm/spank_dt.so" ]
}
