#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin on a real Slurm: what ranks get, whichever way a step is started.
#
# Every way of a step, and the test that proves it:
#   success                    here: "validation: ..."; the masks, memory, port and variables beside it
#   broken nodes               refusals.bats: "broken: ..."
#   node without the plugin    refusals.bats: "a node without the plugin ..."
#   helper crashes, hangs      refusals.bats: "a helper that ..."
#   gather's port blocked      refusals.bats: "a firewall ..."
#   wrong token                badinput.bats: "strangers ..."
#   srun killed                refusals.bats: "srun killed ..."
#   sbatch, salloc, array      here, by their names; refused in a batch job: refusals.bats
#   het job                    here: "a het job ..."
#   --overlap, --export=NONE   here, by their names
#   64 nodes                   spank64.bats
#   bad input                  badinput.bats

# shellcheck disable=SC2016 # the shells of the ranks expand them

load steps

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

@test "sbatch hands its options to the sruns of the script; theirs win" {
    run sbatch --wait -N2 --output=out --dt-validate --wrap '
        srun sh -c "echo first \$DT_VERDICT"; srun --dt-validate=off sh -c "echo second [\$DT_VERDICT]"'
    assert_code 0
    output=$(<out)
    assert_lines 2 '^first go:[0-9]+\.0$'
    assert_lines 2 '^second \[\]$'
}

@test "an option wins over an exported variable also for a dt-launch in the step" {
    DT_BIND=auto run srun -N1 --dt-bind=off sh -c 'echo "DT_BIND=$DT_BIND"'
    assert_code 0
    assert_says "DT_BIND=off"
    DT_BIND=auto run srun -N1 sh -c 'echo "DT_BIND=$DT_BIND"'
    assert_says "DT_BIND=auto"
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

@test "a default in plugstack.conf holds for all, and the user can switch it off" {
    plugin_arguments validate=fast
    run srun -N2 sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
    run srun -N2 --dt-validate=off sh -c 'echo "[$DT_VERDICT]"'
    assert_lines 2 '^\[\]$'
    assert_silent_about "dt:"
}
