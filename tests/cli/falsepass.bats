#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Broken nodes that other tools have called healthy, and healthy ones that they have called broken: each case as a tree
# in which dt has to be right. The first line of a test says whose case it was, and what class of mistake it stands for.

# shellcheck disable=SC2154 # stderr and lines are set by run
bats_require_minimum_version 1.5.0

setup_file() {
    TREES=$(mktemp -d "/dev/shm/dt-falsepass.XXXXXX") || return 1
    export TREES
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    local build=${BUILD:-build} type
    for type in p5.48xlarge p4d.24xlarge p3dn.24xlarge p6-b300.48xlarge; do
        "$build/localcluster/dt-personality" tree --type "$type" --instances configs/instances.conf --settled \
            --nvml "$build/libexec/selftest/libnvidia-ml.so.1" --out "$TREES/$type" || return 1
    done
    install -m 0644 configs/*.conf "$TREES"
    printf 'data-directory = "%s"\ncache-directory = ""\nrequired-mounts = {"/fsx"}\n' "$TREES" >"$TREES/dt.conf"
}

teardown_file() { rm -rf "${TREES:?}"; }

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    build=$(realpath "${BUILD:-build}")
    validate=$build/bin/dt-validate
    tree=$TREES/tree
    rm -rf "$tree"
}

has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
machine() { cp -a "$TREES/$1" "$tree"; } # TYPE: a machine of its own for this test
plant() { "$build/localcluster/dt-personality" fault --root "$tree" "$@"; }
nvml() { printf '%s\n' "$@" >>"$tree/usr/local/nvidia/lib64/nvml.conf"; } # what the GPUs answer from now on
logged() { # MESSAGE...: in the kernel's log, an hour ago
    local message
    for message in "$@"; do printf '3,2,864000000000,-;%s\n' "$message"; done >>"$tree/dev/kmsg"
    printf '6,3,867600000000,-;eth0: up\n' >>"$tree/dev/kmsg"
}
look() { "$validate" --config "$TREES/dt.conf" --root "$tree" --level full "$@"; }
only() { # CHECKS: they, and no others, are not PASS
    local wrong
    wrong=$(look --json | jq -r '[.checks[] | select(.result != "PASS" and .result != "SKIP") | .name] | join(" ")')
    [ "$wrong" = "$1" ] || { echo "wrong: $wrong, not $1"; return 1; }
}
gpus() { awk '$1 == "gpu" { print $2 }' "$tree/usr/local/nvidia/lib64/nvml.conf"; }

# ---- broken, and called healthy ---------------------------------------------------------------------

@test "1: an answer that nobody expected" {
    # GPU cluster healthcheck, result of a newer DCGM: what could not be read was no failure
    machine p5.48xlarge
    nvml 'set * recovery 9'
    run -2 look
    has "FAIL     gpu-recovery"; has "which this dt does not know"
    # an Xid that no table has
    rm -rf "$tree"; machine p5.48xlarge
    logged 'NVRM: Xid (PCI:0000:ca:00): 999, a new kind of error'
    run -1 look
    has "WARN     kernel-log"; has "999"
}

@test "2: Xid 79 in the kernel's log, and no journal" {
    # GPU cluster healthcheck: the one source was not there, the other was never asked
    machine p5.48xlarge
    logged "NVRM: Xid (PCI:0000:ca:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    plant gpu-lost
    [ ! -e "$tree/var/log/journal" ] && [ ! -e "$tree/run/log/journal" ]
    run -2 look
    has "FAIL     kernel-log"; has "79"; has "FAIL     gpu-count"
}

@test "3: 31 of 32 EFA devices, and no instance metadata" {
    # GPU cluster healthcheck: without an answer of the metadata service 0 devices were wanted
    machine p5.48xlarge
    plant efa-lost
    run -2 unshare --net -- "$validate" --config "$TREES/dt.conf" --root "$tree"
    has "FAIL     efa-count"; has "31 EFA devices"; has "32"
}

@test "4, 5, 6: each word by which a driver asks for help" {
    # HyperPod dcgm.sh: of the severities and places of a failure some were known
    local action
    for action in 1 2 3 4; do
        rm -rf "$tree"; machine p5.48xlarge
        nvml "set $(gpus | tail -n 1) recovery $action"
        run -2 look
        has "FAIL     gpu-recovery"
    done
    for action in "rows_pending 1" "rows_failed 1" "ecc_uncorrected 1" "fabric 2" "fabric_status 999"; do
        rm -rf "$tree"; machine p5.48xlarge
        nvml "set $(gpus | tail -n 1) $action"
        run -2 look
        has FAIL
    done
}

@test "7: everything is broken" {
    # HyperPod precheck: a cross for each check, and exit status 0
    machine p5.48xlarge
    plant gpu-off-bus efa-lost efa-port-down memory-missing nvme-dead raid-degraded fsx-gone xid-nvlink memlock nofile
    local mode
    for mode in --all --json --healthcheck --cron --nagios; do
        run -2 look "$mode"
    done
    run -2 look --json
    [ "$(jq '[.checks[] | select(.result == "FAIL")] | length' <<<"$output")" -ge 9 ]
}

@test "8: a GPU that is not the first" {
    # gcm, dcgmi diag: the results of GPU 0 alone were read
    local gpu
    for gpu in $(cp -a "$TREES/p5.48xlarge" "$tree"; gpus); do
        rm -rf "$tree"; machine p5.48xlarge
        nvml "set $gpu ecc_uncorrected 2"
        run -2 look
        has "FAIL     gpu-ecc"; has "GPU $gpu"; lacks "more"
        only gpu-ecc
    done
}

@test "9: /fsx is not mounted" {
    # NHC, check_fs_free: df of the directory below answered for it
    machine p5.48xlarge
    plant fsx-gone
    [ -d "$tree/fsx" ]
    run -2 look
    has "FAIL     fs-mounted"; has "/fsx"
}

@test "10: a configuration that is not there" {
    # NHC: no configuration file, no check, exit status 0
    machine p5.48xlarge
    run -78 "$validate" --config "$TREES/none.conf" --root "$tree"
    has "none.conf"
    local table
    for table in instances xid counters; do
        mkdir "$BATS_TEST_TMPDIR/$table"
        install -m 644 configs/*.conf "$BATS_TEST_TMPDIR/$table"
        rm "$BATS_TEST_TMPDIR/$table/$table.conf"
        printf 'data-directory = "%s"\n' "$BATS_TEST_TMPDIR/$table" >"$BATS_TEST_TMPDIR/$table/dt.conf"
        run -78 "$validate" --config "$BATS_TEST_TMPDIR/$table/dt.conf" --root "$tree" --level full
        has "$table.conf"
    done
}

@test "11: a machine that no line is for" {
    # NHC: no line of the configuration matched the host, exit status 0
    machine p5.48xlarge
    echo p9.48xlarge >"$tree/sys/devices/virtual/dmi/id/product_name"
    run -1 look
    has "lacks p9.48xlarge"
    # and one that the admin has named wrongly
    printf 'data-directory = "%s"\ninstance-type = "p9.48xlarge"\n' "$TREES" >"$BATS_TEST_TMPDIR/dt.conf"
    run -78 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --root "$tree"
    has "p9.48xlarge"
}

@test "12: options in an order, or of a form, that was not meant" {
    # NHC: with its options in another order the arguments were evaluated as a command, exit status 0
    machine p5.48xlarge
    run -64 look efa-count --only
    run -64 look efa-count
    run -64 look --only "gpu-count efa-count"
    run -64 look --only ""
    run -64 look --level
    local line
    for line in 'required-mounts "/fsx"' '{"/fsx"} = required-mounts' 'required-mounts = {"/fsx"' 'requred-mounts = {"/fsx"}'; do
        printf 'data-directory = "%s"\n%s\n' "$TREES" "$line" >"$BATS_TEST_TMPDIR/dt.conf"
        run -78 "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --root "$tree"
        has "dt.conf:"
    done
}

@test "13: rows that wait, another VBIOS, the first of two events" {
    # Azure: a column that does not exist; a scalar counted as a list; the last event of a code alone
    machine p5.48xlarge
    nvml "set $(gpus | tail -n 1) rows_pending 1"
    run -2 look
    has "FAIL     gpu-rows"
    rm -rf "$tree"; machine p5.48xlarge
    plant gpu-vbios-odd
    run -1 look
    has "WARN     gpu-vbios"
    # GPU 0 is the job's, and an event of the same code came later from one that is not
    rm -rf "$tree"; machine p5.48xlarge
    nvml 'unset * recovery'
    logged "NVRM: Xid (PCI:0000:53:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus." \
        "NVRM: Xid (PCI:0000:ca:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    SLURM_JOB_ID=7 SLURM_STEP_GPUS=0 run -2 look
    has "FAIL     kernel-log"; has "PCI:0000:53:00"
}

@test "13: what is asked dies" {
    # Azure, x=\$(command &): the status of who started it was taken for that of who ran
    machine p5.48xlarge
    plant nvml-crash
    run -3 look
    has "UNKNOWN  gpu-count"; has "UNKNOWN  gpu-recovery"
}

@test "14: the driver's tool fails, is missing, is no library, hangs, answers with errors" {
    # ParallelCluster: a failing nvidia-smi, a missing dcgmi, a timeout, an exception and a lock all ended in exit status 0
    local library=usr/local/nvidia/lib64/libnvidia-ml.so.1
    machine p5.48xlarge; plant nvml-error
    run -2 look
    has "library version mismatch"
    rm -rf "$tree"; machine p5.48xlarge; rm "$tree/$library"
    run -3 look
    has "UNKNOWN  gpu-recovery"
    rm -rf "$tree"; machine p5.48xlarge; echo "no library" >"$tree/$library"
    run -3 look
    has "UNKNOWN  gpu-count"
    rm -rf "$tree"; machine p5.48xlarge; plant nvml-hang
    run -3 look
    has "did not answer in 500 ms"
    rm -rf "$tree"; machine p5.48xlarge; plant gpu-mute
    run -3 look
    has "nvmlDeviceGetRemappedRows answers 999"
    rm -rf "$tree"; machine p5.48xlarge; plant gpu-refuses
    run -2 look
    has "requires a reset"
}

@test "15: ECC errors on GPUs without retired pages, and retired pages on those that have them" {
    # GPU cluster healthcheck, HyperPod: A100 and later were asked for what only GPUs before have
    machine p4d.24xlarge
    nvml "set $(gpus | tail -n 1) ecc_uncorrected 1" 'unset * pages_pending'
    run -2 look
    has "FAIL     gpu-ecc"
    rm -rf "$tree"; machine p4d.24xlarge; plant gpu-rows-failed
    run -2 look
    has "FAIL     gpu-rows"
    rm -rf "$tree"; machine p3dn.24xlarge
    nvml 'unset * rows_pending' 'unset * rows_failed' 'unset * rows_corrected' 'unset * rows_uncorrected' \
        "set $(gpus | tail -n 1) pages_pending 1"
    run -2 look
    has "FAIL     gpu-rows"
}

@test "16: trouble of the one who checks" {
    # soperator: any exception in its runner was a pass
    machine p5.48xlarge
    echo '{' >"$tree/dt-facts.json"
    run -78 look
    run -78 "$validate" --config "$TREES/dt.conf" --root "$tree/none"
    rm -rf "$tree"; machine p5.48xlarge
    # shellcheck disable=SC2016 # expanded by the inner shell
    run -73 bash -c '"$@" >/dev/full' _ "$validate" --config "$TREES/dt.conf" --root "$tree"
    # no child can be started, so NVML can not be asked
    if [ "$(id -u)" -ne 0 ]; then
        run -3 bash -c 'ulimit -u 1; "$@"' _ "$validate" --config "$TREES/dt.conf" --root "$tree"
    fi
    # nor can it be out of files
    run bash -c 'ulimit -n 8; "$@"' _ "$validate" --config "$TREES/dt.conf" --root "$tree"
    [ "$status" -ne 0 ] || { echo "$output"; return 1; }
}

@test "17: the driver asks for a reset, and all counters are at 0" {
    # DCGM, health -c: Healthy, while the driver's own recovery action was a reset
    machine p5.48xlarge
    plant gpu-reset
    only gpu-recovery
    run -2 look
    has "the driver asks for a GPU reset"; has RESET
}

# ---- healthy, and called broken -----------------------------------------------------------------------

@test "healthy: a bridge of libvirt lost its carrier" {
    # gcm, "Lost Carrier": "ib" was found in the name libvirt
    machine p5.48xlarge
    logged 'libvirtd[812]: virbr0: Lost Carrier' 'systemd-networkd[700]: virbr0: Lost carrier' 'virbr0: port 1(vnet0) entered disabled state'
    run -0 look
    has "PASS"
}

@test "healthy: one process waits for its disk" {
    # gcm, check_dstate: a failure of the check's own shell was the node's
    machine p5.48xlarge
    mkdir "$tree/proc/4000"
    echo "4000 (python3 (data)) D 1 1 1 0 -1 4194560" >"$tree/proc/4000/stat"
    run -0 look
}

@test "healthy: another version of the driver" {
    # gcm, DCGM 4: a version that it did not know was a warning, always
    machine p5.48xlarge
    sed -i 's/^driver .*/driver 999.1.2/' "$tree/usr/local/nvidia/lib64/nvml.conf"
    sed -i 's/570\.172\.08/999.1.2/' "$tree/sys/module/nvidia/version" "$tree/proc/driver/nvidia/version"
    run -0 look
}

@test "healthy: / when another mount hangs" {
    # NHC: df hung on a mount, and / was blamed
    local other=$BATS_TEST_TMPDIR/hung
    mkdir "$other"
    run unshare --mount --propagation private python3 tests/cli/hung_mount.py "$other" true
    [ "$status" -eq 0 ] || skip "no FUSE, or no mount namespace, here: $output"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$TREES" >"$BATS_TEST_TMPDIR/dt.conf"
    run -2 unshare --mount --propagation private python3 tests/cli/hung_mount.py "$other" \
        "$validate" --config "$BATS_TEST_TMPDIR/dt.conf" --only mounts,fs-readonly --json
    jq -e --arg path "$other" '[.checks[] | select(.result == "FAIL")] | length == 1 and .[0].name == "mounts" and
        (.[0].value | contains($path + ": did not answer"))' <<<"$output"
}

@test "healthy: EFA devices have no umad" {
    # NHC, check_hw_ib: it asked for what InfiniBand has and EFA has not
    machine p5.48xlarge
    [ ! -e "$tree/sys/class/infiniband_mad" ]
    run -0 look
}

@test "healthy: a file of an earlier run that is empty" {
    # Azure: an empty topology file made all nodes fail
    machine p5.48xlarge
    : >"$tree/var/lib/dt/history"
    run -0 look
    lacks FAIL; lacks WARN
}

@test "healthy: p6-b300, whose other RDMA devices are no EFA" {
    # GPU cluster healthcheck: its loopback failed all 18 devices of every healthy p6-b300
    machine p6-b300.48xlarge
    run -0 look
    has "(p6-b300.48xlarge): PASS"
}
