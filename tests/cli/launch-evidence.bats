#!/usr/bin/env bats
# What tells why a rank died: its core, the kernel's log, memory that ran out.

bats_require_minimum_version 1.5.0
load launch

setup() { launch_setup; }

teardown() {
    [ -z "${group:-}" ] || rmdir "$group" 2>/dev/null || true
}

tell() {
    printf '%s\n' "$*" "--- code ${status:-none}" "${output:-}" >&2
    return 1
}

crash() { # of rank 1
    "$launch" --nproc-per-node 2 "$@" -- python3 -c 'import ctypes, os, time
if os.environ["RANK"] == "1": ctypes.string_at(0)
time.sleep(30)'
}

@test "a crash without a core says how to get one" {
    [[ $(cat /proc/sys/kernel/core_pattern) != '|'* ]] || skip "cores go to a program here"
    run -139 bash -c "ulimit -Sc 0; $(declare -f crash); launch='$launch'; crash"
    [[ $output == *"rank 1 ("*"killed by signal 11 (SIGSEGV)"*": no core was written as ulimit -c is 0 (--ulimit core=unlimited)"* ]] || tell "no hint"
}

@test "a core is found by the kernel's pattern, and its backtrace is shown where gdb is" {
    [[ $(cat /proc/sys/kernel/core_pattern) != '|'* ]] || skip "cores go to a program here"
    [[ $(ulimit -Hc) == unlimited || $EUID == 0 ]] || skip "no core may be written"
    run -139 crash --ulimit core=unlimited
    [[ $output == *"rank 1 ("*"(SIGSEGV, core dumped)"*": its core is "*core* ]] || tell "no core"
    command -v gdb >/dev/null || skip "no gdb for the rest"
    [[ $output == *"dt-launch: backtrace of rank 1, from "*"  | #0 "* ]] || tell "no backtrace"
}

@test "an ordinary error says nothing of cores" {
    run -3 "$launch" -- sh -c 'exit 3'
    [[ $output != *core* ]] || tell "told"
    run -143 "$launch" -- sh -c 'kill -TERM $$'
    [[ $output != *core* ]] || tell "told"
}

@test "an Xid since the start is told with the rank that died; older ones and strangers' are not" {
    [ "$EUID" -eq 0 ] || skip "needs a mount"
    printf '6,1,100,-;NVRM: Xid (PCI:0000:3b:00): 31, old\n' >kmsg
    cat >rank.sh <<'SH'
test $RANK = 1 || exec sleep 30
echo "14,2,200,-;NVRM: Xid (PCI:0000:3b:00): 48, a program wrote this" >>kmsg
echo "3,3,300,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, GPU has fallen off the bus." >>kmsg
echo "3,4,400,-;usb 1-1: new device" >>kmsg
exit 9
SH
    run -9 unshare -m bash -c "mount --bind kmsg /dev/kmsg && '$launch' --nproc-per-node 2 -- sh rank.sh"
    [[ $output == *"rank 1 ("*"exited with code 9"*": the kernel says: NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, GPU has fallen off the bus."* ]] || tell "not told"
    [[ $output != *"old"* && $output != *"a program wrote"* && $output != *usb* ]] || tell "too much"
}

# A memory cgroup of ours with 96 MiB.
small_group() {
    [ "$EUID" -eq 0 ] || skip "needs a memory cgroup"
    if [ -d /sys/fs/cgroup/memory ]; then
        group=/sys/fs/cgroup/memory/dt-test-$$
        mkdir "$group" 2>/dev/null || skip "no memory cgroup can be made"
        echo $((96 << 20)) >"$group/memory.limit_in_bytes" || skip "no limit"
    else
        group=/sys/fs/cgroup/dt-test-$$
        mkdir "$group" 2>/dev/null || skip "no memory cgroup can be made"
        echo $((96 << 20)) >"$group/memory.max" || skip "no limit"
        echo 0 >"$group/memory.swap.max" || true
    fi
}

@test "out of memory: a real cgroup, a real kill; the rank is named with the reason" {
    small_group
    run -137 bash -c "echo \$\$ >'$group/cgroup.procs' && exec '$launch' --nproc-per-node 2 -- python3 -c '
import os, time
if os.environ[\"RANK\"] == \"1\": x = b\"x\" * (300 << 20)
time.sleep(30)'"
    [[ $output == *"rank 1 ("*"killed by signal 9 (SIGKILL)"*": out of memory, the kernel has killed a process of this cgroup"* ]] || tell "not told"
}

@test "out of memory in a rank's child: told with the rank that says so" {
    small_group
    cat >parent.py <<'PY'
import os, signal, subprocess, sys, time
if os.environ["RANK"] == "1":
    child = subprocess.run([sys.executable, "-c", "x = b'x' * (300 << 20)"])
    if child.returncode == -signal.SIGKILL:
        raise RuntimeError("DataLoader worker is killed by signal: Killed.")
time.sleep(30)
PY
    run -1 bash -c "echo \$\$ >'$group/cgroup.procs' && exec '$launch' --nproc-per-node 2 -- python3 parent.py"
    [[ $output == *"rank 1 ("*": out of memory, the kernel has killed a process of this cgroup"*"RuntimeError"* ]] || tell "not told"
}

@test "a kill that was not for memory is not called so" {
    small_group
    run -137 bash -c "echo \$\$ >'$group/cgroup.procs' && exec '$launch' -- sh -c 'kill -9 \$\$'"
    [[ $output == *"SIGKILL"* && $output != *memory* ]] || tell "told"
}
