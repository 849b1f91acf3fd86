#!/usr/bin/env bats
# The children of dt-node: how many there are, and what is known when one of them hangs.

load ../timing

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = "%s/cache"\nstate-directory = ""\nprobe-timeout-ms = 300\n' "$dir" "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge \
        --nvml "$build/localcluster/libnvidia-ml.so.1" --out "$dir/tree" >/dev/null
    mkdir -p "$dir/tree/etc" "$dir/tree/tmp"
    export TMPDIR=/tmp
    echo FI_PROVIDER=tcp >"$dir/tree/etc/nccl.conf"
}
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
plan() { # VARIABLES
    run env "$@" "$build/libexec/dt-node" --plan --ranks 8 --explain --root "$dir/tree" --config "$dir/dt.conf"
    cpus=$(grep -c ' cpus ' <<<"$output")
    output=$(sed -n '/ say /s/%20/ /gp' <<<"$output")
}
print() { # VARIABLES
    run env "$@" "$build/libexec/dt-node" --print --root "$dir/tree" --config "$dir/dt.conf"
    output=$(grep '^gpu.count\|^fs.writable' <<<"$output" | tr -s ' ')
}

# Processes and threads that a command makes, itself included: a PID namespace numbers them in turn.
processes() { # COMMAND...
    local own=(--pid --fork)
    [ "$(id -u)" -eq 0 ] || own+=(--user --map-root-user)
    unshare "${own[@]}" sh -c '"$@" >/dev/null; sh -c "echo \$\$"; :' sh "$@" | awk '{print $1 - 2}'
}

# A library whose calls never return, in children alone.
hang_in_children() { # FUNCTION
    printf '#include <unistd.h>\nstatic pid_t first;\n__attribute__((constructor)) static void mark(void) { first = getpid(); }\n' >"$dir/hang.c"
    printf 'long %s(void) { while (getpid() != first) pause(); return -1; }\n' "$1" >>"$dir/hang.c"
    cc -w -fno-builtin -shared -fPIC -o "$dir/hang.so" "$dir/hang.c"
}

@test "three processes at most, with NVML and NCCL's files asked" {
    unshare --pid --fork true 2>/dev/null || unshare --user --map-root-user --pid --fork true 2>/dev/null ||
        skip "no PID namespace can be made here"
    [ "$(processes /bin/true)" -eq 1 ]
    [ "$(processes sh -c 'true; sh -c true; (sleep 0 & wait)')" -gt 3 ] # it does count
    local node=("$build/libexec/dt-node" --root "$dir/tree" --config "$dir/dt.conf")
    [ "$(processes "${node[@]}" --plan --ranks 8)" -eq 3 ] # fills the cache
    [ "$(processes "${node[@]}" --plan --ranks 8)" -eq 3 ]
    [ "$(processes "${node[@]}" --print)" -eq 3 ]
    plan NCCL_CONF_FILE=
    has "yours: tcp, from /etc/nccl.conf:1"; lacks "not read"
    mkdir "$dir/none" # no GPU: NVML is not asked
    [ "$(processes "$build/libexec/dt-node" --root "$dir/none" --config "$dir/dt.conf" --print)" -eq 2 ]
}
@test "a file system that hangs costs its deadline: NCCL's files are read by another child" {
    hang_in_children fstatvfs
    plan LD_PRELOAD="$dir/hang.so"
    [ "$status" -eq 0 ]
    has "yours: tcp, from /etc/nccl.conf:1"; lacks "not read"
    print LD_PRELOAD="$dir/hang.so"
    has '"reason":"did not answer in 300 ms"'; has 'gpu.count 8'
}
@test "a home directory that hangs costs its deadline: the plan is made without NCCL's files, and says so" {
    hang_in_children getpwuid
    plan LD_PRELOAD="$dir/hang.so"
    [ "$status" -eq 0 ]
    has "not read: NCCL's configuration files: did not answer in 300 ms"; lacks "yours: tcp"
    [ "$cpus" -eq 8 ]
    print LD_PRELOAD="$dir/hang.so"
    has '"path":"/tmp","ok":true'
}
