#!/usr/bin/env bats
# dt-validate --learn and profiles: from a healthy machine to the line that another one breaks.

bats_require_minimum_version 1.5.0

setup_file() {
    TREES=$(mktemp -d "/dev/shm/dt-profile.XXXXXX") || return 1
    export TREES
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    local build=${BUILD:-build} tree
    for tree in healthy odd; do
        "$build/localcluster/dt-personality" tree --type p4d.24xlarge --instances configs/instances.conf \
            --nvml "$build/localcluster/libnvidia-ml.so.1" --out "$TREES/$tree" || return 1
    done
    "$build/localcluster/dt-personality" fault --root "$TREES/odd" kernel-odd || return 1
    install -m 0644 configs/*.conf "$TREES"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$TREES" >"$TREES/dt.conf"
}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    validate=$(realpath "${BUILD:-build}")/bin/dt-validate
    profile=$BATS_TEST_TMPDIR/p4d.conf
}

teardown_file() { rm -rf "${TREES:?}"; }

has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
on() { # TREE OPTIONS...
    "$validate" --config "${conf:-$TREES/dt.conf}" --root "$TREES/$1" "${@:2}"
}

@test "what was learned of a healthy machine passes it, and names the line that another one breaks" {
    run -0 on healthy --learn "$profile"
    has "$profile is written"
    grep -qx 'gpu-count = 8' "$profile"
    run -0 on healthy --profile "$profile" --only profile --all
    has "things are as in $profile"
    run -0 on odd --only profile --all # nothing is judged by default
    has "dt.conf names no profile"
    run -2 on odd --profile "$profile" --only profile
    has "kernel is 6.8.0-1019-aws"
    has "($profile:$(grep -n '^kernel = ' "$profile" | cut -d: -f1))"
    sed -i '/^kernel = /d' "$profile" # an admin lets kernels differ
    run -0 on odd --profile "$profile" --only profile
}

@test "dt.conf names a profile, and a mistake in that is told with its line" {
    run -0 on healthy --learn "$profile"
    local conf=$BATS_TEST_TMPDIR/dt.conf
    { cat "$TREES/dt.conf"; printf 'profile = "%s"\n' "$profile"; } >"$conf"
    run -2 on odd
    has "profile"
    run -0 on healthy
    printf '# mine\ngpu-cuont = 8\n' >"$profile"
    run -78 on healthy
    has "$profile:2: "
    chmod 0666 "$profile"
    run -78 on healthy
    has "$profile"
    rm "$profile"
    run -78 on healthy
    has "$profile"
    # an older profile does not stand in the way of a new one
    run -0 on healthy --learn "$profile"
    run -0 on healthy
}

@test "a machine that does not pass is no example, unless it is said to be" {
    "${validate%/bin/*}/localcluster/dt-personality" fault --root "$TREES/odd" gpu-lost
    run -2 on odd --learn "$profile"
    has "FAIL     gpu-count"
    has "nothing is written"
    [ ! -e "$profile" ]
    run -0 on odd --learn "$profile" --learn-anyway
    grep -qx 'gpu-count = 7' "$profile"
}

@test "what does not go with --learn" {
    run -64 on healthy --learn-anyway
    run -64 on healthy --learn "$profile" --only gpu-count
    run -64 on healthy --learn "$profile" --nagios
    run -73 on healthy --learn "$BATS_TEST_TMPDIR/none/p.conf"
    has "--learn: '$BATS_TEST_TMPDIR/none/p.conf' can not be written: No such file"
}
