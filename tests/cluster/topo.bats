#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dt-topo about nodes of a real cluster, and that what it plans is what ranks then have.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 2 --as host,p5.48xlarge; }
teardown_file() { cluster_down; }

setup() {
    cluster_enter
    dt_topo=$(command -v dt-topo) # the staged one: the repository may lie below /tmp, and nodes have their own
    host=$CLUSTER-1
    p5=$CLUSTER-2
    config=$(sed -n 's/.* config=\([^ ]*\).*/\1/p' "$(dirname "$SLURM_CONF")/plugstack.conf")
    errors=$BATS_TEST_TMPDIR/errors
}

topo() { # [COMMAND] ARGUMENTS; what it says on stderr goes into $errors
    local command=()
    case ${1:-} in plan | compare) command=("$1") && shift ;; esac
    run timeout 120 sh -c 'errors=$1; shift; exec "$@" 2>"$errors"' sh "$errors" \
        "$dt_topo" "${command[@]}" --config "$config" "$@"
}
quiet() { [ ! -s "$errors" ] || tell "on stderr: $(cat "$errors")"; }

# What each rank has, by the kernel, and by DT_BIND_* where the kernel does not know: as lines of the plan's words.
ranks_have() { # OPTIONS of srun
    DT_BIND='' srun "$@" sh -c 'echo "$SLURM_LOCALID $(sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status)" \
        "$DT_BIND_MEMORY gpus=$DT_BIND_GPUS nics=$DT_BIND_NICS"' | sort -n
}
plan_says() {
    jq -r '.ranks[] | "\(.local_rank) \(.cpus) \(.policy):\(.memory | join(",")) gpus=\(.gpus | join(",")) nics=\(.nics | join(","))"' <<<"$output"
}
same() { # PLAN REALITY
    [[ -n $1 && $1 == "$2" ]] || tell "the plan says: $1" "the ranks have: $2"
}

@test "a node is drawn from its own sysfs, and nothing else is said" {
    topo "$p5" --ranks 8 --width 80
    assert_code 0
    quiet
    [ "${lines[0]}" = "p5.48xlarge: 2 packages, 2 NUMA nodes, 96 cores, 192 PUs, 8 GPUs, 32 NICs" ]
    [ "${lines[1]}" = "topology from: sysfs" ]
    assert_says "GPU 7   rank 7  0000:ca:00.0"
    topo --node "$p5" --ranks 8 -o node.svg
    assert_code 0
    grep -q 'GPU 7: rank 7' node.svg
    topo compare "$p5" --ranks 8
    assert_code 0
    quiet
    assert_says "linear order"
}

@test "a node that is full of a step of one's own job is drawn at once" {
    run timeout 120 salloc -Q -w "$p5" -N1 -n192 sh -c '
        srun -Q -n192 sh -c "[ \$SLURM_PROCID != 0 ] || touch started; until [ -e drawn ]; do sleep 0.05; done" &
        until [ -e started ]; do sleep 0.05; done
        timeout 60 "$1" --config "$2" "$3"
        echo "code=$?"
        touch drawn
        wait' sh "$dt_topo" "$config" "$p5"
    assert_code 0
    assert_says "8 GPUs, 32 NICs"
    assert_says "code=0"
}

@test "a node that is none, and one that has no answer: srun's or its sentence, and an exit code" {
    topo "$CLUSTER-99" --ranks 2
    assert_failed
    grep -q "node $CLUSTER-99 gave no answer" "$errors"
    topo plan "$p5" --ranks 2 --gpus 9
    assert_code 71
    grep -q "no '9' among the 8 accelerators" "$errors"
}

@test "the dry run is what ranks have: CPUs and memory on the host" {
    [ "$(nproc)" -ge 2 ] || skip "two CPUs are needed to tell masks apart"
    topo plan "$host" --ranks 2 --json
    assert_code 0
    same "$(plan_says)" "$(ranks_have -w "$host" -N1 -n2 --dt-bind --dt-nic=plan)"
}

@test "the dry run is what ranks have: CPUs, memory, GPUs and NICs on a p5" {
    allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    for ranks in 8 3; do
        topo plan "$p5" --ranks $ranks --allowed "$allowed" --json
        assert_code 0
        same "$(plan_says)" "$(ranks_have -w "$p5" -N1 -n$ranks --gres=gpu:8 --dt-bind --dt-nic=plan)"
    done
    topo plan "$p5" --ranks 2 --allowed "$allowed" --gpus 0,1,2,3 --memory bind --json
    assert_code 0
    same "$(plan_says)" "$(ranks_have -w "$p5" -N1 -n2 --gres=gpu:4 --dt-bind=auto,bind --dt-nic=plan)"
}
