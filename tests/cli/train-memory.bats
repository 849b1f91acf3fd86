#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two ranks of dt-train under valgrind and the sanitizers, and what they take from MPI and give back.

bats_require_minimum_version 1.5.0
load train

setup_file() {
    mpicc -O1 -fPIC -shared -o "$BATS_FILE_TMPDIR/mpi_leaks.so" "$BATS_TEST_DIRNAME/../tools/mpi_leaks.c"
}

setup() {
    train_setup
    FIXTURES=$(realpath "$BATS_TEST_DIRNAME/../fixtures/memory")
    STEPS=(--steps 2 --micro-batch 1 --clip 1 --checkpoint)
}
teardown() { train_teardown; }

# Each manner of communication and of sharing has allocations of its own.
LAYOUTS=("--dp=2" "--comm=mpi" "--fsdp=2" "--fsdp=2 --zero=1 --comm=mpi" "--pp=2 --layers=2" "--cp=2")

two() { # WORD BEFORE THE PROGRAM... -- ARGUMENT...
    local before=()
    while [ "$1" != -- ]; do
        before+=("$1")
        shift
    done
    shift
    mpirun -np 2 --allow-run-as-root --oversubscribe "${before[@]}" "$@" >out 2>&1
}

@test "what is taken from MPI is given back, whatever the layout" {
    cd "$TMP"
    local layout
    for layout in "${LAYOUTS[@]}"; do
        # shellcheck disable=SC2086 # words
        two -x LD_PRELOAD="$BATS_FILE_TMPDIR/mpi_leaks.so" -- "$BIN" "${SMALL[@]}" "${STEPS[@]}" "c$layout" $layout || { cat out >&2 && return 1; }
        [ "$(grep -c 'mpi-leaks: rank [01]: 0 of [1-9][0-9]* communicators, 0 of [0-9]* windows, 0 of [0-9]* requests, 0 of [0-9]* infos' out)" -eq 2 ] ||
            { echo "$layout" >&2 && cat out >&2 && return 1; }
    done
}

# The test sees a leak when there is one.
@test "a communicator that is not given back is told of" {
    cd "$TMP"
    cat >leak.c <<'C'
#include <mpi.h>
int main(void)
{
    MPI_Comm kept;
    MPI_Init(0, 0);
    MPI_Comm_dup(MPI_COMM_WORLD, &kept);
    return MPI_Finalize();
}
C
    mpicc -o leak leak.c
    two -x LD_PRELOAD="$BATS_FILE_TMPDIR/mpi_leaks.so" -- ./leak
    [ "$(grep -c ': 1 of 1 communicators' out)" -eq 2 ]
}

# On CPUs: the dynamic linker reads the search path of CUDA's libraries by words, past its end, which valgrind takes for an error.
@test "valgrind finds nothing in two ranks, no lost memory either" {
    cd "$TMP"
    two valgrind -q --fair-sched=yes --error-exitcode=99 --keep-debuginfo=yes --num-callers=40 \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --suppressions=/usr/share/openmpi/openmpi-valgrind.supp \
        --suppressions="$FIXTURES/valgrind.supp" -- "$BIN" "${SMALL[@]}" "${STEPS[@]}" c --fsdp 2 --device cpu || { cat out >&2 && return 1; }
    grep -q '^2 steps in' out
    [ "$(grep -c '^==[0-9]*== [A-Z]' out)" -eq 0 ]
}

@test "the sanitizers find nothing in two ranks" {
    local san
    san=$(cd "$BATS_TEST_DIRNAME/../.." && realpath -m "${BUILD:-build}/san/bin/dt-train")
    [ -x "$san" ] || skip "not built: make BUILD=build/san SANITIZE=address,undefined build/san/bin/dt-train"
    cd "$TMP"
    local layout
    for layout in "${LAYOUTS[@]}"; do # leaks are valgrind's: here those of Open MPI have no names
        # shellcheck disable=SC2086 # words
        ASAN_OPTIONS=detect_leaks=0 two -- "$san" "${SMALL[@]}" "${STEPS[@]}" "c$layout" $layout ||
            { echo "$layout" >&2 && cat out >&2 && return 1; }
        grep -q '^2 steps in' out
    done
}
