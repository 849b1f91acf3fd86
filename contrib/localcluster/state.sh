# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What dt-cluster remembers, and where. Everything of a cluster lies below /run/dt-cluster/NAME, a tmpfs of
# its own: vars (shell assignments), nodes (one line a node), node/NODE/ and the Slurm's files. What could
# outlive a killed dt-cluster is written into vars before it is made, so that "down" finds it.

NAME='' STATE='' READY='' BRIDGE='' NET='' HOST_IP='' PORT='' NODES=0
SLURM_BIN='' SLURM_SBIN='' STARTED=''

name_check() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,19}$ && $1 != *- ]] ||
        die $EXIT_USAGE "\"$1\" can not name a cluster: 1 to 20 of a-z, 0-9 and -, a letter first"
}

root_check() {
    ((EUID == 0)) || die $EXIT_APPLY "this needs root: namespaces, mounts and a bridge are made; try sudo"
}

needs_check() {
    local tool missing=() error
    root_check
    for tool in ip:iproute2 unshare:util-linux nsenter:util-linux mount:util-linux flock:util-linux \
        setsid:util-linux munged:munge mungekey:munge; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool%:*} (package ${tool#*:})")
    done
    ((${#missing[@]} == 0)) ||
        die $EXIT_MISSING "missing: $(joined "${missing[@]}"); install with: make deps"
    error=$(unshare --net --uts --ipc --mount --pid --fork true 2>&1) ||
        die $EXIT_APPLY "this machine makes no namespaces for us ($error); in a container, start it privileged"
}

joined() {
    local text
    printf -v text '%s, ' "$@"
    printf '%s' "${text%, }"
}

elapsed() {
    local now=${EPOCHREALTIME/./}
    printf '%d.%d' $(((now - STARTED) / 1000000)) $(((now - STARTED) / 100000 % 10))
}

# Locks: descriptor 9 is the cluster's, 8 that of the directory of all clusters. A lock file may be removed
# by the one who holds it, so whoever gets a lock makes sure that the path still names what was locked.
lock_path() { # DESCRIPTOR PATH SECONDS
    while :; do
        mkdir -p "$TOP" || return 1
        [[ -d $2 ]] || : >>"$2" || continue
        eval "exec $1<\"\$2\"" || continue
        flock --wait "$3" "$1" || return 1
        [[ $2 -ef /proc/self/fd/$1 ]] && return 0
    done
}

state_lock() { # NAME
    root_check
    lock_path 9 "$TOP/$1.lock" 60 ||
        die $EXIT_APPLY "another dt-cluster has been working on cluster \"$1\" for 60 s; wait, or end it"
    STARTED=${EPOCHREALTIME/./}
}

state_names() {
    local path
    for path in "$TOP"/*/; do
        path=${path%/}
        printf '%s\n' "${path##*/}"
    done
}

state_refuse_existing() { # NAME
    [[ -d $TOP/$1 ]] || return 0
    if grep -qs '^READY=1' "$TOP/$1/vars"; then
        die $EXIT_APPLY "cluster \"$1\" is up already; end it with: $0 down --name $1"
    fi
    die $EXIT_APPLY "cluster \"$1\" was left half up; remove it with: $0 down --name $1"
}

# Makes the state directory and picks what must be unique on this machine: a bridge, a subnet, a port.
state_create() { # NAME
    NAME=$1 STATE=$TOP/$1
    lock_path 8 "$TOP" 60 || die $EXIT_APPLY "$TOP has been locked for 60 s by another dt-cluster"
    mkdir "$STATE" && mount -t tmpfs -o mode=0755 dt-cluster "$STATE" ||
        die $EXIT_APPLY "can not mount a tmpfs on $STATE"
    mkdir -p "$STATE"/{node,log,run,spool,shared,cache,state,remember,prefix,etc} "$STATE/slurmctld" "$STATE/munge"
    chmod 0700 "$STATE/slurmctld" "$STATE/munge"
    chmod 1777 "$STATE/shared"
    network_choose
    state_set NAME "$NAME" BRIDGE "$BRIDGE" NET "$NET" HOST_IP "$HOST_IP" PORT "$PORT" \
        SLURM_BIN "$SLURM_BIN" SLURM_SBIN "$SLURM_SBIN"
    ip link add "$BRIDGE" address "$(mac_of "$HOST_IP")" type bridge || die $EXIT_APPLY "can not make a network bridge"
    exec 8>&-
}

# 198.18.0.0/15 is set aside for tests of network devices (RFC 2544), so it is nobody's real network.
network_choose() {
    local index net routes taken
    routes=$(ip -4 -o addr show && ip -4 route show table all)
    taken=$(cat "$TOP"/*/vars 2>/dev/null)
    for ((index = 0; index < 128; index++)); do
        net=198.$((18 + index / 64)).$((index % 64 * 4))
        [[ -e /sys/class/net/dtc$index ]] && continue
        [[ $routes =~ [[:space:]]198\.$((18 + index / 64))\.($(seq -s '|' $((index % 64 * 4)) \
            $((index % 64 * 4 + 3))))\. ]] && continue
        [[ $taken == *"BRIDGE=dtc$index"$'\n'* ]] && continue
        BRIDGE=dtc$index NET=$net HOST_IP=$net.1
        PORT=$(free_port $((7817 + index * 8))) || continue
        return 0
    done
    die $EXIT_APPLY "no free network is left in 198.18.0.0/15 for another cluster"
}

# A fixed address for network devices, so that nobody's ARP table is wrong after a node's reboot.
mac_of() { # IP
    # shellcheck disable=SC2046 # split on purpose
    printf '02:dc:%02x:%02x:%02x:%02x' $(tr . ' ' <<<"$1")
}

free_port() { # FIRST
    local port used
    used=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    for ((port = $1; port < $1 + 8; port++)); do
        [[ $used == *:$(printf %04X "$port")" "*:*" 0A "* ]] || { echo "$port" && return 0; }
    done
    return 1
}

state_set() { # NAME VALUE ...
    while (($#)); do
        printf -v "$1" '%s' "$2"
        printf '%s=%q\n' "$1" "$2" >>"$STATE/vars"
        shift 2
    done
}

state_load() { # NAME [half]: half: also a cluster that is not ready
    [[ -d $TOP/$1 ]] || die $EXIT_APPLY "no cluster \"$1\" is up; boot one with: $0 up --name $1"
    STATE=$TOP/$1 NAME=$1
    # shellcheck disable=SC1091 # written by state_set
    [[ ! -r $STATE/vars ]] || source "$STATE/vars"
    [[ -n $READY || ${2:-} == half ]] ||
        die $EXIT_APPLY "cluster \"$1\" is half up; wait, or remove it with: $0 down --name $1"
}

# Nodes: "NAME ADDRESS TYPE CPUS MEMORY_MIB GPUS", one a line in $STATE/nodes.
NODE_IP='' NODE_TYPE='' NODE_MEMORY='' NODE_CPUS='' NODE_GPUS=''

node_load() { # NODE [CLUSTER] [half]: finds the cluster by itself where only one has that node
    local name clusters=()
    if [[ -n ${2:-} ]]; then
        name_check "$2"
        clusters=("$2")
    else
        for name in $(state_names); do
            ! grep -qs "^$1 " "$TOP/$name/nodes" || clusters+=("$name")
        done
    fi
    ((${#clusters[@]} < 2)) || die $EXIT_USAGE "node $1 is in several clusters; say --name"
    ((${#clusters[@]} == 1)) || die $EXIT_USAGE "no cluster has a node \"$1\"; see: $0 status"
    state_load "${clusters[0]}" "${3:-}"
    node_read "$1" || die $EXIT_USAGE "cluster \"$NAME\" has no node \"$1\"; see: $0 status"
}

node_read() { # NODE
    local node
    while read -r node NODE_IP NODE_TYPE NODE_CPUS NODE_MEMORY NODE_GPUS; do
        [[ $node != "$1" ]] || return 0
    done <"$STATE/nodes"
    return 1
}
