#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a packager does: the source archive builds without git in any directory, installs where it is told to,
# and make builds again what has changed and nothing else.

bats_require_minimum_version 1.5.0

# One build for all tests, from the archive, in a path with blanks; not optimised (which the C library warns of), as it is
# the build that is tried, not what it makes; and as where nvcc is missing, which takes minutes (tests/cli/train-cuda.bats
# looks at what it has built).
setup_file() {
    local work="$BATS_FILE_TMPDIR/a path"
    mkdir -p "$work/git" && cd "$BATS_TEST_DIRNAME/../.." || return 1
    tar -c --exclude='./build*' --exclude=./dist --exclude=.git . | tar -x -C "$work/git"
    cd "$work/git" && rm -f VERSION || return 1
    git init -q && git add -A &&
        git -c user.name=test -c user.email=test@localhost commit -q -m "test" && git tag v7.8.9 || return 1
    archive=$(make --no-print-directory dist 3>&-) || return 1
    tar -xzf "$archive" -C "$work" || return 1
    export TREE="$work/dt-v7.8.9" ROOT="$work/root"
    cd "$TREE" || return 1
    build >"$BATS_FILE_TMPDIR/build.log" 2>&1 3>&- || { cat "$BATS_FILE_TMPDIR/build.log" && return 1; }
}

build() { # ARGUMENTS of make
    GIT_CEILING_DIRECTORIES="$BATS_FILE_TMPDIR" env -u BUILD -u MAKEFLAGS make --no-print-directory -j2 \
        OPT='-O0 -Wno-cpp' TRAIN_OPT="-O0 -fopenmp" NVCC= "$@"
}

setup() { cd "$TREE" || return 1; }

# What was compiled, linked or made.
steps() { grep -E '^  (CC|AR|LINK|MAN) ' <<<"$output" || true; }

into() { # TARGET ARGUMENTS: DESTDIR and the directories of a distribution
    build "$@" DESTDIR="$ROOT" prefix=/usr libdir=/usr/lib64 sysconfdir=/etc
}

@test "the archive builds without git and knows its version" {
    [ ! -e .git ]
    run -0 build/bin/dt-launch --version
    [[ $output == *7.8.9* ]]
}

@test "a second make does nothing" {
    run -0 build all
    [ -z "$(steps)" ]
}

@test "a header that changed rebuilds what includes it, and no more" {
    touch spank/helper.h
    run -0 build all
    grep -q 'CC *spank/helper.c' <<<"$output"
    grep -q 'LINK *build/lib/spank_dt.so' <<<"$output"
    [ "$(steps | grep -cv spank)" -eq 0 ]
    run -0 build all
    [ -z "$(steps)" ]
}

@test "another Slurm rebuilds the plugin with its headers" {
    mkdir -p "$BATS_TEST_TMPDIR/include"
    ln -s /usr/include/slurm "$BATS_TEST_TMPDIR/include/slurm"
    [ -e "$BATS_TEST_TMPDIR/include/slurm/spank.h" ] || skip "Slurm's headers are not in /usr/include"
    ln -s "$BATS_TEST_TMPDIR" other
    run -0 build all SLURM_PREFIX=other
    [ "$(steps | grep -c 'CC *spank/')" -gt 5 ]
    [ "$(steps | grep -cvE 'spank|dt-drain|dt-slurm')" -eq 0 ]
    grep -q 'other/include/slurm/spank.h' build/obj/spank/dispatch.d
    build all
    rm other
}

@test "install: every file in its place with its mode, and paths compiled in" {
    run -0 into install
    cd "$ROOT"
    run -0 find . -type f -not -path '*/man/*' -printf '%m %P\n'
    [ "$(sort -k2 <<<"$output")" = "644 etc/dt/dt.conf
755 usr/bin/dt-env
755 usr/bin/dt-launch
755 usr/bin/dt-topo
755 usr/bin/dt-train
755 usr/bin/dt-validate
644 usr/lib64/slurm/spank_dt.so
755 usr/libexec/dt/dt-drain
755 usr/libexec/dt/dt-gather
755 usr/libexec/dt/dt-node
755 usr/libexec/dt/dt-slurm
755 usr/libexec/dt/selftest/libnvidia-ml.so.1
644 usr/share/bash-completion/completions/accelerate
644 usr/share/bash-completion/completions/composer
644 usr/share/bash-completion/completions/deepspeed
644 usr/share/bash-completion/completions/dt-env
644 usr/share/bash-completion/completions/dt-launch
644 usr/share/bash-completion/completions/dt-topo
644 usr/share/bash-completion/completions/dt-train
644 usr/share/bash-completion/completions/dt-validate
644 usr/share/bash-completion/completions/torchrun
644 usr/share/dt/counters.conf
644 usr/share/dt/env-rules.conf
644 usr/share/dt/env-variables.conf
644 usr/share/dt/instances.conf
644 usr/share/dt/plugstack.conf
644 usr/share/dt/xid.conf" ]
    [ "$(find . -type d -perm /022)" = "" ]
    [ "$(find . -type l -printf '%P %l\n' | sort)" = "usr/libexec/dt/shim/accelerate ../../../bin/dt-launch
usr/libexec/dt/shim/composer ../../../bin/dt-launch
usr/libexec/dt/shim/deepspeed ../../../bin/dt-launch
usr/libexec/dt/shim/torchrun ../../../bin/dt-launch" ]
    for page in man1/dt-launch.1 man1/dt-topo.1 man1/dt-train.1 man5/dt.conf.5 man7/dt.7 man8/spank_dt.8 \
        man8/dt-validate.8; do
        [ "$(stat -c %a "usr/share/man/$page")" = 644 ]
    done
    grep -qx 'optional /usr/lib64/slurm/spank_dt.so' usr/share/dt/plugstack.conf
    grep -qa /usr/libexec/dt usr/lib64/slurm/spank_dt.so
    grep -qa /etc/dt/dt.conf usr/libexec/dt/dt-node
    run grep -rlaE "/usr/local/(etc|share|libexec|bin)" usr/lib64/slurm usr/libexec/dt/dt-gather
    [ -z "$output" ]
}

@test "install again keeps an edited dt.conf, uninstall too, and removes all else" {
    into install
    echo "# mine" >>"$ROOT/etc/dt/dt.conf"
    run -0 into install
    grep -qx '# mine' "$ROOT/etc/dt/dt.conf"
    run -0 into uninstall
    [ "$(find "$ROOT" -type f -printf '%P\n')" = etc/dt/dt.conf ]
    rm "$ROOT/etc/dt/dt.conf"
    into install
    run -0 into uninstall
    [ -z "$(find "$ROOT" -type f)" ]
    [ ! -e "$ROOT/etc/dt" ] && [ ! -e "$ROOT/usr/libexec/dt" ] && [ ! -e "$ROOT/usr/share/dt" ]
}

@test "srun loads the plugin from a prefix, and the helpers' directory of that prefix is compiled in" {
    command -v srun || skip "srun is not installed"
    local prefix="$BATS_TEST_TMPDIR/prefix"
    run -0 build install prefix="$prefix"
    echo "optional $prefix/lib/slurm/spank_dt.so" >"$BATS_TEST_TMPDIR/plugstack.conf"
    printf '%s\n' ClusterName=none SlurmctldHost=localhost "PlugStackConfig=$BATS_TEST_TMPDIR/plugstack.conf" \
        NodeName=localhost "PartitionName=all Nodes=ALL" >"$BATS_TEST_TMPDIR/slurm.conf"
    SLURM_CONF=$BATS_TEST_TMPDIR/slurm.conf run -0 srun --help
    [[ $output == *--dt-validate* ]]
    grep -qa "$prefix/libexec/dt" "$prefix/lib/slurm/spank_dt.so"
    run -0 "$prefix/libexec/dt/dt-node" --help
}
