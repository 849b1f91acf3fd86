#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016  # bats sets stderr; scripts that are written are expanded later
# dt-topo: the drawing in its formats, the plan's contract, the comparison, and what it refuses.

bats_require_minimum_version 1.5.0

setup_file() {
    corpus=$BATS_FILE_TMPDIR/corpus
    export corpus
    python3 tests/corpus/generate.py "$corpus"
}
setup() {
    dir=$BATS_TEST_TMPDIR
    topo=$(realpath "${BUILD:-build}")/bin/dt-topo
    cp configs/instances.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    unset COLUMNS NO_COLOR
    export LC_ALL=C.UTF-8
}
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
# the words go before the options, so that a command stays the first
topo() {
    local command=()
    case ${1:-} in plan | compare) command=("$1"); shift ;; esac
    "$topo" "${command[@]}" --config "$dir/dt.conf" "$@"
}
json() { jq -e "$1" <<<"$output" >/dev/null || { echo "$output"; return 1; }; }

@test "a type drawn as text: heading, source, cores, devices, ranks; each line as wide as asked" {
    run -0 topo --as p5.48xlarge --ranks 8 --width 100
    [ "${lines[0]}" = "p5.48xlarge: 2 packages, 2 NUMA nodes, 96 cores, 192 PUs, 8 GPUs, 32 NICs" ]
    [ "${lines[1]}" = "topology from: instance table p5.48xlarge, modelled" ]
    has "│ cores     0 00000000 00001111 11111111 22222222 22223333 33333333"
    has "GPU 3   rank 3  0000:86:00.0  NVIDIA H100 80GB HBM3"
    has "NICs    rank 7  rdmap198s0 rdmap199s0 rdmap200s0 rdmap201s0"
    has "rank 7   7  PUs 84-95,180-191, memory preferred 1"
    for line in "${lines[@]}"; do
        case $line in [╭│╰]*) [ ${#line} -eq 100 ] ;; esac
    done
}
@test "no line is longer than asked, but for paths and lists of CPUs: what stands above the boxes goes on below" {
    for file in "$corpus"/*.xml; do
        for ranks in 3 64; do
            run -0 topo --topology "$file" --ranks $ranks --width 80
            for line in "${lines[@]}"; do
                [ ${#line} -le 80 ] || [[ $line == *"$file"* || $line == "  rank "* ]] || { echo "$file: ${#line}: $line"; return 1; }
            done
        done
    done
    run -0 topo --as p4d.24xlarge --ranks 64 --width 80
    [ "${lines[2]}" = "plan: 64 ranks, 1 core, 1 GPU and 1 NIC each, memory preferred on the NUMA node" ]
    [[ ${lines[3]} == "  of its cores; there are fewer cores than ranks, so ranks share cores"* ]]
    [[ ${lines[3]}${lines[4]} == *" so ranks share GPUs" ]]
}
@test "plain characters where the locale has no others; colours only where they are asked for" {
    LC_ALL=C run -0 topo --as p4d.24xlarge --ranks 8
    [ -z "$(LC_ALL=C tr -d '\n -~' <<<"$output")" ]
    run -0 topo --as p4d.24xlarge --ranks 8
    lacks $'\033['
    run -0 topo --as p4d.24xlarge --ranks 8 --color always
    has $'\033[38;5;39m0\033[0m'
}
@test "types without GPUs, with Neuron devices, with one of everything" {
    for type in hpc7a.96xlarge trn1.32xlarge p5.4xlarge c5n.metal; do
        run -0 topo --as "$type" --ranks 3 --format svg
        [[ "$output" == "<svg "*"</svg>" ]]
    done
    run -0 topo --as trn1.32xlarge --ranks 16
    has "Neuron 15  rank 15"
}
@test "plan --json keeps its contract" {
    run -0 topo plan --as p5.48xlarge --ranks 8 --json
    json 'keys == ["idle_cpus", "notes", "ranks", "source"]'
    json '.source == "instance table p5.48xlarge, modelled" and .idle_cpus == "" and .notes == []'
    json '.ranks | length == 8 and all(keys == ["cost", "cpus", "gpus", "local_rank", "memory", "nics", "policy"])'
    json '.ranks[4] == {"local_rank": 4, "cpus": "48-59,144-155", "memory": [1], "policy": "preferred",
          "gpus": ["pci:0000:97:00.0"], "nics": ["rdmap147s0", "rdmap148s0", "rdmap149s0", "rdmap150s0"],
          "cost": .ranks[4].cost} and (.ranks[4].cost | type == "number")'
}
@test "plan: the job's CPUs, GPUs and policy; the same input gives the same plan" {
    run -0 topo plan --as p4d.24xlarge --ranks 2 --allowed 0-5,48-53 --gpus 0,1 --memory bind --json
    json '[.ranks[].cpus] == ["0-2,48-50", "3-5,51-53"]'
    json '[.ranks[].gpus[]] == ["pci:0000:10:1c.0", "pci:0000:10:1d.0"]'
    json 'all(.ranks[]; .policy == "bind" and .memory == [0])'
    first=$output
    run -0 topo plan --as p4d.24xlarge --ranks 2 --allowed 0-5,48-53 --gpus 0000:10:1c.0,pci:0000:10:1d.0 --memory bind --json
    [ "$output" = "$first" ]
    run -0 topo plan --as p4d.24xlarge --ranks 2 --memory local --json
    json 'all(.ranks[]; .policy == "local")'
}
@test "plan as text, and explained rank by rank" {
    run -0 topo plan --as p4d.24xlarge --ranks 8
    has "GPU 0   rank 0"
    run -0 topo plan --as p4d.24xlarge --ranks 8 --explain
    has "local rank 7: 6 cores"; has "distance"; has "refused"
}
@test "files are told apart by content, whatever they are called" {
    run -0 topo plan --topology "$corpus/spare-nics.xml" --ranks 4 --json
    json '.source | startswith("hwloc XML ")'
    json '[.ranks[].nics[]] == ["mlx5_1", "mlx5_2", "mlx5_6", "mlx5_7"]'
    cp "$corpus/nccl-four-switches.xml" "$dir/node.txt"
    run -0 topo plan --topology "$dir/node.txt" --ranks 4 --json
    json '.source | startswith("NCCL XML ")'
    json '.notes[0] | contains("16 CPUs apart")'
    json '.ranks[3].gpus == ["pci:0000:03:1c.0", "pci:0000:03:1d.0"]'
}
@test "every generated machine can be drawn and compared" {
    for file in "$corpus"/*.xml; do
        run -0 topo --topology "$file" --ranks 8
        has "topology from: "
        run -0 topo compare --topology "$file" --ranks 8
        has "linear order"
    done
}
@test "compare: on GPUs at half of the nodes mpibind's rule starves a rank, dt none" {
    run -0 topo compare --topology "$corpus/spare-nics.xml" --ranks 4
    has "mpibind's rule"; has "Slurm's default"; has "linear order"
    for line in "${lines[@]}"; do [ ${#line} -le 80 ] || [[ $line == "topology from"* ]]; done
    cost=$(topo compare --topology "$corpus/spare-nics.xml" --ranks 4 --json | jq '.binders[0].cost')
    grep -qE "^dt +${cost%.0}\.0 " <<<"$output"
    run -0 topo compare --topology "$corpus/spare-nics.xml" --ranks 4 --json
    json '[.binders[].binder] == ["dt", "mpibind", "slurm", "linear"]'
    json '.binders[0] | .starved_ranks == 0 and .idle_cores == 0 and .shared_cores == 0 and .most_gpus == 1'
    json '.binders[1] | .starved_ranks == 1 and .most_gpus == 2'
    json '.binders[2].shared_cores == 64'
    json '.binders[0].gpu_distance < .binders[3].gpu_distance'
    run -0 topo compare --topology "$corpus/two-gpus-a-switch.xml" --ranks 8 --json
    json '.binders[1] | .idle_pus == 24 and .starved_ranks == 0'
    json '.binders[0].idle_pus == 0'
}
@test "SVG is XML with the ranks in it; a machine's own words are escaped" {
    run -0 topo --as p5.48xlarge --ranks 8 -o "$dir/p5.svg"
    [ -z "$output" ]
    python3 - "$dir/p5.svg" <<'PY'
import sys
from xml.dom import minidom
svg = minidom.parse(sys.argv[1]).documentElement
titles = [t.firstChild.data for t in svg.getElementsByTagName("title")]
assert sum(t.startswith("PUs ") for t in titles) == 96, titles
assert "rdmap79s0 at 0000:4f:00.0: rank 0" in titles
PY
    sed 's/value="generated"/value="a \&lt;b\&gt; \&amp;"/' "$corpus/no-io.xml" >"$dir/odd.xml"
    run -0 topo --topology "$dir/odd.xml" --format svg
    has "a &lt;b&gt; &amp;:"
}
@test "PNG" {
    run -0 topo --as p5.48xlarge --ranks 8 -o "$dir/p5.png"
    [ "$(head -c 8 "$dir/p5.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
    [ "$(stat -c %s "$dir/p5.png")" -gt 20000 ]
}
@test "this machine" {
    run -0 topo --live --json
    json ".pus == $(getconf _NPROCESSORS_ONLN)"
}
@test "a virtual machine below a root: its PCI tree from the table, or from the admin's file, or not at all" {
    tools=$(realpath "${BUILD:-build}")/localcluster
    "$tools/dt-personality" tree --instances "$dir/instances.conf" --nvml "$tools/libnvidia-ml.so.1" --type p4d.24xlarge --out "$dir/p4d" >/dev/null
    run -0 topo plan --root "$dir/p4d" --ranks 4 --json
    json '.source == "sysfs + instance table p4d.24xlarge"'
    json '[.ranks[].nics[]] == ["rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27"]'
    json 'all(.ranks[].gpus[]; startswith("GPU-"))'
    "$tools/dt-personality" tree --instances "$dir/instances.conf" --nvml "$tools/libnvidia-ml.so.1" --type g5.48xlarge --out "$dir/vm" >/dev/null
    echo home.made >"$dir/vm/sys/devices/virtual/dmi/id/product_name"
    run -0 topo --root "$dir/vm" --json
    json '.source == "sysfs" and all(.accelerators[]; .switch == null)'
    for slot in 6 8 a c; do
        echo "switch { numa = $([[ $slot == [68] ]] && echo 0 || echo 1) gpus = {\"0000:00:1$slot.0\", \"0000:00:1$(printf %x $((16#$slot + 1))).0\"} }"
    done >"$dir/places.conf"
    run -0 topo --root "$dir/vm" --override "$dir/places.conf" --json
    json '.source | endswith("sysfs + override '"$dir"'/places.conf")'
    json '[.accelerators[].switch] | .[0] == .[1] and .[1] != .[2] and all(. != null)'
    echo "topology-override = \"$dir/places.conf\"" >>"$dir/dt.conf"
    run -0 topo --root "$dir/vm" --json
    json '.source | contains("override")'
    node=$(realpath "${BUILD:-build}")/libexec/dt-node
    run -0 "$node" --plan --root "$dir/vm" --config "$dir/dt.conf" --ranks 4 --explain --allowed 0-191
    has "sysfs%20+%20override%20$dir/places.conf"
    lacks "warning:%20on"
    sed -i 's/0000:00:18/0000:00:16/' "$dir/places.conf"
    run -0 --separate-stderr topo --root "$dir/vm" --json
    json '.source == "sysfs"'
    run -0 "$node" --plan --root "$dir/vm" --config "$dir/dt.conf" --ranks 4 --allowed 0-191
    has "puts%20device%200000:00:16.0%20in%20two%20places"
    run -0 --separate-stderr topo --root "$dir/vm" --json
    [[ $stderr == *"warning: "*"puts device 0000:00:16.0 in two places"* ]]
}
@test "refused: 71 and a sentence for files that are no topology or fit no plan" {
    echo '<topology><object type="Machine">' >"$dir/short.xml"
    run -71 topo plan --topology "$dir/short.xml" --ranks 2; has "short.xml ends inside <object>"; [ "${#lines[@]}" -eq 1 ]
    run -71 topo plan --topology "$dir/none.xml" --ranks 2; has "can not be opened"
    run -71 topo plan --topology "$dir/dt.conf" --ranks 2; has "neither hwloc XML"
    run -71 topo plan --as p4d.24xlarge --ranks 2 --allowed 500; has "which are 0-95"
    run -71 topo plan --as p4d.24xlarge --ranks 2 --gpus 9; has "no '9' among the 8 accelerators"
    run -71 topo plan --as p4d.24xlarge --ranks 2 --gpus 1,1; has "names '1' twice"
    run -73 topo --as p4d.24xlarge -o "$dir/none/p4d.svg"; has "can not be written"
}
@test "refused: 64 for words that make no sense" {
    run -64 topo plan --as p4d.24xlarge; has "--ranks N is needed"
    run -64 topo --as p4d.24xlarge --live; has "give one"
    run -64 topo --as p9.huge; has "no instance type 'p9.huge'"
    run -64 topo --as p4d.24xlarge --ranks 0; has "from 1 to"
    run -64 topo --as p4d.24xlarge --gpus 1; has "give --ranks N too"
    run -64 topo plan --as p4d.24xlarge --ranks 2 --format svg; has "only the drawing"
    run -64 topo --as p4d.24xlarge --format png; has "-o FILE"
    run -64 topo --as p4d.24xlarge --ranks 2 --memory near; has "preferred, bind, interleave or local"
    run -64 topo one two; has "one node at a time"
    run -64 topo --color red; has "auto, always or never"
}
@test "a node of the cluster is asked with srun, and its answer is given on" {
    mkdir "$dir/bin"
    printf '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do echo "$1" >>"%s/srun.words"; shift; done\nexec "$@"\n' "$dir" >"$dir/bin/srun"
    chmod 755 "$dir/bin/srun"
    PATH=$dir/bin:$PATH run -0 topo p5-3 --ranks 2 --json
    json '.ranks | length == 2'
    grep -qx -- --nodelist=p5-3 "$dir/srun.words"
    grep -qx -- --ntasks=1 "$dir/srun.words"
    grep -qx -- --overlap "$dir/srun.words"
    PATH=$dir/bin:$PATH run -0 topo --node p5-3 --ranks 2 -o "$dir/n.png"
    [ -s "$dir/n.png" ]
    printf '#!/bin/sh\necho "srun: error: Invalid node name" >&2\nexit 1\n' >"$dir/bin/srun"
    PATH=$dir/bin:$PATH run -1 topo p5-9; has "node p5-9 gave no answer"
    PATH=$dir run -67 /usr/bin/env "$topo" p5-9; has "srun can not be started"
}
# One line a rank: where there are as many ranks as devices the best plan is the only one. A change here is a change of what
# users get: say so in the commit. To write it anew: UPDATE_GOLDEN=1 bats tests/cli/topo.bats
@test "plans as they were" {
    plans() {
        local words
        while read -r -a words; do
            [[ ${words[0]} == --topology ]] && words[1]=$corpus/${words[1]}.xml
            echo "${words[*]/#$corpus\//}"
            topo plan "${words[@]}" --json | jq -r '.ranks[] | "  \(.local_rank)  \(.cpus)  \(.memory | join(","))  \(.gpus | join(","))  \(.nics | join(","))"'
        done <<'LIST'
--as p4d.24xlarge --ranks 8
--as p5.48xlarge --ranks 8
--as p5en.48xlarge --ranks 8
--as p6-b200.48xlarge --ranks 8
--as g5.48xlarge --ranks 8
--as trn1.32xlarge --ranks 16
--topology spare-nics --ranks 4
--topology two-gpus-a-switch --ranks 8
--topology snc4 --ranks 8
--topology sixteen-gpus --ranks 16
--topology nccl-four-switches --ranks 8
LIST
    }
    if [ -n "${UPDATE_GOLDEN:-}" ]; then plans >tests/corpus/plans.golden; fi
    plans >"$dir/plans"
    diff tests/corpus/plans.golden "$dir/plans"
}
