#!/usr/bin/env bats
# dt-env check, explain, print and rules, on stated machines, trees, this machine and job scripts.

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    env=$build/bin/dt-env
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\n' "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    p5=(--as p5.48xlarge --with "libfabric=1.22.0,ofi-nccl=1.13.0,nccl=2.23.4,kernel=6.8.0")
    unset NCCL_CONF_FILE COLUMNS
}
has() { [[ "$output" == *"$1"* ]] || { echo "$output"; return 1; }; }
lacks() { [[ "$output" != *"$1"* ]] || { echo "$output"; return 1; }; }
# dt-env COMMAND WORDS... with nothing in the environment but the NAME=VALUE words in front
clean() {
    local vars=()
    while [[ $1 == *=* && $1 != -* ]]; do vars+=("$1"); shift; done
    env -i PATH="$PATH" HOME="$HOME" "${vars[@]}" "$env" "$1" --config "$dir/dt.conf" "${@:2}"
}
check() { run clean "$@" "${p5[@]}"; }
script() { printf '%s\n' "$@" >"$dir/job.sbatch"; }
severity() { jq -r --arg v "$1" '[.findings[] | select(.variable == $v) | .severity] | join(" ")' <<<"$output"; }

@test "no words, wrong words, and words that are nearly right" {
    run "$env"; [ "$status" -eq 64 ]; has "usage: dt-env COMMAND"
    run "$env" --help; [ "$status" -eq 0 ]; has "check"; has "versions"
    run "$env" help print; [ "$status" -eq 0 ]; has "container-env"
    run "$env" --version; [ "$status" -eq 0 ]; has "dt-env "
    run "$env" chekc; [ "$status" -eq 64 ]; has "no command 'chekc'; did you mean 'check'?"
    run "$env" xyzzy; [ "$status" -eq 64 ]; has "there are check, explain, print, rules and versions"
    run clean print --format jsno; [ "$status" -eq 64 ]; has "did you mean 'json'?"
    run clean print word; [ "$status" -eq 64 ]; has "unexpected word 'word'"
    run clean check one two; [ "$status" -eq 64 ]; has "one job script at a time"
    run clean check --as p5.48xlrge; [ "$status" -eq 64 ]; has "did you mean 'p5.48xlarge'?"
    run clean check --as p5.48xlarge --root /; [ "$status" -eq 64 ]; has "give one"
    run clean check --with libfabrc=1.2; [ "$status" -eq 64 ]; has "did you mean 'libfabric'?"
    run clean check --with libfabric; [ "$status" -eq 64 ]; has "is not COMPONENT=VERSION"
    run clean check --with libfabric=new; [ "$status" -eq 64 ]; has "'new' is no version of libfabric"
    run clean check --with libfabric=1.2,; [ "$status" -eq 64 ]; has "empty word"
}
@test "a wrong rules file: 78, file and line" {
    printf 'rule "x" {\n when = "a b"\n}\n' >"$dir/env-rules.conf"
    run clean check --as p5.48xlarge
    [ "$status" -eq 78 ]; has "env-rules.conf:"
    run "$env" rules "$dir/env-rules.conf"
    [ "$status" -eq 78 ]; has "env-rules.conf:"
}
@test "exit status: 0 clean, 1 slow, 1 no effect, 2 abort; explain always 0" {
    check check; [ "$status" -eq 0 ]
    check NCCL_NET_GDR_LEVEL=LOC check; [ "$status" -eq 1 ]; has "SLOW"
    check NCCL_TIMEOUT=1800 check; [ "$status" -eq 1 ]; has "NO EFFECT"
    check FI_EFA_MTU_SIZE=4096 NCCL_TIMEOUT=1 check; [ "$status" -eq 2 ]; has "ABORT"
    check FI_EFA_MTU_SIZE=4096 explain; [ "$status" -eq 0 ]; has "ABORT"
}
@test "--json: exactly these members, null where the user has none" {
    check FI_EFA_MTU_SIZE=4096 NCCL_NET_GDR_LEVEL=LOC NCCL_TIMEOUT=1 check --json
    [ "$status" -eq 2 ]
    jq -e 'keys == ["findings"]' <<<"$output"
    jq -e 'all(.findings[]; keys == ["message","rule","severity","source","value","variable"])' <<<"$output"
    jq -e 'all(.findings[]; .severity | IN("abort","slow","no effect","fine"))' <<<"$output"
    [ "$(severity FI_EFA_MTU_SIZE)" = abort ]
    [ "$(severity NCCL_NET_GDR_LEVEL)" = slow ]
    [ "$(severity NCCL_TIMEOUT)" = "no effect" ]
    jq -e '.findings[] | select(.variable == "FI_EFA_MTU_SIZE") | .value == "4096" and .rule == "mtu-size" and (.source | length > 0)' <<<"$output"
    jq -e 'any(.findings[]; .value == null and .severity == "fine")' <<<"$output"
    check check --json; [ "$status" -eq 0 ]
}
@test "one value, two machines: RDMA asked for where there is none" {
    run clean FI_EFA_USE_DEVICE_RDMA=1 check --as g5.8xlarge --with libfabric=1.22.0
    [ "$status" -eq 2 ]; has "device-rdma-not-there"
    run clean FI_EFA_USE_DEVICE_RDMA=1 check --as g5.8xlarge --with libfabric=1.16.0
    [ "$status" -lt 2 ]
    run clean FI_EFA_USE_DEVICE_RDMA=1 check --as p4d.24xlarge --with libfabric=1.22.0
    [ "$status" -lt 2 ]
}
@test "a version that is not known does not abort" {
    run clean FI_EFA_MTU_SIZE=4096 check --as p5.48xlarge
    [ "$status" -eq 1 ]; has "not known"
}
@test "what dt itself has set is not the user's" {
    check FI_EFA_MTU_SIZE=4096 DT_ENV_APPLIED=NCCL_DEBUG,FI_EFA_MTU_SIZE check
    [ "$status" -eq 0 ]
}
@test "the table: as wide as the terminal, no colour in a pipe, no control character" {
    run env -i COLUMNS=70 FI_EFA_MTU_SIZE=$'4\e[31m' NCCL_TIMEOUT=1 "$env" check --config "$dir/dt.conf" --as p5.48xlarge
    [ "$(awk 'NR > 1 && length > 70' <<<"$output")" = "" ]
    lacks $'\e'; has "FI_EFA_MTU_SIZE=4?[31m"
    run env -i COLUMNS=140 FI_EFA_MTU_SIZE=4096 "$env" check --config "$dir/dt.conf" --as p5.48xlarge
    has "VARIABLE"; has "YOURS"; has "WHY"
    [ "$(awk 'NR > 1 && length > 140' <<<"$output")" = "" ]
    # every row's WHY begins in the column of the headline
    column=$(awk '/VARIABLE/ { print index($0, "WHY") }' <<<"$output")
    [ "$(awk -v c="$column" '/ rule mtu-size/ { print match($0, /rule mtu-size/) }' <<<"$output")" = "$column" ]
}
@test "names that nothing is to be said of share one line; versions as wide as the terminal" {
    run clean NCCL_HOME=/x CUDA_HOME=/y FI_EFA_MTU_SIZE=1 check --as p5.48xlarge
    [ "$(grep -c 'others, dt keeps them' <<<"$output")" -eq 1 ]; has "CUDA_HOME, NCCL_HOME; no rule has anything to say of them"
    [ "$(clean NCCL_HOME=/x CUDA_HOME=/y check --as p5.48xlarge --json | jq -r '[.findings[].variable] | join(",")')" = "CUDA_HOME,NCCL_HOME" ]
    run env COLUMNS=60 LD_LIBRARY_PATH=/usr/lib "$env" versions
    [ "$status" -eq 0 ]; lacks $'\e'
    [ "$(awk 'length > 60 && !/[^ ]{20}/' <<<"$output")" = "" ]
    has VERSION
}
@test "on a terminal there is colour, with NO_COLOR there is none" {
    command -v script >/dev/null || skip "script(1) is not installed"
    printf '#!/bin/sh\nFI_EFA_MTU_SIZE=1 TERM=xterm exec %q check --config %q --as p5.48xlarge\n' "$env" "$dir/dt.conf" >"$dir/run"
    chmod +x "$dir/run"
    run env -u NO_COLOR script -qc "$dir/run" /dev/null; has $'\e['
    run env NO_COLOR=1 script -qc "$dir/run" /dev/null; lacks $'\e[1;'
}
@test "NCCL_SOCKET_IFNAME against this machine's interfaces" {
    run clean NCCL_SOCKET_IFNAME==lo explain; has "NCCL takes lo"
    run clean NCCL_SOCKET_IFNAME=nowhere explain; has "NCCL takes none"
    run clean NCCL_SOCKET_IFNAME=^lo explain; lacks "NCCL takes lo"
}
@test "NCCL_SOCKET_IFNAME that matches nothing on a node with GPUs: abort; other spellings are not" {
    run "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    mkdir -p "$dir"/tree/sys/class/net/{lo,eth0,ens32}
    run clean NCCL_SOCKET_IFNAME=^docker,lo,veth,en,eth check --root "$dir/tree"
    [ "$status" -eq 2 ]; has "NCCL takes none"
    run clean NCCL_SOCKET_IFNAME=eth1 check --root "$dir/tree"
    [ "$status" -eq 2 ]
    run clean NCCL_SOCKET_IFNAME=en check --json --root "$dir/tree"
    [ "$status" -ne 2 ]; has "NCCL takes ens32"
    run clean NCCL_SOCKET_IFNAME==en check --root "$dir/tree"
    [ "$status" -eq 2 ]
}
@test "NCCL's configuration files are the user's too, and named" {
    printf '# mine\nFI_EFA_MTU_SIZE=4096\nNCCL_DEBUG=INFO\n' >"$dir/nccl.conf"
    check NCCL_CONF_FILE="$dir/nccl.conf" check
    [ "$status" -eq 2 ]; has "$dir/nccl.conf:2"
    # the environment wins over the file
    check NCCL_DEBUG=WARN NCCL_CONF_FILE="$dir/nccl.conf" check --json
    [ "$(jq -r '.findings[] | select(.variable == "NCCL_DEBUG") | .value' <<<"$output")" = WARN ]
    # before 2.23 NCCL does not know the variable
    run clean NCCL_CONF_FILE="$dir/nccl.conf" check --as p5.48xlarge --with libfabric=1.22.0,nccl=2.20.3
    lacks "FI_EFA_MTU_SIZE"
    check NCCL_CONF_FILE=/nowhere/x check
    has "not read: /nowhere/x: No such file or directory"
}
libfabric() { # DIRECTORY VERSION: a copy below the tree
    mkdir -p "$dir/tree$1/pkgconfig"
    printf 'const char dt_text[] = "x";\n' | ${CC:-cc} -shared -fPIC -x c - -o "$dir/tree$1/libfabric.so.1"
    printf 'Name: libfabric\nVersion: %s\n' "$2" >"$dir/tree$1/pkgconfig/libfabric.pc"
}
@test "it is judged by what the job's own environment leads to, and --with wins over that" {
    run "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    libfabric /old 1.17.1
    libfabric /new 2.1.0amzn5.0
    run clean FI_EFA_MTU_SIZE=1 LD_LIBRARY_PATH=/old:/new check --root "$dir/tree"
    [ "$status" -lt 2 ]; has "libfabric 1.17.1"
    run clean FI_EFA_MTU_SIZE=1 LD_LIBRARY_PATH=/new:/old check --root "$dir/tree"
    [ "$status" -eq 2 ]; has "libfabric 2.1.0amzn5.0"
    run clean FI_EFA_MTU_SIZE=1 LD_LIBRARY_PATH=/new check --root "$dir/tree" --with libfabric=1.17.0
    [ "$status" -lt 2 ]; has "libfabric 1.17.0"
    # a job script's own path comes before the present one
    script 'export LD_LIBRARY_PATH=/old' 'export FI_EFA_MTU_SIZE=1'
    run clean LD_LIBRARY_PATH=/new check --root "$dir/tree" "$dir/job.sbatch"
    [ "$status" -lt 2 ]; has "libfabric 1.17.1"
    script 'export FI_EFA_MTU_SIZE=1'
    run clean LD_LIBRARY_PATH=/new check --root "$dir/tree" "$dir/job.sbatch"
    [ "$status" -eq 2 ]
    [[ "$(clean LD_LIBRARY_PATH=/old print --root "$dir/tree")" == *"export FI_EFA_USE_DEVICE_RDMA=1"* ]]
    [[ "$(clean LD_LIBRARY_PATH=/new print --root "$dir/tree")" != *FI_EFA_USE_DEVICE_RDMA* ]]
    # and so does dt-node for the ranks, also where only PATH leads elsewhere
    plan() { env -i "$@" "$build/libexec/dt-node" --plan --ranks 8 --config "$dir/dt.conf" --root "$dir/tree"; }
    run plan LD_LIBRARY_PATH=/old
    [ "$status" -eq 0 ]; has "env-default FI_EFA_USE_DEVICE_RDMA 1"
    run plan LD_LIBRARY_PATH=/new
    [ "$status" -eq 0 ]; lacks FI_EFA_USE_DEVICE_RDMA
    mkdir -p "$dir/tree/venv/bin" "$dir/tree/venv/lib/python3.11/site-packages/torch-2.1.0.dist-info" \
        "$dir/tree/venv/lib/python3.11/site-packages/torch"
    touch "$dir/tree/venv/bin/python3" "$dir/tree/venv/pyvenv.cfg"
    chmod +x "$dir/tree/venv/bin/python3"
    old_name() { run env -i NCCL_ASYNC_ERROR_HANDLING=1 "$@" "$build/libexec/dt-node" --plan --explain --config "$dir/dt.conf" --root "$dir/tree"; }
    old_name PATH=/usr/bin; has "no-effect%20%20warn%20%20%20%20%20%20%20%20%20%20NCCL_ASYNC"
    old_name PATH=/venv/bin:/usr/bin; lacks "no-effect%20%20warn%20%20%20%20%20%20%20%20%20%20NCCL_ASYNC"
}
@test "where the job's libraries lie on something slow, versions are not known, and nothing is refused" {
    run "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    printf 'data-directory = "%s"\nprobe-timeout-ms = 10\n' "$dir" >"$dir/slow.conf"
    chmod go-w "$dir/slow.conf"
    plan() { env -i PATH=/usr/bin FI_EFA_MTU_SIZE=1 "$@" "$build/libexec/dt-node" --plan --explain --root "$dir/tree" --config "$dir/slow.conf"; }
    run plan
    [ "$status" -eq 0 ]; has "1%20refused%20(FI_EFA_MTU_SIZE)"
    # the more places, the longer it takes; whether it ends, or begins at all, in 10 ms makes no difference here
    run plan LD_LIBRARY_PATH="$(printf '/%05d/lib:' {1..11000})"
    [ "$status" -eq 0 ]; lacks refused; has "warning"
    has "the%20version%20of%20libfabric%20is%20not%20known"
}
@test "files that variables name and that are not there" {
    touch "$dir/there.so"
    # the loader itself complains on standard error
    output=$(clean LD_PRELOAD="$dir/there.so:/nowhere/libnccl.so" NCCL_TUNER_PLUGIN="$dir/there.so" check --json 2>/dev/null) || status=$?
    [ "$status" -eq 1 ]
    [ "$(jq -r '.findings[] | select(.severity != "fine") | .rule' <<<"$output" | grep missing)" = preload-missing ]
    run clean NCCL_TUNER_PLUGIN="$dir/there.so,/nowhere/x.so" check --json; has tuner-missing
    # on a stated machine nobody has looked
    run clean NCCL_TUNER_PLUGIN=/nowhere/x.so check --as p5.48xlarge --json; lacks tuner-missing
}
@test "a job script: line, branches, programs, and what is not known; nothing is run" {
    # shellcheck disable=SC2016
    script '#!/bin/bash' '#SBATCH --export=ALL,NCCL_DEBUG=INFO' "touch $dir/ran" 'source ./other.sh' \
        'export FI_EFA_MTU_SIZE=$(touch '"$dir"'/ran; echo 1)' 'if x; then' '  export NCCL_NET_GDR_LEVEL=LOC' \
        'else' '  export NCCL_NET_GDR_LEVEL=PHB' 'fi' 'NCCL_TIMEOUT=${T:-1800} srun ./train'
    check check "$dir/job.sbatch"
    [ "$status" -eq 2 ]
    has "not read: line 4: source ./other.sh"
    has "line 5, it is the output of"
    has "NCCL_NET_GDR_LEVEL=LOC"; has "if line 7 is run"
    has "line 11, unless T is set when the job is"
    [ ! -e "$dir/ran" ]
    check check --json "$dir/job.sbatch"
    [ "$(severity FI_EFA_MTU_SIZE)" = abort ]
    [ "$(jq -r '.findings[] | select(.variable == "FI_EFA_MTU_SIZE") | .value' <<<"$output")" = null ]
    [[ " $(severity NCCL_NET_GDR_LEVEL) " == *" slow "* ]]
}
@test "a job script: the present environment is not looked at, unset is seen" {
    script '#!/bin/bash' 'export FI_EFA_MTU_SIZE=1' 'unset FI_EFA_MTU_SIZE'
    check FI_EFA_MTU_SIZE=4096 check "$dir/job.sbatch"
    [ "$status" -eq 0 ]
    script 'export FI_EFA_MTU_SIZE=1'
    run clean check --config "$dir/dt.conf" --as p5.48xlarge --with libfabric=1.22.0 - <"$dir/job.sbatch"
    [ "$status" -eq 2 ]
}
@test "files that are no job scripts" {
    run clean check /nowhere/x; [ "$status" -eq 64 ]; has "/nowhere/x: No such file"
    run clean check "$dir"; [ "$status" -eq 64 ]; has "Is a directory"
    script '#!/usr/bin/python3' 'x = 1'
    run clean check "$dir/job.sbatch"; [ "$status" -eq 64 ]; has "job.sbatch: line 1: '/usr/bin/python3' is no shell"
    script 'echo "never closed'
    run clean check "$dir/job.sbatch"; [ "$status" -eq 64 ]; has "job.sbatch: line 1: a quote"
    run clean check "$env"; [ "$status" -eq 64 ]
}
@test "print: every format says the same variables" {
    names=$(clean print "${p5[@]}" --format container-env)
    [ -n "$names" ]
    [ "$(clean print "${p5[@]}" --format shell | sed -n 's/^export \([A-Z_0-9]*\)=.*/\1/p' | paste -sd,)" = "$names" ]
    [ "$(clean print "${p5[@]}" --format sbatch | sed -n 's/^export \([A-Z_0-9]*\)=.*/\1/p' | paste -sd,)" = "$names" ]
    [ "$(clean print "${p5[@]}" --format dockerfile | sed -n 's/^ENV \([A-Z_0-9]*\)=.*/\1/p' | paste -sd,)" = "$names" ]
    [ "$(clean print "${p5[@]}" --format json | jq -r '[.set[].variable] | join(",")')" = "$names" ]
    [ "$(clean print "${p5[@]}" --format shell0 | tr '\0' '\n' | sed 's/=.*//' | paste -sd,)" = "$names" ]
}
@test "print: containers are not to keep what would end the program" {
    run "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    output=$(clean NCCL_DEBUG=INFO FI_EFA_MTU_SIZE=1 print --root "$dir/tree" --with libfabric=1.22.0 \
        --format container-env 2>"$dir/said")
    has NCCL_DEBUG; lacks FI_EFA_MTU_SIZE
    grep -q "FI_EFA_MTU_SIZE=1" "$dir/said"
}
@test "print: a shell that reads it has the values, and sbatch lines yield" {
    clean print "${p5[@]}" --format json >"$dir/profile.json"
    clean print "${p5[@]}" --format shell >"$dir/profile.sh"
    clean print "${p5[@]}" --format sbatch >"$dir/profile.sbatch"
    while IFS=$'\t' read -r name value; do
        # shellcheck disable=SC2016
        [ "$(env -i bash -c '. "$1"; printf %s "${!2}"' x "$dir/profile.sh" "$name")" = "$value" ]
        # shellcheck disable=SC2016
        [ "$(env -i bash -c '. "$1"; printf %s "${!2}"' x "$dir/profile.sbatch" "$name")" = "$value" ]
        # shellcheck disable=SC2016
        [ "$(env -i "$name=own" bash -c '. "$1"; printf %s "${!2}"' x "$dir/profile.sbatch" "$name")" = own ]
    done < <(jq -r '.set[] | [.variable, .value] | @tsv' "$dir/profile.json")
    # and the doctor finds nothing wrong with either
    run clean check "${p5[@]}" "$dir/profile.sh"; [ "$status" -eq 0 ]
    run clean check "${p5[@]}" "$dir/profile.sbatch"; [ "$status" -eq 0 ]
}
@test "print: with --as the environment does not count, without it it does" {
    first=$(clean print "${p5[@]}" --format container-env | cut -d, -f1)
    [[ "$(clean "$first=own" print "${p5[@]}")" == *"export $first="* ]]
    run "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type p5.48xlarge --out "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    first=$(clean print --root "$dir/tree" --with libfabric=1.22.0 | sed -n 's/^export \([A-Z_0-9]*\)=.*/\1/p' | head -n 1)
    [ -n "$first" ]
    run clean "$first=own" print --root "$dir/tree" --with libfabric=1.22.0
    lacks "export $first="
}
@test "print: warnings go to standard error" {
    run bash -c "env -i FI_EFA_MTU_SIZE=1 NCCL_NET_GDR_LEVEL=LOC '$env' print --config '$dir/dt.conf' --format shell0 2>'$dir/err' | tr '\0' '\n'"
    lacks "FI_EFA_MTU_SIZE"
}
@test "docs/env-rules.md says what the rules file says (make docs)" {
    "$env" rules "$dir/env-rules.conf" >"$dir/rules.md"
    diff "$dir/rules.md" docs/env-rules.md
}
@test "dt-env(1) has every rule" {
    man=$build/man/dt-env.1
    while read -r name; do
        grep -qF -e "${name//-/\\-}" -e "$name" "$man" || { echo "missing: $name"; return 1; }
    done < <(sed -n 's/^rule "\([^"]*\)".*/\1/p' configs/env-rules.conf)
}
@test "standard output that can not be written is told" {
    run bash -c "env -i '$env' check --config '$dir/dt.conf' --as p5.48xlarge >/dev/full"
    [ "$status" -eq 67 ]; has "standard output can not be written"
}
