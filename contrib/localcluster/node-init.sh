#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a node of dt-cluster, in namespaces of its own (network, host name, IPC, mounts, processes):
# makes the node's view of the machine, waits for its network, starts slurmd, and reaps what is left to it.
# Ends when it is killed, and all of the node with it.

set -u
state=$1 node=$2 address=$3 slurmd=$4

fail() {
    echo "$node: $*"
    echo "fail $node $*" >"$state/run/boot.fifo"
    exit 1
}

hostname "$node" || fail "can not set the host name"
# As slurmd.service has them; where the machine refuses (no CAP_SYS_RESOURCE), as far as it lets us, and
# dt-cluster has told dt.conf.
ulimit -l unlimited 2>/dev/null || ulimit -S -l hard
ulimit -n 131072 2>/dev/null || ulimit -S -n hard
mount -a -T "$state/node/$node/fstab" || fail "can not mount what $state/node/$node/fstab says"

# The bridge end of the cable is plugged in from outside, once all nodes have come this far.
echo "netns $node" >"$state/run/boot.fifo"
: <"$state/run/gate.fifo"
ip -batch - <<TEXT || fail "can not set up the network"
link set lo up
link set eth0 addrgenmode none up
address add $address/22 brd + dev eth0
TEXT

cd /
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    SLURM_CONF="$state/etc/slurm.conf" "$slurmd" -D &
echo "slurmd $node" >"$state/run/boot.fifo"
# bash reaps orphans while it waits here, and an end of slurmd is not the end of the node.
exec {never}<>"$state/run/never.fifo"
while :; do
    read -r -u "$never"
done
