# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What all cluster tests use: a cluster of their own, its Slurm commands, and assertions about jobs and nodes.
#
#   load common
#   setup_file()    { cluster_up --nodes 4; }        # one cluster a file, named after it
#   teardown_file() { cluster_down; }
#   setup()         { cluster_enter; }
#   @test "..." {
#       timed srun -N4 --dt-validate true            # bats' run, and $elapsed_ms: see tests/timing.bash
#       assert_code 0; assert_under_ms 2000; assert_job COMPLETED; assert_nodes_healthy
#   }

bats_require_minimum_version 1.5.0

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# BUILD may be given relative to the repository, as make does.
DT_BUILD=$(cd "$REPOSITORY" && readlink -m -- "${BUILD:-build}")
DT_CLUSTER_PROGRAM=$REPOSITORY/contrib/localcluster/dt-cluster

# A name of its own per test file and build, so that files run in parallel, and so do two checkouts.
CLUSTER=$(basename "${BATS_TEST_FILENAME:-test}" .bats)
CLUSTER=t$(cksum <<<"$DT_BUILD" | awk '{ printf "%04x", $1 % 65536 }')-${CLUSTER:0:12}
export REPOSITORY DT_BUILD CLUSTER

# shellcheck source=tests/timing.bash
source "$REPOSITORY/tests/timing.bash"

dt_cluster() {
    "$DT_CLUSTER_PROGRAM" "$@"
}

# Skips where the machine can not do it, unless DT_CLUSTER_REQUIRED is set (as in CI): a skipped test is no
# proof.
cluster_needed() {
    [[ $EUID == 0 || -n ${DT_CLUSTER_REQUIRED:-} ]] || skip "cluster tests need root"
}

cluster_up() { # ARGUMENTS of dt-cluster up
    cluster_needed
    dt_cluster down --name "$CLUSTER" >/dev/null
    # bats waits for all that holds its descriptor 3.
    dt_cluster up --name "$CLUSTER" --build "$DT_BUILD" "$@" 3>&-
}

cluster_down() {
    dt_cluster down --name "$CLUSTER"
}

# Slurm's commands of this file's cluster, a clean environment, and a directory that all nodes share.
cluster_enter() { # [NAME]
    local variable
    for variable in $(compgen -e | grep -E '^(SLURM|SBATCH|SALLOC|DT)_'); do
        case $variable in
        DT_BUILD | DT_CORPUS | DT_CLUSTER_PROGRAM | DT_CLUSTER_REQUIRED) ;;
        *) unset "$variable" ;;
        esac
    done
    eval "$(dt_cluster env --name "${1:-$CLUSTER}")"
    cd "$DT_CLUSTER_SHARED" || return 1
    jobs_gone
}

# What assert_under_ms compares with on a slow machine: the median of three bare steps over all nodes that fail.
baseline_ms() {
    local start took=()
    for _ in 1 2 3; do
        jobs_gone || return 1
        start=${EPOCHREALTIME/./}
        DT_VALIDATE=off DT_ENV=off DT_BIND=off timeout 60 \
            srun -K -N"$DT_CLUSTER_NODES" -n"$DT_CLUSTER_NODES" false >/dev/null 2>&1 || true
        took+=($(((${EPOCHREALTIME/./} - start) / 1000)))
    done
    printf '%s\n' "${took[@]}" | sort -n | sed -n 2p
}

before_try() { jobs_gone; }

# Until no job runs and no node still cleans up after one: the next srun then starts at once.
jobs_gone() { jobs_gone_within 60; }

jobs_gone_within() { # SECONDS
    local deadline=$((SECONDS + $1))
    until ! squeue --noheader --format=%T | grep -q . &&
        ! sinfo --noheader --format=%T | grep -q -E 'compl|alloc|mix'; do
        ((SECONDS < deadline)) || { echo "jobs are still there:" && squeue --states=all && sinfo --Node --long && return 1; }
        sleep 0.05
    done
}

# The newest job, or a field of it: last_job JobId, last_job JobState, last_job Reason ...
last_job() { # FIELD
    local field=${1:-JobId}
    scontrol --oneliner show job |
        awk -v field="$field" '
            { split($1, id, "="); if (id[2] + 0 > newest) { newest = id[2] + 0; line = $0 } }
            END {
                n = split(line, words, " ")
                for (i = 1; i <= n; i++)
                    if (index(words[i], field "=") == 1) { print substr(words[i], length(field) + 2); exit }
            }'
}

# ---- assertions: each says what was there instead ------------------------------------------------

tell() {
    printf '%s\n' "$*" "--- exit code ${status:-none}, output:" "${output:-}" >&2
    return 1
}

assert_code() { # CODE
    [[ $status == "$1" ]] || tell "exit code $status, expected $1"
}

assert_failed() {
    [[ $status != 0 ]] || tell "exit code 0, expected a failure"
}

assert_says() { # TEXT (a glob pattern)
    # shellcheck disable=SC2053 # a pattern on purpose
    [[ $output == *$1* ]] || tell "output lacks: $1"
}

assert_silent_about() { # TEXT (a glob pattern)
    # shellcheck disable=SC2053
    [[ $output != *$1* ]] || tell "output holds: $1"
}

assert_lines() { # COUNT PATTERN: as many lines match (grep -E)
    local count
    count=$(grep -c -E -- "$2" <<<"$output" || true)
    [[ $count == "$1" ]] || tell "$count lines match $2, expected $1"
}

job_is() { # STATE (a regular expression)
    [[ $(last_job JobState) =~ ^($1)$ ]]
}

job_has_ended() {
    ! job_is 'PENDING|RUNNING|COMPLETING|SUSPENDED'
}

# The newest job's state, once it has ended.
assert_job() { # STATE
    until_ok job_has_ended
    job_is "$1" || tell "job $(last_job JobId) is $(last_job JobState) ($(last_job Reason)), expected $1"
}

# No node is drained, down or failing.
assert_nodes_healthy() {
    local bad
    bad=$(sinfo --noheader --Node --format='%N %T %E' | grep -i -E ' [a-z]*(drain|down|fail|unknown|\*)' || true)
    [[ -z $bad ]] || tell "nodes are not healthy: $bad"
}

# Nothing that dt starts is left on the host or in the nodes: dt-node, dt-gather. They end with the step, so
# the 8 s are for a busy machine, and less than dt's own deadlines of 10 s and more.
assert_no_helpers() {
    local deadline=$((SECONDS + 8)) left
    while left=$(pgrep -a -f "^[^ ]*/run/dt-cluster/$DT_CLUSTER/prefix/libexec/dt/dt-(node|gather)"); do
        ((SECONDS < deadline)) || tell "helpers are still running: $left" || return
        sleep 0.05
    done
}

# Nothing of a cluster remains on the machine.
assert_nothing_left() { # NAME [BRIDGE]
    local state=/run/dt-cluster/$1 left
    [[ ! -e $state && ! -e $state.lock ]] || tell "$state is still there"
    left=$(grep -lzsxF "DT_CLUSTER_MARK=$state" /proc/[0-9]*/environ || true)
    [[ -z $left ]] || tell "processes are still there: $left"
    left=$(pgrep -a -f "/run/dt-cluster/$1/" || true)
    [[ -z $left ]] || tell "processes are still there: $left"
    left=$(grep -h "/run/dt-cluster/$1[/ ]" /proc/self/mountinfo || true)
    [[ -z $left ]] || tell "mounts are still there: $left"
    if [[ -n ${2:-} ]]; then
        left=$(ip -o link show | grep -E " $2(n[0-9]+)?[@:]" || true)
        [[ -z $left ]] || tell "network devices are still there: $left"
    fi
    left=$(ip netns list)
    [[ $left != *"$1"* ]] || tell "network namespaces are still there: $left"
}

# A plugin that does what pyxis does: puts the environment of an image over that of the job.
image_plugin() { # "before" or "after" dt's line; NAME=VALUE... of the image
    local where=$1 line plugstack=/run/dt-cluster/$CLUSTER/etc/plugstack.conf
    shift
    cat >"$BATS_TEST_TMPDIR/image.c" <<'C'
#include <stdlib.h>
#include <string.h>
#include <slurm/spank.h>
SPANK_PLUGIN(image, 1)
int slurm_spank_task_init(spank_t spank, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        *equals = '\0';
        spank_setenv(spank, words[i], equals + 1, 1);
        *equals = '=';
    }
    return 0;
}
C
    "${CC:-gcc}" -shared -fPIC -I"${SLURM_PREFIX:-/usr}/include" "$BATS_TEST_TMPDIR/image.c" -o "$PWD/image.so"
    line="required $PWD/image.so $*"
    if [[ $where == before ]]; then
        sed -i "1i $line" "$plugstack"
    else
        echo "$line" >>"$plugstack"
    fi
}
