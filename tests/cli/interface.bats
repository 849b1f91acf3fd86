#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nodes whose only network interface is called ens5, or eth0, as images differ: network namespaces with one interface beside lo.
# What is said of a variable changes with the name, and where ranks meet is the address of that interface.

bats_require_minimum_version 1.5.0
load launch

setup() {
    [ "$EUID" -eq 0 ] || skip "network namespaces need root"
    launch_setup
    repository=$OLDPWD
    build=$(dirname "$launch")/..
    cp "$repository"/configs/*.conf .
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$PWD" >dt.conf
    chmod 644 ./*.conf
}

teardown() {
    [ -z "${space:-}" ] || ip netns del "$space"
}

# A node with that interface alone: $space. Of a p5.48xlarge's files, with this network: ./tree.
node_with() { # INTERFACE
    [ -z "${space:-}" ] || ip netns del "$space"
    space=dti$BASHPID$1
    peers=$((${peers:-0} + 1)) # the one before may still be there: it goes a moment after its namespace
    ip netns add "$space"
    ip -n "$space" link add "$1" type veth peer name "p$BASHPID.$peers" netns 1 2>/dev/null || ip -n "$space" link add "$1" type dummy
    ip -n "$space" link set lo up
    ip -n "$space" link set "$1" up
    ip link set "p$BASHPID.$peers" up 2>/dev/null || true # goes with the namespace
    ip -n "$space" address add 192.0.2.7/24 dev "$1"
    ip -n "$space" route add default via 192.0.2.1
    rm -rf tree
    "$build/localcluster/dt-personality" tree --instances instances.conf --type p5.48xlarge --out tree
    rm -rf tree/sys/class/net tree/proc/net
    mkdir -p tree/sys/class/net/{lo,"$1"} tree/proc/net
    ip netns exec "$space" cat /proc/net/route >tree/proc/net/route
    [ "$(ip netns exec "$space" ls /sys/class/net)" = "$(ls tree/sys/class/net)" ]
}

# dt-env CODE WORD COMMAND with these variables, on that node.
says() { # CODE WORD COMMAND NAME=VALUE...
    local code=$1 word=$2 command=$3
    shift 3
    run -"$code" env -i PATH="$PATH" HOME="$HOME" "$@" "$build/bin/dt-env" "$command" --config "$PWD/dt.conf" --root "$PWD/tree"
    [[ $output == *"$word"* ]] || tell "no \"$word\""
}

@test "the same variable is fine on one node and ends the ranks on the other" {
    node_with ens5
    says 0 'NCCL takes ens5' check 'NCCL_SOCKET_IFNAME=^docker,lo,veth,eth'
    says 2 'NCCL takes none' check NCCL_SOCKET_IFNAME=eth0
    says 2 'this node has no interface of that name' check GLOO_SOCKET_IFNAME=eth0
    says 0 '' check GLOO_SOCKET_IFNAME=ens5
    node_with eth0
    says 2 'NCCL takes none' check 'NCCL_SOCKET_IFNAME=^docker,lo,veth,eth'
    says 0 'NCCL takes eth0' check NCCL_SOCKET_IFNAME=eth0
    says 0 '' check GLOO_SOCKET_IFNAME=eth0
    says 2 'this node has no interface of that name' check GLOO_SOCKET_IFNAME=ens5
}

@test "what dt sets where nothing is set is the node's own interface" {
    for interface in ens5 eth0; do
        node_with "$interface"
        says 0 "NCCL_SOCKET_IFNAME==$interface" print
    done
}

@test "ranks meet at the address of that interface, which a bootstrap by its name takes, too" {
    export SLURM_JOB_ID=12 SLURM_STEP_ID=3 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_STEP_NUM_TASKS=1 \
        SLURM_NNODES=1 SLURM_STEP_NUM_NODES=1 SLURM_STEP_TASKS_PER_NODE=1 SLURM_STEP_NODELIST=noname SLURMD_NODENAME=noname
    # as Gloo does: the address of the interface by name, an ear there, told through the store's place
    cat >gloo.py <<'PY'
import fcntl, os, socket, struct, time
name, rank = os.environ["GLOO_SOCKET_IFNAME"], os.environ["RANK"]
with socket.socket() as s:
    own = socket.inet_ntoa(fcntl.ioctl(s.fileno(), 0x8915, struct.pack("256s", name.encode()))[20:24])  # SIOCGIFADDR
assert own == os.environ["MASTER_ADDR"], (own, os.environ["MASTER_ADDR"])
if rank == "0":
    with socket.create_server((own, 0)) as ear:
        with open("port.new", "w") as file:
            file.write(str(ear.getsockname()[1]))
        os.rename("port.new", "port")
        peer, address = ear.accept()
        assert address[0] == own
        print("met at", own)
else:
    while not os.path.exists("port"):
        time.sleep(0.02)
    socket.create_connection((own, int(open("port").read()))).close()
PY
    for interface in ens5 eth0; do
        node_with "$interface"
        run -0 ip netns exec "$space" "$launch" --doctor --nproc-per-node 2 -- true
        [[ $output == *"MASTER_ADDR=192.0.2.7"* ]] || tell "another address"
        rm -f port
        GLOO_SOCKET_IFNAME=$interface run -0 timeout 60 ip netns exec "$space" "$launch" --nproc-per-node 2 -- python3 gloo.py
        [ "$output" = "met at 192.0.2.7" ] || tell "not there"
    done
}
