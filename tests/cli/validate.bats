#!/usr/bin/env bats
# dt-validate on trees that stand for machines: what it prints, its exit status, and for whom.

# shellcheck disable=SC2154 # stderr and lines are set by run
bats_require_minimum_version 1.5.0
load ../timing

# Trees are thousands of small files: in memory.
setup_file() {
    TREES=$(mktemp -d "/dev/shm/dt-validate.XXXXXX") || return 1
    export TREES
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    local build=${BUILD:-build} type
    for type in p5.48xlarge p4d.24xlarge trn1.32xlarge; do
        "$build/localcluster/dt-personality" tree --type "$type" --instances configs/instances.conf \
            --nvml "$build/localcluster/libnvidia-ml.so.1" --out "$TREES/$type" || return 1
    done
    install -m 0644 configs/*.conf "$TREES"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$TREES" >"$TREES/dt.conf"
}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    build=$(realpath "${BUILD:-build}")
    validate=$build/bin/dt-validate
    healthy=$TREES/p4d.24xlarge
}

teardown_file() { rm -rf "${TREES:?}"; }

has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
on() { # TREE OPTIONS...
    "$validate" --config "$TREES/dt.conf" --root "$1" "${@:2}"
}
broken() { broken_as p4d.24xlarge "$@"; }
broken_as() { # TYPE FAULT...: a broken tree, whose name is printed
    local copy=$TREES/broken type=$1
    shift
    rm -rf "$copy"
    "$build/localcluster/dt-personality" tree --type "$type" --instances configs/instances.conf \
        --nvml "$build/localcluster/libnvidia-ml.so.1" --out "$copy" || return 1
    "$build/localcluster/dt-personality" fault --root "$copy" "$@"
    echo "$copy"
}

@test "healthy machines pass at level fast" {
    local type
    for type in p5.48xlarge p4d.24xlarge trn1.32xlarge; do
        run -0 on "$TREES/$type"
        has "($type): PASS; "
        lacks FAIL; lacks WARN; lacks UNKNOWN
        [ "${#lines[@]}" -eq 1 ]
        run -0 on "$TREES/$type" --level full
        has "($type): PASS; "
    done
}

@test "healthy machines of other types, and with a job: no false alarm" {
    local type tree=$TREES/other
    for type in p4de.24xlarge p5e.48xlarge p5en.48xlarge p6-b200.48xlarge p6-b300.48xlarge p6e-gb200.36xlarge g5.48xlarge \
        g6.48xlarge g6e.48xlarge trn2.48xlarge inf2.48xlarge dl1.24xlarge; do
        rm -rf "$tree"
        "$build/localcluster/dt-personality" tree --type "$type" --instances configs/instances.conf \
            --nvml "$build/localcluster/libnvidia-ml.so.1" --out "$tree"
        run -0 on "$tree" --level full
        has "($type): PASS; "
        SLURM_JOB_ID=7 SLURM_STEP_GPUS=0,1 run -0 on "$tree" --level full
        has "($type): PASS; "
    done
}

@test "what concerns a GPU that the job does not have is no fault of its node" {
    local tree
    tree=$(broken gpu-stranger)
    SLURM_JOB_ID=7 SLURM_STEP_GPUS=0,7 run -2 on "$tree"
    has "process 4711 (python3, user 1007) holds 70000 MiB"
    SLURM_JOB_ID=7 SLURM_STEP_GPUS=0,1 run -0 on "$tree"
    # in no job, somebody may well be at work
    run -1 on "$tree"
    has "WARN     gpu-processes"
    tree=$(broken xid-79)
    SLURM_JOB_ID=7 SLURM_STEP_GPUS=0,1 run -0 on "$tree" --level full --all
    has "0 harmless, 1 of GPUs that this job does not have"
    # a number that no GPU has: then all may be the job's
    SLURM_JOB_ID=7 SLURM_STEP_GPUS=0,9 run -2 on "$tree" --level full
    has "FAIL     kernel-log"
}

# Every fault that can be planted and every healthy instance type, against every check and comparison.
@test "--selftest: each check can fail, each fault is found and blames no other, every healthy type passes" {
    run -0 "$validate" --config "$TREES/dt.conf" --selftest
    [[ "${lines[-1]}" =~ ^PASS:\ [0-9]+\ faults,\ [0-9]+\ healthy\ machines,\ [0-9]+\ checks,\ [0-9]+\ comparisons\; ]]
    # a line is as wide as a terminal
    [ "$(awk 'length > 80' <<<"$output" | wc -l)" -eq 0 ] || { awk 'length > 80' <<<"$output"; return 1; }
}

@test "--selftest: as JSON, a row a machine and a member a check" {
    run -0 --separate-stderr "$validate" --config "$TREES/dt.conf" --selftest --json
    local checks
    checks=$(("$("$validate" --list | wc -l)" - 1))
    jq -e --argjson checks "$checks" '.schema == 1 and .verdict == "PASS" and .wrong == [] and
        all(.machines[]; .checks | length == $checks) and
        ([.machines[] | select(.fault == null) | .type] | contains(["p5.48xlarge", "trn2.48xlarge"])) and
        ([.machines[] | select(.fault == "efa-lost") | .checks."efa-count", .comparisons."efa-count"] == ["FAIL", "FAIL"])' <<<"$output"
    # all of the matrix is printed, too, in lines that a terminal holds
    run -0 "$validate" --config "$TREES/dt.conf" --selftest --all
    has "F FAIL, W WARN"
    [ "$(awk 'length > 80' <<<"$output" | wc -l)" -eq 0 ]
}

@test "--selftest: what it needs and does not find is told, and is no pass" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    cp "$validate" "$BATS_TEST_TMPDIR/bin"
    cp "$TREES"/*.conf "$BATS_TEST_TMPDIR/"
    printf 'data-directory = "%s"\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/dt.conf"
    if [ ! -e /usr/local/libexec/dt/selftest/libnvidia-ml.so.1 ]; then
        run -67 "$BATS_TEST_TMPDIR/bin/dt-validate" --config "$BATS_TEST_TMPDIR/dt.conf" --selftest
        has "libnvidia-ml.so.1"
    fi
    run -64 "$validate" --selftest --prolog
    run -64 "$validate" --selftest --root /
    run -64 "$validate" --selftest --only efa-count
    # a table that checks need is missing: each machine is in trouble
    mv "$BATS_TEST_TMPDIR/xid.conf" "$BATS_TEST_TMPDIR/away"
    run -2 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --selftest
    has "xid.conf"
    mv "$BATS_TEST_TMPDIR/instances.conf" "$BATS_TEST_TMPDIR/away"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --selftest
    has "instances.conf"
}

@test "--selftest: ended by a signal it leaves nothing behind, and is no pass" {
    local pid code=0
    "$validate" --config "$TREES/dt.conf" --selftest >"$BATS_TEST_TMPDIR/out" 2>&1 &
    pid=$!
    until_ok compgen -G "/dev/shm/dt-selftest.$pid.*/0/tree/sys"
    kill -TERM "$pid"
    wait "$pid" || code=$?
    [ "$code" -eq 67 ]
    [[ "$(<"$BATS_TEST_TMPDIR/out")" == *"selftest: interrupted"* ]]
    run -1 compgen -G "/dev/shm/dt-selftest.$pid.*"
    # nor when it ends by itself
    "$validate" --config "$TREES/dt.conf" --selftest >/dev/null &
    pid=$!
    until_ok compgen -G "/dev/shm/dt-selftest.$pid.*"
    wait "$pid"
    run -1 compgen -G "/dev/shm/dt-selftest.$pid.*"
}

@test "a file system that is not mounted is no directory like any other" {
    printf 'data-directory = "%s"\nrequired-mounts = {"/fsx"}\n' "$TREES" >"$BATS_TEST_TMPDIR/mounts.conf"
    chmod 644 "$BATS_TEST_TMPDIR/mounts.conf"
    local tree
    tree=$(broken numa-balancing)
    sed -i '/fsx/d' "$tree/proc/self/mountinfo"
    run -2 "$validate" --config "$BATS_TEST_TMPDIR/mounts.conf" --root "$tree" --only fs-mounted
    has "no file system at /fsx: nothing is mounted there"; has "mount /fsx"
    echo '2 1 0:50 / /fsx rw - lustre 10.0.0.1@tcp:/fsx rw' >>"$tree/proc/self/mountinfo"
    run -0 "$validate" --config "$BATS_TEST_TMPDIR/mounts.conf" --root "$tree" --only fs-mounted
}

@test "kernel modules and services that the admin wants" {
    local tree
    printf '%s\n' "data-directory = \"$TREES\"" 'required-modules = {"ib-uverbs", "gdrdrv"}' \
        'required-processes = {"systemd", "nv-fabricmanager"}' >"$BATS_TEST_TMPDIR/wanted.conf"
    chmod 644 "$BATS_TEST_TMPDIR/wanted.conf"
    tree=$(broken numa-balancing)
    run -2 "$validate" --config "$BATS_TEST_TMPDIR/wanted.conf" --root "$tree" --only modules,services
    has "FAIL     modules          gdrdrv is missing"; has "modprobe gdrdrv"
    has "FAIL     services         nv-fabricmanager is missing"
    mkdir "$tree/sys/module/gdrdrv" "$tree/proc/77"
    echo '77 (nv-fabricmanage) S 1 1' >"$tree/proc/77/stat"
    run -0 "$validate" --config "$BATS_TEST_TMPDIR/wanted.conf" --root "$tree" --only modules,services
    echo 'required-modules = {"../x"}' >"$BATS_TEST_TMPDIR/wanted.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/wanted.conf"
    has "wanted.conf:1"; has "required-modules"
}

@test "a table of Xid codes with a mistake: 78 with file and line" {
    cp "$TREES"/*.conf "$BATS_TEST_TMPDIR/"
    echo 'xid 79 EXPLODE X M' >>"$BATS_TEST_TMPDIR/xid.conf"
    printf 'data-directory = "%s"\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/dt.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --root "$healthy" --level full
    has "xid.conf:"; has "'EXPLODE'"
    run -0 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --root "$healthy"
}

@test "--all shows each check of the level once" {
    run -0 on "$healthy" --all
    [ "$(grep -cE '^(PASS|SKIP)' <<<"$output")" = "$("$validate" --list | awk '$2 == "fast"' | wc -l)" ]
}

@test "--json: the contract" {
    run -2 on "$(broken gpu-reset efa-lost)" --json
    echo "$output" | jq -e '.schema == 1 and .verdict == "FAIL" and .severity == "REPLACE" and (.node | length > 0)'
    echo "$output" | jq -e '[.checks[] | select(.result == "FAIL") | .name] == ["gpu-recovery", "efa-count"]'
    echo "$output" | jq -e 'keys == ["checks","dt","level","node","schema","severity","type","us","verdict"]'
    echo "$output" | jq -e '.checks | all(has("name") and has("result") and has("severity") and has("value") and
        has("limit") and has("source") and has("us") and has("message"))'
    echo "$output" | jq -e '.checks[] | select(.name == "gpu-recovery") | .severity == "RESET" and
        (.value | test("^GPU 0000:[0-9a-f:.]+: the driver asks for a GPU reset$"))'
    python3 tests/cli/conform.py docs/validate.schema.json <<<"$output"
    on "$(broken efa-lost)" --json | jq -e '.checks[] | select(.name == "efa-count") |
        .number == {"unit": "count", "value": 3, "limit": 4}'
    on "$healthy" --level full --json | python3 tests/cli/conform.py docs/validate.schema.json
    # and the schema can be broken
    on "$healthy" --json | jq '.verdict = "FINE"' | { ! python3 tests/cli/conform.py docs/validate.schema.json; }
    on "$healthy" --json | jq '.checks[0].number.unit = "furlongs"' | { ! python3 tests/cli/conform.py docs/validate.schema.json; }
    run -0 on "$healthy" --json
    echo "$output" | jq -e '.verdict == "PASS" and .severity == "NONE" and all(.checks[]; .result == "PASS" or .result == "SKIP")'
}

@test "exit status: 0 pass, 1 warn, 2 fail, 3 unknown" {
    run -0 on "$healthy"
    run -1 on "$(broken numa-balancing)"
    has "WARN     numa-balancing"; has "MONITOR: sysctl kernel.numa_balancing=0"
    run -2 on "$(broken efa-port-down)"
    has "FAIL     efa-port"
    run -3 on "$(broken gpu-silent)"
    has "UNKNOWN  gpu-recovery"
    # a failure weighs more than what is not known
    run -2 on "$(broken gpu-silent efa-lost)"
    # and what is not known more than a warning
    run -3 on "$(broken gpu-silent numa-balancing)"
}

@test "exit status from 64 on: dt's own trouble" {
    run -64 "$validate" --level huge
    run -64 "$validate" --prolog --cron
    run -64 "$validate" --nagios --json
    run -64 "$validate" --only gpu-cont
    run -64 "$validate" more
    run -78 "$validate" --root "$BATS_TEST_TMPDIR/none"
    has "none"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/none.conf"
    echo 'colour = red' >"$BATS_TEST_TMPDIR/bad.conf"
    chmod 644 "$BATS_TEST_TMPDIR/bad.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/bad.conf"
    has "bad.conf:1"
    echo 'data-directory = "/nonexistent"' >"$BATS_TEST_TMPDIR/bad.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/bad.conf" --root "$healthy"
    has "/nonexistent/instances.conf is missing: install dt's data files there, or set data-directory in $BATS_TEST_TMPDIR/bad.conf"
    # shellcheck disable=SC2016 # expanded by the inner shell
    run -73 bash -c '"$1" --list >/dev/full' _ "$validate"
}

@test "a library that hangs costs its deadline, is named, and nothing else is" {
    run -3 on "$(broken nvml-hang)"
    has "did not answer in 500 ms"
    [ "$(grep -c '^UNKNOWN' <<<"$output")" -eq 2 ] # gpu-count and gpu-recovery
    lacks FAIL
}

# What NVML told of a tree, written into its dt-facts.json in its place.
recorded() { # TREE: a copy, whose name is printed
    local copy=$TREES/recorded
    rm -rf "$copy"
    cp -r "$1" "$copy"
    rm -r "$copy/usr/local/nvidia"
    "$build/libexec/dt-node" --print --json --root "$1" --config "$TREES/dt.conf" |
        jq -s '.[1] + (.[0].facts | with_entries(select(.key | startswith("gpu."))))' - "$1/dt-facts.json" >"$copy/dt-facts.json"
    echo "$copy"
}
started() { # TREE: what dt-validate starts there
    run -0 "$build/tools/starts" "$BATS_TEST_TMPDIR/starts" "$validate" --config "$TREES/dt.conf" --root "$1"
    cat "$BATS_TEST_TMPDIR/starts"
}

@test "level fast is one program in one process; a second process asks NVML" {
    "$build/tools/starts" "$BATS_TEST_TMPDIR/starts" sh -c 'true & /bin/true; (/bin/true); wait'
    grep -qE '^programs=3 processes=4 threads=0$' "$BATS_TEST_TMPDIR/starts" # it does count
    [ "$(started "$TREES/p5.48xlarge")" = "programs=1 processes=2 threads=0" ]
    [ "$(started "$(recorded "$TREES/p5.48xlarge")")" = "programs=1 processes=1 threads=0" ]
}

@test "a recorded tree is judged as the one that it was recorded from" {
    local tree
    verdicts() { on "$1" --json | jq -c '[.verdict, [.checks[] | [.name, .result, .value]]]'; }
    [ "$(verdicts "$TREES/p5.48xlarge")" = "$(verdicts "$(recorded "$TREES/p5.48xlarge")")" ]
    tree=$(broken_as p5.48xlarge gpu-reset gpu-ecc)
    [ "$(verdicts "$tree" | jq -r '.[0]')" = FAIL ]
    [ "$(verdicts "$tree")" = "$(verdicts "$(recorded "$tree")")" ]
}

@test "--only and --skip" {
    local tree
    tree=$(broken efa-lost numa-balancing)
    run -1 on "$tree" --skip efa-count
    lacks efa-count
    run -2 on "$tree" --only efa-count,gpu-count
    has "1 failed, 1 passed;"
    lacks numa
    # a check of a higher level runs when it is named
    run -0 on "$healthy" --only efa-gid
    has "1 passed; level full"
    run -64 on "$healthy" --only efa
    has "--only: there is no check 'efa'; did you mean efa-count?"
}

@test "--list and --explain know every check; the man page has them all" {
    run -0 "$validate" --list
    local name
    local -a names
    mapfile -t names < <(awk 'NR > 1 { print $1 }' <<<"$output")
    [ "${#names[@]}" -gt 30 ]
    for name in "${names[@]}"; do
        run -0 "$validate" --explain "$name"
        has "$name: "; has "Level "; has "severity "
        grep -q "^\\\\fB$name\\\\fR" "$build/man/dt-validate.8" || { echo "$name is not in the man page"; false; }
    done
    run -64 "$validate" --explain nonsense
    has "there is no check 'nonsense'"
}

@test "--prolog: tells what is wrong; without drain-on no node is drained for it; the job's own limits are not judged" {
    run -0 on "$healthy" --prolog
    [ -z "$output" ]
    run -0 on "$(broken gpu-rows-failed)" --prolog # on a node, with drain-on: tests/cluster/policy.bats
    has "FAIL     gpu-rows"; has "REPLACE: replace the instance"; has "not drained: "
    run -0 on "$(broken numa-balancing)" --prolog
    has WARN
    run -0 on "$(broken gpu-silent)" --prolog
    has UNKNOWN
    run -0 on "$(broken memlock nofile shm)" --prolog
    [ -z "$output" ]
    run -2 on "$(broken memlock)"
}

@test "--healthcheck and --prolog look for drain-on only on the node itself" {
    local broken
    broken=$(broken gpu-rows-failed)
    { cat "$TREES/dt.conf" && echo 'drain-on = {"REPLACE"}'; } >"$TREES/drain.conf"
    run -0 "$validate" --config "$TREES/drain.conf" --root "$broken" --prolog
    has "not drained: --root looks at another machine"
    run -2 "$validate" --config "$TREES/drain.conf" --root "$broken" --healthcheck
    has "not drained: --root looks at another machine"
}

# Lines of a Prometheus text file, as the textfile collector takes them: HELP and TYPE before a metric, each series once.
assert_prometheus() { # FILE
    python3 - "$1" <<'PY'
import re, sys
metric = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
typed, helped, series, ended = set(), set(), set(), set()
last = None
for line in open(sys.argv[1], encoding="utf-8").read().split("\n")[:-1]:
    found = re.fullmatch(r'# (HELP|TYPE) (%s) (.+)' % metric, line)
    if found:
        (helped if found[1] == "HELP" else typed).add(found[2])
        assert found[1] == "HELP" or found[3] == "gauge", line
        continue
    found = re.fullmatch(r'((%s)(?:\{%s(?:,%s)*\})?) -?[0-9]+(\.[0-9]+)?' % (metric, label, label), line)
    assert found, line
    assert found[2] in typed and found[2] in helped, line
    assert found[1] not in series, "twice: " + line
    series.add(found[1])
    if last not in (None, found[2]):
        ended.add(last)
    assert found[2] not in ended, "not in one piece: " + line
    last = found[2]
assert typed == {s.split("{")[0] for s in series}, typed
PY
}

@test "--prometheus: each metric with HELP and TYPE, each series once, the states as numbers" {
    SLURM_JOB_ID=77 run -2 on "$(broken efa-lost numa-balancing gpu-silent)" --prometheus
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/p.prom"
    assert_prometheus "$BATS_TEST_TMPDIR/p.prom"
    has 'dt_check_status{slurm_job_id="77",check="efa-count"} 2'
    has 'dt_check_status{slurm_job_id="77",check="gpu-recovery"} 4'
    has 'dt_check_status{slurm_job_id="77",check="numa-balancing"} 1'
    has 'dt_check_status{slurm_job_id="77",check="gpu-count"} 0'
    has 'dt_check_value{slurm_job_id="77",check="efa-count",unit="count"} 3'
    has 'dt_check_limit{slurm_job_id="77",check="efa-count",unit="count"} 4'
    lacks 'dt_check_value{slurm_job_id="77",check="gpu-recovery"'
    has 'dt_validate_status{slurm_job_id="77",suite="fast"} 2'
    has 'dt_validate_last_timestamp_seconds{slurm_job_id="77",suite="fast"} 1'
    run -0 on "$healthy" --prometheus
    has 'dt_check_status{check="gpu-count"} 0'
    has 'dt_build_info{version="'
    has 'dt_check_duration_seconds{check="gpu-count"} 0.'
    run -0 on "$healthy" --only gpu-recovery --prometheus # no number at all
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/p.prom"
    assert_prometheus "$BATS_TEST_TMPDIR/p.prom"
}

@test "--output: replaced as a whole, also for cron, and what can not be written is told" {
    local file=$BATS_TEST_TMPDIR/out/dt.prom
    mkdir "$BATS_TEST_TMPDIR/out"
    echo old >"$file"
    run -2 on "$(broken efa-lost)" --cron --prometheus --output "$file"
    has "FAIL     efa-count"
    assert_prometheus "$file"
    [ "$(ls -A "$BATS_TEST_TMPDIR/out")" = dt.prom ]
    run -73 on "$healthy" --json --output "$BATS_TEST_TMPDIR/none/x.json"
    has "--output: '$BATS_TEST_TMPDIR/none/x.json' can not be written: No such file or directory"
    run -73 on "$healthy" --json --output /dev/full
    has "No space left on device"
    run -64 on "$healthy" --output "$file"
    has "--output needs"
    run -64 on "$healthy" --json --junit
}

@test "--junit: a suite of the node, a case a check, counted right" {
    run -2 on "$(broken efa-lost gpu-silent numa-balancing)" --junit
    printf '%s\n' "$output" | python3 -c '
import sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
suite, = root.findall("testsuite")
cases = suite.findall("testcase")
assert int(suite.get("tests")) == len(cases) > 20, suite.attrib
for kind, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
    assert int(suite.get(count)) == len(suite.findall("testcase/" + kind)), kind
failure, = suite.findall("testcase/failure")
assert failure.get("type") == "REPLACE" and failure.get("message").endswith("EFA devices"), failure.attrib
assert [c.get("name") for c in cases if c.find("system-err") is not None] == ["numa-balancing"]
'
}

@test "--prolog: a mistake of the admin's drains no node, and is told" {
    echo 'colour = red' >"$BATS_TEST_TMPDIR/bad.conf"
    chmod 644 "$BATS_TEST_TMPDIR/bad.conf"
    run -0 "$validate" --config "$BATS_TEST_TMPDIR/bad.conf" --prolog
    has "not validated: "; has "bad.conf:1"
}

@test "--healthcheck and --cron print what is wrong, with the exit status of the verdict" {
    local mode
    for mode in --healthcheck --cron; do
        run -0 on "$healthy" $mode
        [ -z "$output" ]
        run -2 on "$(broken nvlink-down)" $mode
        has "11 of 12 NVLinks are up"
    done
}

@test "--nagios: one line, status words, performance data" {
    run -0 on "$healthy" --nagios
    [[ "$output" =~ ^DT\ OK:\ .*\ \|\ passed=[0-9]+\ failed=0\ warned=0\ unknown=0\ time=[0-9.]+s$ ]]
    run -1 on "$(broken numa-balancing)" --nagios
    has "DT WARNING: numa-balancing: "
    run -2 on "$(broken gpu-off-bus)" --nagios
    has "DT CRITICAL: gpu-count: "
    run -3 on "$(broken gpu-silent)" --nagios
    has "DT UNKNOWN: "
    [ "${#lines[@]}" -eq 1 ]
    run -3 "$validate" --config "$BATS_TEST_TMPDIR/none.conf" --nagios
    has "DT UNKNOWN: "
}

@test "dt-facts.json: taken from a tree, refused when wrong" {
    local copy
    copy=$(broken clock-free)
    run -1 on "$copy" --only clock-sync
    echo '{' >"$copy/dt-facts.json"
    run -78 on "$copy"
    has "dt-facts.json:"
    echo '{"a": {"b": 1}}' >"$copy/dt-facts.json"
    run -78 on "$copy"
    has "fact 'a'"
    echo '{"efa.count": null}' >"$copy/dt-facts.json"
    run -3 on "$copy" --only efa-count
}

# The working directory and TMPDIR hang, and the site's directories do not: each has its own deadline, at the same time. FUSE
# that nobody serves hangs at open. As above: 50 ms more than the deadline, or twice what a slow machine takes; the best of ten counts.
@test "of the directories that a job writes in, those that hang are named, and the others are tried" {
    local dir=$BATS_TEST_TMPDIR/places alone with took own allowed tries=''
    mkdir -p "$dir"/{hung,tmp,first,last}
    printf 'writable-paths = {"%s", "%s", "%s"}\n' "$dir/first" "$dir/hung" "$dir/last" | cat "$TREES/dt.conf" - >"$dir/dt.conf"
    local beside=(unshare --mount --propagation private python3 tests/cli/hung_mount.py "$dir/hung,$dir/tmp")
    local run_here=(env TMPDIR="$dir/tmp" "$validate" --config "$dir/dt.conf" --only fs-writable --json)
    run "${beside[@]}" true
    [ "$status" -ne 77 ] || skip "no FUSE, or no mount namespace, here: $output"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        alone=$("${run_here[@]}")
        with=$("${beside[@]}" "${run_here[@]}") || [ $? -eq 2 ]
        # two are bad, and none is unknown because of them
        grep -q "$dir/hung: did not answer in 500 ms.*, and 1 more\$" <<<"$(jq -r '.checks[0].value' <<<"$with")"
        took=$(jq .us <<<"$with") own=$(jq .us <<<"$alone")
        allowed=$((500000 + (2 * own > 50000 ? 2 * own : 50000)))
        tries+=" $took"
        ((took > allowed)) || return 0
    done
    echo "took$tries us, at most $allowed are allowed"
    return 1
}

# Names and results of all checks but `mounts`.
others() { jq -c '[.checks[] | select(.name != "mounts") | [.name, .result]]'; }

# dt-validate beside file systems that hang and others that do not: only the first are blamed, and no other check suffers.
# The whole takes the deadline of 500 ms, and 50 ms at most, or twice what a slow machine takes without them; the best of
# ten counts.
costs_one_deadline() { # HUNG,... HEALTHY,...
    local beside=(unshare --mount --propagation private python3 tests/cli/hung_mount.py --healthy "$2" "$1")
    local run_here=("$validate" --config "$TREES/dt.conf" --level full --json --skip memory-free --skip clock-sync)
    local alone with took own allowed tries=''
    mkdir -p ${1//,/ } ${2//,/ }
    run "${beside[@]}" stat --file-system ${2//,/ }
    [ "$status" -ne 77 ] || skip "no FUSE, or no mount namespace, here: $output"
    [ "$status" -eq 0 ]
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        alone=$("${run_here[@]}") || [ $? -le 3 ]
        with=$("${beside[@]}" "${run_here[@]}") || [ $? -eq 2 ]
        jq -e --arg hung "$1" '($hung | split(",")) as $paths | .checks[] | select(.name == "mounts") | .result == "FAIL" and
            (.value | startswith("fuse.hung \($paths[0]): did not answer in 500 ms")) and
            (.value | endswith(if ($paths | length) > 1 then ", and \(($paths | length) - 1) more" else "" end))' <<<"$with"
        [ "$(others <<<"$alone")" = "$(others <<<"$with")" ]
        took=$(jq .us <<<"$with") own=$(jq .us <<<"$alone")
        allowed=$((500000 + (2 * own > 50000 ? 2 * own : 50000)))
        tries+=" $took"
        ((took > allowed)) || return 0
    done
    echo "took$tries us, at most $allowed are allowed"
    return 1
}

@test "a file system that hangs beside healthy ones costs its deadline, is named, and they are not" {
    local dir=$BATS_TEST_TMPDIR
    costs_one_deadline "$dir/fsx" "$dir/home,$dir/data,$dir/apps"
}

@test "three file systems that hang cost one deadline, and are counted" {
    local dir=$BATS_TEST_TMPDIR
    costs_one_deadline "$dir/fsx,$dir/efs,$dir/old" "$dir/home"
}

# This machine as an EC2 instance with a metadata service (MODE of fake_imds.py), in namespaces of its own.
as_ec2() { # MODE CHECKS
    unshare --net --mount --propagation private bash -ec '
        mount -t tmpfs none /sys/devices/virtual
        mkdir -p /sys/devices/virtual/dmi/id
        echo "Amazon EC2" >/sys/devices/virtual/dmi/id/sys_vendor
        echo m5.large >/sys/devices/virtual/dmi/id/product_name
        mode=$1; shift
        [[ $mode != gone ]] || exec "$@"
        exec python3 tests/cli/fake_imds.py "$mode" "$@"' _ "$1" "$validate" --config "$TREES/dt.conf" --only "$2" --all
}

@test "the metadata service: asked with a token, bounded in time, and believed" {
    run unshare --net --mount true
    [ "$status" -eq 0 ] || skip "no namespaces here: $output"
    run -0 as_ec2 m5.large imds,ec2-type,maintenance
    has "PASS     imds             it answers"; has "EC2 says m5.large"; has "nothing is announced"
    run -1 as_ec2 p5.48xlarge ec2-type
    has "WARN     ec2-type         EC2 says p5.48xlarge; wanted: m5.large"
    run -2 as_ec2 stop maintenance
    has "FAIL     maintenance      EC2 interrupts this instance: terminate at 2026-09-18T08:22:00Z"
    run -1 as_ec2 silent imds,maintenance
    has "WARN     imds             did not answer in 500 ms"; has "SKIP     maintenance"
    run -1 as_ec2 v1 imds
    has "it gives no token"
    run -1 as_ec2 gone imds
    has "Network is unreachable"
    printf 'data-directory = "%s"\nimds = "off"\n' "$TREES" >"$BATS_TEST_TMPDIR/off.conf"
    chmod 644 "$BATS_TEST_TMPDIR/off.conf"
    run -0 "$validate" --config "$BATS_TEST_TMPDIR/off.conf" --root "$healthy" --only imds --all
    has "SKIP     imds"
    echo 'imds = "maybe"' >"$BATS_TEST_TMPDIR/off.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/off.conf"
    has "expected auto or off"
}
