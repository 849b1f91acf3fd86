# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What dt-cluster can break in a node, and how it is mended. Faults of the machine that a node pretends to
# be (a GPU or an EFA device gone, another driver) are planted by dt-personality in the node's own /sys, /proc
# and /opt; those below concern a node as such, so they work on nodes of type "host" too.

readonly NODE_FAULTS="\
memlock-low      ranks may lock 64 KiB of memory at most
nofile-low       ranks may open 256 files at most
shm-small        /dev/shm holds 16 MiB
fs-readonly      /tmp can not be written
clock-off        dt-node's clock is 2 s ahead
no-plugin        plugstack.conf is empty
helper-crash     dt-node crashes at once
helper-hang      dt-node never answers
firewall         new connections to srun's machine are dropped, but for slurmctld and SrunPortRange
dead             slurmd and all that it ran are killed
net-down         the network is down"

faults_list() { # BUILD
    printf '%s\n' "$NODE_FAULTS"
    [[ ! -x $1/localcluster/dt-personality ]] || "$1/localcluster/dt-personality" faults
}

fault_plant() { # NODE FAULT
    local node=$1 fault=$2 error
    node_alive "$node" || die $EXIT_APPLY "node $node is down; mend it with: $0 heal $node"
    if [[ $'\n'$NODE_FAULTS == *$'\n'"$fault "* ]]; then
        error=$("fault_${fault//-/_}" "$node" 2>&1) ||
            die $EXIT_APPLY "$fault can not be planted in $node: ${error:-refused}"
    else
        fault_of_personality "$node" "$fault"
    fi
    grep -qsxF -- "$fault" "$STATE/node/$node/faults" || printf '%s\n' "$fault" >>"$STATE/node/$node/faults"
}

# A node of type "host" sees the machine's own /sys and /proc, which must not be written to.
fault_of_personality() { # NODE FAULT
    local error
    [[ -x $STATE/etc/dt-personality ]] && grep -q "^$2 " <("$STATE/etc/dt-personality" faults) ||
        die $EXIT_USAGE "there is no fault \"$2\"; see: $0 faults"
    [[ $NODE_TYPE != host ]] ||
        die $EXIT_USAGE "$2 can not be planted in $1, which shows the real machine; boot with --as TYPE"
    error=$(node_exec "$1" "$STATE/etc/dt-personality" fault --root / "$2" 2>&1) ||
        die $EXIT_APPLY "$2 can not be planted in $1: ${error#dt-personality: }"
}

fault_memlock_low() { node_exec "$1" prlimit --pid "$(<"$STATE/run/$1.pid")" --memlock=65536:65536; }

fault_nofile_low() { node_exec "$1" prlimit --pid "$(<"$STATE/run/$1.pid")" --nofile=256:256; }

fault_shm_small() { node_exec "$1" mount -o remount,size=16m /dev/shm; }

fault_fs_readonly() { node_exec "$1" mount -o remount,ro /tmp; }

fault_no_plugin() {
    : >"$STATE/faults/empty"
    fault_bind "$1" "$STATE/faults/empty" "$STATE/etc/plugstack.conf"
}

fault_dead() { node_exec "$1" kill -KILL -- -1; }

fault_net_down() { node_exec "$1" ip link set eth0 down; }

# Packets of connections that the machine has opened to the node pass: only the first packet of a
# connection from the node is looked at.
fault_firewall() {
    local nft
    nft=$(type -P nft) || { echo "nft is missing (package nftables)" && return 1; }
    node_exec "$1" "$nft" -f /dev/stdin <<TEXT
table inet dt_fault {
    chain out {
        type filter hook output priority 0; policy accept;
        ip daddr $HOST_IP tcp flags & (syn | ack) == syn tcp dport != { $PORT, 60001-63000 } drop
    }
}
TEXT
}

fault_helper_crash() { fault_helper "$1" helper-crash "kill -SEGV \$\$"; }

fault_helper_hang() { fault_helper "$1" helper-hang "exec sleep infinity"; }

# Only the wall clock is moved: dt-node's own deadlines count on the monotonic one.
fault_clock_off() {
    local library
    # shellcheck disable=SC2016
    library=$(faketime -f +0 sh -c 'echo "$LD_PRELOAD"') || { echo "package faketime is missing" && return 1; }
    [[ -e $STATE/faults/dt-node ]] || ln "$STATE/prefix/libexec/dt/dt-node" "$STATE/faults/dt-node" || return 1
    fault_helper "$1" clock-off "export LD_PRELOAD='$library' FAKETIME=+2s FAKETIME_DONT_FAKE_MONOTONIC=1
exec $STATE/faults/dt-node \"\$@\""
}

fault_helper() { # NODE FAULT SCRIPT: what this node finds where dt-node should be
    local file=$STATE/faults/$2
    [[ -e $STATE/prefix/libexec/dt/dt-node ]] || { echo "the cluster was booted without a plugin" && return 1; }
    printf '#!/bin/sh\n%s\n' "$3" >"$file.new" && chmod 0755 "$file.new" && mv "$file.new" "$file" || return 1
    fault_bind "$1" "$file" "$STATE/prefix/libexec/dt/dt-node"
}

fault_bind() { # NODE FROM OVER
    node_exec "$1" mount --bind "$2" "$3"
}

# ---- mending ------------------------------------------------------------------------------------

# A reboot: nothing that was planted can survive it, however faults were combined.
node_heal() { # NODE
    local state
    node_end "$1"
    # Or slurmctld would wait for the end of jobs that the node no longer knows.
    slurm scontrol update NodeName="$1" State=DOWN Reason="rebooted by dt-cluster" >/dev/null 2>&1
    rm -rf "$STATE/node/$1" "$STATE/spool/$1"
    nodes_boot "$1"
    wait_until 30 node_back "$1" && return 0
    state=$(slurm sinfo --noheader --nodes="$1" --format=%T 2>/dev/null)
    die $EXIT_DAEMON "node $1 is ${state:-unknown} to Slurm 30 s after its reboot; see: $0 logs $1"
}

node_back() { # NODE: idle; what Slurm or a test has drained, failed or called down is taken back
    local state
    # The state alone may be that from before the reboot.
    grep -qs ':1AA2 [0-9A-F]*:0000 0A ' "/proc/$(remembered "$STATE/node/$1/pid")/net/tcp" || return 1
    state=$(slurm sinfo --noheader --nodes="$1" --format=%T 2>/dev/null)
    [[ $state != idle ]] || return 0
    [[ $state != *drain* && $state != *down* && $state != *fail* ]] ||
        slurm scontrol update NodeName="$1" State=RESUME >/dev/null 2>&1
    return 1
}

cluster_status() {
    local node address type rest faults
    local -A state=()
    while read -r node rest; do
        state[$node]=$rest
    done < <(slurm sinfo --noheader --Node --format='%N %T' 2>/dev/null)
    printf '%-20s %-16s %-18s %-12s %s\n' NODE ADDRESS TYPE STATE FAULTS
    [[ -r $STATE/nodes ]] || return 0
    while read -r node address type rest; do
        faults=$(cat "$STATE/node/$node/faults" 2>/dev/null)
        printf '%-20s %-16s %-18s %-12s %s\n' "$node" "$address" "$type" "${state[$node]:-unknown}" \
            "${faults//$'\n'/ }"
    done <"$STATE/nodes"
}
