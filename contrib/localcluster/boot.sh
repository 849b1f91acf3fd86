# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# How dt-cluster starts and ends processes. Every daemon and every node is the tree below one "unshare" with
# a process namespace of its own and --kill-child, so that killing that one process kills all of it. It
# carries DT_CLUSTER_MARK=<state directory> in its environment from its first instruction on; "down" finds
# processes by that mark and never by name, whatever was killed before it could be written down.

SPAWNED=''

spawn() { # LOG COMMAND...: sets SPAWNED
    local log=$1
    shift
    DT_CLUSTER_MARK=$STATE setsid "$@" 8>&- 9>&- </dev/null >>"$log" 2>&1 &
    SPAWNED=$!
    disown "$SPAWNED"
}

# A process is known by its id and its start time, since ids are used again. One that waits to be reaped
# (state Z) has ended.
start_time() { # PID
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # split on purpose
    set -- $stat
    [[ $1 != [ZX] ]] && echo "${20}"
}

remember() { # FILE PID
    echo "$2 $(start_time "$2")" >"$1"
}

remembered() { # FILE: prints the id if that very process is alive
    local pid start
    { read -r pid start <"$1"; } 2>/dev/null || return 1
    [[ -n $start && $start == "$(start_time "$pid")" ]] && echo "$pid"
}

wait_until() { # SECONDS COMMAND...: tries every 20 ms
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000)) pause
    exec {pause}<> <(:)
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < deadline)) || { exec {pause}>&- && return 1; }
        read -r -t 0.02 -u "$pause"
    done
    exec {pause}>&-
}

# ---- the cluster --------------------------------------------------------------------------------

daemon() { # NAME COMMAND...
    local name=$1
    shift
    spawn "$STATE/log/$name.boot" env -i "DT_CLUSTER_MARK=$STATE" PATH="$PATH" LANG=C.UTF-8 \
        SLURM_CONF="$STATE/etc/slurm.conf" \
        unshare --mount --pid --fork --kill-child=SIGKILL --mount-proc "$@"
    remember "$STATE/run/$name.spawned" "$SPAWNED"
}

cluster_boot() {
    local names
    mkfifo -m 0600 "$STATE"/run/{boot,gate,never}.fifo || die $EXIT_APPLY "can not make pipes in $STATE"
    printf '%s\n' "address add $HOST_IP/22 brd + dev $BRIDGE" "link set $BRIDGE addrgenmode none up" |
        ip -batch - || die $EXIT_APPLY "can not set up the bridge $BRIDGE"
    daemon munged munged --foreground --force --key-file="$STATE/munge/key" --num-threads=4 \
        --socket="$STATE/run/munge.socket" --pid-file="$STATE/run/munged.pid" \
        --log-file="$STATE/log/munged.log" --seed-file="$STATE/munge/seed"
    wait_until 5 test -S "$STATE/run/munge.socket" || daemon_failed munged
    daemon slurmctld "$SLURM_SBIN/slurmctld" -D
    mapfile -t names < <(cut -d' ' -f1 "$STATE/nodes")
    nodes_boot "${names[@]}"
    cluster_wait
}

daemon_failed() { # NAME
    local line
    line=$(cat "$STATE/log/$1.boot" "$STATE/log/$1.log" 2>/dev/null | grep -i -m1 -E 'fatal|error')
    die $EXIT_DAEMON "$1 did not start${line:+: $line}"
}

listening() {
    grep -qs ":$(printf %04X "$PORT") [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6
}

slurm() { # PROGRAM ARGUMENTS...: as an administrator would from a clean shell
    local program=$1
    shift
    env -i "DT_CLUSTER_MARK=$STATE" SLURM_CONF="$STATE/etc/slurm.conf" PATH="$PATH" LANG=C.UTF-8 \
        DT_VALIDATE=off DT_ENV=off DT_BIND=off "$SLURM_BIN/$program" "$@" 8>&- 9>&-
}

nodes_idle() { # COUNT [NODES]
    [[ $(slurm sinfo --noheader --states=idle ${2:+--nodes="$2"} --format=%D 2>/dev/null) == "$1" ]]
}

cluster_wait() {
    local error
    wait_until $((30 + NODES / 4)) nodes_idle "$NODES" ||
        die $EXIT_DAEMON "not all nodes registered with slurmctld at $HOST_IP:$PORT; see: $0 logs" \
            "slurmctld --name $NAME, and whether a firewall on this machine closes that port"
    error=$(slurm srun --nodes="$NODES" --ntasks="$NODES" --mpi=none --chdir=/ --time=1 true 2>&1) ||
        die $EXIT_DAEMON "the cluster is up but \"srun true\" failed: ${error%%$'\n'*}"
}

# ---- nodes --------------------------------------------------------------------------------------

node_fstab() { # NODE: what it mounts over the machine's own view
    printf '%s\n' "dt-shm /dev/shm tmpfs mode=1777,nosuid,nodev,size=$((NODE_MEMORY / 2))m" \
        "dt-tmp /tmp tmpfs mode=1777,nosuid,nodev" \
        "dt-cache $STATE/cache tmpfs mode=0755,nosuid,nodev" \
        "$STATE/remember/$1 $STATE/state none bind" \
        "$STATE/etc/hosts /etc/hosts none bind"
    ((NODE_CPUS > $(nproc --all))) ||
        printf '%s\n' "$STATE/etc/slurm-affinity.conf $STATE/etc/slurm.conf none bind"
    type_fstab "$1"
}

node_spawn() { # NODE
    node_read "$1" || die $EXIT_APPLY "node $1 is not in $STATE/nodes"
    mkdir -p "$STATE/node/$1" "$STATE/spool/$1" "$STATE/remember/$1"
    node_fstab "$1" >"$STATE/node/$1/fstab"
    spawn "$STATE/log/$1.boot" unshare --net --uts --ipc --mount --pid --fork --kill-child=SIGKILL \
        --mount-proc "$STATE/etc/node-init" "$STATE" "$1" "$NODE_IP" "$SLURM_SBIN/slurmd"
    remember "$STATE/node/$1/pid" "$SPAWNED"
}

# All nodes' neighbours are in the one table of the machine's kernel, which holds 1024 by default: fewer than 33 nodes
# have when each talks to each, and connect() then fails with EAGAIN. It stays raised: it is a limit, not a use.
room_for_neighbours() { # NODES
    local limit file wanted=$(($1 * $1 + 4096))
    for limit in 3 2; do
        file=/proc/sys/net/ipv4/neigh/default/gc_thresh$limit
        (($(<"$file") >= wanted)) || echo "$wanted" 2>/dev/null >"$file" || return 0
    done
}

nodes_boot() { # NODES...
    local node boot gate pid mac
    room_for_neighbours $#
    exec {boot}<>"$STATE/run/boot.fifo"
    for node; do
        node_spawn "$node" {boot}>&-
    done
    nodes_await netns $# "$boot"
    for node; do
        node_read "$node"
        pid=$(remembered "$STATE/node/$node/pid") || die $EXIT_APPLY "node $node ended as it booted"
        mac=$(mac_of "$NODE_IP")
        printf '%s\n' "link add ${BRIDGE}n${node##*-} type veth peer name eth0 address $mac netns $pid" \
            "link set ${BRIDGE}n${node##*-} addrgenmode none master $BRIDGE up"
    done | ip -batch - || die $EXIT_APPLY "can not connect the nodes to the bridge $BRIDGE"
    wait_until 10 listening || daemon_failed slurmctld
    exec {gate}<>"$STATE/run/gate.fifo"
    nodes_await slurmd $# "$boot"
    exec {gate}>&- {boot}>&-
}

nodes_await() { # WORD COUNT DESCRIPTOR: until COUNT nodes have said WORD
    local word node text count=0
    while ((count < $2)); do
        read -r -t 30 -u "$3" word node text ||
            die $EXIT_APPLY "$(($2 - count)) of $2 nodes did not boot within 30 s"
        [[ $word != fail ]] || die $EXIT_APPLY "node $node did not boot: $text"
        [[ $word != "$1" ]] || ((++count))
    done
}

node_alive() { # NODE
    remembered "$STATE/node/$1/pid" >/dev/null
}

node_exec() { # NODE COMMAND...
    local pid
    pid=$(remembered "$STATE/node/$1/pid") || return 1
    shift
    nsenter --net=/proc/"$pid"/ns/net --uts=/proc/"$pid"/ns/uts --ipc=/proc/"$pid"/ns/ipc \
        --mount=/proc/"$pid"/ns/mnt --pid=/proc/"$pid"/ns/pid_for_children -- "$@" 8>&- 9>&-
}

node_end() { # NODE
    local pid
    pid=$(remembered "$STATE/node/$1/pid") && kill -KILL "$pid"
    wait_until 10 node_gone "$1" || die $EXIT_APPLY "node $1 (process $pid) could not be ended within 10 s"
}

node_gone() { # NODE: its processes, and its cable, which goes with the last process of its network namespace
    ! node_alive "$1" && { [[ ! -e /sys/class/net/${BRIDGE}n${1##*-} ]] || {
        ip link delete "${BRIDGE}n${1##*-}" 2>/dev/null
        false
    }; }
}

# ---- the end ------------------------------------------------------------------------------------

marked() { # prints the ids of all processes that carry the cluster's mark
    grep -lzsxF "DT_CLUSTER_MARK=$STATE" /proc/[0-9]*/environ | cut -d/ -f3
}

all_ended() {
    local pids
    mapfile -t pids < <(marked)
    ((${#pids[@]})) || return 0
    kill -KILL "${pids[@]}" 2>/dev/null
    return 1
}

bridge_gone() {
    local path links=()
    for path in /sys/class/net/"$BRIDGE" /sys/class/net/"$BRIDGE"n*; do
        [[ ! -e $path ]] || links+=("${path##*/}")
    done
    ((${#links[@]})) || return 0
    printf 'link delete %s\n' "${links[@]}" | ip -force -batch - 2>/dev/null
    return 1
}

# What Slurm's proctrack/cgroup has made for the nodes; empty ones, as their processes have ended.
cgroups_gone() {
    local node left=()
    while read -r node _; do
        left+=(/sys/fs/cgroup/*/"slurm_$node")
    done < <(cat "$STATE/nodes" 2>/dev/null)
    ((${#left[@]})) || return 0
    find "${left[@]}" -depth -type d -exec rmdir {} + 2>/dev/null
    ! ls -d "${left[@]}" >/dev/null 2>&1
}

state_unmounted() {
    mountpoint -q "$STATE" || return 0
    umount "$STATE" 2>/dev/null || umount --lazy "$STATE"
    return 1
}

cluster_end() { # NAME
    local had=''
    state_lock "$1"
    STATE=$TOP/$1 NAME=$1
    if [[ -d $STATE ]]; then
        had=1
        # shellcheck disable=SC1091 # written by state_set
        [[ ! -r $STATE/vars ]] || source "$STATE/vars"
        wait_until 15 all_ended ||
            die $EXIT_APPLY "processes $(joined "$(marked)") of cluster \"$1\" could not be killed within 15 s"
        [[ -z $BRIDGE ]] || wait_until 15 bridge_gone ||
            die $EXIT_APPLY "the bridge $BRIDGE of cluster \"$1\" could not be removed within 15 s"
        wait_until 5 cgroups_gone || die $EXIT_APPLY "the cgroups of cluster \"$1\" can not be removed"
        wait_until 5 state_unmounted || die $EXIT_APPLY "can not unmount $STATE"
        rmdir "$STATE" || die $EXIT_APPLY "can not remove $STATE"
    fi
    rm -f "$TOP/$1.lock"
    rmdir --ignore-fail-on-non-empty "$TOP" 2>/dev/null
    [[ -n $had ]] || echo "no cluster \"$1\" is up"
    return 0
}
