#!/usr/bin/env bats
# dt-env versions: real libraries made by the compiler, trees, JSON, and nodes against each other.

load ../timing

setup() {
    dir=$BATS_TEST_TMPDIR
    env=$(realpath "${BUILD:-build}")/bin/dt-env
    root=$dir/root
    mkdir -p "$root"
}
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
clean() { env -i PATH=/nowhere "$@"; }
library() { # PATH TEXT [LINKER ARGUMENTS]: a shared library that holds the text
    mkdir -p "$(dirname "$1")"
    printf 'const char dt_text[] = "%s";\n' "$2" | ${CC:-cc} -shared -fPIC -x c - -o "$1" "${@:3}"
}
line() { # NODE VERSION [NODES]
    printf '{"node":"%s","nodes":%d,"component":"libfabric","version":"%s","loads":true,"path":"/x"}\n' "$1" "${3:-3}" "$2"
}

@test "real libraries: the embedded text, DT_RUNPATH and LD_LIBRARY_PATH" {
    library "$root/a/libnccl-net.so" "NET/OFI Initializing aws-ofi-nccl 1.16.3" -Wl,--enable-new-dtags,-rpath,/efa
    library "$root/nccl/libnccl.so.2" "NCCL version 2.27.5+cuda12.9" -Wl,-soname,libnccl.so.2
    library "$root/efa/libfabric.so.1" x
    library "$root/old/libfabric.so.1" x
    mkdir -p "$root"/{efa,old}/pkgconfig
    printf 'Name: libfabric\nVersion: 2.1.0amzn5.0\n' >"$root/efa/pkgconfig/libfabric.pc"
    printf 'Name: libfabric\nVersion: 1.18.2\n' >"$root/old/pkgconfig/libfabric.pc"
    run clean LD_LIBRARY_PATH=/a:/nccl "$env" versions --json --root "$root"
    [ "$status" -eq 0 ]
    [ "$(jq -r 'select(.loads) | "\(.component) \(.version)"' <<<"$output" | sort | paste -sd,)" = \
        "libfabric 2.1.0amzn5.0,nccl 2.27.5,ofi-nccl 1.16.3" ]
    has "DT_RUNPATH of libnccl-net.so"
    run clean LD_LIBRARY_PATH=/a:/nccl:/old "$env" versions --root "$root"
    has "*  libfabric  1.18.2"
}

@test "no line of JSON is so long that srun would cut it" {
    local deep
    deep=$root/$(printf 'directory-%.0s' {1..20})/$(printf 'directory-%.0s' {1..20})
    library "$deep/libnccl.so.2" "NCCL version 2.27.5"
    run clean LD_LIBRARY_PATH="${deep#"$root"}" "$env" versions --json --root "$root"
    [ "$status" -eq 0 ]; has 2.27.5
    while IFS= read -r text; do [ "${#text}" -lt 1024 ]; done <<<"$output"
}

@test "this machine: the kernel that runs, in little time" {
    timed "$env" versions
    [ "$status" -eq 0 ]
    has "$(uname -r)"
    assert_under_ms 2000
}

@test "an empty tree, and a tree that is not there" {
    run clean "$env" versions --root "$root"
    [ "$status" -eq 0 ]; has "nothing of what distributed training needs was found"
    run clean "$env" versions --root "$dir/none"
    [ "$status" -eq 64 ]; has "'$dir/none' can not be opened"
}

@test "nodes: equal, odd, no majority, missing" {
    compare() { "$env" versions --compare "$@"; }
    run compare < <(line a-1 2.1.0; line a-2 2.1.0; line a-3 2.1.0)
    [ "$status" -eq 0 ]; has "3 nodes: all versions are equal"
    run compare < <(line a-1 2.1.0; line a-2 1.9.0; line a-3 2.1.0)
    [ "$status" -eq 1 ]; has "libfabric: odd: a-2 has 1.9.0; 2 other nodes: 2.1.0"
    run compare --json < <(line a-1 2.1.0; line a-2 1.9.0; line a-3 2.1.0)
    [ "$status" -eq 1 ]; [ "$(jq -r '.findings[0] | "\(.nodes) \(.version) \(.others)"' <<<"$output")" = "a-2 1.9.0 2.1.0" ]
    run compare < <(line a-1 2.1.0 2; line a-2 1.9.0 2)
    [ "$status" -eq 1 ]; has "no majority"
    run compare < <(line a-1 2.1.0; line a-3 2.1.0)
    [ "$status" -eq 66 ]; has "only 2 of 3 nodes reported"
}

@test "wrong words and foreign lines get one sentence" {
    run "$env" versions --compare <<<"Linux 6.1"
    [ "$status" -eq 64 ]; has "line 1 of standard input: 'Linux 6.1"; [ "${#lines[@]}" -eq 1 ]
    run "$env" versions --compare </dev/null
    [ "$status" -eq 64 ]; has "standard input is empty"
    run "$env" versions --compare --root /; [ "$status" -eq 64 ]; has "no --root"
    run "$env" versions word; [ "$status" -eq 64 ]; has "one word too many: 'word'"
}

task() { # NODE-NUMBER ARGUMENTS: a task of a step of three nodes, as srun starts it
    env -i PATH=/nowhere LD_LIBRARY_PATH="${path:-}" SLURM_JOB_ID=$$ SLURM_STEP_ID=3 SLURM_STEP_NUM_NODES=3 SLURM_STEP_NODELIST="localhost,b,c" SLURM_LOCALID=0 \
        SLURM_NODEID="$1" SLURM_PROCID="$1" SLURMD_NODENAME="$(cut -d, -f$(($1 + 1)) <<<localhost,b,c)" \
        "$env" versions --root "$root" "${@:2}"
}

@test "a step of three nodes: one answer, from the first; the other tasks are silent" {
    library "$root/efa/libfabric.so.1" x
    mkdir -p "$root/efa/pkgconfig"
    printf 'Name: libfabric\nVersion: 2.1.0amzn5.0\n' >"$root/efa/pkgconfig/libfabric.pc"
    path=/efa task 1 >"$dir/b" & b=$!
    task 2 >"$dir/c" & c=$!
    path=/efa run task 0
    wait $b; wait $c
    [ "$status" -eq 1 ]
    has "localhost, the first of 3 nodes:"; has "*  libfabric  2.1.0amzn5.0"
    has "libfabric: odd: c has not there; 2 other nodes: 2.1.0amzn5.0"
    [ ! -s "$dir/b" ] && [ ! -s "$dir/c" ]
    # other tasks of a node do not even try
    run clean SLURM_JOB_ID=7 SLURM_STEP_ID=3 SLURM_STEP_NUM_NODES=3 SLURM_STEP_NODELIST=a,b,c SLURM_LOCALID=1 \
        SLURM_NODEID=0 SLURM_PROCID=1 "$env" versions --timeout 1
    [ "$status" -eq 0 ]; [ -z "$output" ]
}

@test "a node that is not heard is named, and strangers are not heard" {
    local port=$((18000 + ($$ * 101 + 3) % 2000))
    (for _ in {1..100}; do
        { printf 'dt-env 1 %s.3 2\nno json\n' $$ >"/dev/tcp/localhost/$port"; } 2>/dev/null && break
        sleep 0.02
    done) &
    task 1 & b=$!
    run task 0 --timeout 3
    wait $b
    [ "$status" -eq 66 ]; has "only 2 of 3 nodes reported"; has "not heard in 3 s: c"
    run task 1 --timeout 1
    [ "$status" -eq 66 ]; has "b: "; has "localhost, the first node of the step, did not answer"
}

@test "--timeout wants seconds" {
    for word in 0 -1 x 5000; do
        run "$env" versions --timeout="$word"; [ "$status" -eq 64 ]; has "'$word' is not a number of seconds"
    done
}
