# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What a node of dt-cluster pretends to be. dt-personality writes one tree of files per type; each node mounts
# it over its own /sys, /proc, /opt and /usr/local, through overlays whose upper side is the node's, so that
# a fault planted in one node is seen by that node alone. A node of type "host" has none of this.

personality_needed() { # BUILD
    [[ -x $1/localcluster/dt-personality ]] ||
        die $EXIT_MISSING "$1/localcluster/dt-personality is missing; run make, or say --build DIR"
}

types_check() { # TYPES BUILD
    local type table=$REPOSITORY/configs/instances.conf
    [[ $1 =~ ^[a-z0-9.-]+(,[a-z0-9.-]+)*$ ]] || die $EXIT_USAGE "--as \"$1\" is no list of types"
    for type in ${1//,/ }; do
        [[ $type != host ]] || continue
        [[ -r $table ]] || die $EXIT_MISSING "$table is missing"
        [[ -n $(type_section "$type") ]] ||
            die $EXIT_USAGE "--as: type \"$type\" is neither \"host\" nor in $table"
    done
    [[ $1 =~ ^host(,host)*$ ]] || personality_needed "$2"
}

# A type's numbers, one "key value" a line.
type_section() { # TYPE
    awk -v type="$1" '
        /^[ \t]*#/ { next }
        $1 == "instance" { inside = ($2 == "\"" type "\"") }
        inside && match($0, /^[ \t]*[a-z-]+[ \t]*=/) {
            key = $1
            sub(/=.*/, "", key)
            value = substr($0, RLENGTH + 1)
            gsub(/[ \t"]/, "", value)
            print key, value
        }' "$REPOSITORY/configs/instances.conf"
}

# "CPUS MEMORY_MIB GPUS" of a type.
type_size() { # TYPE
    local kib
    if [[ $1 == host ]]; then
        kib=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
        echo "$(nproc --all) $((kib / 1024)) 0"
        return
    fi
    type_section "$1" | awk '
        $1 == "vcpus" { cpus = $2 }
        $1 == "memory-mib" { memory = $2 }
        $1 == "accelerator" { nvidia = ($2 == "nvidia") }
        $1 == "accelerators" { gpus = $2 }
        END { print cpus, memory, nvidia ? gpus : 0 }'
}

type_prepare() { # TYPE BUILD: writes its tree
    local error
    [[ $1 != host && ! -d $STATE/types/$1 ]] || return 0
    mkdir -p "$STATE/types"
    error=$("$2/localcluster/dt-personality" tree --instances "$REPOSITORY/configs/instances.conf" --type "$1" \
        --node "$NAME" --nvml "$2/localcluster/libnvidia-ml.so.1" --out "$STATE/types/$1" 2>&1) ||
        die $EXIT_APPLY "the tree of a $1 can not be made: ${error#dt-personality: }"
    install -m 0755 "$2/localcluster/dt-personality" "$STATE/etc/" || die $EXIT_APPLY "can not copy dt-personality"
}

# The lines of a node's fstab that make its type, in order; also makes the directories that they need.
type_fstab() { # NODE
    local tree=$STATE/types/$NODE_TYPE own=$STATE/node/$1 file
    mkdir -p "$own/cgroup"
    if [[ $NODE_TYPE == host ]]; then
        # sysfs shows the network devices of the namespace in which it was mounted.
        printf '%s\n' "/sys/fs/cgroup $own/cgroup none rbind" "dt-sys /sys sysfs nosuid,nodev,noexec" \
            "$own/cgroup /sys/fs/cgroup none rbind"
        return
    fi
    mkdir -p "$own"/{sys,sys.work,opt,opt.work,local,local.work}
    cp -a "$tree/proc" "$own/proc" && cat /proc/sys/kernel/random/uuid >"$own/boot_id" ||
        die $EXIT_APPLY "can not copy $tree/proc to $own"
    printf '%s\n' "/sys/fs/cgroup $own/cgroup none rbind" \
        "dt-sys /sys overlay lowerdir=$tree/sys,upperdir=$own/sys,workdir=$own/sys.work" \
        "$own/cgroup /sys/fs/cgroup none rbind" \
        "dt-opt /opt overlay lowerdir=$tree/opt:/opt,upperdir=$own/opt,workdir=$own/opt.work" \
        "dt-local /usr/local overlay lowerdir=$tree/usr/local:/usr/local,upperdir=$own/local,workdir=$own/local.work" \
        "$own/proc/driver /proc/driver none bind"
    # A process's host name is already its own, and each node has booted on its own.
    while read -r file; do
        [[ ! -e /proc/$file || $file == sys/kernel/hostname ]] || case $file in
        sys/kernel/random/boot_id) echo "$own/boot_id /proc/$file none bind" ;;
        *) echo "$own/proc/$file /proc/$file none bind" ;;
        esac
    done < <(cd "$tree/proc" && find . \( -path ./driver -o -path ./self -o -path ./net -o -path "./[0-9]*" \) -prune -o -type f -printf '%P\n')
}
