#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input on a real Slurm: one sentence, a documented exit code, and never a hang, a drained node, or a job
# that ran although it should not have.
#
# What is wrong, and the test that proves it:
#   unknown option value             "an option value ..." (all options in all three commands: tests/cli/plugin.bats)
#   DT_* garbage                     "garbage in any DT_ variable ..."
#   unreadable config                "a configuration file that ...", "... on one node", "a data file ..."
#   foreign-owned config             the same
#   world-writable helper directory  "a helper directory ..."
#   unknown instance type            "a type that ..."
#   no GPU, no EFA                   "no GPU ...", "no EFA ..."
#   report of 1 GB, HTTP, a token    "strangers at the gather's port ..."
#   node dies before the verdict     refusals.bats: after its report; tests/cli/gather.bats: before it
#   disk full for --dt-report        "a full disk ..."

# shellcheck disable=SC2016 # the shells of the ranks expand them

load steps

dt_conf() { changing prefix/etc/dt/dt.conf; }

@test "an option value that is unknown is refused before anything is allocated" {
    local before
    before=$(last_job)
    timed srun -N2 --dt-validate=fats echo "a rank ran"
    assert_code 255
    assert_under_ms 2000
    assert_lines 1 'error: dt: .*did you mean fast'
    [ "$(last_job)" = "$before" ]
}

@test "garbage in any DT_ variable is refused before anything is allocated, and says which" {
    local before garbage
    before=$(last_job)
    for garbage in VALIDATE=fsat ENV=yes BIND=near BIND=auto,far SHIM=yes ON_FAIL=never TIMEOUT=-1 TIMEOUT=1e999 \
        "VALIDATE=$(printf '\033[2J')" "VALIDATE=$(head -c 100000 /dev/zero | tr '\0' x)"; do
        timed env "DT_$garbage" srun -N2 echo "a rank ran"
        assert_code 64
        assert_under_ms 2000
        assert_lines 1 "dt: DT_${garbage%%=*}="
        assert_silent_about $'\033'
        ((${#output} < 1000)) || tell "a sentence of ${#output} bytes"
    done
    [ "$(last_job)" = "$before" ]
}

@test "DT_ variables that are right work" {
    DT_VALIDATE=fast run srun -N2 sh -c 'echo "$DT_VERDICT"'
    assert_code 0
    assert_lines 2 '^go:'
}

@test "a configuration file that is missing, no file, foreign, writable or wrong: 78, and which" {
    local conf wrong
    conf=$(dt_conf)
    while IFS='|' read -r wrong sentence; do
        cp -a "$BATS_TEST_TMPDIR/kept/prefix/etc/dt/dt.conf" "$conf"
        eval "$wrong"
        timed srun -N2 -n2 --dt-validate echo "a rank ran"
        rm -rf "$conf"
        assert_not_started 78
        assert_lines 1 "dt: $conf.*$sentence.*; nothing was started"
    done <<'TEXT'
rm "$conf"|can not be read: No such file
rm "$conf"; mkdir "$conf"|is not a regular file
chown 65534 "$conf"|belongs to user 65534; it must belong to root
chmod 666 "$conf"|is writable by
echo "colour = red" >>"$conf"|:[0-9]+: unknown option 'colour'
head -c 100000 /dev/urandom >"$conf"|
TEXT
}

@test "a configuration file that the user may not read: 78, and which" {
    chmod 600 "$(dt_conf)"
    timed setpriv --reuid=65534 --regid=65534 --clear-groups srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_not_started 78
    assert_lines 1 "dt: .*/dt.conf can not be read: Permission denied; nothing was started"
}

@test "a configuration file that is wrong on one node: the node is named with it" {
    will_break 2
    echo 'colour = red' >conf
    on_node 2 mount --bind "$PWD/conf" "/run/dt-cluster/$CLUSTER/prefix/etc/dt/dt.conf"
    timed srun -N3 -n3 --dt-validate echo "a rank ran"
    assert_refused 78
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
    assert_says "colour"
}

@test "a data file that is missing, or foreign: 78 on the nodes" {
    local table
    table=$(changing prefix/share/dt/instances.conf)
    chown 65534 "$table"
    timed srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_refused 78
    assert_lines 1 "^dt: 2 of 2 nodes did NOT report"
    rm "$table"
    timed srun -N2 -n2 --dt-bind echo "a rank ran"
    assert_refused 78
    assert_says "$table is missing: install dt's data files there, or set data-directory"
}

@test "a helper directory that everyone can write is not used" {
    local helpers=$DT_CLUSTER_SHARED/helpers
    mkdir -p "$helpers"
    cp -r "/run/dt-cluster/$CLUSTER/prefix/libexec/dt/"* "$helpers"
    chmod 777 "$helpers"
    plugin_arguments "helpers=$helpers"
    timed srun -N2 -n2 --dt-validate echo "a rank ran"
    assert_not_started 67
    assert_lines 1 'writable by everyone .* and is not trusted'
    timed srun -N2 -n2 --dt-env echo "a rank ran" # found on the nodes
    assert_refused 67
    assert_lines 2 "^dt: node $CLUSTER-[12]: .* is writable by everyone"
}

@test "a type that no table describes: told where there is EFA, and the job runs" {
    will_break 2
    echo x9.huge >type
    on_node 2 mount --bind "$PWD/type" /sys/class/dmi/id/product_name
    run srun -w "$CLUSTER-2" -N1 --dt-validate echo "a rank ran"
    assert_code 0
    assert_lines 1 '^a rank ran$'
    assert_lines 1 '^dt: +WARN +[^ ]+ +efa-count +32 EFA devices'
    assert_says "x9.huge"
}

@test "a type that dt.conf names and no table describes: 78" {
    echo 'instance-type = "x9.huge"' >>"$(dt_conf)"
    timed srun -N2 -n2 --dt-bind echo "a rank ran"
    assert_refused 78
    assert_says '/dt.conf: instance-type "x9.huge" is not described in '
    timed srun -N2 -n2 --dt-validate --dt-report=report echo "a rank ran"
    assert_refused 78
    grep -q 'x9.huge' report
}

@test "no GPU where the type has eight: 65, and the node is named" {
    break_node 2 gpu-off-bus gpu-off-bus gpu-off-bus gpu-off-bus gpu-off-bus gpu-off-bus gpu-off-bus gpu-off-bus
    timed srun -N3 -n3 --dt-validate echo "a rank ran"
    assert_refused 65
    assert_lines 1 "^dt: .*$CLUSTER-2 +gpu-count +0 GPUs"
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
}

@test "no EFA where the type has 32: 65, and the node is named" {
    will_break 2
    on_node 2 mount -t tmpfs none /sys/class/infiniband
    timed srun -N3 -n3 --dt-validate echo "a rank ran"
    assert_refused 65
    assert_lines 1 "^dt: .*$CLUSTER-2 +efa-count +0 EFA devices"
    assert_lines 1 "^dt: .*--exclude=$CLUSTER-2 "
}

@test "a full disk under --dt-report: 73, or with --dt-on-fail=warn a warning" {
    local file
    mkdir -p tiny
    mount -t tmpfs -o size=4k none tiny
    mount_point=$PWD/tiny
    for file in tiny/report /dev/full; do
        timed srun -N3 -n3 --dt-validate "--dt-report=$file" echo "a rank ran"
        assert_refused 73
        assert_lines 1 "^dt: report file '$file' can not be written: No space left on device; nothing was started\$"
    done
    [ -z "$(ls -A tiny)" ] || tell "half a report is left"
    run srun -N3 -n3 --dt-validate --dt-report=tiny/report --dt-on-fail=warn echo "a rank ran"
    assert_code 0
    assert_lines 3 '^a rank ran$'
    assert_lines 1 "^dt: warning: report file 'tiny/report' can not be written"
    timed srun -N3 -n3 --dt-validate --dt-report=missing/report echo "a rank ran"
    assert_not_started 73
    assert_lines 1 "dt: report file 'missing/report' can not be written: No such file or directory; nothing was started"
}

@test "strangers at the gather's port while a node is late: cut off, not told about, and the job runs" {
    late_node 2 4
    step_start -N3 -n3 --dt-validate --dt-timeout=60 echo "a rank ran"
    run timeout 60 python3 - "$srun" <<'PYTHON'
import json, re, socket, struct, subprocess, sys, time
while True:
    gather = subprocess.run(["pgrep", "-P", sys.argv[1], "dt-gather"], capture_output=True, text=True).stdout.split()
    sockets = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
    port = gather and re.search(r":(\d+) .*pid=%s," % gather[0], sockets)
    if port: break
    time.sleep(0.01)

def say(what, data):
    s = socket.create_connection(("127.0.0.1", int(port.group(1))))
    s.settimeout(30)
    answer = b""
    try:
        s.sendall(data)
        answer = s.recv(100)
    except ConnectionError:
        pass
    print(what, answer)

hello = json.dumps({"type": "hello", "dt": 1, "token": "0" * 32, "node": "stranger", "nodeid": 1, "nodes": 3,
                    "step": "1.0", "het_group": -1, "het_size": 0, "tasks": 1}).encode()
say("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
say("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64))
say("1 GB", struct.pack(">I", 1 << 30) + bytes(100000))
say("4 GB", struct.pack(">I", 0xffffffff) + b"{}")
say("token", struct.pack(">I", len(hello)) + hello)
say("nothing", b"")
peak = re.search(r"VmHWM:\s+(\d+) kB", open("/proc/%s/status" % gather[0]).read())
print("peak MiB", int(peak.group(1)) // 1024)
PYTHON
    assert_code 0
    assert_lines 6 " b''\$"
    ((${lines[6]#peak MiB } < 64)) || tell "dt-gather took ${lines[6]}"
    step_ended
    assert_code 0
    assert_lines 3 '^a rank ran$'
    assert_lines 1 '^dt: 3 nodes fit'
    assert_silent_about "token"
    assert_silent_about "stranger"
    assert_silent_about "protocol"
}
