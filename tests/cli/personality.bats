#!/usr/bin/env bats
# dt-personality: the trees are what hwloc and the tools of the field expect, and every fault shows.
# BUILD names the build directory, relative to the repository or absolute.

# shellcheck disable=SC2154 # stderr and lines are set by run
bats_require_minimum_version 1.5.0

# Trees are thousands of small files: in memory, where a file system's journal does not hold them up.
setup_file() {
    TREES=$(mktemp -d "/dev/shm/dt-personality.XXXXXX") || return 1
    export TREES
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    "${BUILD:-build}/localcluster/dt-personality" tree --type p5.48xlarge \
        --instances configs/instances.conf --out "$TREES/p5"
}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    program=$(realpath "${BUILD:-build}/localcluster/dt-personality")
    nvml=$(realpath "${BUILD:-build}/localcluster/libnvidia-ml.so.1")
    table=$PWD/configs/instances.conf
    mkdir "$TREES/$BATS_TEST_NUMBER" || return 1
    cd "$TREES/$BATS_TEST_NUMBER" || return 1
}

teardown() {
    cd / && rm -rf "${TREES:?}/$BATS_TEST_NUMBER"
}

teardown_file() {
    rm -rf "${TREES:?}"
}

entries() { # DIR
    find "$1" -mindepth 1 -maxdepth 1 | wc -l
}

tree() { # TYPE DIR [OPTIONS...]
    "$program" tree --instances "$table" --type "$1" --out "$2" "${@:3}"
}

# As hwloc sees a tree, without asking the CPU that this machine really has.
seen_by_hwloc() { # DIR
    HWLOC_FSROOT=$1 HWLOC_COMPONENTS=-x86 lstopo-no-graphics --of console --whole-io
}

count() { # PATTERN
    grep -c -E "$1" <<<"$output"
}

@test "hwloc sees all of a p5.48xlarge" {
    run -0 seen_by_hwloc "$TREES/p5"
    [ "$(count 'PU L#')" = 192 ]
    [ "$(count '^ +Core L#')" = 96 ]
    [ "$(count '^ +Package L#')" = 2 ]
    [ "$(count '^ +NUMANode L#')" = 2 ]
    [ "$(count 'PCI .*\(3D\)')" = 8 ]
    [ "$(count 'OpenFabrics "rdmap')" = 32 ]
    [ "$(count '^ +PCIBridge')" = 8 ]
}

@test "hwloc puts the devices of a p5.48xlarge on their NUMA node" {
    run -0 seen_by_hwloc "$TREES/p5"
    first=$(sed -n '1,/Package L#1/p' <<<"$output")
    [ "$(grep -c 'OpenFabrics' <<<"$first")" = 16 ]
    [ "$(grep -c '(3D)' <<<"$first")" = 4 ]
    [ "$(grep -c 'OpenFabrics "rdmap79s0"' <<<"$first")" = 1 ]
}

@test "hwloc counts the CPUs and nodes of other types as the table does" {
    for type in p4d.24xlarge p5en.48xlarge g5.48xlarge trn1.32xlarge hpc7a.96xlarge hpc7g.4xlarge; do
        tree "$type" "$type"
        numbers=$("$program" show --instances "$table" --type "$type")
        run -0 seen_by_hwloc "$type"
        [ "vcpus = $(count 'PU L#')" = "$(grep '^vcpus' <<<"$numbers")" ]
        [ "numa-nodes = $(count 'NUMANode L#')" = "$(grep '^numa-nodes' <<<"$numbers")" ]
        [ "efas = $(count 'OpenFabrics')" = "$(grep '^efas' <<<"$numbers")" ]
    done
}

@test "no link of a tree dangles" {
    tree trn1.32xlarge trn1
    [ -z "$(find "$TREES/p5" trn1 -xtype l)" ]
}

@test "configuration space agrees with the files beside it" {
    tree p4d.24xlarge p4d
    run -0 od -An -tx2 -N4 p4d/sys/bus/pci/devices/0000:10:1c.0/config
    [ "$output" = " 10de 20b0" ]
    [ "$(stat -L -c %s p4d/sys/bus/pci/devices/0000:10:1c.0/config)" = 256 ]
    [ "$(cat p4d/sys/bus/pci/devices/0000:a0:1b.0/numa_node)" = 1 ]
    [ "$(cat p4d/sys/bus/pci/devices/0000:a0:1b.0/local_cpulist)" = "24-47,72-95" ]
    [ "$(cat p4d/sys/devices/system/node/node0/cpumap)" = "000000ff,ffff0000,00ffffff" ]
}

@test "the same node is the same tree, another node has other serial numbers" {
    tree g5.48xlarge a --node n1
    tree g5.48xlarge b --node n1
    tree g5.48xlarge c --node n2
    diff -r --no-dereference --exclude=history a b
    history=var/lib/dt/history # with the seconds since the machine's start, and so another checksum
    timeless() { sed -E '/^end /d; s/\b[0-9]{5,}\b/NOW/g' "$1/$history"; }
    diff <(timeless a) <(timeless b)
    uuids=$(cat {a,c}/proc/driver/nvidia/gpus/*/information | grep UUID | sort -u | wc -l)
    [ "$uuids" = 16 ]
}

@test "Neuron devices of a trn1.32xlarge" {
    tree trn1.32xlarge trn1
    [ "$(entries trn1/sys/class/neuron_device)" = 16 ]
    [ "$(cat trn1/sys/class/neuron_device/neuron0/core_count)" = 2 ]
    [ "$(cat trn1/sys/module/neuron/version)" = 2.24.7.0 ]
    [ ! -e trn1/proc/driver/nvidia ]
}

@test "every fault changes a tree, and what it says is gone is gone" {
    local fault whole
    tree p4d.24xlarge gpus --settled
    tree trn1.32xlarge neurons
    for fault in $("$program" faults | cut -d' ' -f1); do
        case $fault in neuron-*) whole=neurons ;; *) whole=gpus ;; esac
        cp -a "$whole" broken
        "$program" fault --root broken "$fault"
        run -1 diff -r --no-dereference -q "$whole" broken
        rm -rf broken
    done
    tree p5.48xlarge p5
    "$program" fault --root p5 gpu-lost efa-lost
    [ "$(entries p5/proc/driver/nvidia/gpus)" = 7 ]
    [ "$(entries p5/sys/class/infiniband)" = 31 ]
    grep -qx 'lost 0000:ca:00.0' p5/usr/local/nvidia/lib64/nvml.conf
    [ -e p5/sys/bus/pci/devices/0000:ca:00.0/vendor ]
    run -0 seen_by_hwloc p5
    [ "$(count OpenFabrics)" = 31 ]
}

@test "faults edit files in place, so that a mounted file can be broken" {
    tree c5n.18xlarge c5n
    before=$(stat -c %i c5n/proc/meminfo c5n/proc/sys/kernel/osrelease)
    "$program" fault --root c5n memory-missing kernel-odd
    [ "$before" = "$(stat -c %i c5n/proc/meminfo c5n/proc/sys/kernel/osrelease)" ]
}

@test "a fault that this machine can not have is refused" {
    tree c5n.18xlarge c5n
    run -69 --separate-stderr "$program" fault --root c5n gpu-lost
    [ "$stderr" = "dt-personality: gpu-lost can not be planted: this machine has no accelerator" ]
    run -69 "$program" fault --root c5n nvml-hang
    run -64 "$program" fault --root c5n no-such-fault
    [[ $output == *"there is no fault 'no-such-fault'"* ]]
}

@test "the fake NVML answers, loses a GPU, fails and hangs as its file says" {
    command -v python3 >/dev/null || skip "needs python3 to call the library"
    tree p5.48xlarge p5 --nvml "$nvml"
    cat >ask.py <<'PY'
import ctypes, sys
nvml = ctypes.CDLL(sys.argv[1])
rc = nvml.nvmlInit_v2()
if rc:
    sys.exit("init %d" % rc)
count, handle, text = ctypes.c_uint(), ctypes.c_void_p(), ctypes.create_string_buffer(96)
nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
print("count", count.value)
for index in range(count.value):
    rc = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) or nvml.nvmlDeviceGetUUID(handle, text, 96)
    print(index, rc, "" if rc else text.value.decode())
PY
    lib=p5/usr/local/nvidia/lib64/libnvidia-ml.so.1
    run -0 python3 ask.py "$PWD/$lib"
    [ "${lines[0]}" = "count 8" ]
    uuid=$(sed -n 's/^GPU UUID: *\t *//p' p5/proc/driver/nvidia/gpus/0000:ca:00.0/information)
    [ "${lines[8]}" = "7 0 $uuid" ]

    "$program" fault --root p5 gpu-lost
    run -0 python3 ask.py "$PWD/$lib"
    [ "${lines[0]}" = "count 8" ]
    [ "${lines[8]}" = "7 15 " ]

    echo "fail nvmlInit_v2 9" >failing.conf
    DT_FAKE_NVML=$PWD/failing.conf run -1 python3 ask.py "$PWD/$lib"
    [ "$output" = "init 9" ]
    echo "fail nvmlInit_v2 -1" >failing.conf # no code of NVML's
    DT_FAKE_NVML=$PWD/failing.conf run -0 timeout 20 python3 ask.py "$PWD/$lib"

    "$program" fault --root p5 nvml-hang
    run -124 timeout 0.5 python3 ask.py "$PWD/$lib"
}

@test "bad arguments are one sentence" {
    run -64 --separate-stderr tree host host
    [ "$stderr" = "dt-personality: 'host' means the machine as it is: there is no tree to make for it" ]
    run -64 --separate-stderr tree p9.huge p9
    [ "$stderr" = "dt-personality: instance type 'p9.huge' is not in $table" ]
    mkdir full && touch full/file
    run -69 --separate-stderr tree c5n.18xlarge full
    [ "$stderr" = "dt-personality: 'full' is not empty: name a new directory" ]
    run -69 --separate-stderr tree c5n.18xlarge no/such/place
    [[ $stderr == *"making the directory 'no/such/place' failed: No such file or directory" ]]
    run -69 --separate-stderr tree p5.48xlarge p5 --nvml /no/lib
    [[ $stderr == *"opening the fake NVML library '/no/lib' failed"* ]]
    run -78 --separate-stderr "$program" show --instances /no/table --type p5.48xlarge
    [[ $stderr == *"/no/table can not be read"* ]]
    run -64 "$program"
    run -64 "$program" frobnicate
}
