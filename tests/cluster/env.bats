#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Environment rules on a real Slurm: what each rank really has is the plan with the user's values kept, a
# variable that would end the ranks stops the job before it starts, and a wrong rules file stops nothing.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 3 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() {
    cluster_enter
    prefix=/run/dt-cluster/$CLUSTER/prefix
    share=$prefix/share/dt
    conf=$prefix/etc/dt/dt.conf
    cp "$share/env-rules.conf" "$conf" "/run/dt-cluster/$CLUSTER/etc/plugstack.conf" "$BATS_TEST_TMPDIR"
}
teardown() {
    cp "$BATS_TEST_TMPDIR/env-rules.conf" "$share"
    cp "$BATS_TEST_TMPDIR/dt.conf" "$conf"
    cp "$BATS_TEST_TMPDIR/plugstack.conf" "/run/dt-cluster/$CLUSTER/etc"
    rm -rf "${DT_CLUSTER_SHARED:?}"/*
    # rules that were kept by one test must not stand in for those of the next
    local node
    for node in 1 2 3; do
        dt_cluster run "$CLUSTER-$node" --name "$CLUSTER" -- \
            sh -c "rm -f /run/dt-cluster/$CLUSTER/cache/env-rules*"
    done
}

# Rules of the admin, and dt.conf that names them. On standard input: the file.
site_rules() {
    cat >"$prefix/etc/dt/site.conf"
    echo "env-rules-site = '$prefix/etc/dt/site.conf'" >>"$conf"
}

site_rule() { # NAME ACTION VARIABLE [VALUE]: one that always holds
    printf 'rule "%s" {\n    when = "efa.count > 0"\n    action = %s\n    variable = %s\n' "$1" "$2" "$3"
    [[ $# -lt 4 ]] || printf "    value = '%s'\n" "$4"
    printf '    reason = "the admin says so"\n    source = "the site"\n}\n'
}

# The sentences of a validation's report: cells of the table on the terminal are wrapped.
report_says() { # FILE
    jq -r '.. | strings' "$1"
}

# What dt-node plans on node 1 for a user with these variables.
plan_for() { # FILE RANKS [NAME=VALUE...]
    local file=$1 ranks=$2
    shift 2
    dt_cluster run "$CLUSTER-1" --name "$CLUSTER" -- env -i PATH="$PATH" "$@" \
        "$prefix/libexec/dt/dt-node" --plan --ranks "$ranks" --config "$conf" >"$file"
}

# The files rank-K with the environments of K = 0 ... COUNT-1, PER_NODE on each node, are as planned.
assert_planned() { # COUNT PER_NODE [NAME=VALUE...]
    local count=$1 per_node=$2 rank
    shift 2
    plan_for plan "$per_node" "$@"
    grep -q '^all env-' plan || tell "the plan sets nothing: $(cat plan)"
    for ((rank = 0; rank < count; rank++)); do
        python3 "$REPOSITORY/tests/cluster/environ_is_plan.py" plan $((rank % per_node)) "rank-$rank" "$@" ||
            tell "rank $rank differs from the plan: $(cat plan)"
    done
}

users=(NCCL_DEBUG=WARN FI_EFA_USE_HUGE_PAGE=1 "NCCL_TOPO_FILE=/x y/%20" FI_PROVIDER=efa)
more_rules() { site_rule debug set-if-unset NCCL_DEBUG VERSION; site_rule more set-if-unset NCCL_GRAPH_FILE '/a b%20="c'; }

@test "srun: each rank's /proc/PID/environ is the plan, and the user's values are kept" {
    more_rules | site_rules
    run env "${users[@]}" srun -N2 --ntasks-per-node=2 --dt-env --dt-bind --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 4 2 "${users[@]}"
    run env srun -N2 --ntasks-per-node=2 --dt-validate --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 4 2
}

@test "sbatch: what the script exports and what sbatch was given are the user's" {
    more_rules | site_rules
    printf '%s\n' '#!/bin/bash' 'export FI_EFA_USE_HUGE_PAGE=1' \
        'srun --ntasks-per-node=2 --dt-validate --output=rank-%t cat /proc/self/environ' >job.sh
    NCCL_DEBUG=WARN run sbatch --wait -N2 --ntasks-per-node=2 --output=out job.sh
    assert_code 0
    assert_planned 4 2 NCCL_DEBUG=WARN FI_EFA_USE_HUGE_PAGE=1
}

@test "--export=NONE: the ranks have the plan and nothing of the user's shell" {
    NCCL_DEBUG=WARN run srun -N2 -n2 --export=NONE --dt-env --output=rank-%t /bin/cat /proc/self/environ
    assert_code 0
    assert_planned 2 1
    ! grep -q NCCL_DEBUG rank-0 || tell "NCCL_DEBUG came along"
    more_rules | site_rules
    run srun -N2 -n2 --export=FI_EFA_USE_HUGE_PAGE=1 --dt-env --output=rank-%t /bin/cat /proc/self/environ
    assert_code 0
    assert_planned 2 1 FI_EFA_USE_HUGE_PAGE=1
}

@test "a het job: the ranks of all components have the plan" {
    printf '%s\n' '#!/bin/bash' '#SBATCH -N1 -n1' '#SBATCH hetjob' '#SBATCH -N1 -n1' 'export NCCL_DEBUG=WARN' \
        'srun --het-group=0,1 --dt-validate sh -c "exec cat /proc/self/environ >rank-\$SLURM_PROCID"' >het.sh
    run sbatch --wait --output=out het.sh
    assert_code 0
    assert_planned 2 1 NCCL_DEBUG=WARN
}

@test "no option, or --dt-env=off: no variable is set" {
    run srun -n1 sh -c 'env | grep -E "^(FI_|NCCL_|DT_ENV)" || true'
    assert_code 0
    [ -z "$output" ]
    run srun -n1 --dt-validate --dt-env=off sh -c 'env | grep -E "^(FI_|NCCL_|DT_ENV)" || true'
    assert_silent_about FI_
    assert_silent_about DT_ENV
}

@test "a variable that would end the ranks: refused before the start, with origin and fix" {
    timed env FI_EFA_MTU_SIZE=9000 srun -N3 -n3 --dt-validate --dt-report=report echo "a rank ran"
    assert_code 65
    assert_under_ms 2000
    assert_job FAILED
    assert_nodes_healthy
    assert_silent_about "a rank ran"
    assert_says "FI_EFA_MTU_SIZE=9000"
    assert_silent_about "--exclude="
    run report_says report
    assert_says "FI_EFA_MTU_SIZE=9000 from the environment of srun"
    assert_says "unset FI_EFA_MTU_SIZE"
}

@test "the same from a batch script: its origin is told" {
    printf '%s\n' '#!/bin/bash' 'export FI_EFA_MTU_SIZE=9000' \
        'srun --dt-validate --dt-report=report echo "a rank ran"' >job.sh
    run sbatch --wait -N2 -n2 --output=out job.sh
    assert_code 65
    output=$(<out)
    assert_silent_about "a rank ran"
    run report_says report
    assert_says "FI_EFA_MTU_SIZE=9000 from the job's environment: the batch script"
}

@test "the same from a file that NCCL reads: file and line are told, and dt does not set over it" {
    printf '# of the site\nFI_EFA_MTU_SIZE=9000\n' >nccl.conf
    NCCL_CONF_FILE=$PWD/nccl.conf run srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_code 65
    assert_says "nccl.conf:2"
    assert_silent_about "a rank ran"
    printf 'FI_EFA_USE_HUGE_PAGE=1\n' >nccl.conf
    NCCL_CONF_FILE=$PWD/nccl.conf run srun -n1 --dt-env sh -c 'echo "got <$FI_EFA_USE_HUGE_PAGE>"'
    assert_code 0
    assert_says "got <>"
}

@test "without validation, or with env-on-abort=warn, the user is warned and the ranks run" {
    FI_EFA_MTU_SIZE=9000 run srun -N2 -n2 --dt-env echo "a rank ran"
    assert_code 0
    assert_lines 2 '^a rank ran$'
    assert_lines 1 '^dt: warning: FI_EFA_MTU_SIZE=9000 .*environment of srun.*libfabric aborts because.*unset FI_EFA_MTU_SIZE'
    echo 'env-on-abort = warn' >>"$conf"
    FI_EFA_MTU_SIZE=9000 run srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_code 0
    assert_lines 2 '^a rank ran$'
    assert_says FI_EFA_MTU_SIZE
}

@test "explain: what the user has, what dt does, why, from where; and the list for containers" {
    NCCL_DEBUG=INFO FI_EFA_MTU_SIZE=9000 NCCL_DEBGU=INFO NCCL_HOME=/x CUDA_HOME=/y run srun -N2 -n2 --dt-env=explain true
    assert_code 0
    assert_lines 1 '^dt: no rule has anything to say of .*CUDA_HOME, NCCL_HOME'
    assert_lines 1 '^dt: abort +refuse +FI_EFA_MTU_SIZE +9000'
    assert_lines 1 '^dt: fine +set-if-unset +FI_EFA_USE_HUGE_PAGE +0'
    assert_lines 1 '^dt: no-effect +warn +NCCL_DEBGU'
    assert_says "yours: INFO, from the environment of srun"
    assert_says "source: "
    assert_lines 1 '^dt: .*--container-env=FI_EFA_USE_HUGE_PAGE,NCCL_DEBUG$'
}

@test "a libfabric of the job's own: the ranks get what that one needs" {
    mkdir -p old/pkgconfig
    printf 'const char dt_text[] = "x";\n' | "${CC:-gcc}" -shared -fPIC -x c - -o old/libfabric.so.1
    printf 'Name: libfabric\nVersion: 1.17.1\n' >old/pkgconfig/libfabric.pc
    run srun -N2 -n2 --dt-env sh -c 'echo "got <$FI_EFA_USE_DEVICE_RDMA>"'
    assert_lines 2 '^got <>$'
    LD_LIBRARY_PATH=$PWD/old run srun -N2 -n2 --dt-env sh -c 'echo "got <$FI_EFA_USE_DEVICE_RDMA>"'
    assert_code 0
    assert_lines 2 '^got <1>$'
    # what the version that the nodes have would refuse is fine with this one
    LD_LIBRARY_PATH=$PWD/old FI_EFA_MTU_SIZE=9000 run srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_code 0
    assert_lines 2 '^a rank ran$'
}

@test "rules of the admin: over the user's value, away with it, or off; nothing else can" {
    { site_rule force set NCCL_DEBUG VERSION
      site_rule away unset NCCL_IB_HCA
      printf 'rule "no-huge-pages" {\n    action = off\n}\n'; } | site_rules
    NCCL_DEBUG=INFO NCCL_IB_HCA=mlx5 run srun -N2 -n2 --dt-env --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 2 1 NCCL_DEBUG=INFO NCCL_IB_HCA=mlx5
    run tr '\0' '\n' <rank-1
    assert_says "NCCL_DEBUG=VERSION"
    assert_silent_about "NCCL_IB_HCA="
    assert_silent_about "FI_EFA_USE_HUGE_PAGE"
    assert_says "DT_ENV_APPLIED=NCCL_DEBUG,-NCCL_IB_HCA"
}

@test "a value that depends on the rank is each rank's own" {
    site_rule mine set-if-unset SITE_RANK 'r${rank.local}' | site_rules
    run srun -N2 --ntasks-per-node=3 --dt-env sh -c 'echo "got $SLURM_LOCALID $SITE_RANK $DT_ENV_APPLIED"'
    assert_code 0
    assert_lines 6 '^got ([012]) r\1 .*SITE_RANK'
    SITE_RANK=own run srun -N2 --ntasks-per-node=3 --dt-env sh -c 'echo "got $SITE_RANK"'
    assert_lines 6 '^got own$'
}

@test "a mistake in the rules file: file, line and word are told, the last good rules stay, the job runs" {
    run srun -N2 -n2 --dt-env --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 2 1
    sed -i '0,/action = set-if-unset/s//action = sett-if-unset/' "$share/env-rules.conf"
    run srun -N2 -n2 --dt-env --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 2 1 # the plan, too, is made from the copy that is kept
    run cat rank-0
    assert_says "FI_EFA_USE_HUGE_PAGE=0"
    run srun -N2 -n2 --dt-env echo "a rank ran"
    assert_lines 1 "^dt: warning: .*env-rules.conf:[0-9]+: .*sett-if-unset.*the last rules that were right are used"
    run srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_code 0
    assert_lines 2 '^a rank ran$'
    assert_says "sett-if-unset"
}

@test "a mistake and no copy: no rule is used, never half of them" {
    sed -i '$s/.*/rule "cut off" {/' "$share/env-rules.conf"
    run srun -N2 -n2 --dt-env sh -c 'env | grep -E "^(FI_|NCCL_|DT_ENV)"'
    assert_code 0
    assert_silent_about FI_EFA
    assert_lines 2 '^DT_ENV_APPLIED=$'
    assert_lines 1 "^dt: warning: .*env-rules.conf:[0-9]+: .*goes on without rules"
    site_rule half sett NCCL_DEBUG VERSION | site_rules
    cp "$BATS_TEST_TMPDIR/env-rules.conf" "$share"
    run srun -n1 --dt-env sh -c 'echo "[$DT_ENV_APPLIED]"'
    assert_code 0
    assert_says "FI_EFA_USE_HUGE_PAGE"
    assert_lines 1 "^dt: warning: .*site.conf:[0-9]+: .*goes on without the admin's rules"
}

@test "env-on-bad-rules=refuse: no rank starts" {
    echo 'env-on-bad-rules = refuse' >>"$conf"
    sed -i '$s/.*/rule "cut off" {/' "$share/env-rules.conf"
    timed srun -N2 -n2 --dt-validate --dt-report=report echo "a rank ran"
    assert_code 78
    assert_under_ms 2000
    assert_silent_about "a rank ran"
    assert_nodes_healthy
    run report_says report
    assert_says "env-rules.conf:[0-9]*: "
    assert_silent_about "goes on without rules"
}

@test "containers: with dt's line after that of pyxis, the image's values stay, and dt fills the rest" {
    image_plugin before NCCL_DEBUG=IMAGE FI_EFA_USE_HUGE_PAGE=1
    NCCL_DEBUG=INFO run srun -N2 -n2 --dt-env sh -c 'echo "got $NCCL_DEBUG $FI_EFA_USE_HUGE_PAGE [$DT_ENV_APPLIED]"'
    assert_code 0
    assert_lines 2 '^got IMAGE 1 \[\]$'
    site_rule force set NCCL_DEBUG VERSION | site_rules
    NCCL_DEBUG=INFO run srun -N2 -n2 --dt-env sh -c 'echo "got $NCCL_DEBUG $FI_EFA_USE_HUGE_PAGE [$DT_ENV_APPLIED]"'
    assert_lines 2 '^got VERSION 1 \[NCCL_DEBUG\]$'
}

@test "containers: with an image that sets nothing of these, the plan survives" {
    image_plugin before PATH="$PATH" IMAGE=1
    run srun -N2 -n2 --dt-env --output=rank-%t cat /proc/self/environ
    assert_code 0
    assert_planned 2 1
}

@test "dt-launch where the plugin has not been sets the same, for each rank its own" {
    site_rule mine set-if-unset SITE_RANK 'r${rank.local}' | site_rules
    mkdir bin
    cp "$prefix/bin/dt-launch" bin
    printf '#!/bin/sh\ncommand=$1\nshift\nexec %s/bin/dt-env "$command" --config %s "$@"\n' "$prefix" "$conf" >bin/dt-env
    chmod +x bin/dt-env
    # this machine's own libfabric is in its loader's cache; the nodes' is not
    export LD_LIBRARY_PATH=/opt/amazon/efa/lib64
    NCCL_DEBUG=WARN run srun -N2 --ntasks-per-node=2 --output=rank-%t bin/dt-launch --env auto -- cat /proc/self/environ
    assert_code 0
    assert_planned 4 2 NCCL_DEBUG=WARN LD_LIBRARY_PATH=/opt/amazon/efa/lib64
    run tr '\0' '\n' <rank-3
    assert_says "SITE_RANK=r1"
}
