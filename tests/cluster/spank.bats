#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin on a real Slurm: what ranks get, and every way to fail. A refused step ends once, quickly, with
# its code, state FAILED, one readable sentence, and all nodes in service.

# shellcheck disable=SC2016 # the shells of the ranks expand them

load common

setup_file() { cluster_up --nodes 3 --as p5.48xlarge; }
teardown_file() { cluster_down; }
setup() { cluster_enter; }
teardown() {
    [[ -z ${broken:-} ]] || dt_cluster heal "$broken" --name "$CLUSTER"
    [[ -z ${plugstack:-} ]] || cp "$BATS_TEST_TMPDIR/plugstack.conf" "$plugstack"
}

break_node() { # NUMBER FAULT
    broken=$CLUSTER-$1
    dt_cluster break "$broken" "$2" --name "$CLUSTER"
}

# The plugin's line of all nodes and of srun with more arguments, until the test ends.
plugin_arguments() { # ARGUMENTS
    plugstack=/run/dt-cluster/$CLUSTER/etc/plugstack.conf
    cp "$plugstack" "$BATS_TEST_TMPDIR/plugstack.conf"
    sed -i "s|\$| $*|" "$plugstack"
}

# What each refusal must look like.
assert_refused() { # CODE
    assert_code "$1"
    assert_under_ms 2000
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
    assert_silent_about "a rank ran"
}

@test "no option: nothing is started, nothing is said, nothing is set" {
    run srun -N3 -n3 sh -c 'echo ran; env | grep -E "^SLURM_DT_|^DT_(VERDICT|BIND|ENV)|KILL_BAD|^MASTER_|^RANK=" || true'
    assert_code 0
    [ "$output" = $'ran\nran\nran' ] || tell "more than the program's own lines"
}

@test "validation: every rank has its place, one verdict, and no token" {
    timed srun -N3 --ntasks-per-node=2 --dt-validate sh -c \
        'echo "got $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK $DT_VERDICT $MASTER_ADDR:$MASTER_PORT";
         env | grep -E "^SLURM_DT_|^SLURM_KILL_BAD_EXIT" || true'
    assert_code 0
    assert_under_ms 2000
    assert_job COMPLETED
    assert_lines 6 '^got [0-5]/6 [01]/2 [0-2] go:[0-9]+\.0 .+:[0-9]+$'
    [ "$(grep -o 'go:.*' <<<"$output" | sort -u | wc -l)" -eq 1 ]
    assert_silent_about SLURM_DT_
    assert_silent_about SLURM_KILL_BAD_EXIT
    assert_no_helpers
}

@test "the masks of the ranks are those of the plan" {
    run srun -N2 --ntasks-per-node=2 --dt-bind sh -c \
        'echo "plan=$DT_BIND_CPUS real=$(sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status)"'
    assert_code 0
    assert_lines 4 '^plan='
    while IFS='= ' read -r _ plan _ real; do
        [ "$plan" = "$real" ] || tell "plan $plan, but the rank has $real"
    done < <(grep '^plan=' <<<"$output")
}

@test "the memory policy of the ranks is the one asked for" {
    local policy
    for policy in bind interleave preferred local; do
        run srun -N1 -n1 "--dt-bind=auto,$policy" sh -c 'echo "plan=$DT_BIND_MEMORY"; cut -d" " -f2 /proc/self/numa_maps | sort | uniq -c | sort -rn'
        assert_code 0
        assert_lines 1 "^plan=$policy"
        # The kernel's word for the rank's own mappings; "prefer:0", "bind:0", "interleave:0", "local".
        case $policy in
        preferred) assert_lines 1 '^ *[0-9]+ prefer(=relative|=static)?( \(many\))?:[0-9]' ;;
        local) assert_lines 1 '^ *[0-9]+ local$' ;;
        *) assert_lines 1 "^ *[0-9]+ $policy:[0-9]" ;;
        esac
        assert_silent_about "dt:"
    done
}

@test "the table and the binding are said once, in one style" {
    run srun -N3 -n3 --dt-validate true
    assert_code 0
    assert_lines 1 '^dt:   env: '
    assert_lines 1 '^dt:   bind: '
    assert_lines 0 '^dt: (env|bind):'
}

@test "the reserved port can be bound by the program" {
    run srun -N2 -n2 --dt-validate python3 -c '
import os, socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if os.environ["RANK"] == "0":
    s.bind(("", int(os.environ["MASTER_PORT"]))); s.listen(); print("listening")'
    assert_code 0
    assert_says listening
}

for_fault() { # FAULT WORD: the node is named, with the check's name
    break_node 2 "$1"
    timed srun -N3 -n3 --dt-validate echo "a rank ran"
    assert_refused 65
    assert_says "$CLUSTER-2"
    assert_says "$2"
    assert_says "--exclude"
}

@test "broken: a GPU is lost" { for_fault gpu-lost gpu; }
@test "broken: an EFA port is down" { for_fault efa-port-down efa; }
@test "broken: the memlock limit is low" { for_fault memlock-low memlock; }
@test "broken: /dev/shm is small" { for_fault shm-small shm; }
@test "broken: another kernel" { for_fault kernel-odd kernel; }
@test "broken: another libfabric" { for_fault libfabric-odd libfabric; }
@test "broken: the clock is off" { for_fault clock-off clock; }
@test "broken: a file system is read-only" { for_fault fs-readonly writ; }

@test "broken, but --dt-on-fail=warn: the ranks run and the node is named" {
    break_node 2 shm-small
    run srun -N3 -n3 --dt-validate --dt-on-fail=warn echo "a rank ran"
    assert_code 0
    assert_lines 3 "^a rank ran$"
    assert_says "$CLUSTER-2"
}

@test "a helper that crashes is named with its signal" {
    break_node 2 helper-crash
    timed srun -N3 -n3 --dt-validate echo "a rank ran" # nobody waits for the default 10 s
    assert_refused 67
    assert_lines 1 "dt-node was killed by" # in the table, and nowhere else
    assert_says "signal 11"
    assert_says "$CLUSTER-2"
    assert_says "--exclude"
}

@test "a helper that hangs is killed" {
    break_node 2 helper-hang
    timed srun -N3 -n3 --dt-validate --dt-timeout=0.2 echo "a rank ran"
    assert_failed
    assert_job FAILED
    assert_nodes_healthy
    assert_no_helpers
    assert_silent_about "a rank ran"
    assert_says "$CLUSTER-2"
}

@test "a node without the plugin does not run a validated job" {
    break_node 2 no-plugin
    timed srun -N3 -n3 --dt-validate --dt-timeout=0.5 "/run/dt-cluster/$CLUSTER/prefix/bin/dt-launch" -- echo "a rank ran"
    assert_failed
    assert_job FAILED
    assert_nodes_healthy
    assert_silent_about "a rank ran"
}

@test "a firewall before the gather's port: the node is named" {
    break_node 2 firewall
    timed srun -N3 -n3 --dt-validate --dt-timeout=0.5 echo "a rank ran"
    assert_refused 66
    assert_says "$CLUSTER-2"
}

@test "a wrong token: the stranger is cut off at once, and nothing is printed about it" {
    break_node 2 helper-hang
    srun -N3 -n3 --dt-validate --dt-timeout=1 echo "a rank ran" >out 2>&1 3>&- &
    local srun=$!
    run timeout 10 python3 - "$srun" <<'PYTHON'
import json, re, socket, struct, subprocess, sys, time
for _ in range(200):
    gather = subprocess.run(["pgrep", "-P", sys.argv[1], "dt-gather"], capture_output=True, text=True).stdout.split()
    sockets = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
    port = gather and re.search(r":(\d+) .*pid=%s," % gather[0], sockets)
    if port: break
    time.sleep(0.01)
s = socket.create_connection(("127.0.0.1", int(port.group(1))))
hello = json.dumps({"type": "hello", "dt": 1, "token": "0" * 32, "node": "stranger", "nodeid": 1, "nodes": 3,
                    "step": "1.0", "het_group": -1, "het_size": 0, "tasks": 1}).encode()
s.sendall(struct.pack(">I", len(hello)) + hello)
s.settimeout(0.5)
try:
    print("answer:", s.recv(100))
except ConnectionResetError:
    print("answer: b''")
PYTHON
    assert_code 0
    assert_says "answer: b''"
    status=0
    wait "$srun" || status=$?
    assert_failed
    run cat out
    assert_silent_about stranger
    assert_silent_about "a rank ran"
    assert_says "$CLUSTER-2"
    assert_nodes_healthy
}

@test "srun killed: no helper stays behind" {
    break_node 2 helper-hang
    srun -N3 -n3 --dt-validate sleep 30 3>&- &
    sleep 0.3
    kill -9 $!
    wait $! || true
    dt_cluster heal "$broken" --name "$CLUSTER"
    broken=
    scancel --state=running --me 2>/dev/null || true
    jobs_gone
    assert_no_helpers
    assert_nodes_healthy
}

@test "sbatch hands its options to the sruns of the script; theirs win" {
    run sbatch --wait -N2 --output=out --dt-validate --wrap '
        srun sh -c "echo first \$DT_VERDICT"; srun --dt-validate=off sh -c "echo second [\$DT_VERDICT]"'
    assert_code 0
    output=$(<out)
    assert_lines 2 '^first go:[0-9]+\.0$'
    assert_lines 2 '^second \[\]$'
}

@test "salloc hands its options to srun" {
    run salloc -N2 --dt-validate srun sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
}

@test "an array: each job has its own verdict" {
    run sbatch --wait --array=1-2 -N1 --output=array-%a --wrap 'srun --dt-validate sh -c "echo \$DT_VERDICT"'
    assert_code 0
    [ "$(cat array-1 array-2 | grep '^go:' | sort -u | wc -l)" -eq 2 ]
}

@test "a het job: one verdict, ranks counted over all components" {
    printf '%s\n' '#!/bin/bash' '#SBATCH -N1 -n1' '#SBATCH hetjob' '#SBATCH -N1 -n2' \
        'srun --het-group=0,1 --dt-validate sh -c "echo \$RANK/\$WORLD_SIZE \$DT_VERDICT"' >het.sh
    run sbatch --wait --output=het.out het.sh
    output=$(<het.out)
    assert_lines 3 '^[012]/3 go:'
}

@test "--overlap: two steps at a time, each with its verdict" {
    run salloc -N1 --overcommit sh -c 'for i in 1 2; do
        srun --overlap -n1 --dt-validate sh -c "echo \$DT_VERDICT; sleep 0.3" & done; wait'
    assert_code 0
    assert_lines 2 '^go:'
}

@test "--export=NONE: settings and rendezvous arrive all the same" {
    run srun -N2 --export=NONE --dt-validate /bin/sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
}

@test "DT_ variables work, and garbage in one is refused before anything is allocated" {
    DT_VALIDATE=fast run srun -N2 sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
    local before
    before=$(last_job)
    DT_VALIDATE=fsat run srun -N2 echo "a rank ran"
    assert_code 64
    assert_lines 1 "DT_VALIDATE=fsat: 'fsat' is unknown; it must be fast, full, deep or off .did you mean fast"
    [ "$(last_job)" = "$before" ]
}

@test "a wrong option value is refused before anything is allocated" {
    local before
    before=$(last_job)
    run srun -N2 --dt-validate=fats echo "a rank ran"
    assert_code 255
    assert_lines 1 'error: dt: .*did you mean fast'
    [ "$(last_job)" = "$before" ]
}

@test "a default in plugstack.conf holds for all, and the user can switch it off" {
    plugin_arguments validate=fast
    run srun -N2 sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
    run srun -N2 --dt-validate=off sh -c 'echo "[$DT_VERDICT]"'
    assert_lines 2 '^\[\]$'
    assert_silent_about "dt:"
}

@test "a helper directory that everyone can write is not used" {
    local helpers=$DT_CLUSTER_SHARED/helpers
    mkdir -p "$helpers"
    cp "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/"* "$helpers"
    chmod 777 "$helpers"
    plugin_arguments "helpers=$helpers"
    timed srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_code 67
    assert_under_ms 2000
    assert_lines 1 'writable by everyone .* and is not trusted'
    assert_silent_about "a rank ran"
    assert_nodes_healthy
    timed srun -N2 -n2 --dt-env echo "a rank ran" # found on the nodes
    assert_refused 67
    assert_lines 2 "^dt: node $CLUSTER-[12]: .* is writable by everyone"
}
