# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The files that a cluster of dt-cluster runs from: the staged copy of dt, the nodes' table, and Slurm's
# own configuration. What is staged is root-owned and lies at a path without blanks, because plugstack.conf
# can not quote and the plugin starts no helper that others could have written.

slurm_find() { # PREFIX or ""
    local program
    SLURM_BIN=/usr/bin SLURM_SBIN=/usr/sbin
    if [[ -n $1 ]]; then
        SLURM_BIN=$(readlink -m -- "$1/bin") SLURM_SBIN=$(readlink -m -- "$1/sbin")
    else
        program=$(command -v slurmctld) && SLURM_SBIN=${program%/*}
        program=$(command -v srun) && SLURM_BIN=${program%/*}
    fi
    needs_check
    for program in "$SLURM_SBIN/slurmctld" "$SLURM_SBIN/slurmd" "$SLURM_BIN/srun" "$SLURM_BIN/sinfo"; do
        [[ -x $program ]] ||
            die $EXIT_MISSING "$program is missing; install Slurm (make deps), or say --slurm PREFIX"
    done
    [[ $SLURM_BIN != /tmp/* && $SLURM_SBIN != /tmp/* ]] ||
        die $EXIT_USAGE "--slurm: nodes have a /tmp of their own and can not see ${SLURM_SBIN%/*}; put it elsewhere"
    [[ $SLURM_BIN$SLURM_SBIN != *[[:space:]]* ]] || die $EXIT_USAGE "--slurm: the path must hold no blanks"
}

stage() { # BUILD PLUGSTACK ARGUMENTS
    local prefix=$STATE/prefix file build=$1 plugin=''
    mkdir -p "$prefix"/{bin,lib/slurm,libexec/dt,etc/dt,share/dt} "$STATE/faults"
    if [[ $2 != none ]]; then
        for file in lib/spank_dt.so libexec/dt-node libexec/dt-gather; do
            [[ -f $build/$file ]] ||
                die $EXIT_MISSING "$build/$file is missing; run make, or say --build DIR or --plugstack none"
        done
        install -m 0755 "$build"/lib/spank_dt.so "$prefix/lib/slurm/" &&
            install -m 0755 "$build"/libexec/dt-* "$prefix/libexec/dt/" && mkdir -p "$prefix/libexec/dt/shim" ||
            die $EXIT_APPLY "can not copy the plugin and its helpers to $prefix"
        for file in "$build"/libexec/shim/*; do
            ln -sfn ../../../bin/dt-launch "$prefix/libexec/dt/shim/${file##*/}"
        done
        plugin="$2 $prefix/lib/slurm/spank_dt.so helpers=$prefix/libexec/dt config=$prefix/etc/dt/dt.conf"
        plugin+="${3:+ $3}"
    fi
    for file in "$build"/bin/*; do
        install -m 0755 "$file" "$prefix/bin/" || die $EXIT_APPLY "can not copy $file to $prefix/bin"
    done
    for file in "$REPOSITORY"/configs/*.conf; do
        install -m 0644 "$file" "$prefix/share/dt/" || die $EXIT_APPLY "can not copy $file to $prefix"
    done
    [[ ! -f $REPOSITORY/configs/dt.conf ]] || cat "$REPOSITORY/configs/dt.conf" >"$prefix/etc/dt/dt.conf"
    cat >>"$prefix/etc/dt/dt.conf" <<TEXT

# Added by dt-cluster. The cache directory is a tmpfs of each node; what a node remembers outlives its reboot.
data-directory = "$prefix/share/dt"
cache-directory = "$STATE/cache"
state-directory = "$STATE/state"
imds = "off"
TEXT
    limits_conf >>"$prefix/etc/dt/dt.conf"
    printf '%s\n' "$plugin" >"$STATE/etc/plugstack.conf"
    install -m 0755 "$HERE/node-init.sh" "$STATE/etc/node-init" || die $EXIT_APPLY "can not copy node-init.sh"
}

# Without CAP_SYS_RESOURCE the nodes can not have the limits of a real node. Then the best that they can have
# counts as healthy, so that only planted faults are found.
limits_conf() {
    (ulimit -l unlimited) 2>/dev/null ||
        printf 'min-memlock-mib = %d # this machine gives no more\n' $(($(ulimit -H -l) / 1024))
    (ulimit -n 131072) 2>/dev/null ||
        printf 'min-nofile = %d # this machine gives no more\n' "$(ulimit -H -n)"
}

nodes_write() { # COUNT TYPES BUILD
    local count=$1 index address type list kinds=() hosts=$STATE/etc/hosts
    local -A size=()
    IFS=, read -r -a kinds <<<"$2"
    for type in "${kinds[@]}"; do
        [[ -n ${size[$type]:-} ]] || size[$type]=$(type_size "$type")
        [[ ${size[$type]} =~ ^[0-9]+\ [0-9]+\ [0-9]+$ ]] ||
            die $EXIT_MISSING "$type has no size in configs/instances.conf (\"${size[$type]}\")"
        type_prepare "$type" "$3"
    done
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s %s %s-head\n' "$HOST_IP" "$(hostname -s)" \
        "$NAME" >"$hosts"
    for ((index = 1; index <= count; index++)); do
        type=${kinds[(index - 1) % ${#kinds[@]}]}
        address=${NET%.*}.$((${NET##*.} + (index + 1) / 256)).$(((index + 1) % 256))
        list+="$NAME-$index $address $type ${size[$type]}"$'\n'
        printf '%s %s\n' "$address" "$NAME-$index" >>"$hosts"
        mkdir "$STATE/node/$NAME-$index"
    done
    printf '%s' "$list" >"$STATE/nodes"
    state_set NODES "$count"
}

slurm_write() { # PLUGSTACK PROCTRACK
    local etc=$STATE/etc node address type cpus memory gpus gpu_nodes='' most=0 plugstack=''
    [[ $1 == none ]] || plugstack="PlugStackConfig=$etc/plugstack.conf"
    slurm_conf "$2" "$plugstack" >"$etc/slurm.conf"
    : >"$etc/gres.conf"
    while read -r node address type cpus memory gpus; do
        printf 'NodeName=%s NodeHostname=%s NodeAddr=%s CPUs=%s RealMemory=%s%s Feature=%s State=UNKNOWN\n' \
            "$node" "$node" "$address" "$cpus" "$memory" "$( ((gpus == 0)) || echo " Gres=gpu:$gpus")" "$type"
        ((gpus == 0)) || printf 'NodeName=%s Name=gpu File=%s\n' "$node" \
            "$STATE/run/nvidia[0-$((gpus - 1))]" >>"$etc/gres.conf"
        ((gpus <= most)) || most=$gpus
    done <"$STATE/nodes" >>"$etc/slurm.conf"
    printf 'PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=YES:8 State=UP\n' \
        >>"$etc/slurm.conf"
    # Slurm asks of File= only that it exists; /dev/null's numbers can hurt nobody.
    for ((gpus = 0; gpus < most; gpus++)); do
        mknod -m 0666 "$STATE/run/nvidia$gpus" c 1 3 || die $EXIT_APPLY "can not make device nodes in $STATE"
    done
    printf 'IgnoreSystemd=yes\n' >"$etc/cgroup.conf"
    # With its tree algorithm, which the default falls back to for barriers, Slurm 22.05 lets ranks out of a
    # PMIx fence before all are in it, and Open MPI then crashes in MPI_Init: seen in every second job of 24 ranks.
    printf 'PMIxCollFence=ring\n' >"$etc/mpi.conf"
    # Only CPUs that exist can be bound to, so nodes that claim others get task/none.
    sed 's,^TaskPlugin=.*,TaskPlugin=task/affinity,' "$etc/slurm.conf" >"$etc/slurm-affinity.conf"
    mungekey --create --keyfile="$STATE/munge/key" || die $EXIT_DAEMON "mungekey could not make a key"
}

slurm_conf() { # PROCTRACK PLUGSTACK-LINE
    cat <<TEXT
# Written by dt-cluster.
ClusterName=$NAME
SlurmctldHost=$(hostname -s)($HOST_IP)
SlurmctldPort=$PORT
SlurmdPort=6818
SrunPortRange=60001-63000
AuthType=auth/munge
AuthInfo=socket=$STATE/run/munge.socket,cred_expire=15
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$STATE/slurmctld
SlurmdSpoolDir=$STATE/spool/%n
SlurmctldPidFile=$STATE/run/slurmctld.pid
SlurmdPidFile=$STATE/run/%n.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/%n.log
TmpFS=/tmp
SlurmdParameters=config_overrides
ProctrackType=proctrack/$1
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
ReturnToService=2
MailProg=/bin/true
JobRequeue=0
PropagateResourceLimits=NONE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
TreeWidth=1024
MessageTimeout=20
SlurmdTimeout=20
SlurmctldTimeout=20
InactiveLimit=0
KillWait=2
UnkillableStepTimeout=10
CompleteWait=0
EpilogMsgTime=0
DebugFlags=NO_CONF_HASH
LaunchParameters=send_gids
$2
TEXT
}
