#!/usr/bin/env bats
# dt-gather against nodes that speak its protocol well, badly, late and not at all.

load ../timing

nodes() { run timeout 120 python3 tests/cli/fake_nodes.py "$@"; }
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
setup() { dir=$BATS_TEST_TMPDIR; gather=${BUILD:-build}/libexec/dt-gather; }

@test "64 good nodes: go, and soon" {
    nodes soon 64
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    has "exit 0"
    echo "# $(grep -m1 -o 'verdict after.*' <<<"$output")" >&3
}
@test "a failed check: no-go, node and check named" { nodes one_failing; has "exit 65"; has n1; has memlock; has "'go': False"; }
@test "on-fail=warn: go in spite of it" { nodes one_failing --on-fail warn; has "exit 0"; has n1; }
@test "an odd node is named" { nodes odd_kernel; has "exit 65"; has n2; has 5.4.0; }
@test "a missing node is named by the node list" { nodes missing --nodelist 'p5-[1-3]'; has "exit 66"; has p5-3; has "no connection in 0."; }
@test "a missing node without a list is named by number" { nodes missing; has "exit 66"; has "node 3 of 3"; }
@test "HTTP, 1 GB frames, wrong tokens: closed, counted, told as a hint" { nodes bad_peers; has "exit 66"; has "3 connections with a wrong token were refused"; has "4 connections that did not speak"; }
@test "a slow stranger is dropped" { nodes slow_peer; [ "$status" -eq 0 ]; has "exit 0"; }
@test "strangers beyond the limit are closed, nodes still get in" { nodes many_strangers; has "closed at once 20"; has "exit 0"; }
@test "death after the report is named" { nodes death after "$dir/r"; [ "$status" -eq 0 ]; has "exit 66"; has "n1"; grep -q "closed its connection after its report" "$dir/r"; }
@test "death before the report is named" { nodes death before "$dir/r"; [ "$status" -eq 0 ]; has "exit 66"; grep -q "closed its connection before its report" "$dir/r"; }
@test "a dt-node that is gone: its plugin says why, and the table says it once" {
    local when
    for when in before after early; do
        nodes explained "$when"
        [ "$status" -eq 0 ] || { echo "$output"; false; }
        has "exit 67"
        [ "$(grep -c "dt-node was killed by" <<<"$(grep "^dt: " <<<"$output")")" -eq 1 ] || { echo "$output"; false; }
        [[ "$output" != *"closed its connection"* ]] || { echo "$when: $output"; false; }
    done
}
@test "the step ends before the verdict: one sentence names whom it waited for" {
    nodes end
    has "dt: the step ended before dt's verdict: 2 of 3 nodes did not report: n[1-2] (no connection in"
    [ "$(grep -c "^dt: " <<<"$output")" -eq 1 ] || { echo "$output"; false; }
}
@test "of two nodes with one id the first report wins" { nodes duplicate; [ "$status" -eq 0 ]; has "exit 0"; has "2 second reports"; }
@test "a node that could not check itself" { nodes failed; has "exit 78"; has "/etc/dt.conf:3: oops"; has n1; has "tell the admin"; }
@test "a refused variable fails the job and is named" { nodes env_refused; has "exit 65"; has "FI_PROVIDER=sockets"; }
@test "a report of a wrong shape loses its node" { nodes bad_report; has "exit 66"; has n1; }
@test "srun gone: silent and quick" { nodes srun_gone; [ "$status" -eq 0 ]; has "exit 0"; [[ "$output" != *"did not report"* ]]; }
@test "het components, told by srun" { nodes het; has "exit 0"; has "[[1, 1], [2, 2]]"; }
@test "every port of the range in use" { nodes ports "$(python3 tests/cli/fake_nodes.py free_port)"; has "fail 67 all 1 ports of the range"; has "exit 67"; }

crowd() { run timeout 120 "${BUILD:-build}/tools/crowd" "$@" "$dir/node.json" "$gather"; }
number() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" <<<"$output"; }
real_report() { # of a p5.48xlarge
    "${BUILD:-build}/localcluster/dt-personality" tree --instances configs/instances.conf --type p5.48xlarge --out "$dir/tree" >/dev/null
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$PWD/configs" >"$dir/dt.conf"
    "${BUILD:-build}/libexec/dt-node" --print --json --root "$dir/tree" --config "$dir/dt.conf" >"$dir/node.json" || true
}
@test "1000 nodes of a real tree: all hear the verdict, 4 KB a report, little memory; one odd node is named" {
    real_report
    crowd --nodes 1000 --odd 777
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    has "n00777"; has "code=65"
    [ "$(number report_bytes)" -le 4096 ]
    [ "$(number rss_mib)" -le 64 ]
}
@test "2000 nodes that connect at one moment: no report is lost, and the odd node is the one that is named" {
    real_report
    crowd --nodes 2000 --storm --odd 1234 --file "$dir/r.json"
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    has "code=65"; has "lost=0"
    jq -e '(.nodes | length) == 2000 and ([.nodes[] | select(.facts == {} or .lost != null)] == [])' "$dir/r.json"
    jq -e '[.nodes[].facts["node.name"]] == [range(2000) | "n" + ("0000" + tostring)[-5:]]' "$dir/r.json"
    jq -e '.verdict.exclude == "n01234"' "$dir/r.json"
}
# Signs of life that are asked for at one moment are lost on the way, and nodes that live are taken for dead.
@test "many nodes are not asked for a sign of life at one moment" {
    real_report
    "${BUILD:-build}/tools/crowd" --nodes 1500 --late 40 "$dir/node.json" "$gather" 3>&- &
    local crowd=$! timers
    timers() { ss -Htnop | grep "dt-gather.*timer:(keepalive," ; }
    all_there() { [ "$(timers | wc -l)" -ge 1490 ]; }
    until_ok all_there
    timers=$(timers | grep -oE 'keepalive,[^,]*')
    kill "$crowd"
    wait "$crowd" || true
    # next asked in more than a second (ss says 3.904ms then): a third at least, of four turns
    [ "$(grep -cE '[0-9](sec|[.][0-9]+ms)' <<<"$timers")" -ge 500 ] || { sort <<<"$timers" | uniq -c; false; }
}
@test "fewer open files than nodes: told at the start, no node is blamed" {
    run bash -c "ulimit -n 100 && exec '$gather' --nodes 200 --nodelist 'n[1-200]'" </dev/null
    [ "$status" -eq 67 ]
    has "fail 67 a process may open 100 files where srun runs, and dt needs 232 for 200 nodes"
}
@test "64 nodes and a report file: the verdict's document has all facts and checks of each" {
    real_report
    crowd --nodes 64 --together --file "$dir/r.json"
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    python3 - "$dir/r.json" "$dir/node.json" <<'PY'
import json, sys
document, node = (json.load(open(path)) for path in sys.argv[1:])
assert len(document["nodes"]) == 64
for one in document["nodes"]:
    assert set(one["facts"]) >= set(node["facts"]), set(node["facts"]) - set(one["facts"])
    assert len(one["facts"]["efa.devices"]) == 32
    assert [c["name"] for c in one["checks"]] == [c["name"] for c in node["checks"]]
PY
}
@test "the report file is whole JSON and nothing is left beside it" {
    nodes all_good 2 --report "$dir/r.json"
    has "exit 0"
    python3 -m json.tool "$dir/r.json" >/dev/null
    [ "$(ls -A "$dir")" = r.json ]
}
@test "a report in JUnit's XML or Prometheus' text, by the file's name" {
    nodes all_good 2 --report "$dir/r.xml"
    has "exit 0"
    python3 -c '
import sys, xml.etree.ElementTree as tree
suites = tree.parse(sys.argv[1]).getroot().findall("testsuite")
assert [s.get("name") for s in suites] == ["n0", "n1"], [s.attrib for s in suites]' "$dir/r.xml"
    nodes one_failing --job 7.0 --report "$dir/r.prom"
    grep -qE '^dt_check_status\{slurm_job_id="7",node="n[0-9]",check="[a-z-]+"\} 2$' "$dir/r.prom"
    grep -qE '^dt_validate_status\{slurm_job_id="7",suite="fast"\} 2$' "$dir/r.prom"
    [ "$(ls -A "$dir")" = $'r.prom\nr.xml' ]
}
@test "a report on a file system that hangs: told in time, at the start and at the end" {
    mkdir "$dir/fsx"
    local beside=(unshare --mount --propagation private python3 tests/cli/hung_mount.py "$dir/fsx")
    run timeout 60 "${beside[@]}" "$gather" --nodes 1 --report "$dir/fsx/r.json" </dev/null
    [ "$status" -ne 77 ] || skip "no FUSE here"
    [ "$status" -eq 73 ]
    has "fail 73 report file '$dir/fsx/r.json' can not be written: its file system did not answer in 2000 ms"
    # It hangs when the report is due: the verdict is no-go 73, and comes while the nodes still wait.
    nodes hangs_late "$dir/late"
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    has "its file system did not answer in 5000 ms"; has "nothing was started"; has "exit 73"
}
@test "report in a missing directory: refused before anything starts" {
    run "$gather" --nodes 1 --report "$dir/no/r.json"
    [ "$status" -eq 73 ]
    has "fail 73 report file '$dir/no/r.json' can not be written: No such file or directory"
}
@test "report on a full disk: no-go 73, or a warning" {
    nodes one_failing --report /dev/full
    has "exit 65"
    nodes all_good 2 --report /dev/full
    [ "$status" -ne 0 ]
    nodes all_good 2 --report /dev/full --on-fail warn
    has "exit 0"; has "warning: report file '/dev/full' can not be written: No space left on device"
}
@test "usage errors" {
    for bad in "" "--nodes 0" "--nodes 1 --ports 5" "--nodes 1 --ports 9-5" "--nodes 1 --timeout x" "--nodes 1 --on-fail never" \
        "--nodes 1 --level huge" "--nodes 1 more" "--components 0"; do
        # shellcheck disable=SC2086
        run "$gather" $bad
        [ "$status" -eq 64 ] || { echo "'$bad': $status $output"; false; }
    done
    run "$gather" --nodes 1 --settings "2 validate=fast"
    [ "$status" -eq 64 ]
    run "$gather" --nodes 1 --settings "1 timeout=soon"
    [ "$status" -eq 64 ]
}
@test "a bad config or node list" {
    run "$gather" --nodes 1 --config "$dir/none.conf"
    [ "$status" -eq 78 ]; has "fail 78"
    run "$gather" --nodes 1 --nodelist 'a[1-'
    [ "$status" -eq 64 ]; has "fail 64"
}
