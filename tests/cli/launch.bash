# shellcheck shell=bash
# What the tests of dt-launch share: an environment that knows of no platform, and two nodes that are this machine.

load ../timing

# $launch, and the test's own directory; of the variables none that a platform, a framework or dt reads.
launch_setup() {
    launch=$(cd "$BATS_TEST_DIRNAME/../.." && realpath "${BUILD:-build}/bin/dt-launch")
    local name
    for name in $(compgen -e | grep -E '^(_?SLURM|DT_|PMI|PET_|OMPI|MASTER_|CUDA_|OMP_|JAX_|TORCH|PYTHON|RANK|WORLD_SIZE|LOCAL_|AWS_|SM_|JOB|KUBE)'); do
        unset "$name"
    done
    cd "$BATS_TEST_TMPDIR" || return 1
}

# One that nobody listens on, and none of those that the kernel gives away: another test's connection could have such a one a moment
# later, or a node that tries the lead's port before the lead is there be connected to itself.
free_port() {
    python3 - <<'PY'
import random, socket
first = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(max(1024, first - 20000), first)
    try:
        socket.create_server(("", port)).close()
        print(port)
        break
    except OSError:
        pass
PY
}

# Node 1 with 2 processes behind node 0 with as many: node 0's output and code as after run, node 1's in the file one and in $one.
two_nodes() { # ARGUMENT...
    local common=(--nnodes 2 --master-addr 127.0.0.1 --master-port "$(free_port)" --nproc-per-node 2)
    timeout 100 "$launch" "${common[@]}" --node-rank 1 "$@" >one 2>&1 3>&- &
    run timeout 100 "$launch" "${common[@]}" --node-rank 0 "$@"
    one=0
    wait $! || one=$?
}

tell() {
    printf '%s\n' "$*" "--- codes ${status:-none} ${one:-none}" "${output:-}" "--- node 1" "$(cat one 2>/dev/null)" >&2
    return 1
}
