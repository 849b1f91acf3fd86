#!/usr/bin/env bats
# dt-node by hand, and as the plugin runs it: request on fd 0, answers on fd 1, plan into fd 3.

load ../timing

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    node=$build/libexec/dt-node
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\nstate-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
}
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
request() { # validate, more lines
    printf 'dt-request 1\njob 7 step 0\nnode n0 id 0 of 1\ntasks local 1 total 1 first 0\nuser %d %d \ncwd /tmp\nvalidate %s\n' "$(id -u)" "$(id -g)" "$1"
    printf 'env auto\nbind auto\non-fail abort\nport 40123\n%s\nend\n' "${2:-timeout 1}"
}
session() { # request, masks: sent when dt-node has answered, as the plugin does
    local out=$dir/out
    rm -f "$out"
    {
        printf '%s\n' "$1"
        until_ok grep -qs checked "$out"
        printf '%s' "${2:-}"
    } | timeout 70 "$node" --config "$dir/dt.conf" >"$out" 3>"$dir/dt.conf.plan" || true
    output=$(<"$out")
}
serve() {
    python3 tests/cli/fake_nodes.py serve "$1" "$dir/port" 3>&- &
    server=$!
    until_ok test -e "$dir/port"
    local timeout=10 # where the answer comes, it is not waited for
    [ "$1" != silent ] || timeout=1
    rendezvous="timeout $timeout"$'\n'"rendezvous 1/127.0.0.1/$(cat "$dir/port")/0123456789abcdef0123456789abcdef"
}
teardown() { [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true; }

@test "garbage instead of a request" {
    session $'hello\nend'
    has "checked fail 67 loud this is no request of dt's plugin"
}
@test "no request at all" {
    run "$node" --config "$dir/dt.conf" 3>/dev/null </dev/null
    has "checked fail 67 loud the plugin closed the pipe without a request"
}
@test "missing, world-writable or wrong config: 78 with the file's name" {
    mv "$dir/dt.conf" "$dir/away"
    session "$(request off)"
    has "checked fail 78 loud"; has "$dir/dt.conf"
    mv "$dir/away" "$dir/dt.conf"; chmod 666 "$dir/dt.conf"
    session "$(request off)"
    has "checked fail 78 loud"; has "$dir/dt.conf"
    chmod 644 "$dir/dt.conf"; echo 'colour = red' >>"$dir/dt.conf"
    session "$(request off)"
    has "checked fail 78 loud"; has "dt.conf:$(wc -l <"$dir/dt.conf"): "
}
@test "without validation: go, and a plan for the masks" {
    session "$(request off)" $'mask 0 0\nend\n'
    [ "$output" = $'checked go\nplanned' ]
    grep -qx 'all default MASTER_ADDR 127.0.0.1' "$dir/dt.conf.plan"
    grep -qx 'rank 0 set RANK 0' "$dir/dt.conf.plan"
    grep -qx 'rank 0 cpus 0' "$dir/dt.conf.plan"
    grep -qx 'all bind-set SLURM_CPU_BIND_LIST 0x1' "$dir/dt.conf.plan"
    [ "$(tail -n1 "$dir/dt.conf.plan")" = end ]
    ! grep -q DT_VERDICT "$dir/dt.conf.plan"
}
@test "the user's own binding stands" {
    session "$(request off $'timeout 1\nenviron SLURM_CPU_BIND_TYPE=map_cpu:')" $'mask 0 0\nend\n'
    has planned
    ! grep -q 'rank 0 cpus\|SLURM_CPU_BIND' "$dir/dt.conf.plan"
}
@test "bad masks: planned fail 69" {
    session "$(request off)" $'mask 1 0\nend\n'
    has "planned fail 69 loud mask for local rank '1'"
}
@test "go from the gather: verdict, master and rank in the plan, clock in the report" {
    serve go
    session "$(request fast "$rendezvous")" $'mask 0 0\nend\n'
    [ "$output" = $'reported\nchecked go\nplanned' ] || { echo "$output"; false; }
    grep -qx 'all set DT_VERDICT go:7.0' "$dir/dt.conf.plan"
    grep -qx 'all default MASTER_ADDR 10.1.2.3' "$dir/dt.conf.plan"
    grep -qx 'all default MASTER_PORT 4321' "$dir/dt.conf.plan"
    grep -q '^rank 0 say dt:' "$dir/dt.conf.plan"
    python3 - "$dir/port.report" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
offset, rtt = report["facts"]["clock.offset_us"], report["facts"]["clock.rtt_us"]
assert 0 <= rtt < 10000000 and abs(offset) < 200000 + rtt, (offset, rtt)
assert report["port"] == 40123
PY
}
@test "no-go from the gather: quiet, with its code" {
    serve nogo
    session "$(request fast "$rendezvous")"
    [ "$output" = $'reported\nchecked fail 65 quiet because' ] || { echo "$output"; false; }
}
@test "bad config with validation: the gather hears of it" {
    serve nogo
    echo 'colour = red' >>"$dir/dt.conf"
    session "$(request fast "$rendezvous")"
    has "checked fail 78 quiet"
    grep -q '"type": "failed", "code": 78' "$dir/port.report"
}
@test "a gather that never answers: 66 at the deadline, for the log: it names the node itself" {
    serve silent
    session "$(request fast "$rendezvous")"
    has "checked fail 66 quiet node n0: dt-gather of srun can not be reached"; has "127.0.0.1"
}
@test "a gather that is not there: 66 with address and reason, for the log: srun tells" {
    port=$(python3 tests/cli/fake_nodes.py free_port)
    session "$(request fast "timeout 9"$'\n'"rendezvous 1/127.0.0.1/$port/0123456789abcdef0123456789abcdef")"
    has "checked fail 66 quiet"; has "127.0.0.1: Connection refused"
    [[ "$output" != *reported* ]]
}
@test "an address that can not be reached" {
    session "$(request fast $'timeout 0.6\nrendezvous 1/240.0.0.1/9/0123456789abcdef0123456789abcdef')"
    has "checked fail 66 quiet"; has "240.0.0.1: "
}
@test "a gather that takes the report and goes: 66, for the log: srun tells" {
    serve leave
    session "$(request fast "$rendezvous")"
    has $'reported\nchecked fail 66 quiet node n0: '; has "before its verdict"
}
@test "a gather that takes the report and never decides: loud 66, as nobody else tells" {
    serve undecided
    session "$(request fast "$rendezvous")"
    has $'reported\nchecked fail 66 loud node n0: '; has "gave no verdict"
}
@test "all checks and facts travel only when the gather wants a report file" {
    serve go
    session "$(request fast "$rendezvous")" $'mask 0 0\nend\n'
    until_ok test -e "$dir/port.details"
    mv "$dir/port.report" "$dir/without"
    grep -qx null "$dir/port.details"
    rm "$dir/port" "$dir/port.details"
    serve full
    session "$(request fast "$rendezvous")" $'mask 0 0\nend\n'
    until_ok test -e "$dir/port.details"
    python3 - "$dir/without" "$dir/port.report" "$dir/port.details" <<'PY'
import json, sys
without, report, details = (json.load(open(path)) for path in sys.argv[1:])
assert details["type"] == "detail" and "cpu.list" in details["facts"]
for one in without, report:
    assert "cpu.list" not in one["facts"] and len(json.dumps(one)) < 4096
    assert one["ran"] == sum(c["result"] != "SKIP" for c in details["checks"])
    wrong = [c["name"] for c in details["checks"] if c["result"] not in ("PASS", "SKIP")]
    assert [c["name"] for c in one["checks"]] == wrong, (one["checks"], wrong)
PY
}
@test "validation without a rendezvous: 68" {
    session "$(request fast)"
    has "checked fail 68 loud"
}
@test "the plugin goes away while dt-node waits: it ends" {
    serve silent
    local start=$SECONDS
    run timeout 60 "$node" --config "$dir/dt.conf" 3>/dev/null < <(request fast $'timeout 30\n'"${rendezvous#*$'\n'}")
    [ $((SECONDS - start)) -lt 25 ] # with a plugin that stays it waits for 31 s
    [ -z "$output" ]
}
@test "a p5.48xlarge tree: 8 ranks, one GPU and one NIC group each" {
    "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree" >/dev/null
    run "$node" --config "$dir/dt.conf" --print --json --root "$dir/tree"
    [ "$status" -le 3 ]
    python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["facts"]["efa.count"] == 32 and d["schema"] == 1' <<<"$output"
    run "$node" --config "$dir/dt.conf" --plan --ranks 8 --root "$dir/tree"
    [ "$status" -eq 0 ]
    [ "$(grep -c ' cpus ' <<<"$output")" -eq 8 ]
    [ "$(grep '^all default CUDA_VISIBLE_DEVICES GPU-' <<<"$output" | tr , '\n' | sort -u | wc -l)" -eq 8 ]
}
@test "usage errors" {
    for bad in "--print --plan" "--ranks 2" "--plan --ranks 0" "--plan --allowed x" "--print --level huge" "--print more" "--plan --json" "--root /"; do
        # shellcheck disable=SC2086
        run "$node" $bad </dev/null
        [ "$status" -eq 64 ] || { echo "'$bad': $status $output"; false; }
    done
    run "$node" --print --root "$dir/none"
    [ "$status" -eq 78 ]
}
